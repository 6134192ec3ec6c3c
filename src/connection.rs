//! A visitor's connection: whether there is a place for it, and how slowly and
//! oddly a request's header may arrive on it.
//!
//! Holds always: between the first byte of a header and its last there is one
//! time limit for all of it, not one for each byte, and a limit on its size and
//! on the pieces it comes in; what is no request line by RFC 9112 (section 3) is
//! known to the gateway as such, although the engine mends it by encoding what
//! must not stand there; a client that takes nothing of its answer is left after
//! a while; a WebSocket of a gateway that stops is told so between two frames
//! (RFC 6455, section 7.4.1), and no frame is cut in two for it. Nothing here
//! decides who gets in.
//!
//! The engine's hooks begin when a header is complete, so that this is a stream
//! of our own between the engine and the socket, which the hooks tell where in a
//! request it is, and when a connection that outlives its request must end.

use std::io::{Error, ErrorKind, Result};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::apps::ServerApp;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{ALPN, SslDigest};
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::watch;
use tokio::time::Sleep;
use tracing::warn;

use self::frames::Frames;

use crate::limits::{Connections, NoPlace, Place};
use crate::upstream::TrustedProxies;

mod frames;
mod line;

pub use self::line::RequestLine;

/// The most bytes of a header that are buffered. One above the gateway's own
/// limit and below this is answered; one above this is cut off.
const MAX_HEADER: usize = 128 * 1024;
/// The most pieces a header may come in. The engine parses what it has anew
/// with each, so that a header sent byte by byte would cost the square of its
/// length.
const MAX_PIECES: u32 = 1024;
/// How long a connection may say nothing before its first request.
const FIRST_BYTE: Duration = Duration::from_secs(60);
/// How long a client may take nothing of its answer. Here and not by the engine,
/// which would set a timer for each write; most are done at once.
const STALL: Duration = Duration::from_secs(60);
/// How long the refusal of a connection may take to write.
const REFUSAL: Duration = Duration::from_secs(1);
/// What HTTP/2 begins with (RFC 9113, section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

tokio::task_local! {
    /// Where in a request the connection is that this task serves. The streams
    /// of an HTTP/2 connection have tasks of their own, and none.
    static PLACE: Arc<InRequest>;
}

/// What a connection's end may wait for.
type End = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What ends a connection that lasts.
struct Ends {
    /// Its visitor's session.
    session: End,
    /// The stop of the gateway, and then the end of the time that it leaves.
    stop: End,
    /// Whether the stop was told.
    told: bool,
}

/// Why a connection must end before its request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Its visitor's session has ended.
    Session,
    /// The gateway stops.
    Stop,
    /// The gateway has stopped, and the time is over.
    Overdue,
}

/// What goes on after its answer began, for as long as both sides like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// A WebSocket.
    Socket,
    /// A stream of events.
    Events,
}

/// Where in a request a connection is.
struct InRequest {
    part: AtomicU8,
    odd_line: AtomicBool,
    /// Whether what is written are a WebSocket's frames, behind a header.
    socket: AtomicBool,
    /// Changes when the gateway stops.
    stopped: ShutdownWatch,
    /// For how long requests may go on then.
    drain: Duration,
    /// Whether `end` holds something: looked at with every read.
    has_end: AtomicBool,
    end: Mutex<Option<Ends>>,
}

impl std::fmt::Debug for InRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InRequest({:?}, {:?})", self.part, self.odd_line)
    }
}

impl Default for InRequest {
    /// Of a gateway that never stops.
    fn default() -> Self {
        let (_, never) = watch::channel(false);
        Self::new(never, Duration::ZERO)
    }
}

/// The moment at which a connection that lasts must end because the gateway
/// stops: in the first half of the time there is, not all at once, for all of
/// them come back.
async fn until_leaving(mut stopped: ShutdownWatch, drain: Duration) {
    if stopped.wait_for(|stopped| *stopped).await.is_err() {
        // Nobody is left to stop anything.
        return std::future::pending().await;
    }
    let at = getrandom::u32().unwrap_or(0);
    tokio::time::sleep((drain / 2).mul_f64(f64::from(at) / f64::from(u32::MAX))).await;
}

