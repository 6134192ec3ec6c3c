//! What an attacker would try at the facade: with links, codes, tokens, secrets of
//! others, and with none.

use super::*;
use crate::client::{Browser, WECHAT};

/// A visitor with a session at the facade's host.
async fn visitor(world: &World) -> Traveller {
    let mut traveller = Traveller::new(world.gateway);
    way_back(&mut traveller, &base()).await;
    traveller
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_goes_to_no_address_that_is_not_listed() {
    let world = world().await;
    let mut known = visitor(&world).await;
    for redirect in [
        "http://evil.test/",
        "https://legacy.test/",
        "http://legacy.test.evil.test/",
        "http://legacy.test@evil.test/",
        "http://legacy.test:8080@evil.test/",
        "http://legacy.test:8081/",
        "http://legacy.test:80/",
        "http://legacy.test:808/",
        "http://user@legacy.test/",
        "http://sub.legacy.test/",
        "http://forum.test/",
        "http://wx.apps.test/",
        "//legacy.test/",
        "//evil.test/",
        "/cb",
        "cb",
        "http:legacy.test/",
        "http:/legacy.test/",
        "http:\\\\legacy.test\\",
        "http://legacy.test\\@evil.test/",
        "http://evil.test\\@legacy.test/",
        "http://evil.test/http://legacy.test/",
        "http://evil.test#@legacy.test/",
        "http://evil.test?@legacy.test/",
        "http://legacy.test/\r\nLocation: http://evil.test/",
        "http://legacy.test/\t",
        " http://legacy.test/",
        "http://legacy.test\u{3002}evil.test/",
        "http://legacy.test%2f@evil.test/",
        "http%3A%2F%2Flegacy.test%2F",
        "javascript:alert(document.domain)",
        "data:text/html,x",
        "HTTP://legacy.test/",
        "http://LEGACY.test/",
        "http://legacy.test./",
    ] {
        let url = link(LEGACY, redirect, "snsapi_base");
        for traveller in [&mut known, &mut Traveller::new(world.gateway)] {
            let answer = traveller.open(&url).await;
            assert_eq!(answer.status, 400, "{redirect}: {answer:?}");
            assert_eq!(answer.value("location"), None, "{redirect}");
            let page = answer.text();
            assert!(page.contains("errcode 10003"), "{redirect}: {page}");
            assert!(
                page.contains("href=\"http://legacy.test/\""),
                "a way on: {page}"
            );
            assert!(!page.contains("evil"), "{redirect}: {page}");
        }
    }
    // At a port that is listed, and with what only looks like another host.
    for redirect in ["http://legacy.test:8080/", "http://legacy.test/@evil.test"] {
        let answer = known.open(&link(LEGACY, redirect, "snsapi_base")).await;
        assert_eq!(answer.status, 302, "{redirect}");
        assert!(answer.location().starts_with(redirect));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_wechat_would_not_take_gets_its_number_and_no_login() {
    let world = world().await;
    let back = encoded("http://legacy.test/cb");
    let whole = format!(
        "appid={LEGACY}&redirect_uri={back}&response_type=code&scope=snsapi_base&state={STATE}"
    );
    let long = "a".repeat(129);
    let cases = [
        ("", "10012"),
        (&whole.replace(LEGACY, ""), "10012"),
        (&whole.replace(LEGACY, "wxnobody"), "40013"),
        (&whole.replace(LEGACY, "wx5150a7c0ffee0001"), "40013"),
        (&whole.replace(&back, ""), "10011"),
        (&whole.replace("redirect_uri", "Redirect_uri"), "10011"),
        (&whole.replace("snsapi_base", ""), "10010"),
        (&whole.replace("snsapi_base", "snsapi_login"), "10005"),
        (
            &whole.replace("snsapi_base", "snsapi_base,snsapi_userinfo"),
            "10005",
        ),
        (&whole.replace(STATE, ""), "10013"),
        (&whole.replace(STATE, "a-b"), "10013"),
        (&whole.replace(STATE, "a%0d%0ab"), "10013"),
        (&whole.replace(STATE, "a%26code%3Dx"), "10013"),
        (&whole.replace(STATE, &long), "10013"),
        (&whole.replace("=code", "=token"), ""),
        (&whole.replace("&response_type=code", ""), ""),
        (&format!("{whole}&state={STATE}"), ""),
        (&format!("{whole}&state=other"), ""),
        (
            &format!("{whole}&redirect_uri={}", encoded("http://evil.test/")),
            "",
        ),
        (
            &format!("redirect_uri={}&{whole}", encoded("http://evil.test/")),
            "",
        ),
        (
            &format!("{whole}&redirect%5Furi={}", encoded("http://evil.test/")),
            "",
        ),
        (&format!("{whole}&appid={FORUM}"), ""),
        (&format!("{whole}&scope=snsapi_userinfo"), ""),
        (&whole.replace(STATE, "%ff"), ""),
    ];
    for (query, number) in cases {
        let mut browser = Browser::new(WECHAT);
        let target = format!("/connect/oauth2/authorize?{query}");
        let bytes = browser.request("GET", HOST, &target, &[], b"");
        let answer = send(world.gateway, bytes).await;
        browser.keep(&answer);
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert_eq!(answer.value("location"), None, "{query}");
        assert!(browser.jar.is_empty(), "{query}");
        let page = answer.text();
        match number {
            "" => assert!(!page.contains("errcode "), "{query}: {page}"),
            number => assert!(
                page.contains(&format!("errcode {number}")),
                "{query}: {page}"
            ),
        }
        assert!(
            page.contains("href=\"http://legacy.test/\""),
            "{query}: {page}"
        );
    }
    // Any order, and what means nothing, are taken.
    let other = format!(
        "state={STATE}&scope=snsapi_base&forcePopup=true&x=1&x=2&response_type=code&redirect_uri={back}&appid={LEGACY}"
    );
    let url = format!("http://{HOST}/connect/oauth2/authorize?{other}");
    way_back(&mut Traveller::new(world.gateway), &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_a_page_that_is_being_opened_gets_a_code() {
    let world = world().await;
    let known = visitor(&world).await;
    let (frame, script) = ("iframe", "empty");
    for (method, headers, status) in [
        (
            "GET",
            &[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", frame)][..],
            400,
        ),
        (
            "GET",
            &[("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", script)],
            400,
        ),
        (
            "GET",
            &[("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")],
            400,
        ),
        ("GET", &[("X-Requested-With", "XMLHttpRequest")], 400),
        ("GET", &[("Accept", "application/json")], 400),
        ("HEAD", &[], 405),
        (
            "POST",
            &[
                ("Sec-Fetch-Mode", "navigate"),
                ("Sec-Fetch-Dest", "document"),
            ],
            405,
        ),
        ("OPTIONS", &[], 405),
        ("PUT", &[], 405),
    ] {
        let answer = known.clone().ask(method, &base(), headers, b"").await;
        assert_eq!(answer.status, status, "{method} {headers:?}: {answer:?}");
        assert_eq!(answer.value("location"), None, "{method} {headers:?}");
    }
    let answer = known.clone().ask("DELETE", &base(), &[], b"").await;
    assert_eq!((answer.status, answer.value("allow")), (405, Some("GET")));
    let target = "/sns/auth?access_token=x&openid=y";
    for method in ["HEAD", "PUT", "DELETE", "OPTIONS"] {
        let bytes = format!("{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        let answer = send(world.gateway, bytes).await;
        assert_eq!(
            (answer.status, answer.value("allow")),
            (405, Some("GET, POST")),
            "{method}"
        );
    }
    assert_eq!(known.clone().open(&base()).await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_host_or_account_gets_no_code() {
    let world = world().await;
    let mut known = Traveller::new(world.gateway);
    for url in ["http://a.test/", "http://login.test/.wxgate/me"] {
        known.visit(url).await;
    }
    for host in ["a.test", "login.test"] {
        let stolen = known.at(host).jar.clone();
        assert!(
            stolen.iter().any(|cookie| cookie.name == "wxgate_shop"),
            "{host}"
        );
        let mut thief = Traveller::new(world.gateway);
        thief.at(HOST).jar = stolen;
        let answer = thief.open(&base()).await;
        assert_eq!(answer.status, 302, "{host}");
        assert!(
            answer
                .location()
                .starts_with("http://login.test/.wxgate/sign-on?ask=")
        );
    }
    // One account's session is none of another's, under its name either.
    let mut known = visitor(&world).await;
    let mut jar = known.at(HOST).jar.clone();
    for cookie in &mut jar {
        cookie.name = cookie.name.replace("_shop", "_club");
    }
    known.at(HOST).jar = jar;
    let games = link(GAMES, "http://games.test/", "snsapi_base");
    assert!(!is_back(known.open(&games).await.location()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_for_its_app_and_not_used_up_by_others() {
    let world = world().await;
    let back = way_back(&mut Traveller::new(world.gateway), &base()).await;
    let code = code_in(&back);
    for (app, secret, number) in [
        (FORUM, secret(FORUM), 40029),
        (GAMES, secret(GAMES), 40029),
        (FORUM, secret(LEGACY), 40125),
        (LEGACY, secret(FORUM), 40125),
        (LEGACY, "", 41004),
        (LEGACY, &secret(LEGACY)[..31], 40125),
        (LEGACY, crate::world::SECRET, 40125),
        ("wx5150a7c0ffee0001", crate::world::SECRET, 40013),
        ("", secret(LEGACY), 41002),
    ] {
        let answer = api(&world, &exchange_target(app, secret, &code)).await;
        assert_eq!(errcode(&answer), number, "{app} {secret}: {answer}");
    }
    let good = exchange_target(LEGACY, secret(LEGACY), &code);
    for (target, number) in [
        (good.replace("authorization_code", "refresh_token"), 40002),
        (good.replace("&grant_type=authorization_code", ""), 40002),
        (good.replace(&code, ""), 41008),
        (format!("{good}&code={code}"), 40035),
        (format!("{good}&code=other"), 40035),
        (format!("{good}&c%6Fde=other"), 40035),
        (format!("{good}&appid={FORUM}"), 40035),
        (format!("{good}&secret={}", secret(FORUM)), 40035),
        (
            good.replace("/sns/oauth2/access_token", "/sns/oauth2/refresh_token"),
            40002,
        ),
    ] {
        assert_eq!(errcode(&api(&world, &target).await), number, "{target}");
    }
    assert_eq!(
        text(&exchange(&world, LEGACY, &code).await, "openid"),
        OPENID
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_altered_cut_or_made_up_is_nothing() {
    let world = world().await;
    let (mut traveller, access, renews) = tokens(&world).await;
    let code = code_in(&way_back(&mut traveller, &base()).await);
    let altered = |text: &str| -> Vec<String> {
        let mut all: Vec<String> = (0..text.len())
            .step_by(7)
            .chain([text.len() - 1])
            .map(|at| {
                let mut bytes = text.to_owned().into_bytes();
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
                String::from_utf8(bytes).unwrap()
            })
            .collect();
        all.push(text[1..].to_owned());
        all.push(text[..text.len() - 1].to_owned());
        all.push(format!("{text}A"));
        all.push(text.to_lowercase());
        all.push("*".to_owned());
        all
    };
    for code in altered(&code) {
        assert_eq!(
            errcode(&exchange(&world, LEGACY, &code).await),
            40029,
            "{code}"
        );
    }
    for token in altered(&access).iter().chain([&renews, &code]) {
        let number = errcode(&ask(&world, "auth", token, OPENID).await);
        assert_eq!(
            number,
            if token.len() < 60 { 40014 } else { 40001 },
            "{token}"
        );
    }
    for token in altered(&renews).iter().chain([&access, &code]) {
        assert_eq!(
            errcode(&refresh(&world, LEGACY, token).await),
            40030,
            "{token}"
        );
    }
    for app in [FORUM, GAMES] {
        assert_eq!(errcode(&refresh(&world, app, &renews).await), 40030);
    }
    for openid in ["oSomebody", &OPENID.to_lowercase(), &OPENID[1..], "*"] {
        assert_eq!(
            errcode(&ask(&world, "auth", &access, openid).await),
            40003,
            "{openid}"
        );
        assert_eq!(
            errcode(&ask(&world, "userinfo", &access, openid).await),
            40003
        );
    }
    for (target, number) in [
        (format!("/sns/auth?access_token=&openid={OPENID}"), 41001),
        (format!("/sns/auth?access_token={access}"), 41009),
        (
            format!("/sns/auth?access_token={access}&openid={OPENID}&openid=x"),
            40035,
        ),
        (
            format!("/sns/oauth2/refresh_token?appid={LEGACY}&grant_type=refresh_token"),
            41003,
        ),
    ] {
        assert_eq!(errcode(&api(&world, &target).await), number, "{target}");
    }
    assert_eq!(errcode(&ask(&world, "auth", &access, OPENID).await), 0);
    assert_eq!(
        text(&refresh(&world, LEGACY, &renews).await, "openid"),
        OPENID
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_shown_again_ends_what_was_given_for_it() {
    let world = world().await;
    let mut traveller = Traveller::new(world.gateway);
    let code = code_in(&way_back(&mut traveller, &base()).await);
    let given = exchange(&world, LEGACY, &code).await;
    let [access, renews] = ["access_token", "refresh_token"].map(|name| text(&given, name));
    let newer = text(&refresh(&world, LEGACY, &renews).await, "access_token");
    let other = code_in(&way_back(&mut traveller, &base()).await);
    let other = text(&exchange(&world, LEGACY, &other).await, "access_token");
    // Not by who does not know the secret.
    let stranger = exchange_target(LEGACY, secret(FORUM), &code);
    assert_eq!(errcode(&api(&world, &stranger).await), 40125);
    assert_eq!(errcode(&exchange(&world, FORUM, &code).await), 40029);
    assert_eq!(errcode(&ask(&world, "auth", &access, OPENID).await), 0);
    assert_eq!(errcode(&exchange(&world, LEGACY, &code).await), 40163);
    for token in [&access, &newer] {
        assert_eq!(errcode(&ask(&world, "auth", token, OPENID).await), 40001);
        assert_eq!(
            errcode(&ask(&world, "userinfo", token, OPENID).await),
            40001
        );
    }
    assert_eq!(errcode(&refresh(&world, LEGACY, &renews).await), 40030);
    // The visitor's other code goes on.
    assert_eq!(errcode(&ask(&world, "auth", &other, OPENID).await), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_exchanges_at_once_one_at_most_gets_tokens() {
    let world = world().await;
    let back = way_back(&mut Traveller::new(world.gateway), &base()).await;
    let target = exchange_target(LEGACY, secret(LEGACY), &code_in(&back));
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (gateway, target) = (world.gateway, target.clone());
            tokio::spawn(async move { api_at(gateway, HOST, &target).await.json() })
        })
        .collect();
    let mut given = Vec::new();
    for call in calls {
        let answer = call.await.unwrap();
        match answer.get("access_token") {
            Some(_) => given.push(text(&answer, "access_token")),
            None => assert_eq!(errcode(&answer), 40163),
        }
    }
    assert!(given.len() <= 1, "{given:?}");
    for token in given {
        assert_eq!(errcode(&ask(&world, "auth", &token, OPENID).await), 40001);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_and_an_operators_word_end_codes_and_tokens() {
    for by_operator in [false, true] {
        let world = world().await;
        let (mut traveller, access, renews) = tokens(&world).await;
        let code = code_in(&way_back(&mut traveller, &base()).await);
        if by_operator {
            let order = format!("{{\"openid\":\"{OPENID}\"}}");
            assert_eq!(world.order(&world.admin_word(), &order).await.status, 200);
        } else {
            // Of this very host, by a page of its own.
            let same = [
                ("Origin", "http://wx.apps.test"),
                ("Sec-Fetch-Site", "same-origin"),
            ];
            let url = format!("http://{HOST}/.wxgate/logout");
            let answer = traveller.ask("POST", &url, &same, b"").await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert_eq!(errcode(&exchange(&world, LEGACY, &code).await), 40029);
        assert_eq!(errcode(&ask(&world, "auth", &access, OPENID).await), 40001);
        assert_eq!(errcode(&refresh(&world, LEGACY, &renews).await), 40030);
        assert!(!is_back(traveller.open(&base()).await.location()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_ends_after_a_minutes_worth() {
    let world = world_at(HOST, "logins_per_minute = 20").await;
    let code = "0".repeat(32);
    let guess = exchange_target(LEGACY, "0123456789abcdef", &code);
    for at in 0..20 {
        let answer = api(&world, &guess).await;
        assert_eq!(errcode(&answer), 40125, "{at}: {answer}");
    }
    // Nobody finds out any more which is right, from this address.
    let right = exchange_target(LEGACY, secret(LEGACY), &code);
    for target in [&guess, &right] {
        let answer = api(&world, target).await;
        assert_eq!(errcode(&answer), 45011, "{answer}");
    }
    // The app's other calls go on, and so do other apps, other addresses, visitors.
    assert_eq!(errcode(&ask(&world, "auth", "none", OPENID).await), 40014);
    assert_eq!(errcode(&refresh(&world, LEGACY, "none").await), 40030);
    assert_eq!(errcode(&exchange(&world, FORUM, &code).await), 40029);
    let mut wire = crate::client::Wire::from("127.0.0.2".parse().unwrap(), world.gateway).await;
    wire.send(format!("GET {right} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"))
        .await;
    assert_eq!(wire.answer(false).await.json()["errcode"], 40029);
    way_back(&mut Traveller::new(world.gateway), &base()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_feed_an_app_locks_it_out_of_nothing() {
    let world = world_at(HOST, "logins_per_minute = 20").await;
    let (mut traveller, access, renews) = tokens(&world).await;
    let code = "0".repeat(32);
    for _ in 0..25 {
        // An app's server asks what its visitors' browsers bring.
        assert_eq!(errcode(&exchange(&world, LEGACY, &code).await), 40029);
        assert_eq!(
            errcode(&ask(&world, "auth", "rubbish", OPENID).await),
            40014
        );
        assert_eq!(errcode(&ask(&world, "auth", &access, "other").await), 40003);
        assert_eq!(errcode(&refresh(&world, LEGACY, "rubbish").await), 40030);
        let nobody = exchange_target("wxnobody", "0123456789abcdef", &code);
        assert_eq!(errcode(&api(&world, &nobody).await), 40013);
    }
    assert_eq!(errcode(&ask(&world, "auth", &access, OPENID).await), 0);
    refresh(&world, LEGACY, &renews).await["access_token"]
        .as_str()
        .unwrap();
    let back = way_back(&mut traveller, &base()).await;
    let given = exchange(&world, LEGACY, &code_in(&back)).await;
    assert_eq!(given["openid"], OPENID);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_wechats_own_leaves() {
    let world = world().await;
    let mut traveller = Traveller::new(world.gateway);
    let url = link(LEGACY, BACK, "snsapi_userinfo");
    let code = code_in(&agreeing(&world, &mut traveller, &url).await);
    let given = exchange(&world, LEGACY, &code).await;
    // WeChat itself knows nothing of what the app was given.
    let token = text(&given, "access_token");
    let target = format!("/sns/auth?access_token={token}&openid={OPENID}");
    let bytes = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = send(world.simulator.addr(), bytes).await;
    assert_ne!(answer.json()["errcode"], 0);
    // An app behind the gateway gets no virtual appid.
    let seen = traveller.visit("http://a.test/").await.0;
    assert_eq!(seen.status, 200);
    assert_eq!(
        world.app.last().value("x-wechat-appid").as_deref(),
        Some(world.app_id.as_str())
    );
}
