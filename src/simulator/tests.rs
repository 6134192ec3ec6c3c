//! The simulator over real sockets: the hop, the api, the switches.

use serde_json::Value;

use super::test_client::{Answer, request};
use super::*;

const APP: &str = "wx5150a7c0ffee0001";
const OTHER_APP: &str = "wx5150a7c0ffee0002";
const SITE: &str = "wx5150a7c0ffee0003";
const CORP: &str = "ww5150a7c0ffee0004";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const WECHAT: &str = "User-Agent: Mozilla/5.0 (iPhone) MicroMessenger/8.0.49";
const WECOM: &str = "User-Agent: Mozilla/5.0 (iPhone) wxwork/4.1.36 MicroMessenger/7.0.1";
const XIAOMING: &str = "oXiaoMing7Kq2VbT9wZr4Lp0sDfA";

pub(super) async fn simulator() -> Simulator {
    started(None).await
}

async fn started(too_frequent: Option<Frequency>) -> Simulator {
    let account = |app_id: &str| SimAccount {
        app_id: app_id.to_owned(),
        callback_hosts: vec!["127.0.0.1:8080".to_owned()],
        ..SimAccount::default()
    };
    let settings = Settings {
        accounts: vec![
            account(APP),
            account(OTHER_APP),
            SimAccount {
                kind: SimKind::Website,
                ..account(SITE)
            },
            SimAccount {
                kind: SimKind::WeCom {
                    agent_id: "1000002".to_owned(),
                },
                ..account(CORP)
            },
        ],
        too_frequent,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Simulator::start(listener, settings).await.unwrap()
}

fn authorize(app: &str, scope: &str) -> String {
    format!("/connect/oauth2/authorize?{}", query(app, scope))
}

fn query(app: &str, scope: &str) -> String {
    format!(
        "appid={app}&redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Fcb&response_type=code&scope={scope}&state=St1"
    )
}

pub(super) async fn get(sim: &Simulator, path: &str, headers: &[&str]) -> Answer {
    request(sim.addr(), "GET", path, headers, "").await
}

async fn json(sim: &Simulator, path: &str) -> Value {
    let answer = get(sim, path, &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    serde_json::from_str(&answer.body).unwrap()
}

fn code_of(answer: &Answer) -> String {
    let location = answer.header("location").expect("a redirect");
    let (before, after) = location.split_once("code=").expect("a code");
    assert_eq!(before, "http://127.0.0.1:8080/cb?");
    let (code, state) = after.split_once('&').unwrap();
    assert_eq!(state, "state=St1");
    code.to_owned()
}

async fn code(sim: &Simulator, app: &str, scope: &str) -> String {
    let path = match scope {
        "snsapi_base" => authorize(app, scope),
        _ => format!(
            "/simulator/choose/authorize/{XIAOMING}?{}",
            query(app, scope)
        ),
    };
    let answer = get(sim, &path, &[WECHAT]).await;
    assert_eq!(answer.status, 302);
    code_of(&answer)
}

fn exchange(app: &str, secret: &str, code: &str) -> String {
    format!(
        "/sns/oauth2/access_token?appid={app}&secret={secret}&code={code}&grant_type=authorization_code"
    )
}

async fn tokens(sim: &Simulator, scope: &str) -> Value {
    let code = code(sim, APP, scope).await;
    json(sim, &exchange(APP, SECRET, &code)).await
}

async fn errcode(sim: &Simulator, path: &str) -> i64 {
    let answer = json(sim, path).await;
    let errmsg = answer["errmsg"].as_str().unwrap();
    if path.starts_with("/cgi-bin/") {
        assert!(errmsg.contains(", hint: [") && errmsg.contains("from ip: "));
        return answer["errcode"].as_i64().unwrap();
    }
    let (_, rid) = errmsg.split_once(", rid: ").expect("a rid");
    let groups: Vec<_> = rid.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 8, 8]);
    answer["errcode"].as_i64().unwrap()
}

#[tokio::test]
async fn base_scope_passes_unnoticed_inside_wechat() {
    let sim = simulator().await;
    let code = code(&sim, APP, "snsapi_base").await;
    assert_eq!(code.len(), 32);
    assert!(code.starts_with('0') && code.bytes().all(|b| b.is_ascii_alphanumeric()));
    let answer = get(&sim, &exchange(APP, SECRET, &code), &[]).await;
    let order = [
        "{\"access_token\":",
        "\"expires_in\":7200",
        "\"refresh_token\":",
        "\"openid\":",
        "\"scope\":\"snsapi_base\"}",
    ];
    let places: Vec<_> = order.map(|name| answer.body.find(name).unwrap()).into();
    assert!(places.is_sorted(), "{}", answer.body);
    assert!(answer.body.contains(XIAOMING));
    assert_eq!(sim.calls().authorize.ok(), 1);
    assert_eq!(sim.calls().exchange.ok(), 1);
}

