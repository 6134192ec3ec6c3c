//! Every mood as a caller meets it, and the switches over HTTP.

use serde_json::Value;

use super::test_client::{Answer, request};
use super::*;

const WECHAT: &str = "User-Agent: MicroMessenger/8";
const APP: &str = "wx5150a7c0ffee0001";
const CHECK: &str = "/sns/auth?access_token=x&openid=y";

async fn simulator() -> Simulator {
    let account = SimAccount {
        callback_hosts: vec!["127.0.0.1:8080".to_owned()],
        ..SimAccount::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Simulator::start(listener, Settings::new(vec![account]))
        .await
        .unwrap()
}

async fn get(sim: &Simulator, path: &str, headers: &[&str]) -> Answer {
    request(sim.addr(), "GET", path, headers, "").await
}

async fn post(sim: &Simulator, path: &str, headers: &[&str], body: &str) -> Answer {
    request(sim.addr(), "POST", path, headers, body).await
}

async fn authorize(sim: &Simulator, scope: &str) -> Answer {
    let path = format!(
        "/connect/oauth2/authorize?appid={APP}&redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Fcb&response_type=code&scope={scope}&state=St1"
    );
    get(sim, &path, &[WECHAT]).await
}

/// The path that exchanges a new code.
async fn exchange(sim: &Simulator, scope: &str) -> String {
    let answer = authorize(sim, scope).await;
    let location = answer.header("location").unwrap();
    let code = location.split(['=', '&']).nth(1).unwrap();
    let secret = SimAccount::default().app_secret;
    format!(
        "/sns/oauth2/access_token?appid={APP}&secret={secret}&code={code}&grant_type=authorization_code"
    )
}

#[tokio::test]
async fn half_an_answer() {
    let sim = simulator().await;
    sim.set_mood(Mood::CutOff);
    let path = exchange(&sim, "snsapi_base").await;
    let answer = get(&sim, &path, &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body_bytes().len(), answer.promised() / 2);
    sim.set_mood(Mood::Normal);
    assert!(
        get(&sim, &path, &[]).await.body.contains("40163"),
        "the code was spent"
    );
}

#[tokio::test]
async fn no_answer_at_all() {
    let sim = simulator().await;
    sim.set_mood(Mood::ResetBeforeAnswer);
    let path = exchange(&sim, "snsapi_base").await;
    let answer = get(&sim, &path, &[]).await;
    assert!(answer.raw.is_empty());
    assert_eq!(answer.broken, Some(std::io::ErrorKind::ConnectionReset));
    assert_eq!(sim.calls().exchange.of("reset"), 1);
}

#[tokio::test]
async fn answers_of_another_kind() {
    let sim = simulator().await;
    sim.set_mood(Mood::Html);
    let answer = get(&sim, CHECK, &[]).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/html"))
    );
    sim.set_mood(Mood::EmptyBody);
    let answer = get(&sim, CHECK, &[]).await;
    assert_eq!((answer.status, answer.promised()), (200, 0));
    sim.set_mood(Mood::TruncatedJson);
    let answer = get(&sim, CHECK, &[]).await;
    assert_eq!(answer.promised(), answer.body_bytes().len());
    assert!(answer.body.starts_with('{') && serde_json::from_str::<Value>(&answer.body).is_err());
    sim.set_mood(Mood::InvalidUtf8);
    let answer = get(&sim, CHECK, &[]).await;
    assert!(std::str::from_utf8(answer.body_bytes()).is_err());
    assert!(
        serde_json::from_str::<Value>(&answer.body).is_ok(),
        "but for that it is JSON"
    );
}

#[tokio::test]
async fn an_answer_too_large() {
    let sim = simulator().await;
    sim.set_mood(Mood::HugeBody);
    let answer = get(&sim, CHECK, &[]).await;
    assert!(answer.body_bytes().len() > 31 << 20);
    assert_eq!(answer.promised(), answer.body_bytes().len());
    assert!(answer.body.ends_with('}'));
}

#[tokio::test]
async fn late_answers_and_none() {
    let sim = simulator().await;
    sim.set_mood(Mood::Slow(Duration::from_millis(30)));
    let before = std::time::Instant::now();
    assert!(get(&sim, CHECK, &[]).await.body.contains("40014"));
    assert!(before.elapsed() >= Duration::from_millis(30));
    sim.set_mood(Mood::Hanging);
    let hangs = tokio::time::timeout(Duration::from_millis(50), get(&sim, CHECK, &[])).await;
    assert!(hangs.is_err());
}

