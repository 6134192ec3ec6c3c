//! Tokens that stay on the server, and what WeChat is asked with them.

use std::time::{Duration, Instant};

use wxgate::simulator::{Api, Mood};

use crate::app::App;
use crate::client::{Answer, Browser, WECHAT, send, split};
use crate::process::{Process, free_address};
use crate::world::{Extra, OPENID, World, files, gateway_toml, install_crypto, simulator};

/// Routes that need tokens, each for another reason.
const ROUTES: &str = r#"
[[routes]]
host = "127.0.0.1"
path = "/checked"
upstream = "http://{app}"
account = "shop"
verify_every = "2s"

[[routes]]
host = "127.0.0.1"
path = "/checked/seldom"
upstream = "http://{app}"
account = "shop"
verify_every = "1h"

[[routes]]
host = "127.0.0.1"
path = "/checked/welcome"
upstream = "http://{app}"
account = "shop"
auth = "optional"
verify_every = "2s"

[[routes]]
host = "127.0.0.1"
path = "/named"
upstream = "http://{app}"
account = "shop"
scope = "snsapi_userinfo"
profile_ttl = "2s"

[[routes]]
host = "127.0.0.1"
path = "/trusted"
upstream = "http://{app}"
account = "shop"
access_token = true
"#;

async fn world() -> World {
    World::with_tables(ROUTES).await
}

async fn logged_in(world: &World, target: &str) -> Browser {
    let mut browser = Browser::new(WECHAT);
    let (answer, _) = world.visit(&mut browser, target).await;
    assert!(answer.text().starts_with("app got"), "{answer:?}");
    browser
}

