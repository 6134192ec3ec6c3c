//! The server: listeners, threads, the drain.
//!
//! Holds always: a socket is bound before anything is said to be ready, so that
//! an address in use is a message and not a panic, and port 0 tells its number;
//! a stop lets requests on their way finish, and waits no longer than they take.
//!
//! Pingora's own `Server` binds late, sleeps its whole grace period even when
//! idle and ends the process; its services, which are used here, do not.
//!
//! Each worker thread has a runtime and a service of its own, and all accept
//! from the same sockets, so that every socket of a request is driven by the
//! thread that handles it. This closes a race in Pingora 0.9.1: where another
//! thread may drive the app's socket, an app that answers 101 within
//! microseconds can be heard before Pingora has taken note that the upgrade
//! request has no body, and the WebSocket is closed as soon as it is open.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::os::fd::IntoRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pingora::apps::HttpServerOptions;
use pingora::apps::ServerApp;
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::proxy::http_proxy;
use pingora::server::Fds;
use pingora::server::configuration::ServerConf;
use pingora::services::listening::Service;
use pingora::services::{ServiceReadyNotifier, ServiceWithDependents as _};
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::admin::{self, Admin};
use crate::callback::Callbacks;
use crate::config::{Plan, TlsPlan};
use crate::connection::Front;
use crate::gateway::{Gateway, Https};
use crate::limits::{Connections, Logins};
use crate::revocation::Revocations;
use crate::session::Sessions;
use crate::store::{OpenError, Store};
use crate::tls::{self, Certificates, Hsts, Secured};
use crate::tokens::Keeper;
use crate::upstream::Resolver;
use crate::wechat::Api;
use crate::wechat::api::{Bounds, reason};

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
/// How long the last bytes of an answer may take after its request is counted
/// as done.
const LAST_BYTES: Duration = Duration::from_millis(50);

/// Why a gateway does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A socket cannot be bound.
    #[error("cannot listen on {address} ({reason}); see server.{setting} in gateway.toml")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// `listen`, `admin_listen` or `tls.listen`.
        setting: &'static str,
        /// What the system said.
        reason: std::io::ErrorKind,
    },
    /// A bound socket that cannot be used.
    #[error("a listening socket cannot be used: {0}")]
    Socket(std::io::Error),
    /// No key to sign with.
    #[error("{0}")]
    Key(String),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// No thread, or no runtime on it.
    #[error("a worker thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    /// No keys for the tickets of TLS.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    /// No client for WeChat's api.
    #[error(
        "the client for WeChat's api cannot be made ({0}); are the system's certificates (ca-certificates) installed?"
    )]
    Api(String),
}

/// A gateway that serves.
#[derive(Debug)]
pub struct Running {
    /// Where visitors are served.
    pub listen: Vec<SocketAddr>,
    /// Where visitors are served over TLS.
    pub listen_tls: Vec<SocketAddr>,
    /// Where operators are served.
    pub admin: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    in_flight: Arc<AtomicUsize>,
    drain_timeout: Duration,
    workers: Workers,
    admin_task: Option<JoinHandle<()>>,
    /// Looks whether certificates were written anew.
    watch: Option<JoinHandle<()>>,
}

/// The threads that serve visitors. They end when `end` is dropped.
#[derive(Debug)]
struct Workers {
    end: watch::Sender<()>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// Bound sockets, as runtimes take them, with their addresses.
type Listeners = Vec<(TcpListener, SocketAddr)>;

fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|error| StartError::Bind {
        address,
        setting,
        reason: error.kind(),
    })
}

/// A bound socket as a runtime takes it, with its address.
fn prepared(listener: TcpListener) -> Result<(TcpListener, SocketAddr), StartError> {
    let usable = listener.set_nonblocking(true);
    let address = usable.and_then(|()| listener.local_addr());
    address
        .map(|address| (listener, address))
        .map_err(StartError::Socket)
}

/// Starts the gateway of `plan` on threads of its own, and its admin paths on
/// the runtime that calls.
///
/// # Errors
/// See [`StartError`]; nothing is left running.
pub async fn start(plan: Plan) -> Result<Running, StartError> {
    let listeners = plan
        .server
        .listen
        .get_ref()
        .iter()
        .map(|address| bind(address.get(), "listen"));
    let listeners: Result<Vec<_>, _> = listeners.collect();
    start_on(plan, listeners?).await
}

