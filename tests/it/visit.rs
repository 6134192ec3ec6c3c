//! The visit: from the first request to the app and back, again and again.

use crate::client::{Browser, DESKTOP, WECHAT, send, split};
use crate::world::{Extra, OPENID, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_visit_ends_at_the_app_with_the_openid() {
    let world = World::new().await;
    let mut browser = Browser::new(WECHAT);
    let target = "/goods/42?from=singlemessage&isappinstalled=0&q=%E8%8C%B6%2F&x=a+b&&empty";
    let (answer, trail) = browser.visit(world.gateway, target).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(trail.len(), 3, "{trail:#?}");
    assert_eq!(trail[2], format!("http://{}{target}", world.gateway));
    let seen = world.app.last();
    assert_eq!(seen.line(), format!("GET {target} HTTP/1.1"));
    assert_eq!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
    assert_eq!(
        seen.value("x-wechat-appid").as_deref(),
        Some(world.app_id.as_str())
    );
    assert_eq!(seen.value("x-wechat-scope").as_deref(), Some("snsapi_base"));
    assert_eq!(seen.value("x-wechat-nickname"), None);
    let session = browser.cookie("wxgate_shop").unwrap();
    assert_eq!(
        seen.value("cookie").as_deref(),
        Some(format!("wxgate_shop={}", session.value).as_str())
    );
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_wechat_is_to_the_letter() {
    let world = World::new().await;
    let (browser, answer) = world.begin("/x").await;
    let state = browser.cookie("wxgate-login-").unwrap().name.clone();
    let piece = state.strip_prefix("wxgate-login-").unwrap();
    let callback = format!(
        "http%3A%2F%2F127.0.0.1%3A{}%2F.wxgate%2Fcallback",
        world.gateway.port()
    );
    let start = format!(
        "{}/connect/oauth2/authorize?appid={}&redirect_uri={callback}&response_type=code&scope=snsapi_base&state={piece}",
        world.simulator.base_url(),
        world.app_id
    );
    let location = answer.location();
    assert!(location.starts_with(&start), "{location}");
    assert!(location.ends_with("#wechat_redirect"), "{location}");
    assert_eq!(answer.value("cache-control"), Some("no-store"));
    let login = browser.cookie("wxgate-login-").unwrap();
    assert_eq!(login.path, "/.wxgate/callback");
    assert!(
        answer
            .values("set-cookie")
            .iter()
            .all(|cookie| cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_asks_wechat_nothing_more() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    for method in ["GET", "POST", "DELETE"] {
        let answer = browser
            .ask(
                method,
                world.gateway,
                "/order",
                &[("Accept", "application/json")],
                b"a=1",
            )
            .await;
        assert_eq!(answer.status, 200);
        assert!(
            answer.values("set-cookie").is_empty(),
            "a young session is not written anew"
        );
        assert_eq!(
            world.app.last().value("x-wechat-openid").as_deref(),
            Some(OPENID)
        );
    }
    let calls = world.simulator.calls();
    assert_eq!(
        (
            calls.authorize.total,
            calls.exchange.total,
            calls.userinfo.total
        ),
        (1, 1, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_comes_with_consent() {
    let world = World::new().await;
    let mut browser = Browser::new(WECHAT);
    let answer = browser.open(world.gateway, "/member").await;
    assert!(
        answer.location().contains("&scope=snsapi_userinfo&"),
        "{}",
        answer.location()
    );
    let consent = browser.open_url(answer.location()).await;
    assert_eq!(consent.status, 200);
    let (_, query) = answer.location().split_once('?').unwrap();
    let query = query.split('#').next().unwrap();
    let visitor = world
        .simulator
        .visitors()
        .into_iter()
        .find(|visitor| !visitor.nickname.is_ascii())
        .unwrap();
    let chosen = format!(
        "{}/simulator/choose/authorize/{}?{query}",
        world.simulator.base_url(),
        visitor.openid
    );
    let mut back = browser.open_url(&chosen).await;
    while back.status == 302 {
        back = browser.open_url(back.location()).await;
    }
    assert_eq!(back.status, 200, "{back:?}");
    let seen = world.app.last();
    assert_eq!(
        seen.value("x-wechat-openid").as_deref(),
        Some(visitor.openid.as_str())
    );
    assert_eq!(
        seen.value("x-wechat-scope").as_deref(),
        Some("snsapi_userinfo")
    );
    let nickname = seen.value("x-wechat-nickname").unwrap();
    assert!(nickname.is_ascii());
    let decoded = percent_encoding::percent_decode_str(&nickname)
        .decode_utf8()
        .unwrap();
    assert_eq!(decoded, visitor.nickname);
    assert_eq!(
        seen.value("x-wechat-unionid").as_deref(),
        Some(visitor.unionid.as_str())
    );
    assert!(
        seen.value("x-wechat-avatar")
            .unwrap()
            .starts_with(&world.simulator.base_url())
    );
    // One grant is enough for the routes that ask for less.
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_less_than_a_route_needs_is_asked_for_more() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let answer = browser.open(world.gateway, "/member").await;
    assert_eq!(answer.status, 302);
    assert!(answer.location().contains("&scope=snsapi_userinfo&"));
    let script = browser
        .ask(
            "GET",
            world.gateway,
            "/member",
            &[("Sec-Fetch-Mode", "cors")],
            b"",
        )
        .await;
    assert_eq!(script.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn public_and_optional_routes_let_everybody_in() {
    let world = World::new().await;
    let notify = Browser::new("Mozilla/4.0")
        .ask(
            "POST",
            world.gateway,
            "/pay/notify",
            &[("Content-Type", "text/xml")],
            b"<xml/>",
        )
        .await;
    assert_eq!(notify.status, 200);
    assert_eq!(world.app.last().body, b"<xml/>");
    assert_eq!(world.app.last().value("x-wechat-openid"), None);
    let mut stranger = Browser::new(DESKTOP);
    assert_eq!(stranger.open(world.gateway, "/welcome").await.status, 200);
    assert_eq!(world.app.last().value("x-wechat-openid"), None);
    let mut visitor = world.visitor().await;
    assert_eq!(visitor.open(world.gateway, "/welcome").await.status, 200);
    assert_eq!(
        world.app.last().value("x-wechat-openid").as_deref(),
        Some(OPENID)
    );
    // On a public route nobody looks at the session, and the app sees none.
    assert_eq!(visitor.open(world.gateway, "/pay/notify").await.status, 200);
    assert_eq!(world.app.last().value("x-wechat-openid"), None);
    assert_eq!(world.app.last().value("cookie"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routes_own_settings_are_kept() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    browser.jar.push(crate::client::Cookie {
        name: "own".into(),
        value: "1".into(),
        path: "/".into(),
    });
    let refused = browser
        .ask("DELETE", world.gateway, "/eventsx", &[], b"")
        .await;
    assert_eq!(refused.status, 200, "another segment is another route");
    let refused = browser
        .ask("DELETE", world.gateway, "/events/1", &[], b"")
        .await;
    assert_eq!(
        (refused.status, refused.value("allow")),
        (405, Some("GET, POST"))
    );
    world.app.go_on.notify_one();
    let answer = browser
        .ask(
            "POST",
            world.gateway,
            "/events",
            &[("X-From", "client")],
            b"x",
        )
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.app.last().value("x-from").as_deref(), Some("gateway"));
    assert_eq!(world.app.last().value("cookie").as_deref(), Some("own=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_is_served_nothing() {
    let world = World::new().await;
    let answer = send(world.gateway, format!("GET / HTTP/1.1\r\nHost: other.example\r\nUser-Agent: {WECHAT}\r\nAccept: text/html\r\n\r\n")).await;
    assert_eq!(answer.status, 404);
    assert!(world.app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renewed_under_a_new_key_and_at_half_its_idle_time() {
    // The unit tests move the clock; here the key moves.
    let old = wxgate::signing::generate_key().unwrap();
    let new = wxgate::signing::generate_key().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, key) in [("old", &old), ("new", &new)] {
        std::fs::write(dir.path().join(name), key.expose()).unwrap();
    }
    let before = format!("keys = [{{ file = \"{}/old\" }}]", dir.path().display());
    let after = format!(
        "keys = [{{ file = \"{0}/new\" }}, {{ file = \"{0}/old\" }}]",
        dir.path().display()
    );
    let gone = format!("keys = [{{ file = \"{}/new\" }}]", dir.path().display());
    let first = World::with(Extra {
        session: &before,
        ..Extra::default()
    })
    .await;
    let mut browser = first.visitor().await;
    let second = World::with(Extra {
        session: &after,
        ..Extra::default()
    })
    .await;
    let cached = browser.open(second.gateway, "/cached").await;
    assert_eq!(cached.status, 200);
    assert!(
        cached.values("set-cookie").is_empty(),
        "an answer that caches may share carries no session"
    );
    let answer = browser.open(second.gateway, "/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.values("set-cookie").len(), 1, "{answer:?}");
    let third = World::with(Extra {
        session: &gone,
        ..Extra::default()
    })
    .await;
    let answer = browser.open(third.gateway, "/").await;
    assert_eq!(
        answer.status, 200,
        "the renewed session needs the new key alone"
    );
    assert!(answer.values("set-cookie").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_shop_greets_its_visitor_and_takes_an_order() {
    crate::world::install_crypto();
    let any = "127.0.0.1:0".parse().unwrap();
    let demo = wxgate::demo::start(any, false).await.unwrap();
    let welcome = demo.welcome();
    let url = welcome
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap()
        .to_owned();
    let (addr, target) = split(&url);
    let mut browser = Browser::new(WECHAT);
    let (page, _) = browser.visit(addr, &target).await;
    assert_eq!(page.status, 200);
    let openid = page
        .text()
        .split("id=\"openid\">")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap()
        .to_owned();
    let order = browser
        .ask(
            "POST",
            addr,
            "/addOrder",
            &[
                ("Accept", "application/json"),
                ("Content-Type", "application/x-www-form-urlencoded"),
            ],
            b"item=tea",
        )
        .await;
    assert_eq!(
        order.json()["data"]["openid"],
        openid.as_str(),
        "{}",
        order.text()
    );
    assert!(order.json()["data"]["orderNo"].is_string());
    // A browser of any other kind chooses its visitor at the simulator.
    let mut desktop = Browser::new(DESKTOP);
    let (choice, trail) = desktop.visit(addr, &target).await;
    assert_eq!(choice.status, 200);
    assert!(trail.last().unwrap().contains("/connect/oauth2/authorize"));
    demo.stop().await;
}