impl InRequest {
    fn new(stopped: ShutdownWatch, drain: Duration) -> Self {
        Self {
            part: AtomicU8::new(BETWEEN),
            odd_line: AtomicBool::new(false),
            socket: AtomicBool::new(false),
            stopped,
            drain,
            has_end: AtomicBool::new(false),
            end: Mutex::new(None),
        }
    }

    fn set_end(&self, end: Option<Ends>) {
        self.has_end.store(end.is_some(), Ordering::Release);
        *self.end.lock() = end;
    }

    /// Ready when the connection must end.
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<Why> {
        if !self.has_end.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let mut ends = self.end.lock();
        let Some(ends) = &mut *ends else {
            return Poll::Pending;
        };
        if ends.session.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Why::Session);
        }
        ready!(ends.stop.as_mut().poll(cx));
        ends.stop = Box::pin(tokio::time::sleep(self.drain));
        match std::mem::replace(&mut ends.told, true) {
            false => Poll::Ready(Why::Stop),
            // It was told to go, and is here still.
            true => Poll::Ready(Why::Overdue),
        }
    }
}

/// Waiting for a request's first byte.
const BETWEEN: u8 = 0;
/// A header has begun.
const HEADER: u8 = 1;
/// What comes is not a header: a body, a WebSocket, HTTP/2's frames.
const BEYOND: u8 = 2;
/// HTTP/2 was agreed upon, and must begin.
const PREFACE: u8 = 3;

/// Tells the connection that a request's header is complete. Says whether its
/// request line was one.
pub fn header_is_complete() -> bool {
    let told = PLACE.try_with(|place| {
        place.part.store(BEYOND, Ordering::Relaxed);
        !place.odd_line.load(Ordering::Relaxed)
    });
    told.unwrap_or(true)
}

/// Tells the connection that a request is done, so that another may begin.
pub fn request_is_done() {
    // An HTTP/2 stream has no connection to tell.
    let _ = PLACE.try_with(|place| {
        place.part.store(BETWEEN, Ordering::Relaxed);
        if place.has_end.load(Ordering::Relaxed) {
            place.set_end(None);
        }
    });
}

/// Tells the connection that its answer goes on: when the gateway stops, it will
/// have to end in time, and when `session` does, at once: both ways are closed
/// then, whatever is on its way.
pub fn lasts(kind: Lasting, session: impl Future<Output = ()> + Send + 'static) {
    // An HTTP/2 stream has no connection to tell, and shares its own.
    let _ = PLACE.try_with(|place| {
        place
            .socket
            .store(kind == Lasting::Socket, Ordering::Relaxed);
        place.set_end(Some(Ends {
            session: Box::pin(session),
            stop: Box::pin(until_leaving(place.stopped.clone(), place.drain)),
            told: false,
        }));
    });
}

/// How visitors' connections are received, as `gateway.toml` says at present.
#[derive(Clone, Debug)]
pub struct Manners {
    /// Who brings many visitors.
    pub trusted_proxies: Arc<TrustedProxies>,
    /// How long a header may take.
    pub header_timeout: Duration,
    /// How long requests may go on when the gateway stops.
    pub drain_timeout: Duration,
}

/// Serves connections with `app`, as many as there are places for.
#[derive(Debug)]
pub struct Front<A> {
    /// What serves a connection.
    pub app: Arc<A>,
    /// The places.
    pub connections: Arc<Connections>,
    /// How they are received.
    pub manners: Arc<ArcSwap<Manners>>,
}

impl<A> Front<A> {
    /// A place for the connection of `stream`. The operator is told of one that
    /// finds none.
    pub fn enter(&self, stream: &Stream) -> Option<Place> {
        let address = stream
            .get_socket_digest()
            .and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        let manners = self.manners.load();
        let counted = address.filter(|address| !manners.trusted_proxies.trusts(*address));
        let refused = |why| self.refuse(why, address);
        self.connections.enter(counted).map_err(refused).ok()
    }

    fn refuse(&self, why: NoPlace, address: Option<IpAddr>) {
        match why {
            NoPlace::Full => warn!(
                "a connection was refused: limits.connections are open; see what holds them, or raise it"
            ),
            NoPlace::FullForAddress => warn!(
                client = address.map(tracing::field::display),
                "a connection was refused: its address has limits.connections_per_address open; if it is a proxy of \
                 yours, list it in server.trusted_proxies"
            ),
        }
    }
}

