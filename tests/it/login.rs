//! Logins that do not go straight: duplicates, strangers, tabs, loops, and
//! WeChat in a bad mood.

use wxgate::simulator::{Api, Mood};

use crate::client::{Answer, Browser, WECHAT, send, split};
use crate::world::{OPENID, World};

fn session_of(answer: &Answer) -> Option<&str> {
    answer
        .values("set-cookie")
        .into_iter()
        .find(|cookie| cookie.starts_with("wxgate_shop="))
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_callbacks_at_once_make_one_call_and_eight_redirects() {
    let world = World::new().await;
    world
        .simulator
        .set_mood(Mood::Slow(std::time::Duration::from_millis(200)));
    let (browser, callback) = world.until_callback("/goods?x=1").await;
    let request = browser.request("GET", world.gateway, &callback, &[], b"");
    let calls: Vec<_> = (0..8)
        .map(|_| tokio::spawn(send(world.gateway, request.clone())))
        .collect();
    let mut sessions = Vec::new();
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!(answer.status, 302, "{answer:?}");
        assert_eq!(
            answer.location(),
            format!("http://{}/goods?x=1", world.gateway)
        );
        assert_eq!(answer.value("cache-control"), Some("no-store"));
        sessions.push(session_of(&answer).unwrap().to_owned());
    }
    sessions.dedup();
    assert_eq!(
        sessions.len(),
        1,
        "duplicates open one session, not several"
    );
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_leaves_does_not_take_the_answer_along() {
    let world = World::new().await;
    world
        .simulator
        .set_mood(Mood::Slow(std::time::Duration::from_millis(300)));
    let (browser, callback) = world.until_callback("/").await;
    let request = browser.request("GET", world.gateway, &callback, &[], b"");
    let mut gone = crate::client::Wire::to(world.gateway).await;
    gone.send(&request).await;
    while world.exchanges() == 0 {
        tokio::task::yield_now().await;
    }
    drop(gone);
    let answer = send(world.gateway, request).await;
    assert!(session_of(&answer).is_some(), "{answer:?}");
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_again_goes_to_the_target_and_calls_nobody() {
    let world = World::new().await;
    let (mut browser, callback) = world.until_callback("/deep?link=1").await;
    let before = browser.clone();
    let first = browser.open(world.gateway, &callback).await;
    assert!(session_of(&first).is_some());
    // Back, reload: the session is there.
    let again = browser.open(world.gateway, &callback).await;
    assert_eq!(
        again.location(),
        format!("http://{}/deep?link=1", world.gateway)
    );
    assert!(session_of(&again).is_none());
    // The same request a second time, its first answer lost on the way.
    let mut lost = before;
    let replay = lost.open(world.gateway, &callback).await;
    assert_eq!(session_of(&replay), session_of(&first));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_browser_with_the_same_link_gets_nothing() {
    let world = World::new().await;
    let (mut owner, callback) = world.until_callback("/mine").await;
    for opened_before in [false, true] {
        let mut other = Browser::new(WECHAT);
        let answer = other.open(world.gateway, &callback).await;
        assert_eq!(
            (answer.status, answer.location()),
            (302, "/.wxgate/login?to=%2F&again=1")
        );
        assert!(answer.values("set-cookie").is_empty(), "{answer:?}");
        assert_eq!(world.exchanges(), u64::from(opened_before));
        // A login of its own under way does not help either.
        let mut busy = Browser::new(WECHAT);
        busy.open(world.gateway, "/x").await;
        let answer = busy.open(world.gateway, &callback).await;
        assert!(session_of(&answer).is_none(), "{answer:?}");
        assert_eq!(world.exchanges(), u64::from(opened_before));
        let done = owner.open(world.gateway, &callback).await;
        assert_eq!(done.location(), format!("http://{}/mine", world.gateway));
    }
    assert_eq!(world.exchanges(), 1);
    // Whoever is logged in already goes home as themselves.
    let mut visitor = world.visitor().await;
    let answer = visitor.open(world.gateway, &callback).await;
    assert_eq!((answer.status, answer.location()), (302, "/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_must_be_the_cookies_own() {
    let world = World::new().await;
    let (mut browser, callback) = world.until_callback("/").await;
    let (start, state) = callback.split_once("state=").unwrap();
    let mut other = state.to_owned().into_bytes();
    // The beginning names the cookie; the end is what nobody can guess.
    other[20] = if other[20] == b'0' { b'1' } else { b'0' };
    let forged = format!("{start}state={}", String::from_utf8(other).unwrap());
    for target in [
        forged,
        start.to_owned(),
        format!("{callback}&state=x"),
        format!("{callback}&code=x"),
    ] {
        let answer = browser.clone().open(world.gateway, &target).await;
        assert!(session_of(&answer).is_none(), "{target}: {answer:?}");
    }
    assert_eq!(world.exchanges(), 0);
    let answer = browser.open(world.gateway, &callback).await;
    assert!(
        session_of(&answer).is_some(),
        "none of that has spent the code"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_do_not_fight() {
    let world = World::new().await;
    let mut browser = Browser::new(WECHAT);
    let mut callbacks = Vec::new();
    for tab in 0..4 {
        let answer = browser.open(world.gateway, &format!("/tab/{tab}")).await;
        let answer = browser.open_url(answer.location()).await;
        callbacks.push(split(answer.location()).1);
    }
    for (tab, callback) in callbacks.iter().enumerate().rev() {
        let answer = browser.open(world.gateway, callback).await;
        assert_eq!(
            answer.location(),
            format!("http://{}/tab/{tab}", world.gateway)
        );
    }
    assert_eq!(world.exchanges(), 1, "the other tabs find the session");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_keeps_four_logins_and_drops_the_oldest() {
    let world = World::new().await;
    let mut browser = Browser::new(WECHAT);
    let mut names = Vec::new();
    for tab in 0..9 {
        let answer = browser.open(world.gateway, &format!("/tab/{tab}")).await;
        let login = answer
            .values("set-cookie")
            .into_iter()
            .find(|cookie| cookie.starts_with("wxgate-login-"))
            .unwrap();
        names.push(login.split('=').next().unwrap().to_owned());
    }
    let kept: Vec<&str> = browser
        .jar
        .iter()
        .map(|cookie| cookie.name.as_str())
        .filter(|name| name.starts_with("wxgate-login-"))
        .collect();
    assert_eq!(
        kept,
        names[5..].iter().map(String::as_str).collect::<Vec<_>>()
    );
    // No app ever sees any of it.
    assert_eq!(browser.open(world.gateway, "/welcome").await.status, 200);
    assert_eq!(world.app.last().value("cookie"), None);
}

/// Goes round until something other than a redirect comes.
async fn rounds(world: &World, browser: &mut Browser) -> (Answer, u64) {
    let (answer, _) = browser.visit(world.gateway, "/").await;
    (answer, world.simulator.calls().authorize.total)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_without_cookies_is_stopped_after_two_rounds() {
    let world = World::new().await;
    let mut browser = Browser::new(WECHAT);
    browser.keeps_cookies = false;
    let (answer, authorizes) = rounds(&world, &mut browser).await;
    assert_eq!((answer.status, authorizes), (403, 2));
    assert!(
        answer.text().contains("Cookie") && answer.text().contains("cookies"),
        "{}",
        answer.text()
    );
    assert_eq!(world.exchanges(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_keeps_half_of_the_cookies_is_stopped_too() {
    let world = World::new().await;
    let mut browser = Browser::new(WECHAT);
    browser.forgets = Some("wxgate-pending");
    let (answer, authorizes) = rounds(&world, &mut browser).await;
    assert_eq!((answer.status, authorizes), (403, 3));
    assert_eq!(world.exchanges(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_stick_is_stopped_after_four_rounds() {
    let world = World::new().await;
    let mut browser = Browser::new(WECHAT);
    browser.forgets = Some("wxgate_shop");
    let (answer, authorizes) = rounds(&world, &mut browser).await;
    assert_eq!((answer.status, authorizes), (403, 4));
    assert!(
        answer.text().contains("does not keep our cookie"),
        "{}",
        answer.text()
    );
    assert_eq!(world.exchanges(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_wechat_never_takes_is_tried_three_times() {
    for (mood, status) in [
        (
            Mood::Errcode {
                api: Api::Exchange,
                errcode: 40029,
            },
            502,
        ),
        (
            Mood::Errcode {
                api: Api::Exchange,
                errcode: -1,
            },
            502,
        ),
        (Mood::CutOff, 502),
        (Mood::ResetBeforeAnswer, 502),
        (Mood::Html, 502),
        (Mood::EmptyBody, 502),
        (Mood::TruncatedJson, 502),
        (Mood::InvalidUtf8, 502),
        (Mood::HugeBody, 502),
        (Mood::BadOpenId, 502),
    ] {
        let world = World::new().await;
        world.simulator.set_mood(mood.clone());
        let mut browser = Browser::new(WECHAT);
        let (answer, _) = rounds(&world, &mut browser).await;
        assert_eq!((answer.status, world.exchanges()), (status, 3), "{mood:?}");
        assert!(browser.cookie("wxgate_shop").is_none(), "{mood:?}");
        // As soon as WeChat is well again, the page's own link is the way in.
        world.simulator.set_mood(Mood::Normal);
        let onward = answer
            .text()
            .split("href=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned();
        let (answer, _) = browser.visit(world.gateway, &onward).await;
        assert_eq!(answer.status, 200, "{mood:?}");
        assert_eq!(
            world.app.last().value("x-wechat-openid").as_deref(),
            Some(OPENID)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_answer_is_not_noticed_by_the_visitor() {
    let world = World::new().await;
    world.simulator.set_mood_times(Mood::CutOff, 1);
    let mut browser = Browser::new(WECHAT);
    let (answer, _) = browser.visit(world.gateway, "/target?kept=1").await;
    assert_eq!((answer.status, world.exchanges()), (200, 2));
    assert_eq!(world.app.last().line(), "GET /target?kept=1 HTTP/1.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_host_is_asked_only_when_nothing_was_sent() {
    let world = World::new().await;
    let fallback = world.simulator.base_url();
    // A port that was just given back: nobody listens.
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let account = format!("api_fallback_url = \"{fallback}\"");
    let other = crate::world::Extra {
        account: &account,
        api: Some(closed),
        ..crate::world::Extra::default()
    };
    let through = World::with(other).await;
    // Its own simulator issues the code; the fallback does not know it, and says so.
    let (mut browser, callback) = through.until_callback("/").await;
    browser.open(through.gateway, &callback).await;
    assert_eq!(
        (through.exchanges(), world.simulator.calls().exchange.total),
        (0, 1)
    );
    // An answer that broke off was sent: nobody else is asked.
    let account = format!("api_fallback_url = \"{}\"", through.simulator.base_url());
    let broken = World::with(crate::world::Extra {
        account: &account,
        ..crate::world::Extra::default()
    })
    .await;
    broken.simulator.set_mood(Mood::ResetBeforeAnswer);
    let (mut browser, callback) = broken.until_callback("/").await;
    browser.open(broken.gateway, &callback).await;
    assert_eq!((broken.exchanges(), through.exchanges()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_fails_costs_the_profile_and_not_the_visitor() {
    for mood in [
        Mood::Errcode {
            api: Api::Userinfo,
            errcode: 48001,
        },
        Mood::Html,
    ] {
        let world = World::new().await;
        world.simulator.set_mood_for(Api::Userinfo, mood.clone());
        let mut browser = Browser::new(WECHAT);
        let answer = browser.open(world.gateway, "/member").await;
        let (_, query) = answer.location().split_once('?').unwrap();
        let query = query.split('#').next().unwrap();
        let chosen = format!(
            "{}/simulator/choose/authorize/{OPENID}?{query}",
            world.simulator.base_url()
        );
        let (addr, target) = split(&chosen);
        let (answer, _) = browser.visit(addr, &target).await;
        assert_eq!(answer.status, 200, "{mood:?}: {answer:?}");
        let seen = world.app.last();
        assert_eq!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
        assert_eq!(seen.value("x-wechat-nickname"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_with_a_session_notice_nothing_of_wechats_moods() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    for mood in [
        Mood::Hanging,
        Mood::ResetBeforeAnswer,
        Mood::Errcode {
            api: Api::Exchange,
            errcode: 45009,
        },
    ] {
        world.simulator.set_mood(mood.clone());
        assert_eq!(
            browser.open(world.gateway, "/").await.status,
            200,
            "{mood:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_too_long_for_a_cookie_loses_its_query_and_not_the_visitor() {
    let world = World::new().await;
    let mut browser = Browser::new(WECHAT);
    let long = format!("/search?q={}", "x".repeat(3000));
    let (answer, trail) = browser.visit(world.gateway, &long).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        trail.last().unwrap(),
        &format!("http://{}/search", world.gateway)
    );
    let kept = format!("/search?q={}", "x".repeat(2500));
    let mut browser = Browser::new(WECHAT);
    let answer = browser.open(world.gateway, &kept).await;
    let login = answer
        .values("set-cookie")
        .into_iter()
        .find(|cookie| cookie.starts_with("wxgate-login-"))
        .unwrap();
    assert!(
        login.split(';').next().unwrap().len() <= 4096,
        "a cookie that browsers keep"
    );
    let (answer, trail) = browser.visit(world.gateway, &kept).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        trail.last().unwrap(),
        &format!("http://{}{kept}", world.gateway)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_cookie_that_another_host_planted_logs_nobody_in() {
    let world = World::new().await;
    // The attacker's own login, as far as the callback.
    let (attacker, callback) = world.until_callback("/attackers").await;
    let planted = attacker.cookie("wxgate-login-").unwrap().clone();
    let mut victim = Browser::new(WECHAT);
    victim.open(world.gateway, "/own").await;
    victim.jar.push(planted);
    let answer = victim.open(world.gateway, &callback).await;
    assert!(session_of(&answer).is_none(), "{answer:?}");
    assert!(answer.location().contains("/connect/oauth2/authorize"));
    assert_eq!(world.exchanges(), 0);
    // The victim goes on as themselves.
    let (addr, target) = split(answer.location());
    let (answer, _) = victim.visit(addr, &target).await;
    assert_eq!((answer.status, world.exchanges()), (200, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_login_costs_three_calls_at_most() {
    let world = World::new().await;
    let (browser, callback) = world.until_callback("/").await;
    let (_, state) = callback.split_once("&state=").unwrap();
    for code in 0..10 {
        let target = format!("/.wxgate/callback?code=guess{code}&state={state}");
        let answer = browser.clone().open(world.gateway, &target).await;
        assert!(session_of(&answer).is_none());
    }
    assert_eq!(world.exchanges(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cookie_of_the_same_name_is_no_loop() {
    let world = World::new().await;
    let mut browser = Browser::new(WECHAT);
    browser.jar.push(crate::client::Cookie {
        name: "wxgate_shop".into(),
        value: "junk".into(),
        path: "/x".into(),
    });
    let (answer, _) = browser.visit(world.gateway, "/x/page").await;
    assert_eq!(answer.status, 403);
    assert!(world.simulator.calls().authorize.total <= 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_with_one_appid_are_two_logins() {
    let world = World::new().await;
    let tables = format!(
        r#"
[accounts.second]
app_id = "{}"
app_secret = {{ file = "app_secret" }}
callback_origin = "http://{{gateway}}"
sandbox = true
open_base_url = "{{wechat}}"
api_base_url = "{{wechat}}"

[[routes]]
host = "127.0.0.1"
path = "/second"
upstream = "http://{}"
account = "second"
"#,
        world.app_id, world.app.addr
    );
    let both = World::with(crate::world::Extra {
        tables: &tables,
        ..crate::world::Extra::default()
    })
    .await;
    let mut browser = both.visitor().await;
    let (answer, _) = browser.visit(both.gateway, "/second/page").await;
    assert_eq!(answer.status, 200);
    assert!(browser.cookie("wxgate_shop").is_some() && browser.cookie("wxgate_second").is_some());
}

/// The state that a visitor is sent to WeChat with.
fn state_of(answer: &Answer) -> String {
    let (_, rest) = answer.location().split_once("state=").unwrap();
    rest.split('#').next().unwrap().to_owned()
}

/// An api that gives one answer to everybody.
async fn fixed_api(body: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 4096];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut bytes).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_granted_less_than_was_asked_is_not_let_in() {
    let api = fixed_api(r#"{"access_token":"t","openid":"oSomebody","scope":"snsapi_base"}"#).await;
    let world = World::with(crate::world::Extra {
        api: Some(api),
        ..crate::world::Extra::default()
    })
    .await;
    let mut browser = Browser::new(WECHAT);
    let answer = browser.open(world.gateway, "/member").await;
    let state = state_of(&answer);
    let answer = browser
        .open(
            world.gateway,
            &format!("/.wxgate/callback?code=c&state={state}"),
        )
        .await;
    assert_eq!(answer.status, 502);
    assert!(session_of(&answer).is_none(), "{answer:?}");
    // Who was asked for less is let in, and as no more than that.
    let answer = browser.open(world.gateway, "/").await;
    let state = state_of(&answer);
    let answer = browser
        .open(
            world.gateway,
            &format!("/.wxgate/callback?code=c&state={state}"),
        )
        .await;
    assert!(session_of(&answer).is_some(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openid_alone_is_enough() {
    let api = fixed_api(r#"{"openid":"oSomebody"}"#).await;
    let world = World::with(crate::world::Extra {
        api: Some(api),
        ..crate::world::Extra::default()
    })
    .await;
    for target in ["/", "/member"] {
        let mut browser = Browser::new(WECHAT);
        let answer = browser.open(world.gateway, target).await;
        let state = state_of(&answer);
        let answer = browser
            .open(
                world.gateway,
                &format!("/.wxgate/callback?code=c&state={state}"),
            )
            .await;
        assert!(session_of(&answer).is_some(), "{target}: {answer:?}");
        assert_eq!(browser.open(world.gateway, target).await.status, 200);
        assert_eq!(
            world.app.last().value("x-wechat-openid").as_deref(),
            Some("oSomebody")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_covers_what_was_asked_and_no_more() {
    let api = fixed_api(
        r#"{"access_token":"t","openid":"oSomebody","scope":"snsapi_base,snsapi_userinfo"}"#,
    )
    .await;
    let world = World::with(crate::world::Extra {
        api: Some(api),
        ..crate::world::Extra::default()
    })
    .await;
    let mut browser = Browser::new(WECHAT);
    let answer = browser.open(world.gateway, "/").await;
    let state = state_of(&answer);
    browser
        .open(
            world.gateway,
            &format!("/.wxgate/callback?code=c&state={state}"),
        )
        .await;
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
    assert_eq!(
        world.app.last().value("x-wechat-scope").as_deref(),
        Some("snsapi_base")
    );
    // Nobody has fetched a profile: the route that wants one asks.
    assert_eq!(browser.open(world.gateway, "/member").await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_login_opens_a_session_of_its_own() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let before = visitor.cookie("wxgate_shop").unwrap().value.clone();
    // The same visitor in another browser, and after a logout in this one.
    let again = world.visitor().await;
    assert_ne!(again.cookie("wxgate_shop").unwrap().value, before);
    visitor.jar.clear();
    let (answer, _) = visitor.visit(world.gateway, "/").await;
    assert_eq!(answer.status, 200);
    let after = &visitor.cookie("wxgate_shop").unwrap().value;
    // The id stands at the beginning, behind version and key.
    assert_ne!(after.get(..24), before.get(..24), "the id is a new one");
}
