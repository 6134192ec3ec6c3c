//! TLS as a client sees it, and certificates that nobody else knows.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate that vouches for itself, with its key, in PEM.
pub struct Issued {
    pub cert: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

impl Issued {
    /// One for `hosts`, addresses included.
    pub fn for_hosts(hosts: &[&str]) -> Self {
        Self::with(hosts, |_| {})
    }

    /// The same, with `change`.
    pub fn with(hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        change(&mut params);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let cert = params.self_signed(&key).unwrap();
        Self {
            cert: cert.pem(),
            key: key.serialize_pem(),
            der: cert.der().clone(),
        }
    }

    /// The certificate and its key.
    pub fn pem(&self) -> [&str; 2] {
        [&self.cert, &self.key]
    }

    /// Writes NAME.pem and NAME.key, each in one step, as renewals do.
    pub fn write(&self, dir: &Path, name: &str) {
        for (ending, text) in [("pem", &self.cert), ("key", &self.key)] {
            let new = dir.join(format!("{name}.{ending}.new"));
            std::fs::write(&new, text).unwrap();
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::rename(&new, dir.join(format!("{name}.{ending}"))).unwrap();
        }
    }
}

/// A client's end of TLS. It believes every certificate: tests compare them.
pub type Secured = TlsStream<TcpStream>;

#[derive(Debug)]
struct Believer;

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A client that speaks `versions`, and HTTP as `protocols` name it.
pub fn client(
    protocols: &[&str],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believer))
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Arc::new(config)
}

/// Connects to `addr` and asks for `host`; an address is asked for by no name.
pub async fn connect(
    addr: SocketAddr,
    host: &str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<Secured> {
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let stream = TcpStream::connect(addr).await?;
    TlsConnector::from(Arc::clone(config))
        .connect(host, stream)
        .await
}

/// The certificate that a connection was shown.
pub fn shown(stream: &Secured) -> CertificateDer<'static> {
    let (_, session) = stream.get_ref();
    session.peer_certificates().unwrap()[0].clone()
}

/// An address where every byte is passed on to `addr` over TLS, in the protocol
/// called `protocol`: for clients that speak none themselves.
pub async fn tunnel(addr: SocketAddr, protocol: &str) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    let config = client(&[protocol], rustls::DEFAULT_VERSIONS);
    tokio::spawn(async move {
        while let Ok((mut plain, _)) = listener.accept().await {
            let config = Arc::clone(&config);
            tokio::spawn(async move {
                let host = addr.ip().to_string();
                if let Ok(mut secured) = connect(addr, &host, &config).await {
                    let _ = tokio::io::copy_bidirectional(&mut plain, &mut secured).await;
                }
            });
        }
    });
    here
}
