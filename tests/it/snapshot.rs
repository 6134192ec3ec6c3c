//! A snapshot page's visitors: shown around where a route lets them, and nobody.

use wxgate::simulator::Mood;

use crate::client::{Browser, WECHAT};
use crate::world::{OPENID, World};

const ROUTES: &str = r#"
[[routes]]
host = "127.0.0.1"
path = "/look"
upstream = "http://{app}"
account = "shop"
scope = "snsapi_userinfo"
snapshot = "read_only"

[[routes]]
host = "127.0.0.1"
path = "/look/welcome"
upstream = "http://{app}"
account = "shop"
scope = "snsapi_userinfo"
auth = "optional"
snapshot = "read_only"
"#;

async fn world() -> World {
    World::with_tables(ROUTES).await
}

async fn looking(world: &World) -> Browser {
    world.simulator.set_mood(Mood::Snapshot);
    let mut browser = Browser::new(WECHAT);
    let (answer, _) = browser.visit(world.gateway, "/look?x=1").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_visitor_may_look_and_change_nothing() {
    let world = world().await;
    let mut browser = looking(&world).await;
    let seen = world.app.last();
    assert_eq!(seen.line(), "GET /look?x=1 HTTP/1.1");
    assert_eq!(seen.value("x-wechat-snapshot").as_deref(), Some("1"));
    assert_ne!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
    let before = world.app.seen().len();
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
        let answer = browser.ask(method, world.gateway, "/look", &[], b"").await;
        assert_eq!(answer.status, 403, "{method}");
    }
    let form = [
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ];
    let answer = browser
        .ask("POST", world.gateway, "/look", &form, b"a=b")
        .await;
    assert!(answer.text().contains("使用完整服务"), "{}", answer.text());
    assert!(
        answer.text().contains("/.wxgate/login?to=%2Flook"),
        "{}",
        answer.text()
    );
    let socket = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = browser
        .ask("GET", world.gateway, "/look/socket", &socket, b"")
        .await;
    assert_eq!(
        (answer.status, answer.json()["message"].as_str()),
        (403, Some("snapshot_read_only"))
    );
    assert_eq!(world.app.seen().len(), before);
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(
            browser
                .ask(method, world.gateway, "/look", &[], b"")
                .await
                .status,
            200
        );
    }
    // Where a session is welcome it is the same visitor.
    assert_eq!(
        browser.open(world.gateway, "/look/welcome").await.status,
        200
    );
    assert_eq!(
        world.app.last().value("x-wechat-snapshot").as_deref(),
        Some("1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_visitor_is_nobody_elsewhere() {
    let world = world().await;
    let mut browser = looking(&world).await;
    assert_eq!(browser.cookie("wxgate_shop"), None);
    let snapshot = browser.cookie("wxgate-snapshot-shop").unwrap().clone();
    for target in ["/", "/member"] {
        let answer = browser.open(world.gateway, target).await;
        assert!(
            answer.location().contains("/connect/oauth2/authorize?"),
            "{target}"
        );
    }
    for target in ["/.wxgate/me", "/.wxgate/openid"] {
        assert_eq!(
            browser.open(world.gateway, target).await.status,
            401,
            "{target}"
        );
    }
    // Its cookie is no session, whatever it is called.
    let mut forger = Browser::new(WECHAT);
    forger.jar = vec![crate::client::Cookie {
        name: "wxgate_shop".to_owned(),
        ..snapshot
    }];
    assert_eq!(forger.open(world.gateway, "/").await.status, 302);
    // Nor does it reach an app that does not take it.
    assert_eq!(browser.open(world.gateway, "/welcome").await.status, 200);
    let seen = world.app.last();
    assert_eq!(seen.value("x-wechat-openid"), None);
    assert!(!seen.text().contains("snapshot"), "{}", seen.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_the_full_service_is_known_from_then_on() {
    let world = world().await;
    let mut browser = looking(&world).await;
    world.simulator.set_mood(Mood::Normal);
    let (answer, _) = world.visit(&mut browser, "/.wxgate/login?to=%2Flook").await;
    assert_eq!(answer.status, 200);
    let seen = world.app.last();
    assert_eq!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
    assert_eq!(seen.value("x-wechat-snapshot"), None);
    assert_eq!(
        browser
            .ask("POST", world.gateway, "/look", &[], b"")
            .await
            .status,
        200
    );
    let answer = browser
        .ask(
            "POST",
            world.gateway,
            "/.wxgate/logout",
            &[("Sec-Fetch-Site", "same-origin")],
            b"",
        )
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        browser
            .jar
            .iter()
            .all(|cookie| !cookie.name.ends_with("shop")),
        "{:?}",
        browser.jar
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_does_not_take_a_session_away() {
    let world = world().await;
    let mut browser = world.visitor().await;
    world.simulator.set_mood(Mood::Snapshot);
    let (answer, _) = browser.visit(world.gateway, "/look").await;
    // The session that is there grants too little for this route, and stays.
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        world.app.last().value("x-wechat-snapshot").as_deref(),
        Some("1")
    );
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
    assert_eq!(
        world.app.last().value("x-wechat-openid").as_deref(),
        Some(OPENID)
    );
    assert_eq!(world.app.last().value("x-wechat-snapshot"), None);
}