impl<A: ServerApp + Send + Sync + 'static> Front<A> {
    /// Serves a connection for as long as it has `_place`.
    pub async fn serve(
        &self,
        stream: Stream,
        _place: Place,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let (header_timeout, drain_timeout) = {
            let manners = self.manners.load();
            (manners.header_timeout, manners.drain_timeout)
        };
        let place = Arc::new(InRequest::new(shutdown.clone(), drain_timeout));
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            place.part.store(PREFACE, Ordering::Relaxed);
        }
        let paced = Paced::new(stream, Arc::clone(&place), header_timeout);
        PLACE
            .scope(place, self.app.process_new(Box::new(paced), shutdown))
            .await
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Front<A> {
    async fn process_new(
        self: &Arc<Self>,
        mut stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let Some(place) = self.enter(&stream) else {
            turn_away(&mut stream).await;
            return None;
        };
        self.serve(stream, place, shutdown).await
    }

    /// Nothing yet: whoever is between two requests may send another, whose answer
    /// says that it is the last; see `server::Running::stop`.
    async fn cleanup(&self) {}
}

/// A few words for a connection without a place, if it takes them at once.
async fn turn_away(stream: &mut Stream) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nCache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let say = async {
        if stream.write_all(BUSY).await.is_ok() && stream.flush().await.is_ok() {
            Shutdown::shutdown(&mut **stream).await;
        }
    };
    let _ = tokio::time::timeout(REFUSAL, say).await;
}

/// A stream that bounds the arrival of a header.
#[derive(Debug)]
struct Paced {
    inner: Stream,
    place: Arc<InRequest>,
    patience: Duration,
    bytes: usize,
    pieces: u32,
    line: RequestLine,
    /// Runs out with the header's time. Made when a header is not whole at
    /// once, which is rare.
    clock: Option<Pin<Box<Sleep>>>,
    /// Runs out when the client has taken nothing for too long. Made when it
    /// takes nothing at once, which is rare.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What is written, once it is a WebSocket's.
    frames: Option<Frames>,
    /// What was peeked at and not read yet.
    peeked: Vec<u8>,
}

impl Paced {
    fn new(inner: Stream, place: Arc<InRequest>, patience: Duration) -> Self {
        Self {
            inner,
            place,
            patience,
            bytes: 0,
            pieces: 0,
            line: RequestLine::default(),
            clock: None,
            stalled: None,
            frames: None,
            peeked: Vec::new(),
        }
    }

