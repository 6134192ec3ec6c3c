//! The sockets below the simulator and the shop: an ordinary web server whose
//! connections can be broken on purpose.
//!
//! WeChat's failures in the field are often failures of the connection, which
//! no HTTP response can express. So a handler gets its connection's [`Line`]
//! and can order it to lose the end of the answer, or to be reset before it.
//!
//! What always holds: once [`Served`] is stopped or dropped, no connection of
//! it answers anything any more, kept-alive ones included.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long `stop` waits for connections to notice that they are broken.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// A running web server.
pub(super) struct Served {
    addr: SocketAddr,
    lines: Lines,
    running: Mutex<Option<Running>>,
}

struct Running {
    no_more: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Served {
    /// Serves `router` on `listener` until stopped or dropped.
    pub(super) fn start(listener: TcpListener, router: Router) -> io::Result<Served> {
        let addr = listener.local_addr()?;
        let lines = Lines::default();
        let (no_more, stopping) = oneshot::channel();
        let doors = Doors {
            listener,
            lines: lines.clone(),
        };
        let app = router.into_make_service_with_connect_info::<Line>();
        let task = tokio::spawn(async move {
            let until = async move { stopping.await.unwrap_or(()) };
            // axum's serve has no error of its own: accepting retries for ever.
            drop(axum::serve(doors, app).with_graceful_shutdown(until).await);
        });
        Ok(Served {
            addr,
            lines,
            running: Mutex::new(Some(Running { no_more, task })),
        })
    }

    /// The address it listens on.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the listener and breaks every connection.
    pub(super) async fn stop(&self) {
        let Some(running) = lock(&self.running).take() else {
            return;
        };
        // Refused only when the server is gone already.
        let _ = running.no_more.send(());
        self.lines.break_all();
        let abort = running.task.abort_handle();
        drop(tokio::time::timeout(STOP_PATIENCE, running.task).await);
        abort.abort();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.running).take() {
            running.task.abort();
            self.lines.break_all();
        }
    }
}

/// Every open connection, so that all can be broken.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<LinesInner>>);

#[derive(Default)]
struct LinesInner {
    open: Vec<Weak<LineInner>>,
    closed: bool,
}

impl Lines {
    fn open(&self) -> Line {
        let line = Line::default();
        let mut lines = lock(&self.0);
        if lines.closed {
            line.break_off(Break::Close);
        }
        if lines.open.len() == lines.open.capacity() {
            lines.open.retain(|line| line.strong_count() > 0);
        }
        lines.open.push(Arc::downgrade(&line.0));
        line
    }

    fn break_all(&self) {
        let mut lines = lock(&self.0);
        lines.closed = true;
        for line in lines.open.drain(..).filter_map(|line| line.upgrade()) {
            Line(line).break_off(Break::Close);
        }
    }
}

/// The listener axum accepts from.
struct Doors {
    listener: TcpListener,
    lines: Lines,
}

impl Listener for Doors {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let line = self.lines.open();
        (Connection { stream, line }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What a handler holds of its connection.
#[derive(Clone, Default)]
pub(super) struct Line(Arc<LineInner>);

#[derive(Default)]
struct LineInner {
    state: Mutex<LineState>,
}

#[derive(Default)]
struct LineState {
    fate: Fate,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Default)]
enum Fate {
    #[default]
    Whole,
    /// The next write loses this many bytes at its end, then the line breaks.
    Withhold(usize),
    Broken(Break),
}

#[derive(Clone, Copy)]
enum Break {
    /// An ordinary close: the peer has read what was sent, then meets the end.
    Close,
    /// A TCP reset.
    Reset,
}

impl Line {
    /// Sends all but the last `bytes` of the coming answer, then closes. The
    /// answer must be small enough to be written at once (a few KB are).
    pub(super) fn withhold(&self, bytes: usize) {
        lock(&self.0.state).fate = Fate::Withhold(bytes);
    }

    /// Resets the connection in place of the coming answer.
    pub(super) fn reset(&self) {
        lock(&self.0.state).fate = Fate::Broken(Break::Reset);
    }

    fn break_off(&self, how: Break) {
        let waker = {
            let mut state = lock(&self.0.state);
            state.fate = Fate::Broken(how);
            state.reader.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn fate(&self) -> Fate {
        lock(&self.0.state).fate
    }
}

impl Connected<IncomingStream<'_, Doors>> for Line {
    fn connect_info(stream: IncomingStream<'_, Doors>) -> Line {
        stream.io().line.clone()
    }
}

/// A TCP connection that obeys its [`Line`].
struct Connection {
    stream: TcpStream,
    line: Line,
}

impl Connection {
    fn broken(&self, how: Break) -> io::Error {
        if let Break::Reset = how {
            // Where the system refuses, the peer sees a plain close instead,
            // which is as broken.
            drop(self.stream.set_zero_linger());
        }
        io::ErrorKind::ConnectionReset.into()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let fate = {
            let mut state = lock(&self.line.0.state);
            state.reader = Some(cx.waker().clone());
            state.fate
        };
        // A line that a handler has ordered to be reset still reads: only the
        // write that would carry the answer breaks it.
        if let Fate::Broken(Break::Close) = fate {
            return Poll::Ready(Err(self.broken(Break::Close)));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let keep = match self.line.fate() {
            Fate::Whole => return Pin::new(&mut self.stream).poll_write(cx, buf),
            Fate::Broken(how) => return Poll::Ready(Err(self.broken(how))),
            Fate::Withhold(bytes) => buf.len().saturating_sub(bytes),
        };
        let kept = buf.get(..keep).unwrap_or_default();
        if kept.is_empty() {
            self.line.break_off(Break::Close);
            return Poll::Ready(Err(self.broken(Break::Close)));
        }
        Pin::new(&mut self.stream).poll_write(cx, kept)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Locks, whether or not another holder panicked: everything kept behind these
/// locks is whole between any two statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