#[tokio::test]
async fn other_browsers_are_asked_who_is_visiting() {
    let sim = simulator().await;
    for agent in [
        "User-Agent: Mozilla/5.0",
        "User-Agent: wxwork/4 MicroMessenger/7",
    ] {
        let answer = get(&sim, &authorize(APP, "snsapi_base"), &[agent]).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains(&format!(
            "href=\"/simulator/choose/authorize/{XIAOMING}?appid={APP}&amp;redirect_uri="
        )));
        assert!(!answer.body.contains("<b>&amp;"), "a nickname got out");
    }
}

#[tokio::test]
async fn a_choice_is_remembered_and_checked_again() {
    let sim = simulator().await;
    let rose = &sim.visitors()[1].openid.clone();
    let path = |who: &str| {
        format!(
            "/simulator/choose/authorize/{who}?{}",
            query(APP, "snsapi_base")
        )
    };
    let answer = get(&sim, &path(rose), &[]).await;
    let cookie = answer.header("set-cookie").unwrap();
    let cookie = format!("Cookie: a=b; {}", cookie.split(';').next().unwrap());
    let again = get(&sim, &authorize(APP, "snsapi_base"), &[WECHAT, &cookie]).await;
    let answer = json(&sim, &exchange(APP, SECRET, &code_of(&again))).await;
    assert_eq!(answer["openid"], rose.as_str());
    let refused = get(&sim, &path("refuse"), &[]).await;
    assert_eq!(
        refused.header("location"),
        Some("http://127.0.0.1:8080/cb?state=St1")
    );
    assert_eq!(get(&sim, &path("oNobody"), &[]).await.status, 404);
    let elsewhere = path(rose).replace("8080", "8081");
    assert!(get(&sim, &elsewhere, &[]).await.body.contains("10003"));
}

#[tokio::test]
async fn userinfo_asks_and_gives_the_profile() {
    let sim = simulator().await;
    let page = get(&sim, &authorize(APP, "snsapi_userinfo"), &[WECHAT]).await;
    assert!(page.status == 200 && page.body.contains("允许") && page.body.contains("拒绝"));
    let tokens = tokens(&sim, "snsapi_userinfo").await;
    let token = tokens["access_token"].as_str().unwrap();
    let profile = json(
        &sim,
        &format!("/sns/userinfo?access_token={token}&openid={XIAOMING}&lang=zh_CN"),
    )
    .await;
    assert_eq!(profile["nickname"], "小明");
    assert_eq!(profile["unionid"], tokens["unionid"]);
    let avatar = profile["headimgurl"].as_str().unwrap();
    let path = avatar.strip_prefix(&sim.base_url()).unwrap();
    assert!(get(&sim, path, &[]).await.body.starts_with("<svg"));
}

#[tokio::test]
async fn a_nickname_may_hold_a_raw_control_character() {
    let sim = simulator().await;
    let openid = sim.visitors()[4].openid.clone();
    let path = format!(
        "/simulator/choose/authorize/{openid}?{}",
        query(APP, "snsapi_userinfo")
    );
    let code = code_of(&get(&sim, &path, &[]).await);
    let tokens = json(&sim, &exchange(APP, SECRET, &code)).await;
    let token = tokens["access_token"].as_str().unwrap();
    let answer = get(
        &sim,
        &format!("/sns/userinfo?access_token={token}&openid={openid}"),
        &[],
    )
    .await;
    assert!(answer.body.contains("换\u{8}行"));
    assert!(serde_json::from_str::<Value>(&answer.body).is_err());
}

#[tokio::test]
async fn an_openid_is_an_accounts_own_and_a_unionid_is_not() {
    let sim = simulator().await;
    let code = code(&sim, OTHER_APP, "snsapi_userinfo").await;
    let other = json(&sim, &exchange(OTHER_APP, SECRET, &code)).await;
    let first = tokens(&sim, "snsapi_userinfo").await;
    assert_ne!(other["openid"], first["openid"]);
    assert_eq!(other["unionid"], first["unionid"]);
    assert_eq!(other["openid"], sim.openid_on(OTHER_APP, XIAOMING).unwrap());
}