/// Opens `target` until `done` says so of the answer: within ten seconds.
async fn until(
    world: &World,
    browser: &mut Browser,
    target: &str,
    done: impl Fn(&Answer) -> bool,
) -> Answer {
    let began = Instant::now();
    loop {
        let answer = browser.open(world.gateway, target).await;
        if done(&answer) {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The same, until WeChat was asked by `calls` more often than `before`.
async fn until_asked(
    world: &World,
    browser: &mut Browser,
    target: &str,
    calls: impl Fn(&World) -> u64,
    before: u64,
) -> Answer {
    until(world, browser, target, |_| calls(world) > before).await
}

fn checks(world: &World) -> u64 {
    world.simulator.calls().check.total
}

fn profiles(world: &World) -> u64 {
    world.simulator.calls().userinfo.total
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_is_asked_for_as_often_as_the_route_says_and_no_oftener() {
    let world = world().await;
    let mut browser = logged_in(&world, "/checked").await;
    assert_eq!(checks(&world), 0);
    let answer = until_asked(&world, &mut browser, "/checked", checks, 0).await;
    assert_eq!(answer.status, 200);
    assert_eq!(checks(&world), 1);
    // The cookie tells when it was; another route asks more seldom.
    for _ in 0..3 {
        assert_eq!(
            browser.open(world.gateway, "/checked/seldom").await.status,
            200
        );
    }
    assert_eq!(checks(&world), 1);
    // Many at once ask once.
    let began = Instant::now();
    while checks(&world) == 1 {
        let requests = (0..8).map(|_| {
            let bytes = browser.request("GET", world.gateway, "/checked", &[], b"");
            tokio::spawn(send(world.gateway, bytes))
        });
        for request in requests.collect::<Vec<_>>() {
            assert_eq!(request.await.unwrap().status, 200);
        }
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(checks(&world), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_withdraws_their_consent_is_logged_out_everywhere() {
    let world = world().await;
    let mut browser = logged_in(&world, "/checked").await;
    let mut copy = browser.clone();
    world.simulator.withdraw(OPENID);
    let answer = until(&world, &mut browser, "/checked", |answer| {
        answer.status == 302
    })
    .await;
    assert!(answer.location().contains("/connect/oauth2/authorize?"));
    // The route beside asks nothing, and the session is none there either.
    assert_eq!(copy.open(world.gateway, "/").await.status, 302);
    let programs = [("Accept", "application/json")];
    let answer = copy
        .ask("GET", world.gateway, "/checked", &programs, b"")
        .await;
    assert_eq!(answer.status, 401);
    // Whoever grants it anew is let in.
    let (answer, _) = browser.visit(world.gateway, "/checked").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_session_is_welcome_a_withdrawn_one_is_nobodys() {
    let world = world().await;
    let mut browser = logged_in(&world, "/checked").await;
    assert_eq!(
        browser.open(world.gateway, "/checked/welcome").await.status,
        200
    );
    assert_eq!(
        world.app.last().value("x-wechat-openid").as_deref(),
        Some(OPENID)
    );
    world.simulator.withdraw(OPENID);
    let began = Instant::now();
    loop {
        assert_eq!(
            browser.open(world.gateway, "/checked/welcome").await.status,
            200
        );
        if world.app.last().value("x-wechat-openid").is_none() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(browser.open(world.gateway, "/").await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_be_asked_about_is_nobody_where_that_is_asked() {
    let world = world().await;
    // Opened for less: there are no tokens to ask with.
    let mut browser = world.visitor().await;
    for target in ["/checked/welcome", "/welcome"] {
        assert_eq!(browser.open(world.gateway, target).await.status, 200);
        let openid = world.app.last().value("x-wechat-openid");
        assert_eq!(openid.is_some(), target == "/welcome", "{target}");
    }
    let login = "/.wxgate/login?to=%2Fchecked%2Fwelcome";
    let (answer, _) = browser.visit(world.gateway, login).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        world.app.last().value("x-wechat-openid").as_deref(),
        Some(OPENID)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_access_token_is_renewed_once_however_many_wait() {
    let world = world().await;
    let browser = logged_in(&world, "/checked").await;
    world.simulator.advance_clock(Duration::from_secs(3 * 3600));
    let began = Instant::now();
    while checks(&world) == 0 {
        let requests = (0..8).map(|_| {
            let bytes = browser.request("GET", world.gateway, "/checked", &[], b"");
            tokio::spawn(send(world.gateway, bytes))
        });
        for request in requests.collect::<Vec<_>>() {
            assert_eq!(request.await.unwrap().status, 200);
        }
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    let calls = world.simulator.calls();
    assert_eq!((calls.refresh.total, calls.check.total), (1, 2));
    assert_eq!(calls.check.outcomes.get("42001"), Some(&1));
    assert_eq!(calls.check.outcomes.get("ok"), Some(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_refresh_token_starts_a_login() {
    let world = world().await;
    let mut browser = logged_in(&world, "/checked").await;
    world
        .simulator
        .advance_clock(Duration::from_secs(31 * 24 * 3600));
    let answer = until(&world, &mut browser, "/checked", |answer| {
        answer.status == 302
    })
    .await;
    assert!(answer.location().contains("/connect/oauth2/authorize?"));
    assert_eq!(
        world.simulator.calls().refresh.outcomes.get("42002"),
        Some(&1)
    );
    let (answer, _) = browser.visit(world.gateway, "/checked").await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_an_answer_counts_for_as_long_again_and_no_longer() {
    let world = world().await;
    let mut browser = logged_in(&world, "/checked").await;
    world.simulator.set_mood_for(
        Api::Check,
        Mood::Errcode {
            api: Api::Check,
            errcode: -1,
        },
    );
    let answer = until_asked(&world, &mut browser, "/checked", checks, 0).await;
    assert_eq!(answer.status, 200);
    let answer = until(&world, &mut browser, "/checked", |answer| {
        answer.status != 200
    })
    .await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("微信没有响应"), "{}", answer.text());
    // Where nothing is asked, the visitor notices nothing.
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
    assert_eq!(
        browser.open(world.gateway, "/checked/seldom").await.status,
        200
    );
    world.simulator.set_mood(Mood::Normal);
    until(&world, &mut browser, "/checked", |answer| {
        answer.status == 200
    })
    .await;
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_waits_once_for_a_wechat_that_is_silent() {
    let world = world().await;
    let mut browser = logged_in(&world, "/checked").await;
    world.simulator.set_mood_for(Api::Check, Mood::Hanging);
    let began = Instant::now();
    let answer = until_asked(&world, &mut browser, "/checked", checks, 0).await;
    assert_eq!(answer.status, 200);
    assert!(began.elapsed() >= Duration::from_secs(3));
    // WeChat has not answered yet, and nobody waits for that.
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(browser.open(world.gateway, "/checked").await.status, 502);
    }
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
    assert_eq!(checks(&world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_told_anew_when_a_page_is_opened() {
    let world = world().await;
    let mut browser = logged_in(&world, "/named").await;
    assert_eq!(profiles(&world), 1);
    let name = world.app.last().value("x-wechat-nickname").unwrap();
    let cookie = browser.cookie("wxgate_shop").unwrap().clone();
    until_asked(&world, &mut browser, "/named", profiles, 1).await;
    assert_eq!(world.app.last().value("x-wechat-nickname"), Some(name));
    assert_ne!(browser.cookie("wxgate_shop"), Some(&cookie));
    // A program waits for nothing.
    let began = Instant::now();
    let programs = [("Accept", "application/json")];
    while began.elapsed() < Duration::from_secs(3) {
        let answer = browser
            .ask("GET", world.gateway, "/named", &programs, b"")
            .await;
        assert_eq!(answer.status, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(profiles(&world), 2);
    // WeChat's trouble is not the visitor's.
    world.simulator.set_mood_for(Api::Userinfo, Mood::Html);
    let answer = until_asked(&world, &mut browser, "/named", profiles, 2).await;
    assert_eq!(answer.status, 200);
    assert!(world.app.last().value("x-wechat-nickname").is_some());
    // A dead grant is.
    world.simulator.set_mood(Mood::Normal);
    world.simulator.withdraw(OPENID);
    until(&world, &mut browser, "/named", |answer| {
        answer.status == 302
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_gets_the_access_token_where_the_route_says_so_and_nowhere_else() {
    let world = world().await;
    let mut browser = logged_in(&world, "/trusted").await;
    let token = world.app.last().value("x-wechat-access-token").unwrap();
    let (wechat, _) = split(&world.simulator.base_url());
    let check = format!("/sns/auth?access_token={token}&openid={OPENID}");
    let answer = Browser::new(WECHAT).open(wechat, &check).await;
    assert_eq!(answer.json()["errcode"], 0, "{}", answer.text());
    for target in ["/", "/checked", "/welcome", "/pay/notify"] {
        let forged = [
            ("X-WeChat-Access-Token", "forged"),
            ("x_wechat_access_token", "forged"),
        ];
        let answer = browser
            .ask("GET", world.gateway, target, &forged, b"")
            .await;
        assert_eq!(answer.status, 200);
        assert!(
            !world.app.last().text().to_lowercase().contains("access"),
            "{target}"
        );
    }
    let forged = [("X-WeChat-Access-Token", "forged")];
    browser
        .ask("GET", world.gateway, "/trusted", &forged, b"")
        .await;
    assert_eq!(world.app.last().value("x-wechat-access-token"), Some(token));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_went_with_their_process_are_got_anew() {
    install_crypto();
    let gateway = free_address();
    let app = App::start().await;
    let simulator = simulator(gateway).await;
    let files = files();
    let config = files.path().join("gateway.toml");
    let extra = Extra {
        session: "keys = [{ file = \"key\" }]",
        tables: ROUTES,
        ..Extra::default()
    };
    let text = gateway_toml(gateway, app.addr, &simulator, &extra);
    std::fs::write(&config, text).unwrap();
    let mut process = Process::gateway(&config);
    let mut browser = Browser::new(WECHAT);
    for target in ["/trusted", "/checked/seldom"] {
        let (answer, _) = browser.visit(gateway, target).await;
        assert_eq!(answer.status, 200);
    }
    process.kill();
    let _process = Process::gateway(&config);
    assert_eq!(browser.open(gateway, "/").await.status, 200);
    // A program is told where to log in, and that leads back with tokens.
    let page = format!("http://{gateway}/cart");
    let program = [("Accept", "application/json"), ("Referer", page.as_str())];
    let answer = browser.ask("GET", gateway, "/trusted", &program, b"").await;
    assert_eq!(answer.status, 401);
    let login = answer.json()["login_url"].as_str().unwrap().to_owned();
    assert!(
        login.ends_with("/.wxgate/login?to=%2Fcart&for=%2Ftrusted"),
        "{login}"
    );
    let before = simulator.calls().exchange.total;
    let (answer, trail) = browser.visit(gateway, &split(&login).1).await;
    assert_eq!(answer.status, 200, "{trail:?}");
    assert_eq!(trail.last(), Some(&page));
    assert_eq!(simulator.calls().exchange.total, before + 1);
    let answer = browser.ask("GET", gateway, "/trusted", &program, b"").await;
    assert_eq!(answer.status, 200);
    // The same for a page.
    drop(_process);
    let _process = Process::gateway(&config);
    let (answer, trail) = browser.visit(gateway, "/trusted?x=1").await;
    assert_eq!(answer.status, 200, "{trail:?}");
    assert_eq!(simulator.calls().exchange.total, before + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_may_have_less_than_what_it_asks_for_gets_more() {
    let world = world().await;
    let mut browser = world.visitor().await;
    let page = format!("http://{}/", world.gateway);
    let program = [("Accept", "application/json"), ("Referer", page.as_str())];
    let answer = browser
        .ask("GET", world.gateway, "/member", &program, b"")
        .await;
    assert_eq!(answer.status, 401);
    let login = answer.json()["login_url"].as_str().unwrap().to_owned();
    let (answer, trail) = world.visit(&mut browser, &split(&login).1).await;
    assert_eq!(answer.status, 200, "{trail:?}");
    assert_eq!(trail.last(), Some(&page));
    let answer = browser
        .ask("GET", world.gateway, "/member", &program, b"")
        .await;
    assert_eq!(answer.status, 200);
    for wrong in [
        "for=//evil.example",
        "for=https://evil.example/",
        "for=/a&for=/b",
    ] {
        let target = format!("/.wxgate/login?to=/&{wrong}");
        assert_eq!(
            browser.open(world.gateway, &target).await.status,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_tokens_gets_them_on_the_way() {
    let world = world().await;
    let mut browser = world.visitor().await;
    let (answer, trail) = browser.visit(world.gateway, "/checked?x=%20").await;
    assert_eq!(answer.status, 200);
    assert!(trail.iter().any(|url| url.contains("scope=snsapi_base")));
    assert_eq!(
        trail.last().unwrap(),
        &format!("http://{}/checked?x=%20", world.gateway)
    );
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_has_is_not_lost_when_more_is_needed() {
    let world = world().await;
    let mut browser = logged_in(&world, "/member").await;
    let (answer, trail) = world.visit(&mut browser, "/checked").await;
    assert_eq!(answer.status, 200);
    // The profile is asked for again, for the next session is to have it too.
    assert!(
        trail
            .iter()
            .any(|url| url.contains("scope=snsapi_userinfo")),
        "{trail:?}"
    );
    assert_eq!(browser.open(world.gateway, "/member").await.status, 200);
    assert!(world.app.last().value("x-wechat-nickname").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_session_outlives_a_refusal_to_give_more() {
    let world = world().await;
    let mut browser = world.visitor().await;
    world.simulator.set_mood_times(Mood::Refuse, 1);
    let (answer, _) = browser.visit(world.gateway, "/member").await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
    let (answer, _) = world.visit(&mut browser, "/member").await;
    assert_eq!(answer.status, 200);
    assert_eq!(browser.open(world.gateway, "/member").await.status, 200);
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
}
