//! Spans on their way to a collector.
//!
//! Holds always: the queue is bounded, and who puts something in never waits; one
//! request is on its way at a time, for ten seconds at most; what is lost is counted,
//! and the count told once a minute. A collector that is down costs spans and nothing
//! else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;
use tracing::warn;

use super::span::request;
use super::{Endpoint, ServiceName, Span};

/// How many requests' spans may wait.
const QUEUE: usize = 2048;
/// How many spans are sent together, about.
const BATCH: usize = 512;
/// How long they are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take.
const CONNECT: Duration = Duration::from_secs(3);
const TOTAL: Duration = Duration::from_secs(10);
/// How long the last spans may take.
pub(super) const LAST_WAIT: Duration = Duration::from_secs(2);
/// How often a loss is told.
const TOLD: Duration = Duration::from_secs(60);

enum Message {
    Spans(Vec<Span>),
    Flush(oneshot::Sender<()>),
}

/// The queue's near end. The far end goes with the last of these.
#[derive(Debug)]
pub(super) struct Exporter {
    queue: Sender<Message>,
    lost: Arc<AtomicUsize>,
}

impl Exporter {
    pub(super) fn start(
        endpoint: &Endpoint,
        service: &ServiceName,
    ) -> Result<Self, reqwest::Error> {
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("wxgate/", env!("CARGO_PKG_VERSION")));
        let client = match endpoint.is_https() {
            true => builder.build()?,
            // On this machine or in its network, where no proxy is asked.
            false => builder.no_proxy().build()?,
        };
        let (queue, receiver) = channel(QUEUE);
        let lost = Arc::new(AtomicUsize::new(0));
        let work = Work {
            client,
            endpoint: endpoint.clone(),
            service: service.clone(),
            lost: Arc::clone(&lost),
            told: None,
        };
        tokio::spawn(work.run(receiver));
        Ok(Self { queue, lost })
    }

    pub(super) fn send(&self, spans: Vec<Span>) {
        let count = spans.len();
        if self.queue.try_send(Message::Spans(spans)).is_err() {
            self.lost.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Whether somebody will say so when what was sent is gone.
    pub(super) fn flush(&self, done: oneshot::Sender<()>) -> bool {
        self.queue.try_send(Message::Flush(done)).is_ok()
    }
}

/// The queue's far end.
struct Work {
    client: reqwest::Client,
    endpoint: Endpoint,
    service: ServiceName,
    lost: Arc<AtomicUsize>,
    told: Option<Instant>,
}

impl Work {
    async fn run(mut self, mut queue: Receiver<Message>) {
        while let Some(first) = queue.recv().await {
            let mut spans = Vec::new();
            let mut waiting = take(first, &mut spans);
            let gathered = tokio::time::sleep(GATHER);
            tokio::pin!(gathered);
            while spans.len() < BATCH && waiting.is_none() {
                tokio::select! {
                    () = &mut gathered => break,
                    next = queue.recv() => match next {
                        Some(next) => waiting = take(next, &mut spans),
                        None => break,
                    },
                }
            }
            if !spans.is_empty() {
                self.export(&spans).await;
            }
            if let Some(done) = waiting {
                // Whoever waited may have left.
                let _ = done.send(());
            }
        }
    }

    async fn export(&mut self, spans: &[Span]) {
        let body = request(&self.service, spans).to_string();
        let sent = self
            .client
            .post(self.endpoint.traces())
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        let why = match sent {
            Ok(_) => None,
            Err(error) => {
                self.lost.fetch_add(spans.len(), Ordering::Relaxed);
                Some(crate::wechat::api::reason(&error.without_url()))
            }
        };
        let may_tell = self.told.is_none_or(|told| told.elapsed() >= TOLD);
        if may_tell && self.lost.load(Ordering::Relaxed) > 0 {
            self.told = Some(Instant::now());
            let lost = self.lost.swap(0, Ordering::Relaxed);
            let why = why.unwrap_or_else(|| "they came faster than it takes them".to_owned());
            warn!(lost, "spans did not reach telemetry.otlp_endpoint: {why}");
        }
    }
}

/// Takes the spans of a message; gives back who waits for them to be gone.
fn take(message: Message, spans: &mut Vec<Span>) -> Option<oneshot::Sender<()>> {
    match message {
        Message::Spans(more) => {
            spans.extend(more);
            None
        }
        Message::Flush(done) => Some(done),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::net::TcpListener;

    use super::super::{Kind, Trace};
    use super::*;
    use crate::telemetry::{Sample, Table};

    #[tokio::test]
    async fn a_collector_that_hangs_costs_spans_and_nobody_waits() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Connections are taken by the system, and nobody reads them.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let endpoint = Endpoint::try_from(url).unwrap();
        let exporter = Exporter::start(&endpoint, &Table::default().service_name).unwrap();
        let trace = Trace::begin(None, Sample::default()).unwrap();
        let span = Span {
            trace: trace.id(),
            id: trace.span(),
            parent: None,
            kind: Kind::Server,
            name: "GET".to_owned(),
            began: SystemTime::now(),
            took: Duration::ZERO,
            attributes: Vec::new(),
            failed: false,
        };
        // Nothing here awaits, so that the far end takes none meanwhile.
        for _ in 0..QUEUE + 100 {
            exporter.send(vec![span.clone()]);
        }
        assert_eq!(exporter.lost.load(Ordering::Relaxed), 100);
        // And while it hangs with a batch, as many more are taken as there is room.
        let deadline = Instant::now() + Duration::from_secs(10);
        while exporter.queue.capacity() < BATCH {
            assert!(Instant::now() < deadline, "no batch was taken");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..2 * QUEUE {
            exporter.send(vec![span.clone()]);
        }
        assert!(exporter.lost.load(Ordering::Relaxed) > QUEUE);
    }
}
