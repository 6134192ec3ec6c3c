//! TLS with apps: who is believed, who is shown what, and who shares connections.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wxgate::upstream::Failure;

use super::{get, open_route, seen, until};
use crate::client::{Answer, Wire};
use crate::process::{Process, wxgate};
use crate::world::{Extra, World, gateway_toml, install_crypto};

/// Who signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM.
struct Signed {
    cert: String,
    key: String,
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = new_key();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// A certificate for `host`, with `change`.
    fn sign_with(&self, host: &str, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, host);
        change(&mut params);
        let key = new_key();
        Signed {
            cert: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    fn sign(&self, host: &str) -> Signed {
        self.sign_with(host, |_| {})
    }
}

impl Signed {
    /// Writes NAME.pem and NAME.key, and tells how the table names them.
    fn write(&self, dir: &Path, name: &str) -> String {
        let [cert, key] = ["pem", "key"].map(|ending| dir.join(format!("{name}.{ending}")));
        std::fs::write(&cert, &self.cert).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        format!(
            "client_cert = \"{}\", client_key = \"{}\"",
            cert.display(),
            key.display()
        )
    }
}

/// An app that speaks TLS, and says whose certificate it was shown and how many
/// requests came before over the same connection.
async fn app(own: &Signed, asks_for: Option<&[&Authority]>) -> SocketAddr {
    install_crypto();
    let chain = vec![CertificateDer::from_pem_slice(own.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let builder = match asks_for {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in authorities {
                let der = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
                roots.add(der).unwrap();
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                .build()
                .unwrap();
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let shown = stream.get_ref().1.peer_certificates();
                let shown = shown.map_or("nothing".to_owned(), |chain| {
                    // The name stands in it as it is.
                    let text = String::from_utf8_lossy(&chain[0]).into_owned();
                    let found = ["first.client", "second.client"];
                    found
                        .into_iter()
                        .find(|name| text.contains(name))
                        .unwrap_or("?")
                        .to_owned()
                });
                for count in 0.. {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.ok()? == 0 {
                            return None;
                        }
                    }
                    let body = format!("shown {shown}, {count} before");
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(answer.as_bytes()).await.ok()?;
                    stream.flush().await.ok()?;
                }
                Some(())
            });
        }
    });
    addr
}

fn tls(addr: SocketAddr, keys: &str) -> String {
    format!("peers = [\"https://{addr}\"]\ntls = {{ {keys} }}")
}

