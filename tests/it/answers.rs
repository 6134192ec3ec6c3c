//! Whatever WeChat answers, or fails to answer, has one consequence.
//!
//! For each errcode and each kind of failure: what the visitor gets in the end,
//! what the page says, how often WeChat was called for it, and that a visitor who
//! was logged in before noticed nothing, nor caused a call.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use wxgate::simulator::{Api, Mood};
use wxgate::wechat::errcode::TABLE;

use crate::client::{Answer, Browser, WECHAT};
use crate::world::{Extra, OPENID, World};

/// What a visitor who logs in ends with.
struct Row {
    mood: Mood,
    status: u16,
    title: &'static str,
    /// How often a code was exchanged: more than once, and logins began anew.
    calls: u64,
    retry_after: Option<u64>,
    /// What else the page must say: the setting that mends it, and the menu.
    says: &'static [&'static str],
}

const AGAIN: u64 = 3;

fn errcode(errcode: i64) -> Mood {
    Mood::Errcode {
        api: Api::Exchange,
        errcode,
    }
}

fn row(mood: Mood, status: u16, title: &'static str, calls: u64) -> Row {
    Row {
        mood,
        status,
        title,
        calls,
        retry_after: None,
        says: &[],
    }
}

fn codes() -> Vec<(i64, Row)> {
    let plain = |code, status, title, calls| (code, row(errcode(code), status, title, calls));
    let mends = |code, title, says| {
        let row = Row {
            says,
            ..row(errcode(code), 502, title, 1)
        };
        (code, row)
    };
    let quota = |code, seconds| {
        let row = Row {
            retry_after: Some(seconds),
            ..row(errcode(code), 503, "登录人数过多", 1)
        };
        (code, row)
    };
    const SECRET: &[&str] = &["基本配置", "微信开放平台", "app_secret", "gateway.toml"];
    const APP_ID: &[&str] = &["基本配置", "微信开放平台", "app_id", "gateway.toml"];
    const RIGHT: &[&str] = &["接口权限", "微信开放平台", "scope", "gateway.toml"];
    vec![
        plain(-1, 502, "微信没有响应", AGAIN),
        plain(40029, 502, "登录未成功", AGAIN),
        plain(40163, 502, "登录未成功", AGAIN),
        plain(42003, 502, "登录未成功", AGAIN),
        plain(41008, 403, "未获得授权", 1),
        mends(40001, "本站账号设置有误：AppSecret", SECRET),
        mends(40125, "本站账号设置有误：AppSecret", SECRET),
        mends(41004, "本站账号设置有误：AppSecret", SECRET),
        mends(40013, "本站账号设置有误：AppID", APP_ID),
        mends(41002, "本站账号设置有误：AppID", APP_ID),
        mends(
            40164,
            "本站账号设置有误：IP 白名单",
            &["IP白名单", "gateway.toml"],
        ),
        mends(48004, "本站账号的接口被封禁", &["通知中心", "app_id"]),
        mends(48001, "本站账号没有此项权限", RIGHT),
        mends(50001, "本站账号没有此项权限", RIGHT),
        plain(40014, 502, "登录未成功", AGAIN),
        plain(42001, 502, "登录未成功", AGAIN),
        plain(41001, 502, "登录未成功", AGAIN),
        plain(40030, 502, "登录未成功", AGAIN),
        plain(42002, 502, "登录未成功", AGAIN),
        plain(41003, 502, "登录未成功", AGAIN),
        plain(42007, 502, "登录未成功", AGAIN),
        quota(45009, 600),
        quota(45011, 60),
        plain(50002, 403, "微信不允许登录", 1),
        plain(40226, 403, "微信不允许登录", 1),
        mends(99999, "微信拒绝了登录", &["全局返回码", "gateway.toml"]),
    ]
}

/// All ways in which an answer can be none.
fn faults() -> [Mood; 9] {
    [
        Mood::Hanging,
        Mood::ResetBeforeAnswer,
        Mood::CutOff,
        Mood::Html,
        Mood::TruncatedJson,
        Mood::EmptyBody,
        Mood::HugeBody,
        Mood::InvalidUtf8,
        Mood::BadOpenId,
    ]
}

