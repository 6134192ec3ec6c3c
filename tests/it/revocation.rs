//! Sessions that are ended before their time.

use std::time::Duration;

use crate::client::{Browser, WECHAT, Wire};
use crate::world::{Extra, OPENID, World};

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
