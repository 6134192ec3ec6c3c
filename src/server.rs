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

use std::ffi::OsString;
use std::net::SocketAddr;
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
use self::sockets::{Listeners, Sockets};
use self::workers::{Doors, Workers};
use crate::admin::{self, Admin};
use crate::assembly::{Assembled, AssemblyError, Lasting, assemble};
use crate::config::Plan;
use crate::gateway::{Gateway, Live, Successor};
use crate::handover::{self, Inherited, NotTaken};
use crate::reload::Record;
use crate::tls::Spoken;
use crate::upstream::Peers;
use crate::{logging, process};

mod fixed;
mod sockets;
mod workers;

/// How long the last bytes of an answer may take after its request is counted
/// as done.
const LAST_BYTES: Duration = Duration::from_millis(50);
/// How long a stop lets a connection without a request wait for one, whose answer
/// says that it is the last: one that is in use is not closed under a request
/// that has just been sent.
const LINGER: Duration = Duration::from_secs(1);

/// How long a store may take to be free that another process had.
const FREED: Duration = Duration::from_secs(5);
/// How often a store is tried that could not be taken back.
const TRY_AGAIN: Duration = Duration::from_secs(1);

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
    /// The process before did not do its part.
    #[error("the process before this one did not hand over ({0}); it goes on, or has ended")]
    Predecessor(std::io::Error),
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
    threads: usize,
    current: Mutex<Current>,
    doors: Doors,
    /// What gives another gateway to the threads and the admin paths.
    successors: Mutex<Vec<Successor>>,
    stop: watch::Sender<bool>,
    sockets: Sockets,
    workers: Mutex<Vec<Workers>>,
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
    start_on(plan, Inherited::default()).await
}

