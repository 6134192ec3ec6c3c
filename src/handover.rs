//! Listening sockets, handed from one process to the next: to the one that is to
//! take over, or from systemd.
//!
//! Holds always: the sockets are open from before to after, so that nobody who
//! connects is refused; the process before goes on until the next one says that it
//! serves, and goes on for good if that one ends instead; a store that belongs to
//! one process is given up by one before the other opens it.
//!
//! The sockets are passed as systemd passes them (sd_listen_fds(3)), with one more
//! behind them, over which the two processes speak: words of a few bytes.

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::Path;
use std::process::{Command as StdCommand, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use listenfd::ListenFd;
use thiserror::Error;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The first file that is passed (sd_listen_fds(3)).
const FIRST: i32 = 3;
/// How long either waits for the other's next word.
const PATIENCE: Duration = Duration::from_secs(60);

/// All is there but the store.
const PREPARED: &[u8] = b"prepared";
/// The store is free.
const YOURS: &[u8] = b"yours";
/// Visitors are served.
const SERVING: &[u8] = b"serving";

/// What this process was given.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Sockets that are bound already.
    pub sockets: Vec<TcpListener>,
    /// The process before, if it waits for this one.
    pub predecessor: Option<Predecessor>,
}

impl From<Vec<TcpListener>> for Inherited {
    fn from(sockets: Vec<TcpListener>) -> Self {
        Self {
            sockets,
            predecessor: None,
        }
    }
}

impl Inherited {
    /// Takes what the environment names. To be called before there are threads:
    /// the environment is changed, so that no child takes it for its own.
    pub fn take() -> Self {
        let mut given = ListenFd::from_env();
        let mut all = Self::default();
        for at in 0..given.len() {
            if let Ok(Some(socket)) = given.take_tcp_listener(at) {
                all.sockets.push(socket);
            } else if let Ok(Some(socket)) = given.take_unix_datagram(at) {
                all.predecessor = Some(Predecessor(Arc::new(socket)));
            }
        }
        all
    }
}

/// The process before.
#[derive(Clone, Debug)]
pub struct Predecessor(Arc<StdDatagram>);

impl Predecessor {
    fn line(&self) -> io::Result<UnixDatagram> {
        let line = self.0.try_clone()?;
        line.set_nonblocking(true)?;
        UnixDatagram::from_std(line)
    }

    /// Tells it that this process has all but the store, and waits until that is
    /// free.
    ///
    /// # Errors
    /// When it is gone, or says something else.
    pub async fn leaves_the_store(&self) -> io::Result<()> {
        let line = self.line()?;
        line.send(PREPARED).await?;
        let mut word = [0; 16];
        let count = timeout(PATIENCE, line.recv(&mut word)).await??;
        match word.get(..count) {
            Some(YOURS) => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Tells it that this process serves.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn is_relieved(&self) -> io::Result<()> {
        self.line()?.send(SERVING).await.map(drop)
    }
}

/// Why no process took over.
#[derive(Debug, Error)]
pub enum NotTaken {
    /// It could not be started.
    #[error("{program} cannot be started: {error}")]
    NotStarted {
        /// What was to be started.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// It ended.
    #[error("it ended with {0}; its own lines above say why")]
    Ended(ExitStatus),
    /// It said nothing for too long.
    #[error("it said nothing for {} seconds", PATIENCE.as_secs())]
    Silent,
    /// It did not, and this process cannot serve again either.
    #[error("no thread can be started to serve again: {0}")]
    Stranded(io::Error),
    /// What it said could not be heard.
    #[error("it cannot be spoken with: {0}")]
    Line(#[from] io::Error),
}

/// A process that is to take over. It is ended when this is dropped before it
/// [`Successor::serves`].
#[derive(Debug)]
pub struct Successor {
    child: Child,
    line: UnixDatagram,
}

impl Successor {
    /// Starts `program` with `arguments`, and gives it `sockets`.
    ///
    /// # Errors
    /// [`NotTaken::NotStarted`].
    pub fn start(
        program: &Path,
        arguments: impl IntoIterator<Item = OsString>,
        sockets: &[TcpListener],
    ) -> Result<Self, NotTaken> {
        let started = || {
            let (ours, theirs) = StdDatagram::pair()?;
            ours.set_nonblocking(true)?;
            let mut given: Vec<OwnedFd> = Vec::with_capacity(sockets.len() + 1);
            for socket in sockets {
                given.push(socket.as_fd().try_clone_to_owned()?);
            }
            given.push(theirs.into());
            let count = given.len();
            let mappings = given.into_iter().zip(FIRST..);
            let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
                parent_fd,
                child_fd,
            });
            let mut command = StdCommand::new(program);
            command
                .args(arguments)
                .stdin(Stdio::null())
                .env("LISTEN_FDS", count.to_string())
                .env_remove("LISTEN_PID")
                .env_remove("LISTEN_FDNAMES")
                .fd_mappings(mappings.collect())
                .map_err(io::Error::other)?;
            let mut command = Command::from(command);
            let child = command.kill_on_drop(true).spawn()?;
            let line = UnixDatagram::from_std(ours)?;
            Ok(Self { child, line })
        };
        started().map_err(|error| NotTaken::NotStarted {
            program: program.display().to_string(),
            error,
        })
    }

    /// Waits until it has all but the store.
    ///
    /// # Errors
    /// See [`NotTaken`].
    pub async fn is_prepared(&mut self) -> Result<(), NotTaken> {
        self.hear(PREPARED).await
    }

    /// Tells it that the store is free, and waits until it serves. From then on it
    /// goes on by itself: its process number.
    ///
    /// # Errors
    /// See [`NotTaken`].
    pub async fn serves(mut self) -> Result<u32, NotTaken> {
        if let Err(error) = self.begins().await {
            // What it may hold is free only when it is gone.
            let _ = self.child.kill().await;
            return Err(error);
        }
        let id = self.child.id().unwrap_or_default();
        // Dropped, it would be ended.
        std::mem::forget(self.child);
        Ok(id)
    }

    async fn begins(&mut self) -> Result<(), NotTaken> {
        self.line.send(YOURS).await?;
        self.hear(SERVING).await
    }

    async fn hear(&mut self, wanted: &[u8]) -> Result<(), NotTaken> {
        let mut word = [0; 16];
        tokio::select! {
            count = self.line.recv(&mut word) => match word.get(..count?) {
                Some(word) if word == wanted => Ok(()),
                _ => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
            },
            ended = self.child.wait() => Err(NotTaken::Ended(ended?)),
            () = tokio::time::sleep(PATIENCE) => Err(NotTaken::Silent),
        }
    }
}
