//! Apps that do WeChat's OAuth themselves, at the gateway in WeChat's place: a code
//! for each visitor, tokens for each code, and nothing for anybody else.

mod attacks;
mod records;
mod settings;
mod ways;

use std::net::SocketAddr;

use serde_json::Value;

use crate::client::{Answer, Traveller, send};
use crate::world::{APP_SECRETS, CALLBACK, CLUB, CLUB_CALLBACK, Extra, OPENID, World};

pub const HOST: &str = "wx.apps.test";
pub const LEGACY: &str = "wxlegacy00000001";
pub const FORUM: &str = "wxforum000000002";
pub const GAMES: &str = "wxgames000000003";
/// Where [`LEGACY`]'s codes go.
pub const BACK: &str = "http://legacy.test/cb?from=wx&x=%2F#/home";
pub const STATE: &str = "State123";

pub const TABLES: &str = r#"
[[routes]]
host = "*.apps.test"
upstream = "http://{app}"
auth = "none"

[[routes]]
host = "a.test"
upstream = "http://{app}"
account = "shop"

[facade]
host = "{host}"

[[facade.apps]]
name = "legacy"
account = "shop"
app_id = "wxlegacy00000001"
app_secret = { file = "legacy_secret" }
callback_origins = ["http://legacy.test", "http://legacy.test:8080"]

[[facade.apps]]
name = "forum"
account = "shop"
app_id = "wxforum000000002"
app_secret = { file = "forum_secret" }
callback_origins = ["http://forum.test"]

[[facade.apps]]
name = "games"
account = "club"
app_id = "wxgames000000003"
app_secret = { file = "games_secret" }
callback_origins = ["http://games.test"]

[accounts.club]
app_id = "{club}"
app_secret = { file = "app_secret" }
callback_origin = "http://{door}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{wechat}"
"#;

/// The tables above, with the facade at `host`.
pub fn tables(host: &str) -> String {
    TABLES
        .replace("{host}", host)
        .replace("{club}", CLUB)
        .replace("{door}", CLUB_CALLBACK)
}

pub async fn world_at(host: &str, limits: &str) -> World {
    World::with(Extra {
        limits,
        callback: Some(CALLBACK),
        tables: &tables(host),
        ..Extra::default()
    })
    .await
}

pub async fn world() -> World {
    world_at(HOST, "").await
}

/// The secret of the app with this appid.
pub fn secret(app_id: &str) -> &'static str {
    let at = [LEGACY, FORUM, GAMES]
        .iter()
        .position(|known| *known == app_id);
    APP_SECRETS[at.unwrap()].1
}

/// Encodes all but letters and digits.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// A link at `host`, as WeChat's documentation has it.
pub fn link_at(host: &str, app_id: &str, redirect: &str, scope: &str) -> String {
    format!(
        "http://{host}/connect/oauth2/authorize?appid={app_id}&redirect_uri={}&response_type=code\
         &scope={scope}&state={STATE}#wechat_redirect",
        encoded(redirect)
    )
}

pub fn link(app_id: &str, redirect: &str, scope: &str) -> String {
    link_at(HOST, app_id, redirect, scope)
}

/// The usual link of [`LEGACY`].
pub fn base() -> String {
    link(LEGACY, BACK, "snsapi_base")
}

pub fn is_back(url: &str) -> bool {
    ["legacy.test", "forum.test", "games.test"]
        .iter()
        .any(|host| url.starts_with(&format!("http://{host}")))
}

/// The code in the address of a callback.
pub fn code_in(url: &str) -> String {
    let (_, rest) = url.split_once("code=").unwrap_or_else(|| panic!("{url}"));
    rest.split('&').next().unwrap().to_owned()
}

/// Follows `url` until an app is reached: its address.
pub async fn way_back(traveller: &mut Traveller, url: &str) -> String {
    let (answer, trail) = traveller.until(url, is_back).await;
    let last = trail.last().unwrap_or_else(|| panic!("{answer:?}"));
    assert!(is_back(last), "{answer:?} {trail:#?}");
    last.clone()
}

