//! The server: listeners, threads, another plan, the drain.
//!
//! Holds always: a socket is bound before anything is said to be ready, so that
//! an address in use is a message and not a panic, and port 0 tells its number;
//! another plan serves from the next request on, or changes nothing; a stop lets
//! requests on their way finish, and waits little longer than they take.
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
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use self::fixed::Fixed;
use self::workers::{Doors, Listeners, Workers};
use crate::admin::{self, Admin};
use crate::assembly::{Assembled, AssemblyError, Lasting, assemble};
use crate::config::Plan;
use crate::connection::Manners;
use crate::gateway::{Gateway, Live, Successor};
use crate::reload::Record;
use crate::tls::Spoken;
use crate::{logging, process};

mod fixed;
mod workers;

/// How long the last bytes of an answer may take after its request is counted
/// as done.
const LAST_BYTES: Duration = Duration::from_millis(50);
/// How long a stop lets a connection without a request wait for one, whose answer
/// says that it is the last: one that is in use is not closed under a request
/// that has just been sent.
const LINGER: Duration = Duration::from_secs(1);

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
    /// What the plan asks for cannot be had.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// No thread, or no runtime on it.
    #[error("a worker thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
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
    /// What came of reading `gateway.toml` anew.
    pub record: Record,
    lasting: Lasting,
    fixed: Fixed,
    current: Mutex<Current>,
    manners: Arc<ArcSwap<Manners>>,
    spoken: Option<Arc<ArcSwap<Spoken>>>,
    /// What gives another gateway to the threads and the admin paths.
    successors: Vec<Successor>,
    stop: watch::Sender<bool>,
    workers: Workers,
    admin_task: Option<JoinHandle<()>>,
}

/// What the newest plan became.
#[derive(Debug)]
struct Current {
    gateway: Gateway,
    /// Looks whether certificates were written anew.
    watch: Option<JoinHandle<()>>,
}