    /// The same, unless the client has taken nothing for too long.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<Result<T>>,
    ) -> Poll<Result<T>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        let clock = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL)));
        ready!(clock.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// Writes what a WebSocket's app says: the header that makes it one, and then
    /// frames; nothing behind the goodbye.
    fn poll_write_frames(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        match self.poll_goodbye(cx) {
            Poll::Ready(said) => said?,
            Poll::Pending => return self.unless_stalled(cx, Poll::Pending),
        }
        let frames = self.frames.get_or_insert_default();
        if frames.is_over() {
            return Poll::Ready(Ok(buf.len()));
        }
        let fit = buf.get(..frames.fit(buf)).unwrap_or(buf);
        let wrote = Pin::new(&mut self.inner).poll_write(cx, fit);
        if let Poll::Ready(Ok(count)) = &wrote {
            frames.note(fit.get(..*count).unwrap_or(fit));
        }
        self.unless_stalled(cx, wrote)
    }

    /// Says goodbye, once that is due. Pending while it is being said.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(frames) = &mut self.frames else {
            return Poll::Ready(Ok(()));
        };
        let mut said = false;
        while let Some(rest) = frames.goodbye() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            frames.said(count);
            said = true;
        }
        if said {
            // What is not flushed now goes with what is flushed next.
            let _ = Pin::new(&mut self.inner).poll_flush(cx)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Notes that `bytes` of a request came.
    fn note(&mut self, bytes: &[u8]) -> Result<()> {
        match self.place.part.load(Ordering::Relaxed) {
            BETWEEN => {
                self.place.part.store(HEADER, Ordering::Relaxed);
                (self.bytes, self.pieces) = (0, 0);
                self.line = RequestLine::default();
                self.clock = None;
            }
            HEADER => {}
            PREFACE => {
                self.bytes += bytes.len();
                if self.bytes >= H2_PREFACE.len() {
                    self.place.part.store(BEYOND, Ordering::Relaxed);
                }
                return Ok(());
            }
            _ => return Ok(()),
        }
        self.bytes += bytes.len();
        self.pieces += 1;
        self.line.read(bytes);
        self.place
            .odd_line
            .store(self.line.is_odd(), Ordering::Relaxed);
        if self.bytes > MAX_HEADER || self.pieces > MAX_PIECES {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    /// Ready when the header's time has run out, or that for which the engine
    /// would wait for HTTP/2's preface.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !matches!(self.place.part.load(Ordering::Relaxed), HEADER | PREFACE) {
            self.clock = None;
            return Poll::Pending;
        }
        let patience = self.patience;
        let clock = self
            .clock
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        clock.as_mut().poll(cx)
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        // Again after the first, so that what comes next is waited for.
        while let Poll::Ready(why) = self.place.poll_end(cx) {
            match &mut self.frames {
                Some(frames) if why == Why::Stop => frames.leave(),
                _ => return Poll::Ready(Err(ErrorKind::ConnectionAborted.into())),
            }
        }
        if let Poll::Ready(Err(error)) = self.poll_goodbye(cx) {
            return Poll::Ready(Err(error));
        }
        let before = buf.filled().len();
        if !self.peeked.is_empty() {
            let count = self.peeked.len().min(buf.remaining());
            let rest = self.peeked.split_off(count);
            buf.put_slice(&self.peeked);
            self.peeked = rest;
        } else if Pin::new(&mut self.inner).poll_read(cx, buf)?.is_pending() {
            ready!(self.poll_clock(cx));
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        let came = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(if came.is_empty() {
            Ok(())
        } else {
            self.note(came)
        })
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        if self.place.socket.load(Ordering::Relaxed) {
            return self.poll_write_frames(cx, buf);
        }
        let wrote = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.unless_stalled(cx, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let wrote = Pin::new(&mut self.inner).poll_flush(cx);
        self.unless_stalled(cx, wrote)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        if self.place.socket.load(Ordering::Relaxed) {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return self.poll_write_frames(cx, first.map_or(&[], |buf| buf));
        }
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.unless_stalled(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Peek for Paced {
    /// Looks whether HTTP/2 begins here. Waits for no more bytes than it takes
    /// to know: a short request must not wait for a long preface.
    async fn try_peek(&mut self, buf: &mut [u8]) -> Result<bool> {
        let wanted = H2_PREFACE.get(..buf.len()).unwrap_or(H2_PREFACE);
        let mut seen = Vec::with_capacity(wanted.len());
        let look = async {
            while seen.len() < wanted.len() && wanted.starts_with(&seen) {
                let mut byte = [0; 1];
                self.inner.read_exact(&mut byte).await?;
                seen.extend_from_slice(&byte);
            }
            Ok::<(), Error>(())
        };
        tokio::time::timeout(FIRST_BYTE, look)
            .await
            .map_err(|_| Error::from(ErrorKind::TimedOut))??;
        if seen == wanted {
            buf.copy_from_slice(&seen);
            self.place.part.store(BEYOND, Ordering::Relaxed);
        }
        self.peeked = seen;
        Ok(true)
    }
}

#[async_trait]
impl Shutdown for Paced {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.inner).await;
    }
}

impl UniqueID for Paced {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Paced {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Paced {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }
}

impl GetProxyDigest for Paced {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for Paced {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paced() -> (tokio::io::DuplexStream, Paced, Arc<InRequest>) {
        let (client, server) = tokio::io::duplex(1 << 20);
        let place = Arc::new(InRequest::default());
        let paced = Paced::new(
            Box::new(server),
            Arc::clone(&place),
            Duration::from_secs(15),
        );
        (client, paced, place)
    }

    async fn read(paced: &mut Paced) -> Result<usize> {
        paced.read(&mut [0; 64 * 1024]).await
    }

    #[tokio::test]
    async fn a_header_in_a_thousand_pieces_is_cut_off() {
        let (mut client, mut paced, _) = paced();
        for _ in 0..MAX_PIECES {
            client.write_all(b"x").await.unwrap();
            assert_eq!(read(&mut paced).await.unwrap(), 1);
        }
        client.write_all(b"x").await.unwrap();
        assert_eq!(
            read(&mut paced).await.unwrap_err().kind(),
            ErrorKind::InvalidData
        );
    }

    #[tokio::test]
    async fn a_header_without_end_is_cut_off_and_a_body_is_not() {
        let (mut client, mut paced, place) = paced();
        client.write_all(&vec![b'x'; 3 * MAX_HEADER]).await.unwrap();
        let mut all = 0;
        let error = loop {
            match read(&mut paced).await {
                Ok(count) => all += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(all <= MAX_HEADER);
        place.part.store(BEYOND, Ordering::Relaxed);
        assert!(read(&mut paced).await.is_ok());
    }

    #[tokio::test]
    async fn all_of_a_header_has_one_time_limit() {
        const PATIENCE: Duration = Duration::from_millis(200);
        let (mut client, mut paced, place) = paced();
        paced.patience = PATIENCE;
        let began = std::time::Instant::now();
        let mut drops = tokio::time::interval(PATIENCE / 10);
        let drip = async {
            loop {
                drops.tick().await;
                client.write_all(b"x").await.unwrap();
            }
        };
        let wait = async {
            loop {
                if let Err(error) = read(&mut paced).await {
                    break error;
                }
            }
        };
        let error = tokio::select! { error = wait => error, () = drip => unreachable!() };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() >= PATIENCE);
        // A request later on has time of its own.
        place.part.store(BETWEEN, Ordering::Relaxed);
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert!(read(&mut paced).await.is_ok());
        assert!(!place.odd_line.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_short_request_does_not_wait_for_a_long_preface() {
        let (mut client, mut paced, place) = paced();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut peeked = [0; 24];
        assert!(paced.try_peek(&mut peeked).await.unwrap());
        assert_ne!(peeked, H2_PREFACE);
        let mut text = vec![0; 18];
        paced.read_exact(&mut text).await.unwrap();
        assert_eq!(text, b"GET / HTTP/1.0\r\n\r\n");
        assert_eq!(place.part.load(Ordering::Relaxed), HEADER);
    }

    #[tokio::test]
    async fn a_connection_ends_while_nobody_speaks() {
        let (_client, mut paced, place) = paced();
        place.part.store(BEYOND, Ordering::Relaxed);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        place.set_end(Some(Ends {
            session: Box::pin(async {
                let _ = ended.await;
            }),
            stop: Box::pin(std::future::pending()),
            told: false,
        }));
        let reading = tokio::spawn(async move { read(&mut paced).await });
        tokio::task::yield_now().await;
        assert!(!reading.is_finished());
        drop(end);
        let error = reading.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn http_2_that_was_agreed_upon_must_begin() {
        const PATIENCE: Duration = Duration::from_millis(100);
        let (mut client, mut paced, place) = paced();
        paced.patience = PATIENCE;
        place.part.store(PREFACE, Ordering::Relaxed);
        let (most, last) = H2_PREFACE.split_at(H2_PREFACE.len() - 1);
        client.write_all(most).await.unwrap();
        assert!(read(&mut paced).await.is_ok());
        let error = read(&mut paced).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        // Once it has, frames come as they like.
        client.write_all(last).await.unwrap();
        assert!(read(&mut paced).await.is_ok());
        let silence = tokio::time::timeout(PATIENCE * 2, read(&mut paced)).await;
        assert!(silence.is_err());
    }

    #[tokio::test]
    async fn http_2_is_known_by_its_preface() {
        let (mut client, mut paced, place) = paced();
        client.write_all(H2_PREFACE).await.unwrap();
        let mut peeked = [0; 24];
        assert!(paced.try_peek(&mut peeked).await.unwrap());
        assert_eq!(peeked, H2_PREFACE);
        assert_eq!(place.part.load(Ordering::Relaxed), BEYOND);
        let mut text = [0; 24];
        paced.read_exact(&mut text).await.unwrap();
        assert_eq!(text, H2_PREFACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_left() {
        let (mut client, server) = tokio::io::duplex(16);
        let mut paced = Paced::new(Box::new(server), Arc::default(), STALL);
        paced.write_all(&[b'x'; 16]).await.unwrap();
        // As long as something is taken now and then, the time begins anew.
        for _ in 0..3 {
            let take = async {
                tokio::time::sleep(STALL - Duration::from_secs(1)).await;
                client.read_exact(&mut [0; 16]).await.unwrap();
            };
            let (wrote, ()) = tokio::join!(paced.write_all(&[b'x'; 16]), take);
            wrote.unwrap();
        }
        let wrote = paced.write_all(b"x").await;
        assert_eq!(wrote.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
