//! Sessions that are ended before their time.

use std::time::Duration;

use crate::app::App;
use crate::client::{Browser, WECHAT, Wire};
use crate::h2;
use crate::process::{Process, free_address, wxgate};
use crate::world::{Extra, OPENID, World, files, gateway_toml, install_crypto, simulator};

async fn log_out(browser: &mut Browser, world: &World) {
    let own = [
        ("Sec-Fetch-Site", "same-origin"),
        ("Accept", "application/json"),
    ];
    let answer = browser
        .ask("POST", world.gateway, "/.wxgate/logout", &own, b"")
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn is_let_in(browser: &Browser, world: &World) -> bool {
    let answer = browser.clone().open(world.gateway, "/").await;
    match answer.status {
        200 => true,
        302 => false,
        status => panic!("{status}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_cookie_is_dead_after_the_logout() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let (copy, other) = (browser.clone(), world.visitor().await);
    log_out(&mut browser, &world).await;
    assert!(!is_let_in(&copy, &world).await);
    let programs = [("Accept", "application/json")];
    for target in ["/", "/.wxgate/me", "/.wxgate/openid"] {
        let answer = copy
            .clone()
            .ask("GET", world.gateway, target, &programs, b"")
            .await;
        assert_eq!(answer.status, 401, "{target}");
    }
    // Another session of the same visitor goes on.
    assert!(is_let_in(&other, &world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_a_session_a_visitor_and_everyone() {
    let world = World::new().await;
    let word = world.admin_word();
    let ended = |answer: crate::client::Answer| assert_eq!(answer.status, 200, "{}", answer.text());

    let (mut first, second) = (world.visitor().await, world.visitor().await);
    let told = first.open(world.gateway, "/.wxgate/me").await.json();
    let id = told["data"]["session"].as_str().unwrap();
    ended(
        world
            .order(&word, &format!("{{\"session\":\"{id}\"}}"))
            .await,
    );
    assert!(!is_let_in(&first, &world).await && is_let_in(&second, &world).await);

    assert!(world.simulator.set_default_visitor("oSomebodyElse"));
    let mut other = Browser::new(WECHAT);
    other.visit(world.gateway, "/").await;
    ended(
        world
            .order(&word, &format!("{{\"openid\":\"{OPENID}\"}}"))
            .await,
    );
    assert!(!is_let_in(&second, &world).await && is_let_in(&other, &world).await);

    ended(world.order(&word, "{\"everyone\":true}").await);
    assert!(!is_let_in(&other, &world).await);

    // Whoever was put out can come back in the same second.
    let (answer, trail) = other.visit(world.gateway, "/").await;
    assert_eq!(answer.status, 200, "{trail:?}");
    assert!(is_let_in(&other, &world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_an_operator_ends_sessions() {
    let world = World::new().await;
    let visitor = world.visitor().await;
    let everyone = "{\"everyone\":true}";
    let cookie = &visitor.cookie("wxgate_shop").unwrap().value;
    for word in ["", "wrong", cookie] {
        assert_eq!(world.order(word, everyone).await.status, 401, "{word}");
    }
    let word = world.admin_word();
    for (order, status) in [
        ("", 400),
        ("{}", 422),
        ("\"x\"", 400),
        ("{\"everyone\":false}", 422),
        ("{\"everyone\":true,\"openid\":\"o\"}", 422),
        ("{\"everyone\":true,\"before\":99999999999}", 422),
        ("{\"session\":\"7\"}", 422),
        ("{\"openid\":\"o\\n\"}", 422),
        ("{\"openid\":\"o\",\"account\":\"none\"}", 422),
        ("{\"visitor\":\"o\"}", 400),
    ] {
        let answer = world.order(&word, order).await;
        assert_eq!(answer.status, status, "{order}: {}", answer.text());
        assert!(answer.json()["message"].is_string());
    }
    // Nor is it there for visitors.
    let headers = [("Authorization", format!("Bearer {word}"))];
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    for target in ["/sessions/revoke", "/.wxgate/sessions/revoke"] {
        let mut nobody = Browser::new(WECHAT);
        let answer = nobody
            .ask("POST", world.gateway, target, &headers, everyone.as_bytes())
            .await;
        assert!(
            matches!(answer.status, 401 | 404 | 405),
            "{target}: {}",
            answer.status
        );
    }
    assert!(is_let_in(&visitor, &world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_over_http_2_ends_with_the_next_event() {
    let world = World::with(Extra {
        server: "h2c = true",
        ..Extra::default()
    })
    .await;
    let mut browser = world.visitor().await;
    let authority = world.gateway.to_string();
    let cookies = browser.cookies("/events");
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/events"),
        (":authority", &authority),
        ("cookie", &cookies),
        ("accept", "text/event-stream"),
    ];
    let mut connection = h2::Connection::to(world.gateway).await;
    let flags = h2::END_STREAM | h2::END_HEADERS;
    connection
        .send(&h2::frame(h2::HEADERS, flags, 1, &h2::block(&fields)))
        .await;
    let began = std::time::Instant::now();
    while world.app.last().line() != "GET /events HTTP/1.1" {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    log_out(&mut browser, &world).await;
    world.app.go_on.notify_one();
    let outcome = connection.outcome(1).await;
    assert_eq!(outcome, h2::Outcome::Answer(200, b"data: 1\n\n".to_vec()));
}

/// Runs `wxgate sessions revoke` with `arguments`: its exit code and all it said.
async fn revoke(dir: &std::path::Path, arguments: &[&str]) -> (i32, String) {
    let mut all = vec!["sessions", "revoke", "--config", "gateway.toml"];
    all.extend_from_slice(arguments);
    let mut command = wxgate(&all, dir);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let told = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&told).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_ends_sessions_whether_or_not_it_can_ask_the_gateway() {
    install_crypto();
    let (gateway, admin) = (free_address(), free_address());
    let app = App::start().await;
    let simulator = simulator(gateway).await;
    let files = files();
    let dir = files.path();
    let text = gateway_toml(gateway, app.addr, &simulator, &Extra::default());
    let heard = format!("admin_listen = \"{admin}\"");
    let heard = text.replace("admin_listen = \"127.0.0.1:0\"", &heard);
    let config = dir.join("gateway.toml");
    std::fs::write(&config, &heard).unwrap();
    let (code, told) = revoke(dir, &["--openid", OPENID]).await;
    assert!(
        code == 1 && told.contains("session.key does not exist"),
        "{told}"
    );
    assert!(!dir.join("state").exists(), "it made something");

    let mut process = Process::gateway(&config);
    process.wait_for("admin paths");
    let log_in = async || {
        let mut browser = Browser::new(WECHAT);
        let (answer, _) = browser.visit(gateway, "/").await;
        assert_eq!(answer.status, 200);
        browser
    };
    let let_in = async |browser: &Browser| browser.clone().open(gateway, "/").await.status == 200;
    let one = log_in().await;
    let (code, told) = revoke(dir, &["--openid", OPENID, "--account", "shop"]).await;
    assert!(code == 0 && told.contains("every instance"), "{told}");
    assert!(!let_in(&one).await);
    for wrong in [
        &["--openid", OPENID, "--account", "none"][..],
        &["--session", "12"],
        &["--all-before", "2099-01-01T00:00:00Z"],
    ] {
        assert_eq!(revoke(dir, wrong).await.0, 1, "{wrong:?}");
    }
    for wrong in [
        &["--openid"][..],
        &[],
        &["--openid", "o", "--all-before", "now"],
        &["--all-before", "soon"],
    ] {
        assert_eq!(revoke(dir, wrong).await.0, 2, "{wrong:?}");
    }
    // A gateway that does not listen to operators finds it in its store; the one
    // that was told has kept it.
    process.kill();
    let deaf: String = heard
        .lines()
        .filter(|line| !line.starts_with("admin_listen"))
        .collect::<Vec<_>>()
        .join("\n");
    std::fs::write(&config, deaf).unwrap();
    let mut process = Process::gateway(&config);
    assert!(!let_in(&one).await);
    let other = log_in().await;
    assert!(let_in(&other).await);
    let (code, told) = revoke(dir, &["--all-before", "now"]).await;
    assert!(code == 0 && told.contains("within a second"), "{told}");
    let began = std::time::Instant::now();
    while let_in(&other).await {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    process.kill();
    // Nobody runs: it is there when somebody does.
    let _process = Process::gateway(&config);
    let third = log_in().await;
    drop(_process);
    assert_eq!(revoke(dir, &["--openid", OPENID]).await.0, 0);
    let _process = Process::gateway(&config);
    assert!(!let_in(&third).await);
}

async fn open(world: &World, browser: &Browser, target: &str, headers: &[(&str, &str)]) -> Wire {
    let mut wire = Wire::to(world.gateway).await;
    wire.send(browser.request("GET", world.gateway, target, headers, b""))
        .await;
    wire
}

const SOCKET: &[(&str, &str)] = &[
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_ends_with_its_session_and_no_other_does() {
    let world = World::new().await;
    let (mut browser, other) = (world.visitor().await, world.visitor().await);
    let mut socket = open(&world, &browser, "/socket", SOCKET).await;
    assert_eq!(socket.answer(false).await.status, 101);
    let mut others = open(&world, &other, "/socket", SOCKET).await;
    assert_eq!(others.answer(false).await.status, 101);
    socket.send("one").await;
    assert_eq!(socket.bytes(3).await, b"one");
    log_out(&mut browser, &world).await;
    assert!(socket.is_closed().await);
    others.send("two").await;
    assert_eq!(others.bytes(3).await, b"two");
    assert_eq!(
        world
            .order(&world.admin_word(), "{\"everyone\":true}")
            .await
            .status,
        200
    );
    assert!(others.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_websocket_ends_with_its_session_too() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let mut socket = open(&world, &browser, "/socket", SOCKET).await;
    assert_eq!(socket.answer(false).await.status, 101);
    log_out(&mut browser, &world).await;
    let chat = async { while socket.try_send(b"still here").await {} };
    tokio::time::timeout(Duration::from_secs(10), chat)
        .await
        .expect("an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_ends_with_its_session() {
    let world = World::with(Extra::default()).await;
    let mut browser = world.visitor().await;
    let mut events = open(
        &world,
        &browser,
        "/events",
        &[("Accept", "text/event-stream")],
    )
    .await;
    let head = events.head().await;
    assert_eq!(head.status, 200);
    assert_eq!(
        head.value("content-type"),
        Some("text/event-stream"),
        "{head:?}"
    );
    log_out(&mut browser, &world).await;
    // The app goes on only when it is told to, and is not.
    let end = async { while !events.bytes(1).await.is_empty() {} };
    tokio::time::timeout(Duration::from_secs(10), end)
        .await
        .expect("an end");
}
