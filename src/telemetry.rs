//! Traces: which request belongs to which, and where its spans go.
//!
//! Holds always: what a client says of a trace is believed only where a trusted
//! proxy passes it on; the queue of spans is bounded, and nobody ever waits for it:
//! what does not fit is dropped and counted. No span holds a query, a cookie, a
//! code, a token or an openid.
//!
//! Off, this touches nothing: the app's own `traceparent` passes as it came.

mod export;
mod settings;
mod span;
mod trace;

use http::HeaderMap;
use pingora::http::RequestHeader;
use tokio::sync::oneshot;

use self::export::Exporter;
pub use self::settings::{Endpoint, Sample, ServiceName, Table};
pub use self::span::{Kind, Span, Value, moment};
pub use self::trace::{SpanId, Trace, TraceId};

/// Begins traces, and sends their spans on.
#[derive(Debug)]
pub struct Telemetry {
    table: Table,
    exporter: Option<Exporter>,
}

impl Telemetry {
    /// What `table` asks for; `None` when it asks for nothing. Spans are sent on the
    /// runtime that calls.
    ///
    /// # Errors
    /// When there is no client to send them with.
    pub fn start(table: Table) -> Result<Option<Self>, reqwest::Error> {
        let exporter = match &table.otlp_endpoint {
            Some(endpoint) => Some(Exporter::start(endpoint, &table.service_name)?),
            None if table.traceparent => None,
            None => return Ok(None),
        };
        Ok(Some(Self { table, exporter }))
    }

    /// What was asked for.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The trace of a request that came with `headers`; `believed` where they were
    /// passed on by a trusted proxy. `None` when the system gives no random bytes.
    pub fn begin(&self, headers: &HeaderMap, believed: bool) -> Option<Trace> {
        let given = believed.then(|| trace::Given::read(headers)).flatten();
        Trace::begin(given, self.table.sample)
    }

    /// Takes what a client said of a trace out of its request, and writes `trace`.
    ///
    /// # Errors
    /// When a value cannot stand in a header, which none of these does.
    pub fn write(&self, request: &mut RequestHeader, trace: Option<&Trace>) -> pingora::Result<()> {
        trace::forget(request);
        match trace {
            Some(trace) => trace.write(request),
            None => Ok(()),
        }
    }

    /// Whether the spans of `trace` are wanted.
    pub fn wants(&self, trace: &Trace) -> bool {
        self.exporter.is_some() && trace.is_sampled()
    }

    /// Sends spans on, or drops them where those before them were not taken yet.
    pub fn send(&self, spans: Vec<Span>) {
        if let Some(exporter) = &self.exporter {
            exporter.send(spans);
        }
    }

    /// Has all that was sent go out, and waits a little until it has.
    pub async fn flush(&self) {
        let Some(exporter) = &self.exporter else {
            return;
        };
        let (done, is_done) = oneshot::channel();
        if exporter.flush(done) {
            let _ = tokio::time::timeout(export::LAST_WAIT, is_done).await;
        }
    }
}