/// The sum of all calls but the browser's own.
fn calls(world: &World) -> u64 {
    let calls = world.simulator.calls();
    calls.exchange.total + calls.refresh.total + calls.userinfo.total + calls.check.total
}

/// A visitor who is logged in asks until the story ends: nothing but 200.
async fn unnoticed<T>(world: &World, visitor: &Browser, story: impl Future<Output = T>) -> T {
    let mut visitor = visitor.clone();
    let asking = async {
        loop {
            let answer = visitor.open(world.gateway, "/").await;
            assert_eq!(answer.status, 200, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        told = story => told,
        () = asking => unreachable!(),
    }
}

async fn in_mood(mood: &Mood) -> (World, Browser, Answer, u64) {
    let world = World::with(Extra {
        limits: "wechat_timeout = \"1s\"",
        ..Extra::default()
    })
    .await;
    let visitor = world.visitor().await;
    let before = calls(&world);
    world.simulator.set_mood_for(Api::Exchange, mood.clone());
    let mut browser = Browser::new(WECHAT);
    let story = browser.visit(world.gateway, "/cart?x=1");
    let (answer, _) = unnoticed(&world, &visitor, story).await;
    let called = calls(&world) - before;
    (world, visitor, answer, called)
}

fn judge(row: &Row, answer: &Answer, called: u64) {
    let text = answer.text();
    let mood = format!("{:?}: {text}", row.mood);
    assert_eq!(answer.status, row.status, "{mood}");
    assert!(text.contains(&format!("<h1>{}</h1>", row.title)), "{mood}");
    assert_eq!(called, row.calls, "{mood}");
    let retry_after = answer
        .value("retry-after")
        .map(|text| text.parse().unwrap());
    assert_eq!(retry_after, row.retry_after, "{mood}");
    for said in row.says {
        assert_eq!(
            text.matches(said).count(),
            2,
            "in two languages, {said}: {mood}"
        );
    }
    // It leads somewhere, and shows nothing that is set.
    assert!(
        text.contains("href=\"/") || text.contains("href=\"http://127.0.0.1"),
        "{mood}"
    );
    assert!(!text.contains(crate::world::SECRET), "{mood}");
    assert_eq!(answer.value("cache-control"), Some("no-store"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_errcode_of_an_exchange_has_its_consequence() {
    let rows = codes();
    let known: BTreeSet<i64> = TABLE.iter().map(|row| row.code).collect();
    let mut tried: BTreeSet<i64> = rows.iter().map(|(code, _)| *code).collect();
    assert!(tried.remove(&99999), "an unknown one");
    assert_eq!(known, tried, "every known number stands here, and no other");
    for (code, row) in rows {
        let (_world, _, answer, called) = in_mood(&row.mood).await;
        judge(&row, &answer, called);
        let text = answer.text();
        assert!(
            text.contains(&format!("errcode {code} · rid ")),
            "{code}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_to_answer_an_exchange_has_its_consequence() {
    for mood in faults() {
        let row = row(mood, 502, "微信没有响应", AGAIN);
        let (world, _, answer, called) = in_mood(&row.mood).await;
        judge(&row, &answer, called);
        // WeChat is well again, and so is the visitor.
        world.simulator.set_mood(Mood::Normal);
        let (answer, _) = Browser::new(WECHAT).visit(world.gateway, "/cart?x=1").await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_costs_no_further_call_and_no_visitor_their_session() {
    for (errcode, seconds) in [(45011, 60), (45009, 600)] {
        let mood = self::errcode(errcode);
        let (world, visitor, _, called) = in_mood(&mood).await;
        assert_eq!(called, 1);
        let before = calls(&world);
        let story = async {
            let mut browser = Browser::new(WECHAT);
            for target in ["/", "/.wxgate/login?to=%2F"] {
                let answer = browser.open(world.gateway, target).await;
                assert_eq!(answer.status, 503, "{answer:?}");
                let left: u64 = answer.value("retry-after").unwrap().parse().unwrap();
                assert!((seconds - 10..=seconds).contains(&left), "{left}");
                assert!(answer.text().contains("登录人数过多"));
            }
            // Programs are told as ever where to log in.
            let program = [("Accept", "application/json")];
            let answer = browser.ask("GET", world.gateway, "/", &program, b"").await;
            assert_eq!(answer.status, 401);
            // Whoever is known gets back to where they were.
            let mut known = visitor.clone();
            let answer = known.open(world.gateway, "/.wxgate/login?to=%2Fx").await;
            assert_eq!(answer.status, 302);
        };
        unnoticed(&world, &visitor, story).await;
        assert_eq!(calls(&world), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_at_a_used_up_quota_does_not_spend_its_code() {
    let world = World::new().await;
    let (mut late, callback) = world.until_callback("/cart").await;
    world.simulator.set_mood_for(Api::Exchange, errcode(45011));
    Browser::new(WECHAT).visit(world.gateway, "/").await;
    let before = calls(&world);
    let answer = late.open(world.gateway, &callback).await;
    assert_eq!((answer.status, calls(&world)), (503, before));
    assert!(answer.value("retry-after").is_some());
    assert!(
        answer.text().contains("/.wxgate/login?to=%2Fcart"),
        "{}",
        answer.text()
    );
}

/// Logs in for a route that asks for the profile, while `mood` has the profile's
/// api: the visitor is let in, by the openid alone.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_the_profile_the_visitor_is_let_in() {
    let codes = TABLE.iter().map(|row| row.code).chain([99999]);
    let errcodes = codes.map(|errcode| Mood::Errcode {
        api: Api::Userinfo,
        errcode,
    });
    for mood in errcodes.chain(faults()) {
        let world = World::with(Extra {
            limits: "wechat_timeout = \"1s\"",
            ..Extra::default()
        })
        .await;
        let visitor = world.visitor().await;
        let before = world.simulator.calls();
        world.simulator.set_mood_for(Api::Userinfo, mood.clone());
        let mut browser = Browser::new(WECHAT);
        let story = world.visit(&mut browser, "/member");
        let (answer, _) = unnoticed(&world, &visitor, story).await;
        assert_eq!(answer.status, 200, "{mood:?}: {answer:?}");
        // The other visitor asks at the same time, and has a nickname neither.
        let seen = world.app.seen();
        let seen = seen
            .iter()
            .rfind(|seen| seen.line().contains("/member"))
            .unwrap();
        assert_eq!(
            seen.value("x-wechat-openid").as_deref(),
            Some(OPENID),
            "{mood:?}"
        );
        assert_eq!(seen.value("x-wechat-nickname"), None, "{mood:?}");
        let calls = world.simulator.calls();
        assert_eq!(calls.exchange.total, before.exchange.total + 1, "{mood:?}");
        assert_eq!(calls.userinfo.total, before.userinfo.total + 1, "{mood:?}");
    }
}

/// A port where nobody listens.
fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_was_sent_the_second_host_gets_the_same_code() {
    // A server that is no TLS server, for a certificate that never comes.
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain_addr = plain.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = plain.accept().await.unwrap();
            drop(stream);
        }
    });
    for api in [
        format!("http://{}", dead()),
        "http://no-such-host.invalid".to_owned(),
        format!("https://{plain_addr}"),
    ] {
        let alone = World::with(Extra {
            api: Some(api.clone()),
            ..Extra::default()
        })
        .await;
        let (answer, _) = Browser::new(WECHAT).visit(alone.gateway, "/").await;
        let row = row(Mood::Normal, 502, "无法连接微信", 0);
        judge(&row, &answer, calls(&alone));
        let both = World::with(Extra {
            api: Some(api.clone()),
            account: "api_fallback_url = \"{wechat}\"",
            ..Extra::default()
        })
        .await;
        let (answer, _) = Browser::new(WECHAT).visit(both.gateway, "/").await;
        assert_eq!((answer.status, calls(&both)), (200, 1), "{api}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_seen_is_not_sent_to_the_second_host() {
    let second = World::new().await;
    let account = format!("api_fallback_url = \"{}\"", second.simulator.base_url());
    for mood in faults() {
        let world = World::with(Extra {
            account: &account,
            limits: "wechat_timeout = \"1s\"",
            ..Extra::default()
        })
        .await;
        world.simulator.set_mood_for(Api::Exchange, mood.clone());
        let (answer, _) = Browser::new(WECHAT).visit(world.gateway, "/").await;
        assert_eq!(answer.status, 502, "{mood:?}");
        assert_eq!(second.exchanges(), 0, "{mood:?}");
    }
}