/// Starts the gateway of `plan`, on the sockets that were `inherited` where it
/// asks for their addresses, and relieves the process before, if there is one.
///
/// # Errors
/// See [`StartError`]; nothing is left running.
pub async fn start_on(plan: Plan, inherited: impl Into<Inherited>) -> Result<Running, StartError> {
    let inherited = inherited.into();
    let sockets = Sockets::of(&plan, inherited.sockets)?;
    let predecessor = inherited.predecessor;
    let (fixed, h2c) = (Fixed::of(&plan), plan.server.h2c);
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = plan.server.threads.map_or_else(cores, NonZeroUsize::get);
    if let Some(predecessor) = &predecessor {
        let freed = predecessor.leaves_the_store().await;
        freed.map_err(StartError::Predecessor)?;
    }
    let lasting = open_lasting(&plan, predecessor.is_some()).await?;
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
    let (workers, mut successors) = Workers::start(threads, &gateway, &doors, &sockets.listeners)?;
    let (live, successor) = Live::new(gateway.clone());
    successors.push(successor);
    let record = Record::default();
    record.started();
    let shown = |all: &Listeners| all.iter().map(|(_, address)| address.to_string()).collect();
    let [plain, secured] = &sockets.listeners;
    let operators = Admin {
        live,
        record: record.clone(),
        stopped: doors.stopped.clone(),
        lasting: lasting.clone(),
        spoken: doors.spoken.clone(),
        listeners: admin::Listeners {
            plain: shown(plain),
            tls: shown(secured),
            admin: (sockets.admin.iter())
                .map(|(_, address)| address.to_string())
                .collect(),
        },
    };
    let addresses = |listeners: &Listeners| listeners.iter().map(|(_, address)| *address).collect();
    let admin = sockets.admin.as_ref();
    let admin_task = admin.map(|(listener, _)| Ok(admin::serve(listener.try_clone()?, operators)));
    let admin_task = admin_task.transpose().map_err(StartError::Socket)?;
    let running = Running {
        listen: addresses(plain),
        listen_tls: addresses(secured),
        admin: admin.map(|(_, address)| *address),
        record,
        lasting,
        fixed,
        threads,
        current: Mutex::new(Current::new(gateway, doors.spoken.as_deref())),
        doors,
        successors: Mutex::new(successors),
        stop,
        sockets,
        workers: Mutex::new(vec![workers]),
        admin_task: admin_task.map(tokio::spawn),
    };
    if let Some(predecessor) = predecessor
        && let Err(error) = predecessor.is_relieved().await
    {
        // It has ended meanwhile: all the more reason to serve.
        warn!("the process before this one could not be told that this one serves: {error}");
    }
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

/// Opens what is lasting. A store that the process before gave up may take a moment
/// to be free.
async fn open_lasting(plan: &Plan, after_another: bool) -> Result<Lasting, AssemblyError> {
    let patience = Instant::now() + FREED;
    loop {
        match Lasting::open(plan).await {
            Err(AssemblyError::Store(_)) if after_another && Instant::now() < patience => {
                tokio::time::sleep(LAST_BYTES).await;
            }
            opened => return opened,
        }
    }
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
                let message = message.trim_end();
                self.record.refused(message);
                error!(
                    "{path} was read anew and changes nothing, for there is a mistake; what held before goes on:\n{}",
                    message
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
        self.doors.manners.store(Arc::new(manners));
        if let (Some(now), Some(new)) = (&self.doors.spoken, spoken) {
            now.store(Arc::new(new));
        }
        for successor in self.successors.lock().iter() {
            successor.succeed(gateway.clone());
        }
        *current = Current::new(gateway, self.doors.spoken.as_deref());
        Ok(waits)
    }

    /// Has another process take over, `program` started with `arguments`: it serves
    /// whoever connects from then on, and this one is to be stopped. Its process
    /// number.
    ///
    /// # Errors
    /// When it did not: this process goes on.
    pub async fn hand_over(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<u32, NotTaken> {
        let mut next = handover::Successor::start(program, arguments, &self.sockets.all()?)?;
        next.is_prepared().await?;
        let exclusive = self.lasting.store.is_exclusive();
        if exclusive {
            // Whoever connects waits, and those who are here are served first.
            self.stop.send_replace(true);
            let quiet = self.until(|| self.lasting.in_flight.load(Ordering::Relaxed) == 0);
            let _ = tokio::time::timeout(LINGER, quiet).await;
            self.lasting.store.give_up().await;
        }
        let taken = next.serves().await;
        if taken.is_err() && exclusive {
            self.go_on().map_err(NotTaken::Stranded)?;
        }
        if taken.is_ok()
            && let Some(task) = &self.admin_task
        {
            task.abort();
        }
        taken
    }

    /// Serves again, after no other process did. The store may take a while to be
    /// free: what needs it is refused until then.
    fn go_on(&self) -> std::io::Result<()> {
        let store = Arc::clone(&self.lasting.store);
        tokio::spawn(async move {
            let mut told = false;
            while let Err(error) = store.take_back() {
                if !std::mem::replace(&mut told, true) {
                    error!("the store cannot be opened again yet, and is tried again: {error}");
                }
                tokio::time::sleep(TRY_AGAIN).await;
            }
        });
        self.stop.send_replace(false);
        let gateway = self.current.lock().gateway.clone();
        let sockets = &self.sockets.listeners;
        let (workers, successors) = Workers::start(self.threads, &gateway, &self.doors, sockets)?;
        self.successors.lock().extend(successors);
        self.workers.lock().push(workers);
        Ok(())
    }

    /// The apps' peers, and how they are.
    pub fn peers(&self) -> &Peers {
        &self.lasting.peers
    }

    /// Takes no new connections, waits for the requests on their way as long as
    /// `drain_timeout` allows, and ends.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // Whoever connects is refused, or taken by the next process.
        self.sockets = Sockets::default();
        let patience = self.doors.manners.load().drain_timeout;
        if tokio::time::timeout(patience, self.drained())
            .await
            .is_err()
        {
            warn!("requests were cut off: they did not end within server.drain_timeout");
        }
        self.lasting.peers.stop();
        if let Some(task) = &self.admin_task {
            task.abort();
        }
        let workers = self.workers.into_inner();
        // Threads are waited for, which an async task must not do.
        let end = move || workers.into_iter().for_each(Workers::end);
        let _ = tokio::task::spawn_blocking(end).await;
        let telemetry = self.current.lock().gateway.telemetry.clone();
        if let Some(telemetry) = telemetry {
            telemetry.flush().await;
        }
    }

    /// Closes the connections on which nothing is asked for, after a moment, and
    /// waits for the last request.
    async fn drained(&self) {
        let linger = Instant::now() + LINGER;
        let open = || self.lasting.connections.open();
        self.until(|| open() == 0 || Instant::now() >= linger).await;
        for workers in self.workers.lock().iter() {
            workers.leave();
        }
        self.until(|| self.lasting.in_flight.load(Ordering::Relaxed) == 0)
            .await;
        tokio::time::sleep(LAST_BYTES).await;
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        while !holds() {
            tokio::time::sleep(LAST_BYTES).await;
        }
    }
}