/// A directory with `authority` in ca.pem, and how the table names it.
fn believing(authority: &Authority) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, &authority.pem).unwrap();
    (dir, format!("ca = \"{}\"", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_believed_by_its_authority_and_name_alone() {
    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    let (_dir, ca) = believing(&right);
    let good = app(&right.sign("127.0.0.1"), None).await;
    let named = app(&right.sign("app.internal"), None).await;
    let stranger = app(&wrong.sign("127.0.0.1"), None).await;
    let late = right.sign_with("127.0.0.1", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let late = app(&late, None).await;
    let cases = [
        (tls(good, &ca), ""),
        (
            tls(named, &format!("{ca}, server_name = \"app.internal\"")),
            "",
        ),
        (tls(named, &ca), "not valid for name"),
        (
            tls(good, &format!("{ca}, server_name = \"app.internal\"")),
            "not valid for name",
        ),
        (tls(stranger, &ca), "UnknownIssuer"),
        (tls(late, &ca), "expired"),
        // The system's authorities know nobody of these.
        (format!("peers = [\"https://{good}\"]"), "UnknownIssuer"),
    ];
    let world = World::new().await;
    let routes: String = cases
        .iter()
        .enumerate()
        .map(|(at, (keys, _))| open_route(&format!("/app{at}"), keys))
        .collect();
    let extra = Extra {
        tables: &routes,
        ..Extra::default()
    };
    let text = gateway_toml(world.gateway, world.app.addr, &world.simulator, &extra);
    let listen = format!("listen = [\"{}\"]", world.gateway);
    let text = text.replacen(&listen, "listen = [\"127.0.0.1:0\"]", 1);
    std::fs::write(world.dir().join("second.toml"), text).unwrap();
    let process = Process::spawn(&mut wxgate(
        &["run", "--config", "second.toml"],
        world.dir(),
    ));
    let gateway = process.listening_on();
    for (at, (keys, refusal)) in cases.iter().enumerate() {
        let page = crate::client::Browser::new(crate::client::DESKTOP)
            .open(gateway, &format!("/app{at}"))
            .await;
        if refusal.is_empty() {
            assert_eq!(page.status, 200, "{keys}: {page:?}");
            continue;
        }
        assert_eq!(page.status, 502, "{keys}: {page:?}");
        assert!(page.text().contains("The site is down"), "{}", page.text());
        assert!(!page.everything().contains("certificate"));
        let line = process.wait_for("the app did not answer");
        for part in ["certificate", refusal, "peer=\"https://127.0.0.1:"] {
            assert!(line.contains(part), "no {part} in: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_ask_for_a_certificate() {
    let authority = Authority::new("right");
    let (dir, ca) = believing(&authority);
    let client = authority.sign("first.client").write(dir.path(), "client");
    let addr = app(&authority.sign("127.0.0.1"), Some(&[&authority])).await;
    let world = World::with_tables(
        &[
            open_route("/with", &tls(addr, &format!("{ca}, {client}"))),
            open_route("/without", &tls(addr, &ca)),
        ]
        .concat(),
    )
    .await;
    let with = get(&world, "/with").await;
    assert_eq!(
        (with.status, with.text().as_str()),
        (200, "shown first.client, 0 before")
    );
    assert_eq!(get(&world, "/without").await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_shared_by_those_alone_who_speak_tls_alike() {
    let (one, other) = (Authority::new("one"), Authority::new("other"));
    let (dir, ca) = believing(&one);
    let (_other_dir, other_ca) = believing(&other);
    // Pingora tells them apart by this number alone.
    let client = |authority: &Authority, name: &str| {
        let signed = authority.sign_with(name, |params| {
            params.serial_number = Some(SerialNumber::from(7));
        });
        signed.write(dir.path(), name)
    };
    let first = client(&one, "first.client");
    let second = client(&other, "second.client");
    let asked = app(&one.sign("127.0.0.1"), Some(&[&one, &other])).await;
    let plain = app(&one.sign("127.0.0.1"), None).await;
    let tables = [
        open_route("/right", &tls(plain, &ca)),
        open_route(
            "/same",
            &format!("{}\nread_timeout = \"9s\"", tls(plain, &ca)),
        ),
        open_route("/wrong", &tls(plain, &other_ca)),
        open_route("/none", &format!("peers = [\"https://{plain}\"]")),
        open_route("/first", &tls(asked, &format!("{ca}, {first}"))),
        open_route("/second", &tls(asked, &format!("{ca}, {second}"))),
    ];
    let world = World::with(Extra {
        server: "threads = 1",
        tables: &tables.concat(),
        ..Extra::default()
    })
    .await;
    let mut wire = Wire::to(world.gateway).await;
    let mut ask = async |path: &str| -> Answer {
        let host = world.gateway;
        let mut asked = Vec::new();
        // When the second is answered, the connection of the first is free again.
        for target in [path, "/.wxgate/me"] {
            wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .await;
            asked.push(wire.answer(false).await);
            if asked[0].status != 200 {
                wire = Wire::to(host).await;
            }
        }
        asked.swap_remove(0)
    };
    assert_eq!(ask("/right").await.text(), "shown nothing, 0 before");
    assert_eq!(ask("/right").await.text(), "shown nothing, 1 before");
    assert_eq!(ask("/same").await.text(), "shown nothing, 2 before");
    assert_eq!(ask("/wrong").await.status, 502);
    assert_eq!(ask("/none").await.status, 502);
    assert_eq!(ask("/first").await.text(), "shown first.client, 0 before");
    assert_eq!(ask("/second").await.text(), "shown second.client, 0 before");
    assert_eq!(ask("/first").await.text(), "shown first.client, 1 before");
    assert_eq!(ask("/right").await.text(), "shown nothing, 3 before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_believes_nobody_whom_requests_do_not() {
    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    let (_dir, ca) = believing(&right);
    let (good, bad) = (
        app(&right.sign("127.0.0.1"), None).await,
        app(&wrong.sign("127.0.0.1"), None).await,
    );
    let health = "health = { interval = \"20ms\", unhealthy = 1 }";
    let tables = [
        open_route("/good", &format!("{}\n{health}", tls(good, &ca))),
        open_route("/bad", &format!("{}\n{health}", tls(bad, &ca))),
    ];
    let world = World::with_tables(&tables.concat()).await;
    until("the stranger is out", async || {
        !seen(&world, bad).peers[0].up
    })
    .await;
    assert_eq!(get(&world, "/bad").await.status, 503);
    assert_eq!(get(&world, "/good").await.status, 200);
    assert!(seen(&world, bad).errors.contains(&(Failure::Tls, 0)));
}
