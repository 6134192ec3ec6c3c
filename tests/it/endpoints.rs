//! The gateway's own paths below `/.wxgate/`, and the files that WeChat asks
//! for.

use http::Method;
use serde_json::json;

use crate::client::{Answer, Browser, DESKTOP, WECHAT, send};
use crate::world::{OPENID, World};

fn encoded(target: &str) -> String {
    url::form_urlencoded::byte_serialize(target.as_bytes()).collect()
}

/// Asks as a page of this very gateway does.
async fn from_own_page(
    browser: &mut Browser,
    world: &World,
    method: &Method,
    target: &str,
) -> Answer {
    let origin = format!("http://{}", world.gateway);
    let headers = [("Origin", origin.as_str()), ("Accept", "application/json")];
    browser
        .ask(method.as_str(), world.gateway, target, &headers, b"")
        .await
}

// login

#[tokio::test(flavor = "multi_thread")]
async fn login_leads_through_wechat_to_its_target() {
    let world = World::new().await;
    for target in [
        "/",
        "/goods/42?a=1&b=%20",
        "/a//b?u=https://evil.example/",
        "/%E4%BD%A0",
    ] {
        let login = format!("/.wxgate/login?to={}", encoded(target));
        let (answer, trail) = Browser::new(WECHAT).visit(world.gateway, &login).await;
        assert_eq!(answer.status, 200, "{target}");
        assert!(
            trail[0].contains("/connect/oauth2/authorize?"),
            "{trail:#?}"
        );
        assert_eq!(
            trail.last().unwrap(),
            &format!("http://{}{target}", world.gateway)
        );
        assert_eq!(world.app.last().line(), format!("GET {target} HTTP/1.1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn login_without_a_target_leads_to_the_root() {
    let world = World::new().await;
    let (answer, trail) = Browser::new(WECHAT)
        .visit(world.gateway, "/.wxgate/login")
        .await;
    assert_eq!(
        (answer.status, trail.last().unwrap()),
        (200, &format!("http://{}/", world.gateway))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn login_with_a_session_leads_straight_to_its_target() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let answer = browser
        .open(world.gateway, "/.wxgate/login?to=%2Fcart%3Fa%3D1")
        .await;
    assert_eq!(answer.status, 302);
    assert_eq!(
        answer.location(),
        format!("http://{}/cart?a=1", world.gateway)
    );
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_to_a_route_that_needs_more_asks_for_more() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let answer = browser
        .open(world.gateway, "/.wxgate/login?to=%2Fmember")
        .await;
    assert!(
        answer.location().contains("scope=snsapi_userinfo"),
        "{}",
        answer.location()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn login_to_a_route_without_login_leads_straight_there() {
    let world = World::new().await;
    let answer = Browser::new(WECHAT)
        .open(world.gateway, "/.wxgate/login?to=%2Fpay%2Fnotify")
        .await;
    assert_eq!(
        answer.location(),
        format!("http://{}/pay/notify", world.gateway)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn login_outside_wechat_shows_the_targets_address() {
    let world = World::new().await;
    let page = Browser::new(DESKTOP)
        .open(world.gateway, "/.wxgate/login?to=%2Fcart")
        .await;
    assert_eq!(page.status, 403);
    assert!(
        page.text()
            .contains(&format!("<code>http://{}/cart</code>", world.gateway)),
        "{}",
        page.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn login_never_leads_elsewhere() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let hostile = [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "https://evil.example",
        "https:evil.example",
        "HTTPS://evil.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "evil.example",
        "@evil.example",
        ".evil.example",
        ":80/",
        "?x",
        "",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\nLocation: https://evil.example",
        "/x\r\nSet-Cookie: a=b",
        "/\0",
        " /x",
        "/ x",
        "/x#y",
        "\u{ff0f}\u{ff0f}evil.example",
    ];
    for target in hostile {
        let login = format!("/.wxgate/login?to={}", encoded(target));
        for browser in [
            &mut visitor,
            &mut Browser::new(WECHAT),
            &mut Browser::new(DESKTOP),
        ] {
            let answer = browser.open(world.gateway, &login).await;
            assert_eq!(
                (answer.status, answer.value("location")),
                (400, None),
                "{target:?}"
            );
            assert!(answer.values("set-cookie").is_empty(), "{target:?}");
            assert!(
                !answer.everything().contains("evil.example"),
                "{}",
                answer.everything()
            );
        }
    }
    assert_eq!(world.simulator.calls().authorize.total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_two_targets_has_none() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    for query in [
        "to=%2Fa&to=%2Fb",
        "to=%2Fa&to=%2Fa",
        "to=%2Fa&x=1&t%6f=%2F%2Fevil.example",
    ] {
        let answer = visitor
            .open(world.gateway, &format!("/.wxgate/login?{query}"))
            .await;
        assert_eq!(
            (answer.status, answer.value("location")),
            (400, None),
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_to_the_gateways_own_paths_is_no_loop() {
    let world = World::new().await;
    for target in [
        "/.wxgate/login",
        "/.wxgate/login?to=%2F.wxgate%2Flogin",
        "/.wxgate/logout",
        "/.wxgate/callback",
    ] {
        let login = format!("/.wxgate/login?to={}", encoded(target));
        // More than twenty redirects fail.
        let (answer, _) = Browser::new(WECHAT).visit(world.gateway, &login).await;
        assert!(answer.status < 500, "{target}: {answer:?}");
    }
}

// logout

#[tokio::test(flavor = "multi_thread")]
async fn opening_logout_asks_first_and_logs_nobody_out() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    for method in ["GET", "HEAD"] {
        let page = browser
            .ask(method, world.gateway, "/.wxgate/logout", &[], b"")
            .await;
        assert_eq!((page.status, page.value("allow")), (405, Some("POST")));
        assert!(page.values("set-cookie").is_empty());
        if method == "GET" {
            assert!(
                page.text()
                    .contains("<form method=\"post\" action=\"/.wxgate/logout\">"),
                "{}",
                page.text()
            );
        }
    }
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sites_page_logs_nobody_out() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let own = format!("http://{}", world.gateway);
    let below = format!("http://{}.evil.example", world.gateway);
    let cases: [&[(&str, &str)]; 7] = [
        &[],
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Origin", &below)],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Origin", &own), ("Sec-Fetch-Site", "cross-site")],
    ];
    for headers in cases {
        let answer = browser
            .ask("POST", world.gateway, "/.wxgate/logout", headers, b"")
            .await;
        assert_eq!(answer.status, 400, "{headers:?}");
        assert!(answer.values("set-cookie").is_empty(), "{headers:?}");
        assert_eq!(
            browser.open(world.gateway, "/").await.status,
            200,
            "{headers:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_this_host_logs_its_visitor_out() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let answer = from_own_page(&mut browser, &world, &Method::POST, "/.wxgate/logout").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"code": 0})));
    assert_eq!(browser.cookie("wxgate_shop"), None);
    assert_eq!(
        from_own_page(&mut browser, &world, &Method::GET, "/.wxgate/me")
            .await
            .status,
        401
    );
    let next = browser.open(world.gateway, "/").await;
    assert!(next.location().contains("/connect/oauth2/authorize?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_logs_out_is_answered_with_a_page_and_the_way_back_in() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let origin = format!("http://{}", world.gateway);
    let headers = [
        ("Origin", origin.as_str()),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ];
    let page = browser
        .ask("POST", world.gateway, "/.wxgate/logout", &headers, b"")
        .await;
    assert_eq!(page.status, 200);
    assert!(
        page.text().contains("已退出登录") && page.text().contains("href=\"/\""),
        "{}",
        page.text()
    );
    assert_eq!(browser.cookie("wxgate_shop"), None);
    assert_eq!(browser.visit(world.gateway, "/").await.0.status, 200);
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_ends_the_logins_in_flight_as_well() {
    let world = World::new().await;
    let (mut browser, callback) = world.until_callback("/x").await;
    from_own_page(&mut browser, &world, &Method::POST, "/.wxgate/logout").await;
    assert_eq!(browser.jar, [], "no cookie of ours is left");
    let answer = browser.open(world.gateway, &callback).await;
    assert_ne!(
        answer.value("location"),
        Some(format!("http://{}/x", world.gateway).as_str())
    );
    assert_eq!(world.exchanges(), 0);
}

// me, openid

#[tokio::test(flavor = "multi_thread")]
async fn me_tells_visitors_who_they_are() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let answer = from_own_page(&mut browser, &world, &Method::GET, "/.wxgate/me").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.value("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert_eq!(answer.value("cache-control"), Some("no-store"));
    assert_eq!(
        answer.value("cross-origin-resource-policy"),
        Some("same-origin")
    );
    assert_eq!(answer.value("access-control-allow-origin"), None);
    let told = answer.json();
    let (opened, ends) = (
        told["data"]["opened"].as_u64().unwrap(),
        told["data"]["ends"].as_u64().unwrap(),
    );
    assert!(opened > 1_700_000_000 && opened < ends, "{told}");
    let id = told["data"]["session"].as_str().unwrap();
    assert!(wxgate::revocation::parse_id(id).is_some(), "{id}");
    let data = json!({
        "session": id, "openid": OPENID, "userid": null, "unionid": null, "nickname": null, "avatar": null,
        "account": "shop", "app_id": world.app_id, "scope": "snsapi_base", "opened": opened, "ends": ends, "pay": [],
    });
    assert_eq!(told, json!({"code": 0, "data": data}));
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_tells_what_a_page_that_logs_in_itself_expects() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    for method in [Method::GET, Method::POST] {
        let answer = from_own_page(&mut browser, &world, &method, "/.wxgate/openid").await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.text(),
            format!("{{\"code\":0,\"data\":{{\"openid\":\"{OPENID}\"}}}}")
        );
        assert_eq!(
            answer.value("content-type"),
            Some("application/json; charset=utf-8")
        );
        assert_eq!(answer.value("cache-control"), Some("no-store"));
    }
    let body = browser
        .ask(
            "POST",
            world.gateway,
            "/.wxgate/openid",
            &[],
            b"code=ignored",
        )
        .await;
    assert_eq!(body.json()["data"]["openid"], OPENID);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_nothing() {
    let world = World::new().await;
    for (method, target) in [
        ("GET", "/.wxgate/me"),
        ("GET", "/.wxgate/openid"),
        ("POST", "/.wxgate/openid"),
    ] {
        for agent in [WECHAT, DESKTOP] {
            let answer = Browser::new(agent)
                .ask(method, world.gateway, target, &[], b"")
                .await;
            assert_eq!(
                (answer.status, answer.value("cache-control")),
                (401, Some("no-store"))
            );
            let told = answer.json();
            assert!(
                told["code"] != 0 && told["msg"].is_string() && told["data"].is_null(),
                "{told}"
            );
            assert_eq!(
                told["login_url"],
                format!("http://{}/.wxgate/login?to=%2F", world.gateway)
            );
        }
    }
}

// The rest of the prefix.

#[tokio::test(flavor = "multi_thread")]
async fn no_app_is_asked_below_the_gateways_prefix() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    let asked = world.app.seen().len();
    for target in [
        "/.wxgate",
        "/.wxgate?x",
        "/.wxgate/",
        "/.wxgate/nothing",
        "/.wxgate/ME",
        "/.wxgate/me/",
        "/.wxgate/me/x",
        "/.wxgate//me",
        "/.wxgate/../x",
        "/.wxgate/%2e%2e/x",
        "/.wxgate/me;x=1",
        "/.wxgate/me%00",
        "/.wxgate/callback/",
        "/.wxgate/static/app.js",
        "/.wxgate/\u{4f60}",
    ] {
        let answer = browser.open(world.gateway, target).await;
        assert_eq!(answer.status, 404, "{target}");
    }
    let refused = browser
        .ask("POST", world.gateway, "/.wxgate/nothing", &[], b"x")
        .await;
    assert_eq!(refused.status, 405);
    assert_eq!(world.app.seen().len(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_only_resembles_the_prefix_is_the_apps() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    for target in ["/.wxgatex", "/x/.wxgate/me", "/.wxgat"] {
        assert_eq!(browser.open(world.gateway, target).await.status, 200);
        assert_eq!(world.app.last().line(), format!("GET {target} HTTP/1.1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_is_told_the_right_ones() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    for (method, target, allow) in [
        ("POST", "/.wxgate/callback?code=a&state=b", "GET, HEAD"),
        ("POST", "/.wxgate/login", "GET, HEAD"),
        ("DELETE", "/.wxgate/me", "GET, HEAD"),
        ("POST", "/.wxgate/me", "GET, HEAD"),
        ("PUT", "/.wxgate/openid", "GET, HEAD, POST"),
        ("OPTIONS", "/.wxgate/openid", "GET, HEAD, POST"),
        ("DELETE", "/.wxgate/logout", "POST"),
        ("get", "/.wxgate/me", "GET, HEAD"),
    ] {
        let answer = browser.ask(method, world.gateway, target, &[], b"").await;
        assert_eq!(
            (answer.status, answer.value("allow")),
            (405, Some(allow)),
            "{method} {target}"
        );
        assert_eq!(answer.value("cache-control"), Some("no-store"));
    }
}

// WeChat's file.

#[tokio::test(flavor = "multi_thread")]
async fn wechat_finds_its_file_on_every_host_whoever_asks() {
    let world = World::new().await;
    for host in [
        world.gateway.to_string(),
        "shop.example.com".to_owned(),
        "LOCALHOST".to_owned(),
    ] {
        for agent in [WECHAT, DESKTOP, "Mozilla/4.0", ""] {
            for method in ["GET", "HEAD"] {
                let request = format!(
                    "{method} /MP_verify_AbCdEfGhIjKlMnOp.txt HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n\r\n"
                );
                let answer = send(world.gateway, request).await;
                assert_eq!(answer.status, 200, "{host} {agent}");
                assert!(
                    answer
                        .value("content-type")
                        .unwrap()
                        .starts_with("text/plain")
                );
                assert_eq!(answer.value("content-length"), Some("16"));
                assert_eq!(
                    answer.text(),
                    if method == "GET" {
                        "AbCdEfGhIjKlMnOp"
                    } else {
                        ""
                    }
                );
                assert_eq!(answer.value("location"), None);
            }
        }
    }
    assert!(world.app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_configured_is_a_path_like_any_other() {
    let world = World::new().await;
    for target in [
        "/MP_verify_0000000000000000.txt",
        "/mp_verify_AbCdEfGhIjKlMnOp.txt",
        "/x/MP_verify_AbCdEfGhIjKlMnOp.txt",
    ] {
        let answer = Browser::new(WECHAT).open(world.gateway, target).await;
        assert_eq!(answer.status, 302, "{target}");
    }
}
