//! The threads that serve visitors.
//!
//! Holds always: each thread accepts from all sockets and drives every socket of
//! the requests that it accepted; a thread ends when it is told to, and not with
//! the last connection.

use std::os::fd::IntoRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora::apps::{HttpServerOptions, ServerApp};
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::proxy::http_proxy;
use pingora::server::Fds;
use pingora::server::configuration::ServerConf;
use pingora::services::listening::Service;
use pingora::services::{ServiceReadyNotifier, ServiceWithDependents as _};
use tokio::runtime::Builder;
use tokio::sync::watch;

use super::sockets::Listeners;
use crate::connection::{Front, Manners};
use crate::gateway::{Gateway, Live, Successor};
use crate::limits::Connections;
use crate::tls::{Secured, Spoken};

/// Connections to apps that are kept for reuse. Fewer than the requests at one
/// time, and each of the rest opens a connection of its own.
const UPSTREAM_POOL: usize = 512;
/// How much is read ahead of a connection with TLS, whose records would else be
/// read in small pieces. Without TLS nothing is: a header is read into room of its
/// own, and a body too, and Pingora's buffer of 64 KiB would be most of what an
/// idle connection costs.
const TLS_READ_AHEAD: usize = 16 * 1024;
/// How long an HTTP/2 connection may be without a request.
const H2_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

fn cloned(listeners: &Listeners) -> std::io::Result<Listeners> {
    let cloned = listeners.iter();
    let cloned = cloned.map(|(listener, address)| Ok((listener.try_clone()?, *address)));
    cloned.collect()
}

/// What all threads share of how visitors' connections are taken.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    /// How connections are received.
    pub(super) manners: Arc<ArcSwap<Manners>>,
    /// How TLS is spoken, where it is.
    pub(super) spoken: Option<Arc<ArcSwap<Spoken>>>,
    /// The connections that are open.
    pub(super) connections: Arc<Connections>,
    /// Whether HTTP/2 is understood without TLS.
    pub(super) h2c: bool,
    /// Whether none is taken any more.
    pub(super) stopped: watch::Receiver<bool>,
}

/// The threads.
#[derive(Debug)]
pub(super) struct Workers {
    /// Closes the connections on which nothing is asked for.
    leave: watch::Sender<bool>,
    /// Ends the threads when it is dropped.
    end: watch::Sender<()>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads, each of which serves `gateway` on `listeners`,
    /// those without TLS and those with, until it is given a successor.
    pub(super) fn start(
        count: usize,
        gateway: &Gateway,
        doors: &Doors,
        [plain, secured]: &[Listeners; 2],
    ) -> std::io::Result<(Self, Vec<Successor>)> {
        let (end, _) = watch::channel(());
        let (leave, leaving) = watch::channel(false);
        let mut workers = Self {
            leave,
            end,
            threads: Vec::with_capacity(count),
        };
        let mut successors = Vec::with_capacity(count);
        for _ in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (live, successor) = Live::new(gateway.clone());
            successors.push(successor);
            let listeners = [cloned(plain)?, cloned(secured)?];
            let service = serve(live, doors.clone(), listeners, leaving.clone());
            let mut end = workers.end.subscribe();
            let work = move || {
                runtime.block_on(async {
                    service.await;
                    // Requests on their way are driven here until the end.
                    let _ = end.changed().await;
                });
            };
            let thread = std::thread::Builder::new().name("wxgate".to_owned());
            workers.threads.push(thread.spawn(work)?);
        }
        Ok((workers, successors))
    }

    /// Closes the connections on which nothing is asked for. After a stop: no more
    /// will be taken.
    pub(super) fn leave(&self) {
        self.leave.send_replace(true);
    }

    /// Ends the threads, and with them what still runs on them.
    pub(super) fn end(self) {
        drop(self.end);
        for thread in self.threads {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

async fn serve(
    live: Live,
    doors: Doors,
    [plain, secured]: [Listeners; 2],
    mut leaving: watch::Receiver<bool>,
) {
    let conf = ServerConf {
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        ..ServerConf::default()
    };
    let mut proxy = http_proxy(&Arc::new(conf), live);
    let mut options = HttpServerOptions::default();
    options.h2c = doors.h2c;
    options.h2_idle_timeout = Some(H2_IDLE_TIMEOUT);
    proxy.server_options = Some(options);
    let proxy = Arc::new(proxy);
    let front = || Front {
        app: Arc::clone(&proxy),
        connections: Arc::clone(&doors.connections),
        manners: Arc::clone(&doors.manners),
    };
    let over_tls = async {
        if let Some(spoken) = &doors.spoken {
            let app = Secured {
                front: Arc::new(front()),
                spoken: Arc::clone(spoken),
            };
            accept(app, secured, TLS_READ_AHEAD, doors.stopped.clone()).await;
        }
    };
    tokio::join!(accept(front(), plain, 0, doors.stopped.clone()), over_tls);
    // Whoever could change it is gone only when all is over.
    let _ = leaving.wait_for(|leaving| *leaving).await;
    ServerApp::cleanup(&*proxy).await;
}

/// Accepts connections for `app` until the stop. Up to `read_ahead` bytes are read
/// before somebody asks for them.
async fn accept<A: ServerApp + Send + Sync + 'static>(
    app: A,
    listeners: Listeners,
    read_ahead: usize,
    stopped: watch::Receiver<bool>,
) {
    if listeners.is_empty() {
        // A service without sockets ends at once, and has the app clean up.
        return;
    }
    let mut service = Service::new("wxgate".to_owned(), app);
    let mut fds = Fds::new();
    for (listener, address) in listeners {
        let address = address.to_string();
        let buffer = L4BufferSettings::default().read(read_ahead);
        service.add_listener(ListenerConfig::tcp(&address).l4_buffer(buffer));
        fds.add(address, listener.into_raw_fd());
    }
    let (ready, _) = watch::channel(false);
    service
        .start_service(
            Some(Arc::new(Mutex::new(fds))),
            stopped,
            1,
            ServiceReadyNotifier::new(ready),
        )
        .await;
}