/// Sockets that are bound already.
#[derive(Debug)]
pub struct Sockets {
    /// For visitors without TLS.
    pub plain: Vec<TcpListener>,
    /// For visitors over TLS; without any, those of the plan are bound.
    pub tls: Vec<TcpListener>,
}

impl From<Vec<TcpListener>> for Sockets {
    fn from(plain: Vec<TcpListener>) -> Self {
        let tls = Vec::new();
        Self { plain, tls }
    }
}

/// Starts the gateway of `plan` on sockets that are bound already, for those
/// who must know their ports before they can write the plan.
///
/// # Errors
/// See [`StartError`]; nothing is left running.
pub async fn start_on(mut plan: Plan, sockets: impl Into<Sockets>) -> Result<Running, StartError> {
    let mut sockets: Sockets = sockets.into();
    if let Some(tls) = plan.tls.as_ref().filter(|_| sockets.tls.is_empty()) {
        let bound = tls
            .listen
            .iter()
            .map(|address| bind(*address, "tls.listen"));
        sockets.tls = bound.collect::<Result<_, _>>()?;
    }
    let ready = |sockets: Vec<TcpListener>| sockets.into_iter().map(prepared).collect();
    let listeners: Result<Listeners, StartError> = ready(sockets.plain);
    let secured: Result<Listeners, StartError> = ready(sockets.tls);
    let (listeners, secured) = (listeners?, secured?);
    let keys = plan.take_keys().map_err(StartError::Key)?;
    let assertions = plan.take_assertions().map_err(StartError::Key)?;
    let bounds = Bounds {
        connect: plan.limits.wechat_connect_timeout.get(),
        total: plan.limits.wechat_timeout.get(),
        calls: plan.limits.wechat_calls,
    };
    let api = Api::new(bounds).map_err(|error| StartError::Api(reason(&error)))?;
    let admin = plan
        .server
        .admin_listen
        .map(|address| bind(address.get(), "admin_listen").and_then(prepared))
        .transpose()?;
    let ended = Arc::new(Revocations::default());
    let state_dir = plan.state_dir();
    let store = Store::open(plan.store, state_dir, Arc::clone(&ended)).await?;
    let sessions = Arc::new(Sessions::new(
        keys,
        plan.cookies,
        ended,
        plan.idle_timeout,
        plan.max_lifetime,
    ));
    let routes = Arc::new(plan.routes);
    let in_flight = Arc::new(AtomicUsize::new(0));
    let logins = Arc::new(Logins::new(&plan.limits));
    let keeper = Keeper::new(api.clone(), Arc::clone(&store), Arc::clone(&sessions));
    let accounts = plan.accounts.into_iter().map(|planned| planned.account);
    let (stop, stopped) = watch::channel(false);
    let operators = Admin {
        store: Arc::clone(&store),
        sessions: Arc::clone(&sessions),
        accounts: accounts.collect(),
        stopped: stopped.clone(),
    };
    let gateway = Gateway {
        callbacks: Arc::new(Callbacks::new(
            api,
            Arc::clone(&sessions),
            keeper.clone(),
            Arc::clone(&store),
            Arc::clone(&routes),
            Arc::clone(&logins),
        )),
        store,
        keeper,
        logins,
        routes,
        sessions,
        assertions: assertions.map(Arc::new),
        resolver: Resolver::default(),
        scheme: plan.server.public_scheme,
        https: Https {
            hsts: (plan.tls.as_ref()).and_then(|tls| tls.hsts.map(Hsts::header)),
            redirect: plan.tls.as_ref().is_some_and(|tls| tls.redirect_http),
        },
        allowed_underscores: Arc::new(
            (plan.server.underscore_headers.iter())
                .map(|name| name.0.clone())
                .collect(),
        ),
        trusted_proxies: Arc::new(plan.server.trusted_proxies),
        in_flight: Arc::clone(&in_flight),
    };
    let spoken = |tls: &TlsPlan| {
        let config = tls::config(&tls.certificates, tls.min_version).map_err(StartError::Tls)?;
        Ok::<_, StartError>((Arc::clone(&tls.certificates), config))
    };
    let tls = plan.tls.as_ref().map(spoken).transpose()?;
    let certificates = tls
        .as_ref()
        .map(|(certificates, _)| Arc::clone(certificates));
    let doors = Doors {
        tls,
        h2c: plan.server.h2c,
        connections: Arc::new(Connections::new(&plan.limits)),
        header_timeout: plan.limits.header_timeout.get(),
    };
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = plan.server.threads.map_or_else(cores, NonZeroUsize::get);
    let running = Running {
        listen: listeners.iter().map(|(_, address)| *address).collect(),
        listen_tls: secured.iter().map(|(_, address)| *address).collect(),
        admin: admin.as_ref().map(|(_, address)| *address),
        stop,
        in_flight,
        drain_timeout: plan.server.drain_timeout.get(),
        workers: Workers::start(threads, &gateway, &doors, [&listeners, &secured], &stopped)?,
        watch: certificates.map(|certificates| tokio::spawn(certificates.watch())),
        admin_task: admin.map(|(listener, _)| tokio::spawn(admin::serve(listener, operators))),
    };
    for address in &running.listen {
        info!("listening on {address}");
    }
    for address in &running.listen_tls {
        info!("listening on {address} with TLS");
    }
    if let Some(address) = running.admin {
        info!("admin paths on {address}");
    }
    Ok(running)
}