/// The same for somebody who agrees where WeChat asks.
pub async fn agreeing(world: &World, traveller: &mut Traveller, url: &str) -> String {
    let (_, trail) = traveller.until(url, is_back).await;
    let asked = trail.last().unwrap();
    if is_back(asked) {
        return asked.clone();
    }
    assert!(asked.contains("/connect/oauth2/authorize?"), "{trail:#?}");
    let query = asked.split_once('?').unwrap().1.split('#').next().unwrap();
    let wechat = world.simulator.base_url();
    let yes = format!("{wechat}/simulator/choose/authorize/{OPENID}?{query}");
    way_back(traveller, &yes).await
}

/// What an app's server is answered.
pub async fn api_at(gateway: SocketAddr, host: &str, target: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n");
    let answer = send(gateway, request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.value("content-type"), Some("text/plain"));
    assert_eq!(answer.value("cache-control"), Some("no-store"));
    answer
}

pub async fn api(world: &World, target: &str) -> Value {
    api_at(world.gateway, HOST, target).await.json()
}

pub fn exchange_target(app_id: &str, secret: &str, code: &str) -> String {
    format!(
        "/sns/oauth2/access_token?appid={app_id}&secret={secret}&code={code}&grant_type=authorization_code"
    )
}

pub async fn exchange(world: &World, app_id: &str, code: &str) -> Value {
    api(world, &exchange_target(app_id, secret(app_id), code)).await
}

pub async fn refresh(world: &World, app_id: &str, token: &str) -> Value {
    let target = format!(
        "/sns/oauth2/refresh_token?appid={app_id}&grant_type=refresh_token&refresh_token={token}"
    );
    api(world, &target).await
}

/// `/sns/auth` or `/sns/userinfo`.
pub async fn ask(world: &World, what: &str, token: &str, openid: &str) -> Value {
    let target = format!("/sns/{what}?access_token={token}&openid={openid}&lang=zh_CN");
    api(world, &target).await
}

pub fn errcode(answer: &Value) -> i64 {
    answer["errcode"]
        .as_i64()
        .unwrap_or_else(|| panic!("no error but {answer}"))
}

