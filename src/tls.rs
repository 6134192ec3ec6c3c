//! TLS towards visitors: the handshake, and the stream behind it.
//!
//! Holds always: a connection has its place among those that are open before
//! anything is read from it, and its handshake one time limit in all; a host
//! without a certificate here is refused with `unrecognized_name` (RFC 6066,
//! section 3), and no other host's certificate is shown to whoever asks for it.
//! Nothing here decides who gets in.
//!
//! Pingora's own TLS listener gives a handshake a minute, counts it nowhere,
//! knows one certificate and no oldest version, and says `access_denied` to a
//! name that it does not know. Here Pingora accepts, and the rest is rustls's.

mod certificate;
mod certificates;
mod settings;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{ALPN, SslDigest};
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use pingora::server::ShutdownWatch;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

pub use self::certificate::{Chain, Files, Loaded, Part, Unusable, authorities};
pub use self::certificates::Certificates;
pub use self::settings::{Hsts, MinVersion};
use crate::connection::Front;

/// What HTTP is spoken, the gateway's choice first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// A fatal alert, `unrecognized_name`, as a record of TLS 1.2, which is also how
/// TLS 1.3 writes it before there are keys (RFC 8446, sections 5.1 and 6).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// How long the end of a connection may take to write.
const GOODBYE: Duration = Duration::from_secs(1);

/// How TLS is spoken, as `gateway.toml` says at present.
#[derive(Debug)]
pub struct Spoken {
    /// With what, for which hosts.
    pub certificates: Arc<Certificates>,
    config: Arc<ServerConfig>,
}

impl Spoken {
    /// With `certificates`, and no version before `oldest`.
    ///
    /// # Errors
    /// When the system gives no random bytes for the tickets' keys.
    pub fn new(certificates: Arc<Certificates>, oldest: MinVersion) -> Result<Self, rustls::Error> {
        let config = config(&certificates, oldest)?;
        Ok(Self {
            certificates,
            config,
        })
    }
}

fn config(
    certificates: &Arc<Certificates>,
    oldest: MinVersion,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let resolver = Arc::clone(certificates);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(oldest.versions())?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    // A visitor who comes back is spared a signature, whichever thread they meet.
    config.ticketer = ring::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// Serves connections over TLS, with the places and the app of `front`.
#[derive(Debug)]
pub struct Secured<A> {
    /// What serves them once they are secured.
    pub front: Arc<Front<A>>,
    /// How TLS is spoken.
    pub spoken: Arc<ArcSwap<Spoken>>,
}

/// Why a handshake came to nothing, for whoever looks into a trouble.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Handshake(#[from] io::Error),
    #[error("no certificate for {0}")]
    Name(String),
}

impl<A> Secured<A> {
    async fn handshake(&self, stream: Stream) -> Result<Secure, Broken> {
        let began = std::time::Instant::now();
        let spoken = self.spoken.load_full();
        let mut start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let name = start
            .accepted
            .client_hello()
            .server_name()
            .map(str::to_owned);
        if spoken.certificates.find(name.as_deref()).is_none() {
            start.io.write_all(&UNRECOGNIZED_NAME).await?;
            start.io.flush().await?;
            Shutdown::shutdown(&mut *start.io).await;
            return Err(Broken::Name(
                name.unwrap_or_else(|| "who names no host".to_owned()),
            ));
        }
        let stream = start.into_stream(Arc::clone(&spoken.config)).await?;
        Ok(Secure::new(stream, began.elapsed()))
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Secured<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        // One without a place is closed: a word to it would cost a handshake.
        let place = self.front.enter(&stream)?;
        let peer = stream
            .get_socket_digest()
            .and_then(|digest| digest.peer_addr().map(ToString::to_string));
        // In a box, or every connection would have the room that a handshake takes.
        let handshake = Box::pin(self.handshake(stream));
        let patience = self.front.manners.load().header_timeout;
        match tokio::time::timeout(patience, handshake).await {
            Ok(Ok(stream)) => {
                return self.front.serve(Box::new(stream), place, shutdown).await;
            }
            Ok(Err(why)) => debug!(peer, "no handshake: {why}"),
            Err(_) => debug!(peer, "no handshake within limits.header_timeout"),
        }
        None
    }

    async fn cleanup(&self) {}
}

/// A connection behind its handshake.
#[derive(Debug)]
struct Secure {
    inner: TlsStream<Stream>,
    digest: Arc<SslDigest>,
    timing: TimingDigest,
}

impl Secure {
    fn new(inner: TlsStream<Stream>, took: Duration) -> Self {
        let (_, session) = inner.get_ref();
        let cipher = session.negotiated_cipher_suite();
        let cipher = cipher.and_then(|suite| suite.suite().as_str());
        let version = session
            .protocol_version()
            .and_then(|version| version.as_str());
        let digest = SslDigest::new(
            cipher.unwrap_or_default(),
            version.unwrap_or_default(),
            None,
            None,
            Vec::new(),
        );
        Self {
            inner,
            digest: Arc::new(digest),
            timing: TimingDigest {
                established_ts: SystemTime::now(),
                establishment_duration: Some(took),
                ..TimingDigest::default()
            },
        }
    }

    fn socket(&self) -> &Stream {
        self.inner.get_ref().0
    }
}

impl AsyncRead for Secure {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secure {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Secure {
    /// Says goodbye, so that the far end knows that nothing was cut off.
    async fn shutdown(&mut self) {
        let goodbye = tokio::io::AsyncWriteExt::shutdown(&mut self.inner);
        // Should nobody listen any more, nobody is told.
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

impl UniqueID for Secure {
    fn id(&self) -> UniqueIDType {
        self.socket().id()
    }
}

impl Ssl for Secure {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        Some(Arc::clone(&self.digest))
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.inner.get_ref().1.alpn_protocol() {
            Some(b"h2") => Some(ALPN::H2),
            Some(_) => Some(ALPN::H1),
            None => None,
        }
    }
}

/// What HTTP/2 begins with is known by its name here, and not looked for.
impl Peek for Secure {}

impl GetTimingDigest for Secure {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        let mut all = self.socket().get_timing_digest();
        all.push(Some(self.timing.clone()));
        all
    }
}

impl GetProxyDigest for Secure {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.socket().get_proxy_digest()
    }
}

impl GetSocketDigest for Secure {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.socket().get_socket_digest()
    }
}