#[tokio::test]
async fn a_code_is_good_once_for_its_account_and_five_minutes() {
    let sim = simulator().await;
    let used = code(&sim, APP, "snsapi_base").await;
    assert_eq!(
        errcode(&sim, &exchange(OTHER_APP, SECRET, &used)).await,
        40029
    );
    assert_eq!(
        errcode(&sim, &exchange(APP, SECRET, &used.to_lowercase())).await,
        40029
    );
    assert_eq!(
        json(&sim, &exchange(APP, SECRET, &used)).await["openid"],
        XIAOMING
    );
    assert_eq!(errcode(&sim, &exchange(APP, SECRET, &used)).await, 40163);
    let late = code(&sim, APP, "snsapi_base").await;
    sim.advance_clock(Duration::from_secs(300));
    assert_eq!(errcode(&sim, &exchange(APP, SECRET, &late)).await, 42003);
    assert_eq!(sim.calls().exchange.of("40163"), 1);
}

#[tokio::test]
async fn exchange_says_what_is_wrong() {
    let sim = simulator().await;
    let good = exchange(APP, SECRET, "nocode");
    let cases = [
        (good.clone(), 40029),
        (good.replace("nocode", ""), 41008),
        (good.replace("&code=nocode", ""), 41008),
        (good.replace(APP, "wx0000000000000000"), 40013),
        (good.replace(APP, ""), 41002),
        (good.replace(SECRET, ""), 41004),
        (good.replace(SECRET, "0"), 40125),
        (good.replace("authorization_code", "refresh_token"), 40002),
        (good.replace("&grant_type=authorization_code", ""), 40002),
    ];
    for (path, expected) in cases {
        assert_eq!(errcode(&sim, &path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn tokens_are_refreshed_and_checked() {
    let sim = simulator().await;
    let tokens = tokens(&sim, "snsapi_base").await;
    let (access, refresh) = (
        tokens["access_token"].as_str().unwrap(),
        tokens["refresh_token"].as_str().unwrap(),
    );
    let check = |token: &str| format!("/sns/auth?access_token={token}&openid={XIAOMING}");
    let again = format!(
        "/sns/oauth2/refresh_token?appid={APP}&grant_type=refresh_token&refresh_token={refresh}"
    );
    assert_eq!(
        get(&sim, &check(access), &[]).await.body,
        r#"{"errcode":0,"errmsg":"ok"}"#
    );
    let unknown = format!("90_{}", "a".repeat(86));
    let userinfo = check(access).replace("auth", "userinfo");
    let cases = [
        (check(""), 41001),
        (check("short"), 40014),
        (check(&unknown), 40001),
        (check(access).replace(XIAOMING, ""), 41009),
        (check(access).replace(XIAOMING, "oOther"), 40003),
        (userinfo, 48001),
        (again.replace(refresh, ""), 41003),
        (again.replace(refresh, "none"), 40030),
        (again.replace(APP, OTHER_APP), 40030),
        (again.replace(APP, "wx0"), 40013),
        (again.replace(APP, ""), 41002),
        (
            again.replace("=refresh_token&", "=authorization_code&"),
            40002,
        ),
    ];
    for (path, expected) in cases {
        assert_eq!(errcode(&sim, &path).await, expected, "{path}");
    }
    assert_eq!(
        json(&sim, &again).await["access_token"],
        access,
        "prolonged"
    );
    sim.advance_clock(Duration::from_secs(7200));
    assert_eq!(errcode(&sim, &check(access)).await, 42001);
    let anew = json(&sim, &again).await;
    assert!(anew["access_token"] != access && anew["refresh_token"] == refresh);
    assert_eq!(
        json(&sim, &check(anew["access_token"].as_str().unwrap())).await["errcode"],
        0
    );
    sim.advance_clock(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(errcode(&sim, &again).await, 42002);
}

#[tokio::test]
async fn desktop_login_gives_a_code_outside_wechat_alone() {
    let sim = simulator().await;
    let query = query(SITE, "snsapi_login");
    let path = format!("/connect/qrconnect?{query}");
    for inside in [WECHAT, WECOM] {
        let page = get(&sim, &path, &[inside]).await;
        assert!(page.body.contains("useless inside WeChat"), "{inside}");
    }
    assert!(get(&sim, &path, &[]).await.body.contains("谁在访问"));
    let chosen = format!("/simulator/choose/qrconnect/{XIAOMING}?{query}");
    let code = code_of(&get(&sim, &chosen, &[]).await);
    assert_eq!(
        json(&sim, &exchange(SITE, SECRET, &code)).await["scope"],
        "snsapi_login"
    );
    let refused = format!("/simulator/choose/qrconnect/refuse?{query}");
    let refused = get(&sim, &refused, &[]).await;
    assert_eq!(
        refused.header("location"),
        Some("http://127.0.0.1:8080/cb?state=St1")
    );
}

#[tokio::test]
async fn a_corps_login_works_in_wecom_alone_and_tells_members_from_outsiders() {
    let sim = simulator().await;
    let path = format!("{}&agentid=1000002", authorize(CORP, "snsapi_base"));
    for agent in [&[WECHAT][..], &[]] {
        let page = get(&sim, &path, agent).await;
        assert!(
            page.body.contains("请在企业微信客户端打开链接"),
            "{agent:?}"
        );
    }
    let choose = path.replace("connect/oauth2", "simulator/choose");
    let choose = choose.replace("/authorize?", &format!("/authorize/{XIAOMING}?"));
    assert_eq!(get(&sim, &choose, &[]).await.status, 404);
    let wanted = |secret: &str| format!("/cgi-bin/gettoken?corpid={CORP}&corpsecret={secret}");
    assert_eq!(errcode(&sim, &wanted("wrong")).await, 40001);
    let token = json(&sim, &wanted(SECRET)).await;
    let token = token["access_token"].as_str().unwrap().to_owned();
    let again = json(&sim, &wanted(SECRET)).await;
    assert_eq!(again["access_token"], token, "the same while it lives");
    let user = |token: &str, code: &str| {
        format!("/cgi-bin/auth/getuserinfo?access_token={token}&code={code}")
    };
    let code = code_of(&get(&sim, &path, &[WECOM]).await);
    assert_eq!(errcode(&sim, &user("nobodys", &code)).await, 40014);
    let found = json(&sim, &user(&token, &code)).await;
    assert_eq!(
        (found["userid"].as_str(), found.get("openid")),
        (Some("XiaoMing"), None)
    );
    assert_eq!(errcode(&sim, &user(&token, &code)).await, 40029);
    // No code of another account's is taken, and none of a corp's by /sns/.
    let other = code_of(&get(&sim, &authorize(APP, "snsapi_base"), &[WECHAT]).await);
    assert_eq!(errcode(&sim, &user(&token, &other)).await, 40029);
    let code = code_of(&get(&sim, &path, &[WECOM]).await);
    assert_eq!(errcode(&sim, &exchange(CORP, SECRET, &code)).await, 40013);
    assert!(sim.set_default_visitor("oOutsider"));
    let code = code_of(&get(&sim, &path, &[WECOM]).await);
    let found = json(&sim, &user(&token, &code)).await;
    let openid = sim.openid_on(CORP, "oOutsider");
    assert_eq!(
        (found["openid"].as_str(), found.get("userid")),
        (openid.as_deref(), None)
    );
    sim.advance_clock(Duration::from_secs(7200));
    assert_eq!(errcode(&sim, &user(&token, &code)).await, 42001);
    assert_ne!(json(&sim, &wanted(SECRET)).await["access_token"], token);
}

#[tokio::test]
async fn a_login_loop_ends_in_10009() {
    let limit = Frequency {
        authorizes: 2,
        within: Duration::from_secs(10),
    };
    let sim = started(Some(limit)).await;
    let path = authorize(APP, "snsapi_base");
    for expected in [302, 302, 200] {
        assert_eq!(get(&sim, &path, &[WECHAT]).await.status, expected);
    }
    assert_eq!(sim.calls().authorize.of("10009"), 1);
    sim.advance_clock(Duration::from_secs(10));
    assert_eq!(get(&sim, &path, &[WECHAT]).await.status, 302);
}

#[tokio::test]
async fn no_event_or_page_holds_a_secret_code_or_token() {
    let sim = simulator().await;
    let code = code(&sim, APP, "snsapi_base").await;
    let tokens = json(&sim, &exchange(APP, SECRET, &code)).await;
    get(&sim, &exchange(APP, "wrong-secret", &code), &[]).await;
    get(&sim, &exchange(SECRET, SECRET, SECRET), &[]).await;
    let mut text = format!("{:?}{:?}{:?}", sim.events(), sim, SimAccount::default());
    for path in [
        "/simulator/",
        "/simulator/log",
        "/simulator/events",
        "/simulator/calls",
    ] {
        text.push_str(&get(&sim, path, &[]).await.body);
    }
    for secret in [
        SECRET,
        "wrong-secret",
        &code,
        tokens["access_token"].as_str().unwrap(),
        tokens["refresh_token"].as_str().unwrap(),
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(
        text.contains("exchange: appid wx5150a7c0ffee0001, scope snsapi_base, visitor 小明 → ok")
    );
}
