//! Proxying as apps need it: bytes, order, streaming and upgrades are the
//! app's own, and what is told about the connection is the gateway's.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::client::{Answer, Browser, DESKTOP, Wire, send};
use crate::process::{Process, wxgate};
use crate::world::{Extra, OPENID, World, gateway_toml};

const MIB: usize = 1 << 20;

/// A route at `path` to `upstream` that asks for no session.
fn open_route(host: &str, path: &str, upstream: &str) -> String {
    format!(
        "\n[[routes]]\nhost = \"{host}\"\npath = \"{path}\"\nupstream = \"{upstream}\"\nauth = \"none\"\n"
    )
}

/// An app of one connection, driven by the test itself.
async fn bare_app() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    (listener, upstream)
}

/// Reads until `part` came.
async fn read_until(stream: &mut TcpStream, seen: &mut Vec<u8>, part: &[u8]) {
    while !seen.windows(part.len()).any(|window| window == part) {
        assert_ne!(
            stream.read_buf(seen).await.unwrap(),
            0,
            "the end came before {}",
            String::from_utf8_lossy(part)
        );
    }
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    let (listener, _) = bare_app().await;
    listener.local_addr().unwrap()
}

/// A request of `browser` with more header lines, byte for byte.
fn with_lines(browser: &Browser, world: &World, target: &str, lines: &[u8]) -> Vec<u8> {
    let request = browser.request("GET", world.gateway, target, &[], b"");
    let (head, end) = request.split_at(request.len() - 2);
    [head, lines, b"\r\n", end].concat()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

// Streaming.

#[tokio::test(flavor = "multi_thread")]
async fn an_event_reaches_the_visitor_before_the_next_one_exists() {
    let world = World::new().await;
    let browser = world.visitor().await;
    let mut wire = Wire::to(world.gateway).await;
    wire.send(browser.request(
        "GET",
        world.gateway,
        "/events",
        &[("Accept", "text/event-stream")],
        b"",
    ))
    .await;
    let head = wire.head().await;
    assert_eq!(head.status, 200);
    assert_eq!(head.value("content-type"), Some("text/event-stream"));
    let first = wire.bytes(14).await;
    assert!(
        String::from_utf8_lossy(&first).contains("data: 1"),
        "{first:?}"
    );
    world.app.go_on.notify_one();
    let rest = wire.bytes(19).await;
    let rest = String::from_utf8_lossy(&rest);
    assert!(
        rest.contains("data: 2") && rest.ends_with("0\r\n\r\n"),
        "{rest:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_reaches_the_app_before_its_end_exists() {
    let (listener, upstream) = bare_app().await;
    let tables = open_route("127.0.0.1", "/upload", &upstream);
    let world = World::with(Extra {
        tables: &tables,
        ..Extra::default()
    })
    .await;
    let mut wire = Wire::to(world.gateway).await;
    wire.send(format!(
        "POST /upload HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        world.gateway
    ))
    .await;
    wire.send(chunk(b"first part")).await;
    let (mut app, _) = listener.accept().await.unwrap();
    let mut seen = Vec::new();
    read_until(&mut app, &mut seen, b"first part").await;
    wire.send(chunk(b"last part")).await;
    wire.send(b"0\r\n\r\n").await;
    read_until(&mut app, &mut seen, b"last part\r\n0\r\n\r\n").await;
    app.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await
        .unwrap();
    assert_eq!(wire.answer(false).await.text(), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_answer_before_an_upload_ends() {
    let (listener, upstream) = bare_app().await;
    let tables = open_route("127.0.0.1", "/upload", &upstream);
    let world = World::with(Extra {
        tables: &tables,
        ..Extra::default()
    })
    .await;
    let mut wire = Wire::to(world.gateway).await;
    wire.send(format!(
        "POST /upload HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        world.gateway
    ))
    .await;
    wire.send(chunk(b"first part")).await;
    let (mut app, _) = listener.accept().await.unwrap();
    read_until(&mut app, &mut Vec::new(), b"first part").await;
    app.write_all(
        b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop",
    )
    .await
    .unwrap();
    let answer = wire.answer(false).await;
    assert_eq!((answer.status, answer.text().as_str()), (413, "stop"));
}

/// A second gateway, alone in its process, with the keys of `world`: its memory
/// is nobody else's.
fn gateway_process(world: &World, tables: &str) -> (Process, SocketAddr) {
    let extra = Extra {
        tables,
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
    let addr = process.listening_on();
    (process, addr)
}

/// Downloads `mib` MiB and throws them away.
async fn download(gateway: SocketAddr, browser: &Browser, mib: usize) {
    let mut wire = Wire::to(gateway).await;
    wire.send(browser.request("GET", gateway, &format!("/large/{}", mib * MIB), &[], b""))
        .await;
    assert_eq!(wire.head().await.status, 200);
    for _ in 0..mib {
        assert_eq!(wire.bytes(MIB).await.len(), MIB);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_needs_no_memory_however_slowly_it_is_read() {
    let world = World::new().await;
    let browser = world.visitor().await;
    let (process, gateway) = gateway_process(&world, "");
    download(gateway, &browser, 4).await;
    let before = process.peak_memory();
    let mut slow = Wire::to(gateway).await;
    slow.send(browser.request("GET", gateway, &format!("/large/{}", 200 * MIB), &[], b""))
        .await;
    assert_eq!(slow.head().await.status, 200);
    // The slow visitor reads nothing for as long as the other needs for this.
    download(gateway, &browser, 100).await;
    for _ in 0..200 {
        assert_eq!(slow.bytes(MIB).await.len(), MIB);
    }
    let grown = process.peak_memory() - before;
    assert!(grown < 32 * MIB, "{} MiB", grown / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_needs_no_memory_however_slowly_it_is_taken() {
    let (listener, upstream) = bare_app().await;
    let world = World::new().await;
    let browser = world.visitor().await;
    let (process, gateway) =
        gateway_process(&world, &open_route("127.0.0.1", "/upload", &upstream));
    download(gateway, &browser, 4).await;
    let before = process.peak_memory();
    let upload = tokio::spawn(async move {
        let mut wire = Wire::to(gateway).await;
        wire.send(format!(
            "POST /upload HTTP/1.1\r\nHost: {gateway}\r\nContent-Length: {}\r\n\r\n",
            100 * MIB
        ))
        .await;
        for _ in 0..100 {
            wire.send(vec![b'x'; MIB]).await;
        }
        wire.answer(false).await
    });
    let (mut app, _) = listener.accept().await.unwrap();
    let mut seen = Vec::new();
    read_until(&mut app, &mut seen, b"\r\n\r\n").await;
    // The app takes nothing more for as long as a visitor needs for this.
    download(gateway, &browser, 100).await;
    let body = seen
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    let mut left = 100 * MIB - (seen.len() - body);
    let mut bytes = vec![0; MIB];
    while left > 0 {
        let count = app.read(&mut bytes).await.unwrap();
        assert_ne!(count, 0, "{left} bytes are missing");
        left -= count;
    }
    app.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await
        .unwrap();
    assert_eq!(upload.await.unwrap().text(), "ok");
    let grown = process.peak_memory() - before;
    assert!(grown < 32 * MIB, "{} MiB", grown / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_breaks_off_is_not_made_to_look_whole() {
    let (listener, upstream) = bare_app().await;
    let tables = open_route("127.0.0.1", "/breaks", &upstream);
    let world = World::with(Extra {
        tables: &tables,
        ..Extra::default()
    })
    .await;
    let mut wire = Wire::to(world.gateway).await;
    wire.send(format!(
        "GET /breaks HTTP/1.1\r\nHost: {}\r\n\r\n",
        world.gateway
    ))
    .await;
    let (mut app, _) = listener.accept().await.unwrap();
    read_until(&mut app, &mut Vec::new(), b"\r\n\r\n").await;
    app.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        .await
        .unwrap();
    assert_eq!(wire.head().await.status, 200);
    assert_eq!(wire.bytes(9).await, b"4\r\nhalf\r\n");
    drop(app);
    assert!(wire.is_closed().await, "no last chunk, but the end");
}

// WebSockets.

async fn echoes(connection: &str) {
    let world = World::new().await;
    let browser = world.visitor().await;
    let mut wire = Wire::to(world.gateway).await;
    let headers = [
        ("Connection", connection),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    wire.send(browser.request("GET", world.gateway, "/socket", &headers, b""))
        .await;
    let answer = wire.answer(false).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert!(
        answer
            .value("upgrade")
            .unwrap()
            .eq_ignore_ascii_case("websocket")
    );
    assert!(
        answer
            .value("connection")
            .unwrap()
            .eq_ignore_ascii_case("upgrade")
    );
    for message in [
        &b"\x81\x85\x01\x02\x03\x04first"[..],
        b"\x82\x02\x00\xff",
        b"\x88\x00",
        &[b'x'; 3000],
    ] {
        wire.send(message).await;
        assert_eq!(wire.bytes(message.len()).await, message);
    }
    let seen = world.app.last();
    assert_eq!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
    assert_eq!(
        seen.value("sec-websocket-key").as_deref(),
        Some("dGhlIHNhbXBsZSBub25jZQ==")
    );
    assert!(
        seen.value("upgrade")
            .unwrap()
            .eq_ignore_ascii_case("websocket")
    );
    wire.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_with_a_session_carries_bytes_both_ways() {
    echoes("Upgrade").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_may_stand_in_a_list_of_connection_options() {
    echoes("keep-alive, Upgrade").await;
}

/// An app that answers before it has read to the end of the request.
fn quick_app() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        // Ends with the process: nobody connects any more.
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || echo_at_once(stream));
        }
    });
    format!("http://{address}")
}

fn echo_at_once(mut stream: std::net::TcpStream) -> std::io::Result<()> {
    use std::io::{Read as _, Write as _};
    let mut bytes = [0; 4096];
    let _ = stream.read(&mut bytes)?;
    stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    )?;
    loop {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&bytes[..count])?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_of_a_quick_app_stays_open() {
    let tables = open_route("127.0.0.1", "/quick", &quick_app());
    let world = World::with(Extra {
        tables: &tables,
        ..Extra::default()
    })
    .await;
    for _ in 0..200 {
        let mut wire = Wire::to(world.gateway).await;
        wire.send(format!(
            "GET /quick HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            world.gateway
        ))
        .await;
        assert_eq!(wire.answer(false).await.status, 101);
        wire.send(b"a message").await;
        assert_eq!(wire.bytes(9).await, b"a message");
    }
}

// The protocol's corners.

#[tokio::test(flavor = "multi_thread")]
async fn head_gets_the_headers_and_no_body() {
    let world = World::new().await;
    let browser = world.visitor().await;
    let mut wire = Wire::to(world.gateway).await;
    wire.send(browser.request("HEAD", world.gateway, "/page", &[], b""))
        .await;
    let answer = wire.answer(true).await;
    assert_eq!(
        (answer.status, answer.value("content-length")),
        (200, Some("9"))
    );
    assert_eq!(world.app.last().line(), "HEAD /page HTTP/1.1");
    // The next answer begins where no body stood.
    wire.send(browser.request("GET", world.gateway, "/page", &[], b""))
        .await;
    assert_eq!(wire.answer(false).await.text(), "app got 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_is_told_to_continue() {
    let world = World::new().await;
    let browser = world.visitor().await;
    let mut wire = Wire::to(world.gateway).await;
    let headers = [("Expect", "100-continue"), ("Content-Length", "5")];
    wire.send(browser.request("POST", world.gateway, "/order", &headers, b""))
        .await;
    assert_eq!(wire.answer(false).await.status, 100);
    wire.send(b"a=tea").await;
    let answer = wire.answer(false).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "app got 5"));
    assert_eq!(world.app.last().body, b"a=tea");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_and_may_not_in_is_refused_before_it_sends() {
    let world = World::new().await;
    let stranger = Browser::new(DESKTOP);
    let headers = [("Expect", "100-continue"), ("Content-Length", "5")];
    let mut wire = Wire::to(world.gateway).await;
    wire.send(stranger.request("POST", world.gateway, "/order", &headers, b""))
        .await;
    assert_eq!(wire.answer(false).await.status, 401);
    // Whether a body follows is the client's choice: the next bytes would be
    // taken for it, or for a request.
    wire.send(stranger.request("GET", world.gateway, "/pay/notify", &[], b""))
        .await;
    let next = wire.answer(false).await;
    assert!(next.closed && next.status == 0, "{next:?}");
    assert!(world.app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_request_reaches_the_app_whole() {
    let world = World::new().await;
    let browser = world.visitor().await;
    let mut wire = Wire::to(world.gateway).await;
    wire.send(browser.request(
        "POST",
        world.gateway,
        "/order",
        &[("Transfer-Encoding", "chunked")],
        b"",
    ))
    .await;
    let long = vec![b'y'; 100_000];
    for part in [&b"one"[..], b"\r\n0\r\n\r\n", &long] {
        wire.send(chunk(part)).await;
    }
    wire.send(b"0\r\n\r\n").await;
    assert_eq!(wire.answer(false).await.text(), "app got 100010");
    let seen = world.app.last();
    assert!(seen.body.starts_with(b"one\r\n0\r\n\r\nyyy"));
    assert_eq!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_answer_reaches_the_visitor_whole() {
    let world = World::new().await;
    let browser = world.visitor().await;
    world.app.go_on.notify_one();
    let answer = send(
        world.gateway,
        browser.request("GET", world.gateway, "/events", &[], b""),
    )
    .await;
    assert_eq!(answer.text(), "data: 1\n\ndata: 2\n\n");
}

/// What an HTTP/1.0 client gets from `target`, to the end of the connection.
async fn old_client(world: &World, browser: &Browser, target: &str) -> Answer {
    let request =
        String::from_utf8(browser.request("GET", world.gateway, target, &[], b"")).unwrap();
    let mut wire = Wire::to(world.gateway).await;
    wire.send(request.replacen("HTTP/1.1", "HTTP/1.0", 1)).await;
    let answer = wire.answer(false).await;
    assert!(
        answer.closed || wire.is_closed().await,
        "the connection stays open: {answer:?}"
    );
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_1_0_client_gets_its_answer_and_the_connection_ends() {
    let world = World::new().await;
    let browser = world.visitor().await;
    let answer = old_client(&world, &browser, "/page").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "app got 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_1_0_client_is_sent_no_chunks() {
    let world = World::new().await;
    let browser = world.visitor().await;
    world.app.go_on.notify_one();
    for (target, body) in [
        ("/events", "data: 1\n\ndata: 2\n\n"),
        ("/old", "until the end"),
    ] {
        let answer = old_client(&world, &browser, target).await;
        assert_eq!(answer.value("transfer-encoding"), None, "{answer:?}");
        assert_eq!((answer.text().as_str(), answer.closed), (body, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_1_0_client_may_keep_its_connection() {
    let world = World::new().await;
    let browser = world.visitor().await;
    let request = browser.request(
        "GET",
        world.gateway,
        "/page",
        &[("Connection", "keep-alive")],
        b"",
    );
    let request = String::from_utf8(request)
        .unwrap()
        .replacen("HTTP/1.1", "HTTP/1.0", 1);
    let mut wire = Wire::to(world.gateway).await;
    for _ in 0..2 {
        wire.send(&request).await;
        let answer = wire.answer(false).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "app got 0"));
        assert_eq!(
            answer
                .value("connection")
                .map(str::to_ascii_lowercase)
                .as_deref(),
            Some("keep-alive")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_1_0_app_answers_until_it_closes() {
    let world = World::new().await;
    let browser = world.visitor().await;
    let mut wire = Wire::to(world.gateway).await;
    for _ in 0..2 {
        wire.send(browser.request("GET", world.gateway, "/old", &[], b""))
            .await;
        let answer = wire.answer(false).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "until the end")
        );
        assert!(!answer.closed, "the visitor's connection is not the app's");
    }
}

// Headers and cookies.

#[tokio::test(flavor = "multi_thread")]
async fn an_app_sets_its_own_cookies_and_none_of_ours() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let answer = browser.open(world.gateway, "/claims").await;
    assert_eq!(answer.values("set-cookie"), ["a=1; Path=/", "b=2"]);
    assert_eq!(answer.value("x-app"), Some("yes"));
    for (name, _) in &answer.headers {
        let name = name.to_ascii_lowercase();
        assert!(
            !name.starts_with("x-wechat-") && name != "keep-alive",
            "{name}"
        );
    }
    assert_eq!(
        browser.open(world.gateway, "/").await.status,
        200,
        "the session lives"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_cookie_in_an_old_charset_survives_and_hides_no_session() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let session = browser.cookie("wxgate_shop").unwrap().value.clone();
    browser.jar.clear();
    // 你好 in GBK.
    let line = [
        b"Cookie: name=\xc4\xe3\xba\xc3; wxgate_shop=",
        session.as_bytes(),
        b"; q=\"a b\"",
    ]
    .concat();
    let answer = send(world.gateway, with_lines(&browser, &world, "/", &line)).await;
    assert_eq!(answer.status, 200);
    let head = world.app.last().head;
    assert!(
        head.windows(line.len()).any(|window| window == line),
        "{}",
        String::from_utf8_lossy(&head)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_cookie_lines_become_one() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let session = browser.cookie("wxgate_shop").unwrap().value.clone();
    browser.jar.clear();
    let lines = format!("Cookie: a=1\r\nCookie: wxgate_shop={session}\r\nCookie: b=2; c=3");
    let answer = send(
        world.gateway,
        with_lines(&browser, &world, "/", lines.as_bytes()),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        world.app.last().values("cookie"),
        [format!("a=1; wxgate_shop={session}; b=2; c=3")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_is_forwarded_as_the_visitor_sent_it() {
    let listener = crate::app::App::start().await;
    let tables = open_route("localhost", "/", &format!("http://{}", listener.addr));
    let world = World::with(Extra {
        tables: &tables,
        ..Extra::default()
    })
    .await;
    let answer = send(
        world.gateway,
        "GET / HTTP/1.1\r\nHost: LocalHost:4711\r\n\r\n",
    )
    .await;
    assert_eq!(answer.status, 200);
    let seen = listener.last();
    assert_eq!(seen.value("host").as_deref(), Some("LocalHost:4711"));
    assert_eq!(
        seen.value("x-forwarded-host").as_deref(),
        Some("LocalHost:4711")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_host_replaces_the_host() {
    let world = World::with(Extra {
        route: "upstream_host = \"inner.example:81\"",
        ..Extra::default()
    })
    .await;
    world.visitor().await;
    let seen = world.app.last();
    assert_eq!(seen.value("host").as_deref(), Some("inner.example:81"));
    assert_eq!(
        seen.value("x-forwarded-host"),
        Some(world.gateway.to_string())
    );
}

const CLAIMED: [(&str, &str); 7] = [
    ("X-Forwarded-For", "198.51.100.7, 203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Real-IP", "203.0.113.9"),
    ("X-Request-Id", "from-outside"),
    ("Forwarded", "for=203.0.113.9"),
    ("X-Original-URL", "/admin"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_word_about_its_connection_is_replaced() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    assert_eq!(
        browser
            .ask("GET", world.gateway, "/", &CLAIMED, b"")
            .await
            .status,
        200
    );
    let seen = world.app.last();
    assert_eq!(seen.value("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen.value("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(
        seen.value("x-forwarded-host"),
        Some(world.gateway.to_string())
    );
    assert_eq!(seen.value("x-real-ip").as_deref(), Some("127.0.0.1"));
    assert_ne!(seen.value("x-request-id").unwrap(), "from-outside");
    assert_eq!(seen.value("forwarded"), None);
    assert_eq!(seen.value("x-original-url"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxys_word_about_the_connection_is_believed() {
    let world = World::with(Extra {
        server: "trusted_proxies = [\"127.0.0.1\"]",
        ..Extra::default()
    })
    .await;
    let mut browser = world.visitor().await;
    assert_eq!(
        browser
            .ask("GET", world.gateway, "/", &CLAIMED, b"")
            .await
            .status,
        200
    );
    let seen = world.app.last();
    // As far as proxies are trusted: what stands left of the first stranger is the stranger's word.
    assert_eq!(
        seen.value("x-forwarded-for").as_deref(),
        Some("203.0.113.9, 127.0.0.1")
    );
    assert_eq!(seen.value("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(
        seen.value("x-forwarded-host"),
        Some(world.gateway.to_string())
    );
    assert_eq!(seen.value("x-real-ip").as_deref(), Some("203.0.113.9"));
    assert_eq!(seen.value("x-request-id").as_deref(), Some("from-outside"));
    assert_eq!(seen.value("forwarded"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn header_values_of_8_kib_pass() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let long = "v".repeat(8192);
    browser.jar.push(crate::client::Cookie {
        name: "own".into(),
        value: long.clone(),
        path: "/".into(),
    });
    assert_eq!(
        browser
            .ask("GET", world.gateway, "/", &[("X-Long", &long)], b"")
            .await
            .status,
        200
    );
    let seen = world.app.last();
    assert_eq!(seen.value("x-long").unwrap(), long);
    assert!(
        seen.value("cookie")
            .unwrap()
            .ends_with(&format!("own={long}"))
    );
}

// Connections to the app.

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_the_app_is_used_again() {
    // Each thread keeps its own.
    let world = World::with(Extra {
        server: "threads = 1",
        ..Extra::default()
    })
    .await;
    let browser = world.visitor().await;
    let mut wire = Wire::to(world.gateway).await;
    for _ in 0..5 {
        wire.send(browser.request("GET", world.gateway, "/page", &[], b""))
            .await;
        assert_eq!(wire.answer(false).await.status, 200);
    }
    // When this is answered, the connection of the last request is free again.
    wire.send(browser.request("GET", world.gateway, "/.wxgate/me", &[], b""))
        .await;
    assert_eq!(wire.answer(false).await.status, 200);
    let other = send(
        world.gateway,
        browser.request("GET", world.gateway, "/page", &[], b""),
    )
    .await;
    assert_eq!(other.status, 200);
    let seen = world.app.seen();
    let connections: Vec<SocketAddr> = seen
        .iter()
        .rev()
        .take(6)
        .map(|seen| seen.connection)
        .collect();
    assert!(
        connections
            .iter()
            .all(|connection| *connection == connections[0]),
        "{connections:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_down_is_a_page_that_leads_back_and_tells_nothing() {
    let down = nobody().await;
    let tables = open_route("127.0.0.1", "/down", &format!("http://{down}"));
    let world = World::with(Extra {
        tables: &tables,
        ..Extra::default()
    })
    .await;
    let mut browser = Browser::new(DESKTOP);
    let page = browser.open(world.gateway, "/down/x?a=1&b=2").await;
    assert_eq!(
        (page.status, page.value("content-type")),
        (502, Some("text/html; charset=utf-8"))
    );
    assert!(
        page.text().contains("服务暂不可用")
            && page.text().contains("The site is down")
            && page.text().contains(">再试一次 / Try again<"),
        "{}",
        page.text()
    );
    assert!(
        page.text().contains("href=\"/down/x?a=1&amp;b=2\""),
        "{}",
        page.text()
    );
    let script = browser
        .ask(
            "POST",
            world.gateway,
            "/down",
            &[("Accept", "application/json")],
            b"x",
        )
        .await;
    assert_eq!(
        (script.status, script.json()["message"].as_str()),
        (502, Some("app_down"))
    );
    for answer in [page, script] {
        assert_eq!(answer.value("cache-control"), Some("no-store"));
        assert!(
            !answer.everything().contains(&down.port().to_string()),
            "{}",
            answer.everything()
        );
        assert!(
            !answer.everything().contains("Pingora"),
            "{}",
            answer.everything()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_by_name_is_found_at_whichever_of_its_addresses_it_listens() {
    let app = crate::app::App::start().await;
    let tables = open_route(
        "127.0.0.1",
        "/named",
        &format!("http://localhost:{}", app.addr.port()),
    );
    let world = World::with(Extra {
        tables: &tables,
        ..Extra::default()
    })
    .await;
    for _ in 0..2 {
        assert_eq!(
            Browser::new(DESKTOP)
                .open(world.gateway, "/named")
                .await
                .status,
            200
        );
    }
    assert_eq!(app.seen().len(), 2);
}

// The end, and the admin paths.

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_a_request_on_its_way_finish_and_takes_no_new_one() {
    let world = World::new().await;
    let browser = world.visitor().await;
    let gateway = world.gateway;
    let go_on: Arc<Notify> = Arc::clone(&world.app.go_on);
    let mut wire = Wire::to(gateway).await;
    wire.send(browser.request("GET", gateway, "/half", &[], b""))
        .await;
    while !world
        .app
        .seen()
        .iter()
        .any(|seen| seen.line().contains("/half"))
    {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let stopping = tokio::spawn(world.stop());
    let refused = async {
        while let Ok(mut stream) = TcpStream::connect(gateway).await {
            // Taken by the system just before: nobody serves it.
            let _ = stream.read(&mut [0; 16]).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), refused)
        .await
        .expect("new connections are refused");
    assert!(!stopping.is_finished());
    go_on.notify_one();
    let answer = wire.answer(false).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "app got 0"));
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_to_operators_and_not_to_visitors() {
    let world = World::new().await;
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = Browser::new("probe").open(world.admin, path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, body));
        let public = Browser::new(DESKTOP).open(world.gateway, path).await;
        assert_eq!(public.status, 403, "a path like any other");
        assert_ne!(public.text(), body);
    }
    let mut visitor = world.visitor().await;
    assert_eq!(visitor.open(world.gateway, "/healthz").await.status, 200);
    assert_eq!(
        world.app.last().line(),
        "GET /healthz HTTP/1.1",
        "the app's own path"
    );
}

/// The rest of a refused request is no header: neither odd nor slow nor large.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_refused_request_does_not_spoil_the_next() {
    let world = World::new().await;
    let host = world.gateway;
    for body in [
        "{\"a\": 1,\r\n\"b c\": \n2}".to_owned(),
        "GET / HTTP/1.1\r\n".to_owned(),
        "x y\n".repeat(50_000),
    ] {
        let mut wire = Wire::to(host).await;
        let length = body.len();
        let head = format!(
            "POST /x HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        wire.send(&head).await;
        let answer = wire.answer(false).await;
        assert_eq!(answer.status, 401);
        wire.send(&body).await;
        let good = format!("GET /pay/notify HTTP/1.1\r\nHost: {host}\r\n\r\n");
        wire.send(&good).await;
        assert_eq!(wire.answer(false).await.status, 200, "{length}");
        // And what it looked like does not vouch for what comes.
        let odd = format!("GET /pay/notify/a b HTTP/1.1\r\nHost: {host}\r\n\r\n");
        wire.send(&odd).await;
        assert_eq!(wire.answer(false).await.status, 400, "{length}");
        assert!(wire.is_closed().await);
    }
}