impl Current {
    /// Looks after the certificates of `spoken`, if it is spoken.
    fn new(gateway: Gateway, spoken: Option<&ArcSwap<Spoken>>) -> Self {
        let watch = spoken.map(|spoken| {
            let certificates = Arc::clone(&spoken.load().certificates);
            tokio::spawn(certificates.watch())
        });
        Self { gateway, watch }
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

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

/// Has this process open as many files as `plan` needs, or `plan` need no more
/// than the system allows.
pub fn fit(plan: &mut Plan) {
    if let Some(few) = process::open_files_for(plan.limits.connections) {
        warn!(
            "{} files may be opened, which are enough for {} connections: no more are taken, instead of limits.connections = {}; \
             raise the limit (LimitNOFILE in a unit, ulimit -Hn), or lower limits.connections",
            few.files, few.connections, plan.limits.connections
        );
        plan.limits.connections = few.connections;
    }
}

/// Starts the gateway of `plan` on threads of its own, and its admin paths on
/// the runtime that calls.
///
/// # Errors
/// See [`StartError`]; nothing is left running.
pub async fn start(plan: Plan) -> Result<Running, StartError> {
    start_on(plan, Sockets::default()).await
}

/// Sockets that are bound already; where there are none of a kind, those of the
/// plan are bound.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For visitors without TLS.
    pub plain: Vec<TcpListener>,
    /// For visitors over TLS.
    pub tls: Vec<TcpListener>,
    /// For operators.
    pub admin: Option<TcpListener>,
}

impl From<Vec<TcpListener>> for Sockets {
    fn from(plain: Vec<TcpListener>) -> Self {
        Self {
            plain,
            ..Self::default()
        }
    }
}

impl Sockets {
    /// Binds what `plan` asks for and is not there.
    fn complete(mut self, plan: &Plan) -> Result<Self, StartError> {
        if self.plain.is_empty() {
            let listen = plan.server.listen.get_ref().iter();
            let bound = listen.map(|address| bind(address.get(), "listen"));
            self.plain = bound.collect::<Result<_, _>>()?;
        }
        if let Some(tls) = plan.tls.as_ref().filter(|_| self.tls.is_empty()) {
            let bound = tls.listen.iter();
            let bound = bound.map(|address| bind(*address, "tls.listen"));
            self.tls = bound.collect::<Result<_, _>>()?;
        }
        if let (None, Some(address)) = (&self.admin, plan.server.admin_listen) {
            self.admin = Some(bind(address.get(), "admin_listen")?);
        }
        Ok(self)
    }
}

/// Starts the gateway of `plan` on sockets that are bound already, for those
/// who must know their ports before they can write the plan.
///
/// # Errors
/// See [`StartError`]; nothing is left running.
pub async fn start_on(plan: Plan, sockets: impl Into<Sockets>) -> Result<Running, StartError> {
    let sockets = sockets.into().complete(&plan)?;
    let ready = |sockets: Vec<TcpListener>| sockets.into_iter().map(prepared).collect();
    let plain: Result<Listeners, StartError> = ready(sockets.plain);
    let secured: Result<Listeners, StartError> = ready(sockets.tls);
    let listeners = [plain?, secured?];
    let admin = sockets.admin.map(prepared).transpose()?;
    let (fixed, h2c) = (Fixed::of(&plan), plan.server.h2c);
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = plan.server.threads.map_or_else(cores, NonZeroUsize::get);
    let lasting = Lasting::open(&plan).await?;
    let assembled = assemble(plan, &lasting, None)?;
    let gateway = assembled.gateway;
    let (stop, stopped) = watch::channel(false);
    let doors = Doors {
        manners: Arc::new(ArcSwap::from_pointee(assembled.manners)),
        spoken: assembled
            .spoken
            .map(|spoken| Arc::new(ArcSwap::from_pointee(spoken))),
        connections: Arc::clone(&lasting.connections),
        h2c,
        stopped,
    };
    let (workers, mut successors) = Workers::start(threads, &gateway, &doors, &listeners)?;
    let (live, successor) = Live::new(gateway.clone());
    successors.push(successor);
    let record = Record::default();
    record.started();
    let operators = Admin {
        live,
        record: record.clone(),
        stopped: doors.stopped,
    };
    let addresses = |listeners: &Listeners| listeners.iter().map(|(_, address)| *address).collect();
    let [plain, secured] = &listeners;
    let running = Running {
        listen: addresses(plain),
        listen_tls: addresses(secured),
        admin: admin.as_ref().map(|(_, address)| *address),
        record,
        lasting,
        fixed,
        current: Mutex::new(Current::new(gateway, doors.spoken.as_deref())),
        manners: doors.manners,
        spoken: doors.spoken,
        successors,
        stop,
        workers,
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

impl Running {
    /// Reads the file at `path` anew and serves what it says from the next request
    /// on. With a mistake in it, nothing changes. What came of it is told in the
    /// log and in [`Self::record`].
    pub fn reload(&self, path: &Path) {
        let plan = Plan::load(path).map_err(|mistakes| mistakes.to_string());
        let applied = plan.and_then(|mut plan| {
            fit(&mut plan);
            self.apply(plan).map_err(|error| error.to_string())
        });
        let path = path.display();
        match applied {
            Ok(waits) => {
                self.record.applied(&waits);
                match waits.is_empty() {
                    true => info!("{path} was read anew and holds"),
                    false => warn!(
                        "{path} was read anew and holds, but for {}, which a restart or an upgrade changes",
                        waits.join(", ")
                    ),
                }
            }
            Err(message) => {
                self.record.refused(&message);
                error!(
                    "{path} was read anew and changes nothing, for there is a mistake; what held before goes on:\n{}",
                    message.trim_end()
                );
            }
        }
    }

    /// Serves what `plan` says from the next request on; requests on their way keep
    /// what they began with. Says which settings wait for a restart.
    ///
    /// # Errors
    /// When something cannot be had; nothing has changed then.
    pub fn apply(&self, plan: Plan) -> Result<Vec<&'static str>, AssemblyError> {
        let mut current = self.current.lock();
        let new = Fixed::of(&plan);
        let (waits, level) = (self.fixed.differences(&new), plan.log.level);
        let warnings = plan.warnings();
        let assembled = assemble(plan, &self.lasting, Some(&current.gateway))?;
        for warning in warnings {
            warn!("{warning}");
        }
        let Assembled {
            mut gateway,
            manners,
            spoken,
            limits,
        } = assembled;
        if !self.fixed.speaks_tls_like(&new) {
            // Nobody is sent to where nobody listens yet.
            gateway.https = current.gateway.https.clone();
        }
        logging::set_level(level);
        self.lasting.connections.allow(&limits);
        self.manners.store(Arc::new(manners));
        if let (Some(now), Some(new)) = (&self.spoken, spoken) {
            now.store(Arc::new(new));
        }
        for successor in &self.successors {
            successor.succeed(gateway.clone());
        }
        *current = Current::new(gateway, self.spoken.as_deref());
        Ok(waits)
    }

    /// Takes no new connections, waits for the requests on their way as long as
    /// `drain_timeout` allows, and ends.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let patience = self.manners.load().drain_timeout;
        if tokio::time::timeout(patience, self.drained())
            .await
            .is_err()
        {
            warn!("requests were cut off: they did not end within server.drain_timeout");
        }
        if let Some(task) = self.admin_task {
            task.abort();
        }
        let workers = self.workers;
        // Threads are waited for, which an async task must not do.
        let _ = tokio::task::spawn_blocking(move || workers.end()).await;
    }

    /// Waits for the last request, and closes the connections on which nothing is
    /// asked for.
    async fn drained(&self) {
        let linger = Instant::now() + LINGER;
        let is_open = || {
            let asked = self.lasting.in_flight.load(Ordering::Relaxed) > 0;
            asked || (self.lasting.connections.open() > 0 && Instant::now() < linger)
        };
        while is_open() {
            tokio::time::sleep(LAST_BYTES).await;
        }
        self.workers.leave();
        tokio::time::sleep(LAST_BYTES).await;
    }
}
