//! TLS that ends at the gateway: who is shown which certificate, what is spoken
//! behind it, and what plain http is told of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, DEFAULT_VERSIONS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Answer, Browser, PAGE, WECHAT, Wire, send};
use crate::issued::{Issued, Secured, client, connect, shown, tunnel};
use crate::process::Process;
use crate::world::{Extra, OPENID, World, files, gateway_toml, simulator};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);
const ADDRESS: &str = "[\"127.0.0.1\"]";

fn both() -> Arc<ClientConfig> {
    client(&["h2", "http/1.1"], DEFAULT_VERSIONS)
}

fn address() -> Issued {
    Issued::for_hosts(&["127.0.0.1"])
}

async fn world(keys: &str) -> World {
    World::over_tls(Extra::default(), &[(ADDRESS, address().pem())], keys).await
}

/// The alert that the far end refused with.
fn alert(refused: std::io::Result<Secured>) -> Option<AlertDescription> {
    let error = refused.err()?;
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// One connection of HTTP/2 with a browser's cookies.
struct Second {
    requests: h2::client::SendRequest<bytes::Bytes>,
    host: SocketAddr,
}

impl Second {
    async fn over(stream: Secured, host: SocketAddr) -> Self {
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self { requests, host }
    }

    /// Opens a page, without following.
    async fn open(&mut self, browser: &mut Browser, target: &str) -> Answer {
        let url = format!("https://{}{target}", self.host);
        let request = http::Request::get(url)
            .version(http::Version::HTTP_2)
            .header("user-agent", browser.agent)
            .header("accept", PAGE)
            .header("cookie", browser.cookies(target))
            .body(())
            .unwrap();
        let read = async {
            let (response, _) = self.requests.send_request(request, true).unwrap();
            let (head, mut body) = response.await.unwrap().into_parts();
            let mut bytes = Vec::new();
            while let Some(piece) = body.data().await {
                bytes.extend(piece.unwrap());
            }
            let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
            let headers = head.headers.iter();
            Answer {
                status: head.status.as_u16(),
                headers: headers
                    .map(|(name, value)| (name.to_string(), text(value)))
                    .collect(),
                body: bytes,
                closed: false,
            }
        };
        let answer = tokio::time::timeout(PATIENCE, read).await.unwrap();
        browser.keep(&answer);
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_logs_in_over_http_2_and_tls() {
    let world = world("").await;
    let stream = connect(world.gateway, "127.0.0.1", &both()).await.unwrap();
    assert_eq!(
        stream.get_ref().1.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_3)
    );
    let mut second = Second::over(stream, world.gateway).await;
    let mut browser = Browser::new(WECHAT);
    let answer = second.open(&mut browser, "/x?y=1").await;
    assert_eq!(answer.status, 302, "{answer:?}");
    let answer = browser.open_url(answer.location()).await;
    let home = format!("https://{}", world.gateway);
    let callback = answer.location().strip_prefix(&home).unwrap().to_owned();
    let answer = second.open(&mut browser, &callback).await;
    assert_eq!(answer.location(), format!("{home}/x?y=1"));
    let session = answer.values("set-cookie");
    let session = session
        .iter()
        .find(|line| line.starts_with("__Host-wxgate_shop="))
        .unwrap();
    assert!(session.contains("; Secure"), "{session}");
    let answer = second.open(&mut browser, "/x?y=1").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = world.app.last();
    assert_eq!(seen.line(), "GET /x?y=1 HTTP/1.1");
    assert_eq!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
    assert_eq!(seen.value("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(seen.value("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(
        seen.value("x-forwarded-host"),
        Some(world.gateway.to_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_is_spoken_where_http_2_is_not_asked_for() {
    let world = world("").await;
    for (offered, chosen) in [
        (&[][..], None),
        (&["http/1.1"][..], Some(&b"http/1.1"[..])),
        (&["http/1.1", "h2"][..], Some(b"h2")),
    ] {
        let config = client(offered, DEFAULT_VERSIONS);
        let mut stream = connect(world.gateway, "127.0.0.1", &config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen, "{offered:?}");
        if chosen == Some(b"h2") {
            continue;
        }
        let host = world.gateway;
        let request = format!("GET /pay/notify HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = [0; 12];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"HTTP/1.1 200");
    }
    let config = client(&["smtp"], DEFAULT_VERSIONS);
    let refused = connect(world.gateway, "127.0.0.1", &config).await;
    assert_eq!(
        alert(refused),
        Some(AlertDescription::NoApplicationProtocol)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_over_tls_carries_bytes_both_ways() {
    let world = world("").await;
    let tunnel = tunnel(world.gateway, "http/1.1").await;
    let mut browser = Browser::new(WECHAT);
    // The login comes back to https, which the tunnel stands for.
    let home = format!("https://{}", world.gateway);
    let answer = browser.open(tunnel, "/socket").await;
    let answer = browser.open_url(answer.location()).await;
    let callback = answer.location().strip_prefix(&home).unwrap().to_owned();
    let answer = browser.open(tunnel, &callback).await;
    assert_eq!(answer.location(), format!("{home}/socket"));
    for (origin, status) in [("https://evil.example", 403), (home.as_str(), 101)] {
        let headers = [
            ("Origin", origin),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
        ];
        let mut wire = Wire::to(tunnel).await;
        wire.send(browser.request("GET", world.gateway, "/socket", &headers, b""))
            .await;
        assert_eq!(wire.answer(false).await.status, status, "{origin}");
        if status == 101 {
            for message in [&b"\x82\x02\x00\xff"[..], &[b'x'; 3000]] {
                wire.send(message).await;
                assert_eq!(wire.bytes(message.len()).await, message);
            }
        }
    }
    let seen = world.app.last();
    assert_eq!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_is_shown_its_own_certificate_or_none() {
    let [shop, below, here] = [
        Issued::for_hosts(&["shop.example.com"]),
        Issued::for_hosts(&["*.example.org"]),
        address(),
    ];
    let (shop_hosts, below_hosts) = ("[\"shop.example.com\"]", "[\"*.example.org\"]");
    let unknown = Some(AlertDescription::UnrecognisedName);
    // An address is asked for by no name.
    let nameless = "127.0.0.1";
    for (hosts, expected) in [
        (
            vec![(shop_hosts, shop.pem()), (below_hosts, below.pem())],
            vec![
                ("shop.example.com", Some(&shop)),
                ("SHOP.Example.com", Some(&shop)),
                ("a.example.org", Some(&below)),
                ("b.a.example.org", Some(&below)),
                ("example.org", None),
                ("a.shop.example.com", None),
                ("example.com", None),
                ("evil.example", None),
                (nameless, None),
            ],
        ),
        (
            vec![(shop_hosts, shop.pem()), (ADDRESS, here.pem())],
            vec![
                ("shop.example.com", Some(&shop)),
                (nameless, Some(&here)),
                ("evil.example", None),
            ],
        ),
        (
            vec![(shop_hosts, shop.pem())],
            vec![
                ("shop.example.com", Some(&shop)),
                (nameless, Some(&shop)),
                ("evil.example", None),
            ],
        ),
    ] {
        let world = World::over_tls(Extra::default(), &hosts, "").await;
        for versions in [&[&TLS12], &[&TLS13]] {
            let config = client(&["h2"], versions);
            for (host, issued) in &expected {
                let stream = connect(world.gateway, host, &config).await;
                match issued {
                    Some(issued) => assert_eq!(shown(&stream.unwrap()), issued.der, "{host}"),
                    None => assert_eq!(alert(stream), unknown, "{host}"),
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_version_is_the_one_that_is_set() {
    for (keys, old) in [
        ("", true),
        ("min_version = \"1.2\"", true),
        ("min_version = \"1.3\"", false),
    ] {
        let world = world(keys).await;
        let stream = connect(world.gateway, "127.0.0.1", &client(&[], &[&TLS12])).await;
        match old {
            true => assert!(stream.is_ok(), "{keys}: {stream:?}"),
            false => assert_eq!(
                alert(stream),
                Some(AlertDescription::ProtocolVersion),
                "{keys}"
            ),
        }
        let stream = connect(world.gateway, "127.0.0.1", &client(&[], &[&TLS13])).await;
        assert!(stream.is_ok(), "{keys}: {stream:?}");
    }
}

/// Waits until the certificate shown is `issued`.
async fn until_shown(addr: SocketAddr, issued: &Issued) {
    let began = Instant::now();
    loop {
        // A new client each time: one who comes back is shown nothing.
        let stream = connect(addr, "127.0.0.1", &both()).await.unwrap();
        if shown(&stream) == issued.der {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the old one is still shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_is_served_from_the_next_handshake_on_and_a_broken_one_is_not() {
    let [first, second, third] = [address(), address(), address()];
    let app = crate::app::App::start().await;
    let simulator = simulator("127.0.0.1:1".parse().unwrap()).await;
    let files = files();
    first.write(files.path(), "here");
    let text = gateway_toml(
        "127.0.0.1:0".parse().unwrap(),
        app.addr,
        &simulator,
        &Extra {
            server: "[server.tls]\nlisten = [\"127.0.0.1:0\"]\n\
                     certificates = [{ hosts = [\"127.0.0.1\"], cert = \"here.pem\", key = \"here.key\" }]",
            ..Extra::default()
        },
    );
    let text = text.replacen("listen = [\"127.0.0.1:0\"]", "listen = []", 1);
    let path = files.path().join("gateway.toml");
    std::fs::write(&path, text).unwrap();
    let process = Process::start(&["run", "--config", path.to_str().unwrap()]);
    let line = process.wait_for("listening on ");
    let addr: SocketAddr = line
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap();
    assert!(line.ends_with(" with TLS"), "{line}");

    let stream = connect(addr, "127.0.0.1", &both()).await.unwrap();
    assert_eq!(shown(&stream), first.der);
    let mut open = Second::over(stream, addr).await;
    let mut browser = Browser::new(WECHAT);
    assert_eq!(open.open(&mut browser, "/pay/notify").await.status, 200);

    second.write(files.path(), "here");
    until_shown(addr, &second).await;
    process.wait_for("the certificate for 127.0.0.1 was read anew");
    assert_eq!(open.open(&mut browser, "/pay/notify").await.status, 200);

    // A key without its certificate, then half a file, then none.
    let (cert, key) = (files.path().join("here.pem"), files.path().join("here.key"));
    std::fs::write(&key, &third.key).unwrap();
    process.wait_for("and the old one goes on");
    std::fs::write(&cert, &third.cert[..third.cert.len() / 2]).unwrap();
    process.wait_for("and the old one goes on");
    std::fs::remove_file(&cert).unwrap();
    let told = process.wait_for("and the old one goes on");
    assert!(
        told.contains("ERROR") && told.contains("cannot be read (entity not found)"),
        "{told}"
    );
    until_shown(addr, &second).await;

    third.write(files.path(), "here");
    until_shown(addr, &third).await;
    assert_eq!(open.open(&mut browser, "/pay/notify").await.status, 200);
    let written = process.written();
    assert_eq!(
        written.matches("and the old one goes on").count(),
        3,
        "each is told once: {written}"
    );
    assert!(!written.contains("PRIVATE"), "{written}");
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handshake_is_cut_off() {
    let world = World::over_tls(
        Extra {
            limits: "header_timeout = \"1s\"",
            ..Extra::default()
        },
        &[(ADDRESS, address().pem())],
        "",
    )
    .await;
    // Nothing, and the beginning of a greeting drop by drop.
    for greets in [false, true] {
        let mut wire = Wire::to(world.gateway).await;
        let began = Instant::now();
        let mut drops = tokio::time::interval(Duration::from_millis(50));
        let record = [22, 3, 1, 2, 0, 1, 0, 1, 252];
        let mut drop = record.iter().chain(std::iter::repeat(&3));
        let drip = async {
            loop {
                drops.tick().await;
                match greets {
                    true if !wire.try_send(&[*drop.next().unwrap()]).await => break,
                    true => {}
                    false => break assert!(wire.is_closed().await),
                }
            }
        };
        tokio::time::timeout(PATIENCE, drip).await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(1), "{greets}");
    }
    // Who agrees upon HTTP/2 and says nothing of it.
    let mut stream = connect(world.gateway, "127.0.0.1", &both()).await.unwrap();
    let began = Instant::now();
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_has_its_place_among_the_connections() {
    let world = World::over_tls(
        Extra {
            limits: "connections_per_address = 2",
            ..Extra::default()
        },
        &[(ADDRESS, address().pem())],
        "",
    )
    .await;
    let elsewhere = IpAddr::from([127, 0, 0, 2]);
    let open = [
        Wire::from(elsewhere, world.gateway).await,
        Wire::from(elsewhere, world.plain).await,
    ];
    // Taken in the order they came, by whichever thread: so the third is the one.
    let began = Instant::now();
    loop {
        let mut third = Wire::from(elsewhere, world.gateway).await;
        let closed = tokio::time::timeout(Duration::from_millis(100), third.is_closed()).await;
        if closed == Ok(true) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "a third is taken");
    }
    let stream = connect(world.gateway, "127.0.0.1", &both()).await;
    assert!(stream.is_ok(), "another address: {stream:?}");
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tls_is_answered_with_an_alert() {
    let world = world("").await;
    let mut stream = TcpStream::connect(world.gateway).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
        .await
        .unwrap();
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    assert_eq!(bytes.first(), Some(&21), "{bytes:?}");
    assert!(world.app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_without_routes_is_sent_to_https_too() {
    let extra = Extra {
        callback: Some("login.test"),
        ..Extra::default()
    };
    let issued = address();
    let world = World::over_tls(extra, &[(ADDRESS, issued.pem())], "redirect_http = true").await;
    for (host, expected) in [
        ("login.test", Some("https://login.test/.wxgate/me")),
        ("nobody.test", None),
    ] {
        let text = format!("GET /.wxgate/me HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = crate::client::send(world.plain, text).await;
        assert_eq!(answer.value("location"), expected, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_by_plain_http_are_sent_to_https() {
    let extra = || Extra {
        server: "trusted_proxies = [\"127.0.0.2\"]",
        ..Extra::default()
    };
    let issued = address();
    let world = World::over_tls(extra(), &[(ADDRESS, issued.pem())], "redirect_http = true").await;
    let home = format!("https://{}", world.gateway);
    let long = format!("/x?{}", "a".repeat(9000));
    let ask = |from: [u8; 4], head: String| async move {
        let mut wire = Wire::from(IpAddr::from(from), world.plain).await;
        let is_head = head.starts_with("HEAD ");
        wire.send(head).await;
        wire.answer(is_head).await
    };
    let (stranger, proxy) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let host = "127.0.0.1";
    for (from, line, headers, expected) in [
        (stranger, "GET /x?y=1 ", "", "/x?y=1"),
        (stranger, "HEAD /x ", "", "/x"),
        (stranger, "GET /pay/notify ", "", "/pay/notify"),
        (stranger, "GET //evil.example/x ", "", "//evil.example/x"),
        (stranger, &format!("GET {long} "), "", &long),
        (stranger, "GET /x ", "X-Forwarded-Proto: https\r\n", "/x"),
        (
            stranger,
            "GET /x ",
            "X-Forwarded-Host: evil.example\r\n",
            "/x",
        ),
        (proxy, "GET /x ", "", "/x"),
        (proxy, "GET /x ", "X-Forwarded-Proto: http\r\n", "/x"),
        (proxy, "GET /x ", "X-Forwarded-Proto: https, http\r\n", "/x"),
    ] {
        let text = format!("{line}HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        let answer = ask(from, text.clone()).await;
        assert_eq!(answer.status, 308, "{text}: {answer:?}");
        assert_eq!(answer.location(), format!("{home}{expected}"), "{text}");
        assert_eq!(answer.value("cache-control"), Some("no-store"), "{text}");
        assert_eq!(answer.value("strict-transport-security"), None, "{text}");
    }
    for (from, line, headers, status) in [
        (
            proxy,
            "GET /pay/notify ",
            "X-Forwarded-Proto: https\r\n",
            200,
        ),
        (stranger, "POST /pay/notify ", "Content-Length: 0\r\n", 200),
        (stranger, "GET /MP_verify_AbCdEfGhIjKlMnOp.txt ", "", 200),
        (stranger, "GET /x\\y ", "Host: a\r\n", 400),
        (stranger, "OPTIONS /x ", "", 401),
    ] {
        let text = format!("{line}HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        let answer = ask(from, text.clone()).await;
        assert_eq!(answer.status, status, "{text}: {answer:?}");
    }
    let text = "GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned();
    assert_eq!(ask(stranger, text).await.status, 404);
    // Whoever is there already is sent nowhere.
    let tunnel = tunnel(world.gateway, "http/1.1").await;
    let answer = send(
        tunnel,
        "GET /pay/notify HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    )
    .await;
    assert_eq!(answer.status, 200);
    // By default nobody is.
    let world = World::over_tls(extra(), &[(ADDRESS, issued.pem())], "").await;
    let answer = send(
        world.plain,
        "GET /pay/notify HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    )
    .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn hsts_is_said_over_tls_and_not_where_the_app_says_it() {
    let extra = Extra {
        tables: "[[routes]]\nhost = \"127.0.0.1\"\npath = \"/strict\"\nupstream = \"http://{app}\"\nauth = \"none\"\n",
        ..Extra::default()
    };
    let world = World::over_tls(extra, &[(ADDRESS, address().pem())], "hsts = \"180d\"").await;
    let name = "strict-transport-security";
    for protocol in ["http/1.1", "h2"] {
        let config = client(&[protocol], DEFAULT_VERSIONS);
        for (path, status, said) in [
            ("/pay/notify", 200, &["max-age=15552000"][..]),
            ("/x", 302, &["max-age=15552000"]),
            ("/strict/x", 200, &["max-age=1"]),
            ("/.wxgate/nothing", 404, &["max-age=15552000"]),
        ] {
            let mut browser = Browser::new(WECHAT);
            let answer = match protocol {
                "h2" => {
                    let stream = connect(world.gateway, "127.0.0.1", &config).await.unwrap();
                    let mut second = Second::over(stream, world.gateway).await;
                    second.open(&mut browser, path).await
                }
                _ => {
                    browser
                        .open(tunnel(world.gateway, protocol).await, path)
                        .await
                }
            };
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            assert_eq!(answer.values(name), said, "{protocol} {path}");
        }
    }
    let answer = Browser::new(WECHAT).open(world.plain, "/pay/notify").await;
    assert_eq!((answer.status, answer.value(name)), (200, None));
}