/// The text of a field.
pub fn text(answer: &Value, name: &str) -> String {
    let value = answer[name].as_str();
    value.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Access and refresh token of a new visitor of [`LEGACY`]'s, who comes along.
pub async fn tokens(world: &World) -> (Traveller, String, String) {
    let mut traveller = Traveller::new(world.gateway);
    let back = way_back(&mut traveller, &base()).await;
    let given = exchange(world, LEGACY, &code_in(&back)).await;
    (
        traveller,
        text(&given, "access_token"),
        text(&given, "refresh_token"),
    )
}

fn fields(answer: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = answer
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

/// A token as the columns of apps take it.
fn is_column(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    text.len() <= 128 && text.bytes().all(plain)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_logs_its_visitor_in_as_with_wechat() {
    let world = world().await;
    let mut traveller = Traveller::new(world.gateway);
    let back = way_back(&mut traveller, &base()).await;
    let code = code_in(&back);
    assert_eq!(
        back,
        format!("http://legacy.test/cb?from=wx&x=%2F&code={code}&state={STATE}#/home")
    );
    assert!(code.len() == 32 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let given = exchange(&world, LEGACY, &code).await;
    assert_eq!(
        fields(&given),
        [
            "access_token",
            "expires_in",
            "openid",
            "refresh_token",
            "scope"
        ]
    );
    assert_eq!(given["openid"], OPENID);
    assert_eq!(given["expires_in"], 7200);
    assert_eq!(given["scope"], "snsapi_base");
    let [access, renews] = ["access_token", "refresh_token"].map(|name| text(&given, name));
    assert!(is_column(&access) && is_column(&renews) && access != renews);
    assert_eq!(
        ask(&world, "auth", &access, OPENID).await,
        serde_json::json!({"errcode": 0, "errmsg": "ok"})
    );
    assert_eq!(
        errcode(&ask(&world, "userinfo", &access, OPENID).await),
        48001
    );
    let renewed = refresh(&world, LEGACY, &renews).await;
    assert_eq!(fields(&renewed), fields(&given));
    assert_eq!(text(&renewed, "refresh_token"), renews);
    let access = text(&renewed, "access_token");
    assert_eq!(errcode(&ask(&world, "auth", &access, OPENID).await), 0);
    // A POST says the same, its parameters in the address.
    let target = format!("/sns/auth?access_token={access}&openid={OPENID}");
    let post = format!("POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3\r\n\r\na=b");
    assert_eq!(send(world.gateway, post).await.json()["errcode"], 0);
    // WeChat was asked once, by the gateway.
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_what_wechat_told_with_the_scope_for_it_alone() {
    let world = world().await;
    let mut traveller = Traveller::new(world.gateway);
    // Who granted less so far is asked for more.
    way_back(&mut traveller, &base()).await;
    let url = link(LEGACY, BACK, "snsapi_userinfo");
    assert!(!is_back(traveller.open(&url).await.location()));
    let code = code_in(&agreeing(&world, &mut traveller, &url).await);
    let given = exchange(&world, LEGACY, &code).await;
    assert_eq!(given["scope"], "snsapi_userinfo");
    let visitors = world.simulator.visitors();
    let visitor = visitors.iter().find(|one| one.openid == OPENID).unwrap();
    assert_eq!(given["unionid"], visitor.unionid.as_str());
    let profile = ask(&world, "userinfo", &text(&given, "access_token"), OPENID).await;
    let mut expected = [
        "openid",
        "nickname",
        "sex",
        "province",
        "city",
        "country",
        "headimgurl",
        "privilege",
        "unionid",
    ];
    expected.sort_unstable();
    assert_eq!(fields(&profile), expected);
    assert_eq!(profile["nickname"], visitor.nickname.as_str());
    assert_eq!(profile["unionid"], visitor.unionid.as_str());
    assert!(text(&profile, "headimgurl").starts_with("http"));
    assert_eq!(
        (&profile["sex"], &profile["privilege"]),
        (&0.into(), &serde_json::json!([]))
    );
    // The same visitor, asked for less: the app is told less, though more is known.
    let code = code_in(&way_back(&mut traveller, &base()).await);
    let less = exchange(&world, LEGACY, &code).await;
    assert_eq!(
        (&less["scope"], less.get("unionid")),
        (&"snsapi_base".into(), None)
    );
    let refused = ask(&world, "userinfo", &text(&less, "access_token"), OPENID).await;
    assert_eq!(errcode(&refused), 48001);
    assert_eq!(world.simulator.calls().userinfo.total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_that_share_an_account_share_its_login_and_nothing_else() {
    let world = world().await;
    let mut traveller = Traveller::new(world.gateway);
    let first = way_back(&mut traveller, &base()).await;
    let forum = link(FORUM, "http://forum.test/", "snsapi_base");
    // No hop but the one back.
    let answer = traveller.open(&forum).await;
    assert_eq!(answer.status, 302);
    assert!(answer.location().starts_with("http://forum.test/?code="));
    assert_eq!(answer.value("cache-control"), Some("no-store"));
    assert_eq!(answer.value("referrer-policy"), Some("no-referrer"));
    let second = answer.location().to_owned();
    assert_eq!(
        (world.exchanges(), world.simulator.calls().authorize.total),
        (1, 1)
    );
    // Another account is another login, with another openid.
    let games = link(GAMES, "http://games.test/", "snsapi_base");
    let third = way_back(&mut traveller, &games).await;
    assert_eq!(world.exchanges(), 2);
    let mut openids = Vec::new();
    for (app, url) in [(LEGACY, &first), (FORUM, &second), (GAMES, &third)] {
        openids.push(text(&exchange(&world, app, &code_in(url)).await, "openid"));
    }
    assert_eq!((openids[0].as_str(), openids[1].as_str()), (OPENID, OPENID));
    assert_eq!(
        Some(&openids[2]),
        world.simulator.openid_on(CLUB, OPENID).as_ref()
    );
}