#[tokio::test]
async fn an_errcode_comes_from_its_api_alone() {
    let sim = simulator().await;
    sim.set_mood_times(
        Mood::Errcode {
            api: Api::Exchange,
            errcode: 45011,
        },
        1,
    );
    assert!(get(&sim, CHECK, &[]).await.body.contains("40014"));
    let path = exchange(&sim, "snsapi_base").await;
    assert!(
        get(&sim, &path, &[])
            .await
            .body
            .contains("\"errcode\":45011")
    );
    assert!(
        get(&sim, &path, &[]).await.body.contains("openid"),
        "refused before the code was spent"
    );
    sim.set_mood_times(
        Mood::Errcode {
            api: Api::Exchange,
            errcode: -1,
        },
        1,
    );
    let path = exchange(&sim, "snsapi_base").await;
    assert!(get(&sim, &path, &[]).await.body.contains("\"errcode\":-1"));
    assert!(
        get(&sim, &path, &[]).await.body.contains("40163"),
        "busy spends the code"
    );
}

#[tokio::test]
async fn a_mood_may_concern_one_api() {
    let sim = simulator().await;
    sim.set_mood_for(Api::Userinfo, Mood::EmptyBody);
    assert!(get(&sim, CHECK, &[]).await.body.contains("40014"));
    assert_eq!(get(&sim, "/sns/userinfo", &[]).await.body, "");
}

#[tokio::test]
async fn an_openid_with_a_line_break() {
    let sim = simulator().await;
    sim.set_mood(Mood::BadOpenId);
    let path = exchange(&sim, "snsapi_base").await;
    let answer: Value = serde_json::from_str(&get(&sim, &path, &[]).await.body).unwrap();
    assert!(answer["openid"].as_str().unwrap().contains("\r\n"));
}

#[tokio::test]
async fn a_snapshot_visitor_is_nobody() {
    let sim = simulator().await;
    sim.set_mood(Mood::Snapshot);
    let mut openids = Vec::new();
    for _ in 0..2 {
        let path = exchange(&sim, "snsapi_userinfo").await;
        let answer: Value = serde_json::from_str(&get(&sim, &path, &[]).await.body).unwrap();
        assert_eq!(answer["is_snapshotuser"], 1);
        openids.push(answer["openid"].clone());
    }
    assert_ne!(openids[0], openids[1]);
    let base = exchange(&sim, "snsapi_base").await;
    assert!(!get(&sim, &base, &[]).await.body.contains("snapshot"));
}

#[tokio::test]
async fn a_visitor_who_refuses_and_a_callback_that_comes_twice() {
    let sim = simulator().await;
    sim.set_mood_times(Mood::Refuse, 1);
    let refused = authorize(&sim, "snsapi_base").await;
    assert_eq!(
        refused.header("location"),
        Some("http://127.0.0.1:8080/cb?state=St1")
    );
    sim.set_mood_times(Mood::DoubleCallback, 1);
    let twice = authorize(&sim, "snsapi_base").await;
    assert_eq!(twice.status, 200);
    assert_eq!(
        twice.body.matches("http://127.0.0.1:8080/cb?code=").count(),
        3
    );
    assert_eq!(
        authorize(&sim, "snsapi_base").await.status,
        302,
        "once only"
    );
}

#[tokio::test]
async fn switches_are_turned_by_form_and_by_json() {
    let sim = simulator().await;
    let form = "mood=errcode&api=check&errcode=50002&times=1&ms=";
    let answer = post(&sim, "/simulator/mood", &["Accept: text/html"], form).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/simulator/"))
    );
    assert!(get(&sim, CHECK, &[]).await.body.contains("50002"));
    assert!(get(&sim, CHECK, &[]).await.body.contains("40014"));
    let json = ["Content-Type: application/json"];
    let answer = post(
        &sim,
        "/simulator/mood",
        &json,
        r#"{"mood":"html","times":2}"#,
    )
    .await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"mood":"html, 2 more times"}"#)
    );
    for bad in [
        r#"{"mood":"merry"}"#,
        r#"{"mood":"html","times":0}"#,
        r#"{"mood":"html","api":"x"}"#,
        "[]",
        "{",
    ] {
        assert_eq!(
            post(&sim, "/simulator/mood", &json, bad).await.status,
            400,
            "{bad}"
        );
    }
    let answer = post(&sim, "/simulator/visitor", &[], "openid=oNewcomer").await;
    assert!(answer.status == 200 && answer.header("set-cookie").unwrap().contains("oNewcomer"));
    assert_eq!(
        post(&sim, "/simulator/visitor", &[], "openid=o%0d%0a")
            .await
            .status,
        400
    );
    sim.set_mood(Mood::Normal);
    let path = exchange(&sim, "snsapi_base").await;
    assert_eq!(
        post(&sim, "/simulator/clock", &[], "seconds=300")
            .await
            .status,
        200
    );
    assert!(get(&sim, &path, &[]).await.body.contains("42003"));
    assert_eq!(
        post(&sim, "/simulator/clock", &[], "seconds=99999999999")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn another_site_turns_no_switch() {
    let sim = simulator().await;
    let headers = ["Sec-Fetch-Site: cross-site"];
    let answer = post(&sim, "/simulator/mood", &headers, "mood=html").await;
    assert_eq!(answer.status, 403);
    assert!(get(&sim, CHECK, &[]).await.body.contains("40014"));
}
