//! A connection of the driver's, plain or over TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use pingora::tls::TlsConnector;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::asked::LARGE;

/// Where it is asked, and how one gets there.
#[derive(Clone)]
pub struct Place {
    pub address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Place {
    /// Over TLS where a certificate is given: each connection with a handshake of
    /// its own, for a visitor who was here before is not what is measured.
    pub fn new(address: &str, certificate: Option<&str>) -> Self {
        let connector = |file: &str| {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_file(file).unwrap())
                .unwrap();
            let mut config = ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.resumption = Resumption::disabled();
            TlsConnector::from(Arc::new(config))
        };
        Self {
            address: address.parse().unwrap(),
            tls: certificate.map(connector),
        }
    }

    /// Scheme and host.
    pub fn origin(&self) -> String {
        match &self.tls {
            Some(_) => format!("https://localhost:{}", self.address.port()),
            None => format!("http://{}", self.address),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub struct Wire {
    stream: Box<dyn Stream>,
    pub buffer: Vec<u8>,
}

impl Wire {
    pub async fn to(place: &Place) -> Self {
        let stream = TcpStream::connect(place.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream: Box<dyn Stream> = match &place.tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from("localhost").unwrap();
                Box::new(tls.connect(name, stream).await.unwrap())
            }
        };
        Self {
            stream,
            buffer: Vec::with_capacity(LARGE + 4 * 1024),
        }
    }

    /// Sends a request, reads its whole answer into the buffer, and tells the status.
    pub async fn ask(&mut self, bytes: &[u8]) -> u16 {
        self.send(bytes).await;
        self.buffer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.buffer.len() < whole) {
            self.read().await;
            whole = whole.or_else(|| whole_of(&self.buffer));
        }
        status_of(&self.buffer)
    }

    /// Sends a message, and reads until as many bytes as `back` came.
    pub async fn tell(&mut self, message: &[u8], back: usize) {
        self.send(message).await;
        self.buffer.clear();
        while self.buffer.len() < back {
            self.read().await;
        }
    }

    /// Waits until the other side closes, which it must.
    pub async fn end(&mut self) {
        // Over TLS some say that they close, and others just do.
        let count = self.stream.read_buf(&mut self.buffer).await.unwrap_or(0);
        assert_eq!(count, 0, "{}", String::from_utf8_lossy(&self.buffer));
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn read(&mut self) {
        let count = self.stream.read_buf(&mut self.buffer).await.unwrap();
        assert!(count > 0, "closed: {}", shown(&self.buffer));
    }
}

/// How long an answer is in all, once its header is there.
pub fn whole_of(buffer: &[u8]) -> Option<usize> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    if status_of(buffer) == 101 {
        return Some(end);
    }
    let (_, rest) = (head.split_once("\r\ncontent-length:"))
        .unwrap_or_else(|| panic!("no length: {}", shown(buffer)));
    let length: usize = rest.lines().next()?.trim().parse().unwrap();
    Some(end + length)
}

pub fn status_of(buffer: &[u8]) -> u16 {
    let line = std::str::from_utf8(&buffer[..12]).unwrap();
    line.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

/// The beginning of an answer, for messages.
pub fn shown(buffer: &[u8]) -> String {
    String::from_utf8_lossy(&buffer[..buffer.len().min(600)]).into_owned()
}