impl Workers {
    fn start(
        count: usize,
        gateway: &Gateway,
        doors: &Doors,
        listeners: [&Listeners; 2],
        stopped: &watch::Receiver<bool>,
    ) -> std::io::Result<Self> {
        let (end, _) = watch::channel(());
        let mut workers = Self {
            end,
            threads: Vec::with_capacity(count),
        };
        for _ in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let [plain, secured] = listeners.map(|listeners| {
                let sockets = listeners.iter();
                let sockets =
                    sockets.map(|(listener, address)| Ok((listener.try_clone()?, *address)));
                sockets.collect::<std::io::Result<Listeners>>()
            });
            let service = serve(
                gateway.clone(),
                doors.clone(),
                [plain?, secured?],
                stopped.clone(),
            );
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
        Ok(workers)
    }

    /// Ends the threads, and with them what still runs on them.
    fn end(self) {
        drop(self.end);
        for thread in self.threads {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

/// What all threads share of how visitors' connections are taken.
#[derive(Clone, Debug)]
struct Doors {
    tls: Option<(Arc<Certificates>, Arc<rustls::ServerConfig>)>,
    h2c: bool,
    connections: Arc<Connections>,
    header_timeout: Duration,
}

async fn serve(
    gateway: Gateway,
    doors: Doors,
    [plain, secured]: [Listeners; 2],
    stopped: watch::Receiver<bool>,
) {
    let conf = ServerConf {
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        ..ServerConf::default()
    };
    let trusted_proxies = Arc::clone(&gateway.trusted_proxies);
    let mut proxy = http_proxy(&Arc::new(conf), gateway);
    let mut options = HttpServerOptions::default();
    options.h2c = doors.h2c;
    options.h2_idle_timeout = Some(H2_IDLE_TIMEOUT);
    proxy.server_options = Some(options);
    let proxy = Arc::new(proxy);
    let front = || Front {
        app: Arc::clone(&proxy),
        connections: Arc::clone(&doors.connections),
        trusted_proxies: Arc::clone(&trusted_proxies),
        header_timeout: doors.header_timeout,
    };
    let over_tls = async {
        if let Some((certificates, config)) = doors.tls {
            let app = Secured {
                front: Arc::new(front()),
                certificates,
                config,
                patience: doors.header_timeout,
            };
            accept(app, secured, TLS_READ_AHEAD, stopped.clone()).await;
        }
    };
    tokio::join!(accept(front(), plain, 0, stopped.clone()), over_tls);
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

impl Running {
    /// Takes no new connections, waits for the requests on their way as long as
    /// `drain_timeout` allows, and ends.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let idle = async {
            while self.in_flight.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(LAST_BYTES).await;
            }
            tokio::time::sleep(LAST_BYTES).await;
        };
        if tokio::time::timeout(self.drain_timeout, idle)
            .await
            .is_err()
        {
            warn!("requests were cut off: they did not end within server.drain_timeout");
        }
        for task in [self.admin_task, self.watch].into_iter().flatten() {
            task.abort();
        }
        let workers = self.workers;
        // Threads are waited for, which an async task must not do.
        let _ = tokio::task::spawn_blocking(move || workers.end()).await;
    }
}
