//! `pay_account`: the app orders under another account than it logs visitors in
//! with, and is told both openids, which are one visitor's.

use std::path::Path;

use pingora::http::RequestHeader;
use wxgate::config::Plan;
use wxgate::login::Opens;
use wxgate::origin::Host;
use wxgate::request::Asked;
use wxgate::session::Sessions;
use wxgate::signon::Ticket;
use wxgate::simulator::{Api, Mood};

use crate::app::App;
use crate::client::{Answer, Browser, DESKTOP, Traveller, WECHAT, send};
use crate::process::{Process, free_address, wxgate};
use crate::world::{
    CALLBACK, CLUB, CLUB_CALLBACK, Extra, OPENID, World, files, gateway_toml, simulator,
};

const PAY_OPENID: &str = "X-WeChat-Pay-OpenId";
const PAY_APPID: &str = "X-WeChat-Pay-AppId";
/// The cookie that tells who pays.
const COOKIE: &str = "wxgate-pay-club";
/// Another visitor.
const OTHER: &str = "oALi-Rose5Tn1CvX8yQm3Ks6_gHb";

/// Routes of one host, to which both accounts come back.
const ROUTES: &str = r#"
[[routes]]
host = "127.0.0.1"
path = "/order"
upstream = "http://{app}"
account = "shop"
pay_account = "club"

[[routes]]
host = "127.0.0.1"
path = "/order/welcome"
upstream = "http://{app}"
account = "shop"
pay_account = "club"
auth = "optional"

[[routes]]
host = "127.0.0.1"
path = "/order/look"
upstream = "http://{app}"
account = "shop"
pay_account = "club"
scope = "snsapi_userinfo"
snapshot = "read_only"

[[routes]]
host = "127.0.0.1"
path = "/order/anywhere"
upstream = "http://{app}"
account = "shop"
pay_account = "club"
outside_wechat = "redirect"

[[routes]]
host = "127.0.0.1"
path = "/order/fragment"
upstream = "http://{app}"
account = "shop"
pay_account = "club"
keep_fragment = true

[[routes]]
host = "127.0.0.1"
path = "/order/proof"
upstream = "http://{app}"
account = "shop"
pay_account = "club"
assertion = true

[[routes]]
host = "127.0.0.1"
path = "/order/asked"
upstream = "none"
account = "shop"
pay_account = "club"

[[routes]]
host = "127.0.0.1"
path = "/club"
upstream = "http://{app}"
account = "club"

[accounts.club]
app_id = "{club}"
app_secret = { file = "{secret}" }
callback_origin = "http://{door}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{wechat}"
"#;

/// Routes of hosts to which neither comes back.
const HOSTS: &str = r#"
[[routes]]
host = "a.test"
upstream = "http://{app}"
account = "shop"
pay_account = "club"

[[routes]]
host = "a.test"
path = "/plain"
upstream = "http://{app}"
account = "shop"

[[routes]]
host = "a.test"
path = "/look"
upstream = "http://{app}"
account = "shop"
pay_account = "club"
snapshot = "read_only"

[[routes]]
host = "b.test"
upstream = "http://{app}"
account = "shop"
pay_account = "club"

[[routes]]
host = "door.test"
upstream = "http://{app}"
account = "club"
"#;

async fn with(tables: &str, extra: Extra<'_>) -> World {
    let tables = tables.replace("{club}", CLUB);
    World::with(Extra {
        tables: &tables,
        ..extra
    })
    .await
}

/// Both accounts come back to the gateway's address.
async fn near() -> World {
    near_with(Extra::default()).await
}

async fn near_with(extra: Extra<'_>) -> World {
    let tables = ROUTES
        .replace("{door}", "{gateway}")
        .replace("{secret}", "app_secret");
    with(&tables, extra).await
}

/// Both come back to hosts of their own.
async fn far() -> World {
    let tables = ROUTES
        .replace("{door}", CLUB_CALLBACK)
        .replace("{secret}", "app_secret");
    let extra = Extra {
        callback: Some(CALLBACK),
        ..Extra::default()
    };
    with(&format!("{HOSTS}{tables}"), extra).await
}

fn pay_openid(world: &World, visitor: &str) -> String {
    world.simulator.openid_on(CLUB, visitor).unwrap()
}

/// What the app was told last: openid and pay openid.
fn told(world: &World) -> (Option<String>, Option<String>) {
    let seen = world.app.last();
    let pays = seen.value(PAY_OPENID);
    let app_id = seen.value(PAY_APPID);
    assert_eq!(app_id.as_deref(), pays.as_ref().map(|_| CLUB));
    (seen.value("X-WeChat-OpenId"), pays)
}

/// The app was told last that both are `visitor`.
fn assert_told(world: &World, visitor: &str) {
    let pays = pay_openid(world, visitor);
    assert_ne!(pays, visitor);
    assert_eq!(told(world), (Some(visitor.to_owned()), Some(pays)));
}

fn sets(answer: &Answer, name: &str) -> bool {
    let cookies = answer.values("set-cookie");
    cookies
        .iter()
        .any(|cookie| cookie.starts_with(&format!("{name}=")) && !cookie.contains("Max-Age=0"))
}

fn asked_wechat(trail: &[String]) -> usize {
    let asks = |url: &&String| url.contains("/connect/oauth2/authorize?");
    trail.iter().filter(asks).count()
}

/// A visitor inside WeChat who has opened `target`.
async fn payer(world: &World, target: &str) -> Browser {
    let mut browser = Browser::new(WECHAT);
    let (answer, trail) = browser.visit(world.gateway, target).await;
    assert_eq!(answer.status, 200, "{answer:?} {trail:#?}");
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_is_told_both_openids_and_the_second_login_costs_no_other_round() {
    let world = near().await;
    let mut browser = Browser::new(WECHAT);
    let target = "/order//x?a=1&b=%20";
    let (answer, trail) = browser.visit(world.gateway, target).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_told(&world, OPENID);
    assert_eq!(
        world.app.last().line(),
        format!("GET {target} HTTP/1.1"),
        "the target, byte for byte"
    );
    // WeChat, its callback, WeChat for the other account, its callback, the page.
    assert_eq!((asked_wechat(&trail), trail.len()), (2, 5), "{trail:#?}");
    assert!(trail[2].contains(&format!("appid={CLUB}")) && trail[2].contains("snsapi_base"));
    assert_eq!(world.app.seen().len(), 1);
    // They are known from then on, and only where the route asks.
    let answer = browser.open(world.gateway, "/order/y").await;
    assert_eq!(answer.status, 200);
    assert_told(&world, OPENID);
    assert!(answer.values("set-cookie").is_empty(), "nothing to renew");
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
    assert_eq!(told(&world), (Some(OPENID.to_owned()), None));
    // The first login's callback once more: neither login is made again.
    let answer = browser.open_url(&trail[1]).await;
    assert!(answer.location().ends_with(target), "{answer:?}");
    let calls = world.simulator.calls();
    assert_eq!((world.exchanges(), calls.authorize.total), (2, 2));
    // One session was opened, though two logins were made.
    let metrics = send(world.admin, "GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n").await;
    let text = metrics.text();
    let opened = |account: &str| {
        let is = |line: &&str| {
            let of = [
                format!("account=\"{account}\""),
                "event=\"opened\"".to_owned(),
            ];
            line.starts_with("wxgate_sessions_total{") && of.iter().all(|of| line.contains(of))
        };
        let line = text.lines().find(is).unwrap_or(" 0");
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!((opened("shop"), opened("club")), ("1".into(), "0".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_session_is_asked_for_the_second_openid_alone() {
    let world = near().await;
    let mut browser = world.visitor().await;
    let (answer, trail) = browser.visit(world.gateway, "/order").await;
    assert_eq!((answer.status, asked_wechat(&trail)), (200, 1));
    assert!(trail[0].contains(CLUB), "{trail:#?}");
    assert_told(&world, OPENID);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_way_of_other_hosts_both_arrive_and_nothing_of_it_stays_there() {
    let world = far().await;
    let mut traveller = Traveller::new(world.gateway);
    let url = "http://a.test/order?x=1";
    let (answer, trail) = traveller.visit(url).await;
    assert_eq!(answer.status, 200, "{answer:?} {trail:#?}");
    assert_told(&world, OPENID);
    assert_eq!(trail.last().unwrap(), url);
    assert_eq!(asked_wechat(&trail), 2, "{trail:#?}");
    let way = &trail[..trail.len() - 1];
    let secret = pay_openid(&world, OPENID);
    for hidden in ["x=1", OPENID, &secret] {
        assert!(way.iter().all(|url| !url.contains(hidden)), "{hidden}");
    }
    // At the second callback's host nobody is known for it.
    let jar = traveller.at(CLUB_CALLBACK).clone();
    for name in ["wxgate_club", COOKIE, "wxgate-snap"] {
        assert!(jar.cookie(name).is_none(), "{:?}", jar.jar);
    }
    let me = traveller.open("http://door.test/.wxgate/me").await;
    assert_eq!(me.status, 401);
    // At the next host WeChat is asked for the second alone, and anew.
    let (answer, trail) = traveller.visit("http://b.test/").await;
    assert_eq!(
        (answer.status, asked_wechat(&trail)),
        (200, 1),
        "{trail:#?}"
    );
    assert_told(&world, OPENID);
    for host in ["a.test", "b.test"] {
        assert!(traveller.at(host).cookie(COOKIE).is_some());
        assert_eq!(traveller.open(&format!("http://{host}/")).await.status, 200);
        assert_told(&world, OPENID);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobodys_earlier_login_at_the_callback_stands_beside_anothers_session() {
    let world = far().await;
    let mut traveller = Traveller::new(world.gateway);
    // Somebody logged in with the other account, at its own host.
    let (answer, _) = traveller.visit("http://door.test/").await;
    assert_eq!(answer.status, 200);
    assert!(traveller.at("door.test").cookie("wxgate_club").is_some());
    assert!(world.simulator.set_default_visitor(OTHER));
    let (answer, trail) = traveller.visit("http://a.test/").await;
    assert_eq!(
        (answer.status, asked_wechat(&trail)),
        (200, 2),
        "{trail:#?}"
    );
    assert_told(&world, OTHER);
    // Who was there is there still.
    traveller.visit("http://door.test/").await;
    let openid = world.app.last().value("X-WeChat-OpenId");
    assert_eq!(openid, Some(pay_openid(&world, OPENID)));
    // Nor does a login for that host itself answer what another host asked.
    let mut traveller = Traveller::new(world.gateway);
    traveller.visit("http://a.test/plain").await;
    let answer = traveller.open("http://a.test/").await;
    let ask = answer.location().strip_prefix("http://door.test").unwrap();
    let to: String = url::form_urlencoded::byte_serialize(ask.as_bytes()).collect();
    let back = |url: &str| url.starts_with("http://door.test/.wxgate/callback?");
    let login = format!("http://door.test/.wxgate/login?to={to}");
    let (_, trail) = traveller.until(&login, back).await;
    let answer = traveller.open(trail.last().unwrap()).await;
    assert!(sets(&answer, "wxgate_club"), "{answer:?}");
    assert_eq!(answer.location(), format!("http://door.test{ask}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_logs_in_anew_as_somebody_else_pays_as_themselves() {
    let world = near().await;
    let mut browser = payer(&world, "/order").await;
    let first = browser.cookie(COOKIE).unwrap().clone();
    browser.jar.retain(|cookie| cookie.name == COOKIE);
    assert!(world.simulator.set_default_visitor(OTHER));
    let (answer, _) = browser.visit(world.gateway, "/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(browser.cookie(COOKIE), Some(&first), "still there");
    let before = world.app.seen().len();
    let answer = browser.open(world.gateway, "/order").await;
    assert_eq!((answer.status, world.app.seen().len()), (302, before));
    let (answer, _) = browser.visit(world.gateway, "/order").await;
    assert_eq!(answer.status, 200);
    assert_told(&world, OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_both_and_a_copy_of_both_is_worth_nothing() {
    let world = near().await;
    let mut browser = payer(&world, "/order").await;
    let (mut copy, kept) = (browser.clone(), browser.cookie(COOKIE).unwrap().clone());
    let origin = format!("http://{}", world.gateway);
    let headers = [("Origin", origin.as_str())];
    let answer = browser
        .ask("POST", world.gateway, "/.wxgate/logout", &headers, b"")
        .await;
    assert_eq!(answer.status, 200);
    assert!(browser.jar.is_empty(), "{:?}", browser.jar);
    let answer = copy.open(world.gateway, "/order").await;
    assert_eq!(answer.status, 302);
    let shop = format!("appid={}", world.app_id);
    assert!(answer.location().contains(&shop), "the first login first");
    // Nor is the second's beside a new session of the same visitor.
    browser.visit(world.gateway, "/").await;
    browser.jar.push(kept);
    assert_eq!(browser.open(world.gateway, "/order").await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_both_by_any_of_their_names() {
    for whose in ["session", "shop", "club"] {
        let world = near().await;
        let mut browser = payer(&world, "/order").await;
        let order = match whose {
            "session" => {
                let me = browser.open(world.gateway, "/.wxgate/me").await;
                let id = me.json()["data"]["session"].as_str().unwrap().to_owned();
                format!("{{\"session\": \"{id}\"}}")
            }
            "shop" => format!("{{\"openid\": \"{OPENID}\", \"account\": \"shop\"}}"),
            _ => {
                let openid = pay_openid(&world, OPENID);
                format!("{{\"openid\": \"{openid}\", \"account\": \"club\"}}")
            }
        };
        let answer = world.order(&world.admin_word(), &order).await;
        assert_eq!(answer.status, 200, "{whose}: {answer:?}");
        let before = world.app.seen().len();
        let answer = browser.open(world.gateway, "/order").await;
        assert_eq!((answer.status, world.app.seen().len()), (302, before));
        let (answer, trail) = browser.visit(world.gateway, "/order").await;
        assert_eq!(answer.status, 200, "{whose}: {trail:#?}");
        assert_told(&world, OPENID);
        let asked = if whose == "club" { 1 } else { 2 };
        assert_eq!(asked_wechat(&trail), asked, "{whose}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_for_anything_else_tells_of_nobody() {
    let world = near().await;
    let mut browser = payer(&world, "/order").await;
    browser.visit(world.gateway, "/club").await;
    let stranger = payer(&world, "/order").await;
    let value = |browser: &Browser, name: &str| browser.cookie(name).unwrap().value.clone();
    let forged = |names: &[(&str, String)]| {
        let mut forger = Browser::new(WECHAT);
        let lines = names.iter().map(|(name, value)| crate::client::Cookie {
            name: (*name).to_owned(),
            value: value.clone(),
            path: "/".to_owned(),
        });
        forger.jar = lines.collect();
        forger
    };
    let shop = value(&browser, "wxgate_shop");
    let before = world.app.seen().len();
    for (name, wrong) in [
        (COOKIE, value(&stranger, COOKIE)),
        (COOKIE, shop.clone()),
        (COOKIE, value(&browser, "wxgate_club")),
        (COOKIE, format!("{}A", value(&browser, COOKIE))),
        (COOKIE, String::new()),
        ("wxgate-pay-shop", value(&browser, COOKIE)),
        ("wxgate_club", value(&browser, COOKIE)),
    ] {
        let mut forger = forged(&[("wxgate_shop", shop.clone()), (name, wrong.clone())]);
        let answer = forger.open(world.gateway, "/order").await;
        assert_eq!(answer.status, 302, "{name}={wrong}");
        assert!(answer.location().contains(CLUB), "{name}={wrong}");
    }
    // Twice, there is no telling which.
    let own = value(&browser, COOKIE);
    let mut twice = forged(&[
        ("wxgate_shop", shop.clone()),
        (COOKIE, own.clone()),
        (COOKIE, own.clone()),
    ]);
    assert_eq!(twice.open(world.gateway, "/order").await.status, 302);
    // By itself it lets nobody in, under any name.
    for name in [COOKIE, "wxgate_shop", "wxgate_club", "wxgate-snapshot-shop"] {
        for target in ["/", "/order", "/club", "/order/look"] {
            let mut forger = forged(&[(name, own.clone())]);
            let answer = forger.open(world.gateway, target).await;
            assert_eq!(answer.status, 302, "{name} {target}");
        }
        let me = forged(&[(name, own.clone())])
            .open(world.gateway, "/.wxgate/me")
            .await;
        assert_eq!(me.status, 401, "{name}");
    }
    assert_eq!(world.app.seen().len(), before);
    let mut good = forged(&[("wxgate_shop", shop), (COOKIE, own)]);
    assert_eq!(good.open(world.gateway, "/order").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_was_told_is_nothing_at_another() {
    let world = far().await;
    let mut traveller = Traveller::new(world.gateway);
    for url in ["http://a.test/", "http://b.test/"] {
        assert_eq!(traveller.visit(url).await.0.status, 200);
    }
    let stolen = traveller.at("a.test").cookie(COOKIE).unwrap().clone();
    let jar = &mut traveller.at("b.test").jar;
    jar.retain(|cookie| cookie.name != COOKIE);
    jar.push(stolen);
    let answer = traveller.open("http://b.test/").await;
    assert_eq!(answer.status, 302, "of the same session, and another host");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_and_forms_are_told_where_to_log_in_and_come_back() {
    let world = near().await;
    let mut browser = world.visitor().await;
    let origin = format!("http://{}", world.gateway);
    let page = format!("{origin}/shelf?y=1");
    let script = [
        ("Accept", "application/json"),
        ("Sec-Fetch-Mode", "cors"),
        ("Sec-Fetch-Dest", "empty"),
        ("Referer", page.as_str()),
        ("Origin", origin.as_str()),
    ];
    let before = world.app.seen().len();
    let answer = browser
        .ask("POST", world.gateway, "/order/add", &script, b"a=b")
        .await;
    assert_eq!((answer.status, world.app.seen().len()), (401, before));
    let told = answer.json();
    assert!(told["message"] == told["msg"] && told["code"] == 401);
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("one more login before the payment"),
        "{message}"
    );
    let login = answer.json()["login_url"].as_str().unwrap().to_owned();
    let (answer, trail) = browser.visit_url(&login).await;
    assert_eq!(answer.status, 200, "{trail:#?}");
    assert_eq!((trail.last().unwrap(), asked_wechat(&trail)), (&page, 1));
    // The page asks for less than its script, which is content now.
    let answer = browser
        .ask("POST", world.gateway, "/order/add", &script, b"a=b")
        .await;
    assert_eq!(answer.status, 200);
    assert_told(&world, OPENID);
    // Whoever has neither gets both in one go.
    let mut fresh = Browser::new(WECHAT);
    let answer = fresh
        .ask("POST", world.gateway, "/order/add", &script, b"a=b")
        .await;
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("login required"), "{message}");
    let login = answer.json()["login_url"].as_str().unwrap().to_owned();
    let (_, trail) = fresh.visit_url(&login).await;
    assert_eq!((trail.last().unwrap(), asked_wechat(&trail)), (&page, 2));
    let form = [
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
        ("Origin", origin.as_str()),
    ];
    let mut browser = world.visitor().await;
    let answer = browser
        .ask("POST", world.gateway, "/order/add", &form, b"a=b")
        .await;
    assert_eq!(answer.status, 401);
    let text = answer.text();
    assert!(text.contains("/.wxgate/login?to=%2Forder%2Fadd"), "{text}");
    // The session is as good as before, and nobody is told that it has ended.
    assert!(text.contains("One more step before the payment"), "{text}");
    assert!(!text.contains("has ended"), "{text}");
    let (answer, trail) = browser
        .visit(world.gateway, "/.wxgate/login?to=%2Forder%2Fadd")
        .await;
    assert_eq!((answer.status, asked_wechat(&trail)), (200, 1));
    assert_told(&world, OPENID);
    let answer = browser
        .ask("POST", world.gateway, "/order/add", &form, b"a=b")
        .await;
    assert_eq!(answer.status, 200);
    assert_told(&world, OPENID);
    // Whoever has no session is told so.
    let answer = Browser::new(WECHAT)
        .ask("POST", world.gateway, "/order/add", &form, b"a=b")
        .await;
    assert!(answer.status == 401 && answer.text().contains("Your login has ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_session_is_only_welcome_so_is_the_second_openid() {
    let world = near().await;
    let target = "/order/welcome";
    let mut browser = Browser::new(WECHAT);
    assert_eq!(browser.open(world.gateway, target).await.status, 200);
    assert_eq!(told(&world), (None, None));
    browser.visit(world.gateway, "/").await;
    assert_eq!(browser.open(world.gateway, target).await.status, 200);
    assert_eq!(told(&world), (Some(OPENID.to_owned()), None));
    let login = "/.wxgate/login?to=%2Forder%2Fwelcome";
    let (answer, trail) = browser.visit(world.gateway, login).await;
    assert_eq!((answer.status, asked_wechat(&trail)), (200, 1));
    assert_told(&world, OPENID);
    let mut fresh = Browser::new(WECHAT);
    let (_, trail) = fresh.visit(world.gateway, login).await;
    assert_eq!(asked_wechat(&trail), 2);
    assert_told(&world, OPENID);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_at_a_snapshot_page_pays_with_nothing() {
    let world = near().await;
    world.simulator.set_mood(Mood::Snapshot);
    let mut browser = Browser::new(WECHAT);
    let (answer, trail) = browser.visit(world.gateway, "/order/look").await;
    assert_eq!(
        (answer.status, asked_wechat(&trail)),
        (200, 1),
        "{trail:#?}"
    );
    let seen = world.app.last();
    assert_eq!(seen.value("X-WeChat-Snapshot").as_deref(), Some("1"));
    assert_eq!(told(&world).1, None);
    // Not with what an earlier visitor had either.
    world.simulator.set_mood(Mood::Normal);
    let kept = payer(&world, "/order")
        .await
        .cookie(COOKIE)
        .unwrap()
        .clone();
    browser.jar.push(kept);
    let answer = browser.open(world.gateway, "/order/look").await;
    assert_eq!((answer.status, told(&world).1), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_login_that_ends_on_a_snapshot_page_tells_of_nobody() {
    let world = far().await;
    let (keys, host) = (world.keys(), Host::new("a.test").unwrap());
    for (made_up, taken) in [(false, true), (true, false)] {
        let mut traveller = Traveller::new(world.gateway);
        traveller.visit("http://a.test/plain").await;
        let is_ticket = |url: &str| url.contains("a.test/.wxgate/callback/ticket?t=");
        let (_, trail) = traveller.until("http://a.test/look", is_ticket).await;
        let (start, query) = trail.last().unwrap().split_once('?').unwrap();
        let mut ticket = Ticket::of_query(&keys, &host, query).unwrap();
        // WeChat shows none where it does not ask; should it, it says so here.
        let mut packed = Sessions::pack(&ticket.session);
        packed[0] = u8::from(made_up);
        ticket.session = Sessions::unpack(&packed).unwrap();
        assert_eq!(ticket.session.is_snapshot(), made_up);
        let url = format!("{start}?t={}", ticket.seal(&keys, &host).unwrap());
        let answer = traveller.open(&url).await;
        assert_eq!(sets(&answer, COOKIE), taken, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_not_wechats_is_let_in_without_and_told_nothing_false() {
    let world = near().await;
    let mut browser = world.visitor().await;
    browser.agent = DESKTOP;
    let (answer, trail) = browser.visit(world.gateway, "/order").await;
    assert_eq!((answer.status, trail.len()), (200, 0), "{trail:#?}");
    assert_eq!(told(&world), (Some(OPENID.to_owned()), None));
    let login = "/.wxgate/login?to=%2Forder";
    let answer = browser.open(world.gateway, login).await;
    assert_eq!(answer.status, 302);
    assert!(answer.location().ends_with("/order"), "no loop");
    // What a client says of it is never believed.
    let lies = [
        (PAY_OPENID, "oSomebodyElse"),
        ("x_wechat_pay_openid", "oSomebodyElse"),
        (PAY_APPID, CLUB),
    ];
    for target in ["/order", "/", "/pay/notify"] {
        let answer = browser.ask("GET", world.gateway, target, &lies, b"").await;
        assert_eq!((answer.status, told(&world).1), (200, None), "{target}");
        assert!(!world.app.last().text().contains("oSomebodyElse"));
    }
    // Where a simulator takes any browser, it is asked.
    let answer = browser.open(world.gateway, "/order/anywhere").await;
    assert_eq!(answer.status, 302);
    assert!(answer.location().contains(CLUB), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_login_that_fails_ends_on_a_page() {
    let tables = ROUTES
        .replace("{door}", "{gateway}")
        .replace("{secret}", "key");
    let world = with(&tables, Extra::default()).await;
    let mut browser = Browser::new(WECHAT);
    let (answer, trail) = browser.visit(world.gateway, "/order").await;
    assert_eq!(
        (answer.status, asked_wechat(&trail)),
        (502, 2),
        "{trail:#?}"
    );
    assert!(answer.text().contains("AppSecret"), "{}", answer.text());
    // Who needs only the first is let in, and who tries again gets the page again.
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
    let (answer, trail) = browser.visit(world.gateway, "/order").await;
    assert_eq!((answer.status, asked_wechat(&trail)), (502, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_of_the_second_account_is_told_and_leaves_the_first_alone() {
    let world = near().await;
    let mut browser = world.visitor().await;
    let mood = Mood::Errcode {
        api: Api::Exchange,
        errcode: 45009,
    };
    world.simulator.set_mood(mood);
    let (answer, _) = browser.visit(world.gateway, "/order").await;
    assert_eq!(answer.status, 503);
    world.simulator.set_mood(Mood::Normal);
    // The account that logs visitors in has a quota of its own; who comes anew is
    // in, and told of the other.
    let calls = world.exchanges();
    let mut fresh = Browser::new(WECHAT);
    let (answer, trail) = fresh.visit(world.gateway, "/order").await;
    assert_eq!(
        (answer.status, asked_wechat(&trail)),
        (503, 1),
        "{trail:#?}"
    );
    assert!(answer.value("retry-after").is_some());
    assert_eq!(world.exchanges(), calls + 1);
    assert_eq!(fresh.open(world.gateway, "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_never_taken_is_tried_three_times_for_the_second_account_too() {
    let world = near().await;
    let mut browser = world.visitor().await;
    let mood = Mood::Errcode {
        api: Api::Exchange,
        errcode: 40029,
    };
    world.simulator.set_mood(mood.clone());
    let (answer, trail) = browser.visit(world.gateway, "/order").await;
    assert_eq!(
        (answer.status, asked_wechat(&trail)),
        (502, 3),
        "{trail:#?}"
    );
    // What begins anew is the same login.
    world.simulator.set_mood_times(mood, 1);
    let (answer, trail) = browser.visit(world.gateway, "/order").await;
    assert_eq!((answer.status, asked_wechat(&trail)), (200, 2));
    assert_told(&world, OPENID);
    assert!(browser.cookie("wxgate_club").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_that_keep_too_little_of_both_are_stopped() {
    for (forgets, status, most) in [
        (COOKIE, 403, 4),
        ("wxgate_shop", 403, 5),
        // Home asks for a session alone.
        ("wxgate-login-", 200, 1),
        ("wxgate-pending", 403, 3),
    ] {
        let world = near().await;
        let mut browser = world.visitor().await;
        browser.forgets = Some(forgets);
        if forgets == "wxgate_shop" {
            browser.jar.clear();
        }
        let (answer, trail) = browser.visit(world.gateway, "/order").await;
        assert_eq!(answer.status, status, "{forgets}: {answer:?}");
        let asked = asked_wechat(&trail);
        assert_eq!(asked, most, "{forgets}");
    }
    // By way of other hosts likewise.
    for forgets in [COOKIE, "wxgate_shop", "wxgate-login-", "wxgate-pending"] {
        let world = far().await;
        let mut traveller = Traveller::new(world.gateway);
        if forgets != "wxgate_shop" {
            traveller.visit("http://a.test/plain").await;
        }
        for host in ["a.test", "login.test", "door.test"] {
            traveller.at(host).forgets = Some(forgets);
        }
        let (answer, trail) = traveller.visit("http://a.test/x").await;
        assert_eq!(answer.status, 403, "{forgets}: {answer:?} {trail:#?}");
        assert!(asked_wechat(&trail) >= 2, "{forgets}");
    }
    // Where home asks for both, nobody is sent there to begin anew for ever.
    let world = near_with(Extra {
        route: "pay_account = \"club\"",
        ..Extra::default()
    })
    .await;
    let mut browser = Browser::new(WECHAT);
    let login = "/.wxgate/login?to=%2Fwelcome";
    browser.visit(world.gateway, login).await;
    assert!(browser.cookie("wxgate_shop").is_some());
    browser.forgets = Some("wxgate-login-");
    let (answer, trail) = browser.visit(world.gateway, "/x").await;
    assert_eq!(
        (answer.status, asked_wechat(&trail)),
        (403, 2),
        "{trail:#?}"
    );
    let world = far().await;
    let mut traveller = Traveller::new(world.gateway);
    traveller.visit("http://a.test/plain").await;
    traveller.at("a.test").forgets = Some("wxgate-login-");
    let (answer, trail) = traveller.visit("http://a.test/x").await;
    assert_eq!(
        (answer.status, asked_wechat(&trail)),
        (403, 2),
        "{trail:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn four_hosts_in_a_minute_are_no_loop() {
    let world = far().await;
    let mut traveller = Traveller::new(world.gateway);
    for round in 0..3 {
        for host in ["a.test", "b.test"] {
            let url = format!("http://{host}/");
            let (answer, trail) = traveller.visit(&url).await;
            assert_eq!(answer.status, 200, "{round} {host}: {trail:#?}");
            assert_told(&world, OPENID);
            // The visitor's browser loses them, and the logins that were finished.
            traveller.at(host).jar.clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_whose_session_is_gone_opens_nothing_and_spends_nothing() {
    let world = near().await;
    let mut browser = world.visitor().await;
    let answer = browser.open(world.gateway, "/order").await;
    let answer = browser.open_url(answer.location()).await;
    let callback = answer.location().to_owned();
    // Another tab logs out and in again, as somebody else.
    browser.jar.retain(|cookie| cookie.name != "wxgate_shop");
    assert!(world.simulator.set_default_visitor(OTHER));
    browser.visit(world.gateway, "/").await;
    let calls = world.exchanges();
    let answer = browser.open_url(&callback).await;
    assert_eq!((answer.status, world.exchanges()), (302, calls));
    assert!(!sets(&answer, COOKIE), "{answer:?}");
    assert!(answer.location().ends_with("/order"));
    let (answer, _) = browser.visit(world.gateway, "/order").await;
    assert_eq!(answer.status, 200);
    assert_told(&world, OTHER);
    // Nor does it in the middle of the exchange.
    let mut browser = world.visitor().await;
    let answer = browser.open(world.gateway, "/order").await;
    let answer = browser.open_url(answer.location()).await;
    let callback = answer.location().to_owned();
    let slow = Mood::Slow(std::time::Duration::from_millis(1500));
    world.simulator.set_mood_for(Api::Exchange, slow);
    let mut waiting = browser.clone();
    let waits = tokio::spawn(async move { waiting.open_url(&callback).await });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let origin = format!("http://{}", world.gateway);
    let headers = [("Origin", origin.as_str())];
    browser
        .ask("POST", world.gateway, "/.wxgate/logout", &headers, b"")
        .await;
    let answer = waits.await.unwrap();
    assert_eq!(answer.status, 302, "{answer:?}");
    assert!(!sets(&answer, COOKIE), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_browser_with_the_same_link_gets_nothing_beside_its_session() {
    let world = near().await;
    let mut attacker = world.visitor().await;
    let answer = attacker.open(world.gateway, "/order").await;
    let answer = attacker.open_url(answer.location()).await;
    let callback = answer.location().to_owned();
    assert!(world.simulator.set_default_visitor(OTHER));
    let mut victim = payer(&world, "/order").await;
    let calls = world.exchanges();
    let answer = victim.open_url(&callback).await;
    assert!(!sets(&answer, COOKIE), "{answer:?}");
    assert_eq!(world.exchanges(), calls);
    assert_eq!(victim.open(world.gateway, "/order").await.status, 200);
    assert_told(&world, OTHER);
    // A login cookie of the attacker's, planted by another host of the domain, is
    // for the attacker's session.
    for cookie in attacker.jar.iter().filter(|c| c.name.contains("login")) {
        victim.jar.push(cookie.clone());
    }
    victim.jar.retain(|cookie| cookie.name != COOKIE);
    let answer = victim.open_url(&callback).await;
    assert!(!sets(&answer, COOKIE), "{answer:?}");
    assert_eq!(world.exchanges(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_callbacks_at_once_make_one_call_and_one_payer() {
    let world = near().await;
    let mut browser = world.visitor().await;
    let answer = browser.open(world.gateway, "/order?x=1").await;
    let answer = browser.open_url(answer.location()).await;
    let callback = answer.location().to_owned();
    let calls = world.exchanges();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (mut browser, callback) = (browser.clone(), callback.clone());
            tokio::spawn(async move { (browser.open_url(&callback).await, browser) })
        })
        .collect();
    for task in tasks {
        let (answer, mut browser) = task.await.unwrap();
        assert_eq!(answer.status, 302, "{answer:?}");
        assert!(answer.location().ends_with("/order?x=1"));
        assert_eq!(browser.open(world.gateway, "/order").await.status, 200);
        assert_told(&world, OPENID);
    }
    assert_eq!(world.exchanges(), calls + 1);
    // Reload where it worked.
    browser.open_url(&callback).await;
    let answer = browser.open_url(&callback).await;
    assert_eq!((answer.status, world.exchanges()), (302, calls + 1));
    assert!(!sets(&answer, COOKIE));
}

#[tokio::test(flavor = "multi_thread")]
async fn doubled_callbacks_and_tickets_by_way_of_another_host_lead_to_the_page() {
    let world = far().await;
    let mut traveller = Traveller::new(world.gateway);
    traveller.visit("http://a.test/plain").await;
    let back = |url: &str| url.contains("door.test/.wxgate/callback?");
    let (_, trail) = traveller.until("http://a.test/order", back).await;
    let callback = trail.last().unwrap().clone();
    let mut twin = traveller.clone();
    let one = traveller.open(&callback).await;
    let two = twin.open(&callback).await;
    assert!(one.location().contains("/.wxgate/callback/ticket?t="));
    assert!(two.location().contains("/.wxgate/callback/ticket?t="));
    assert!(!sets(&one, "wxgate_club") && !sets(&one, COOKIE));
    let taken = traveller.open(one.location()).await;
    assert!(sets(&taken, COOKIE), "{taken:?}");
    // Its twin was made from the same login, and is not taken a second time.
    let mut other = traveller.clone();
    other
        .at("a.test")
        .jar
        .retain(|cookie| cookie.name != COOKIE);
    let late = other.open(two.location()).await;
    assert!(!sets(&late, COOKIE), "{late:?}");
    let (answer, _) = traveller.visit(two.location()).await;
    assert_eq!(answer.status, 200);
    assert_told(&world, OPENID);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_for_the_second_openid_is_for_its_own_browser_and_session() {
    let world = far().await;
    let ticket = |url: &str| url.contains("a.test/.wxgate/callback/ticket?t=");
    let mut attacker = Traveller::new(world.gateway);
    attacker.visit("http://a.test/plain").await;
    let (_, trail) = attacker.until("http://a.test/order", ticket).await;
    let url = trail.last().unwrap().clone();
    assert!(ticket(&url));
    assert!(world.simulator.set_default_visitor(OTHER));
    let mut victim = Traveller::new(world.gateway);
    victim.visit("http://a.test/plain").await;
    let answer = victim.open(&url).await;
    assert!(!sets(&answer, COOKIE), "{answer:?}");
    let (answer, _) = victim.visit("http://a.test/order").await;
    assert_eq!(answer.status, 200);
    assert_told(&world, OTHER);
    // It makes no session, and was used up besides.
    assert!(!sets(&attacker.open(&url).await, COOKIE));
    // With another session than the login began beside, it tells of nobody.
    assert!(world.simulator.set_default_visitor(OPENID));
    let mut changed = Traveller::new(world.gateway);
    changed.visit("http://a.test/plain").await;
    let (_, trail) = changed.until("http://a.test/order", ticket).await;
    let url = trail.last().unwrap().clone();
    let others = victim.at("a.test").cookie("wxgate_shop").unwrap().clone();
    let jar = &mut changed.at("a.test").jar;
    jar.retain(|cookie| cookie.name != "wxgate_shop");
    jar.push(others);
    let answer = changed.open(&url).await;
    assert!(!sets(&answer, COOKIE) && !sets(&answer, "wxgate_shop"));
    assert_eq!(answer.location(), "http://a.test/order");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_never_sees_nor_sets_the_second_openids_cookie() {
    let world = near().await;
    let mut browser = payer(&world, "/order").await;
    browser.open(world.gateway, "/order").await;
    let cookies = world.app.last().values("cookie").join("; ");
    assert!(cookies.contains("wxgate_shop="), "{cookies}");
    assert!(!cookies.contains("pay-club"), "{cookies}");
    for target in ["/", "/pay/notify", "/events"] {
        if target != "/events" {
            browser.open(world.gateway, target).await;
        }
        assert!(!world.app.last().text().contains("pay-club"), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_is_told_who_they_are_with_both() {
    let world = near().await;
    let mut browser = payer(&world, "/order").await;
    let me = browser.open(world.gateway, "/.wxgate/me").await.json();
    let pay = serde_json::json!([{
        "account": "club",
        "app_id": CLUB,
        "openid": pay_openid(&world, OPENID),
    }]);
    assert_eq!(
        (&me["data"]["openid"], &me["data"]["pay"]),
        (&OPENID.into(), &pay)
    );
    let answer = browser.open(world.gateway, "/.wxgate/openid").await;
    assert_eq!(
        answer.json(),
        serde_json::json!({"code": 0, "data": {"openid": OPENID}}),
        "as WeChat's pages expect it"
    );
    let me = world
        .visitor()
        .await
        .open(world.gateway, "/.wxgate/me")
        .await;
    assert_eq!(me.json()["data"]["pay"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_names_both() {
    use base64::Engine as _;
    let world = near().await;
    payer(&world, "/order/proof").await;
    let token = world.app.last().value("X-WeChat-Assertion").unwrap();
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims);
    let claims: serde_json::Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    assert_eq!(claims["sub"], OPENID);
    assert_eq!(claims["pay_openid"], pay_openid(&world, OPENID));
    assert_eq!(claims["pay_appid"], CLUB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_asks_is_told_both_and_of_nobody_where_nobody_is_known() {
    let world = near_with(Extra {
        server: "trusted_proxies = [\"127.0.0.1\"]",
        ..Extra::default()
    })
    .await;
    let question = |browser: &Browser, target: &str| {
        let headers = [("X-Original-URI", target), ("X-Original-Method", "GET")];
        browser.request("GET", world.gateway, "/.wxgate/auth", &headers, b"")
    };
    let mut browser = world.visitor().await;
    let answer = send(world.gateway, question(&browser, "/order/asked")).await;
    assert_eq!(answer.status, 401);
    // The way that nginx sends the visitor.
    let login = answer.location().to_owned();
    let (_, trail) = browser.visit_url(&login).await;
    assert!(
        trail.last().unwrap().ends_with("/order/asked"),
        "{trail:#?}"
    );
    let answer = send(world.gateway, question(&browser, "/order/asked")).await;
    assert_eq!(answer.status, 200);
    let pays = pay_openid(&world, OPENID);
    assert_eq!(answer.value(PAY_OPENID), Some(pays.as_str()));
    assert_eq!(answer.value(PAY_APPID), Some(CLUB));
    let answer = send(world.gateway, question(&browser, "/x/../order/asked")).await;
    assert_eq!(answer.status, 403, "another route's path in disguise");
    let answer = send(world.gateway, question(&browser, "/")).await;
    let told = [PAY_OPENID, PAY_APPID].map(|name| answer.value(name));
    assert_eq!((answer.status, told), (200, [Some(""); 2]));
    browser.agent = DESKTOP;
    browser.jar.retain(|cookie| cookie.name != COOKIE);
    let answer = send(world.gateway, question(&browser, "/order/asked")).await;
    let told = [PAY_OPENID, PAY_APPID].map(|name| answer.value(name));
    assert_eq!((answer.status, told), (200, [Some(""); 2]));
    // A proxy that hands answers on sends the visitor itself.
    let mut browser = world.visitor().await;
    let host = world.gateway.to_string();
    let headers = [
        ("X-Forwarded-Uri", "/order/asked"),
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Host", host.as_str()),
        ("X-Forwarded-Proto", "http"),
    ];
    let answer = browser
        .ask("GET", world.gateway, "/.wxgate/auth", &headers, b"")
        .await;
    assert_eq!(answer.status, 302, "{answer:?}");
    assert!(answer.location().contains(CLUB));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fragment_survives_both_logins() {
    let world = near().await;
    let mut browser = Browser::new(WECHAT);
    let page = browser.open(world.gateway, "/order/fragment?a=1").await;
    assert_eq!(page.status, 401);
    assert!(page.text().contains("sessionStorage"));
    let login = "/.wxgate/login?to=%2Forder%2Ffragment%3Fa%3D1";
    assert!(
        page.text()
            .contains("/.wxgate/login?to=%2Forder%2Ffragment")
    );
    let (answer, trail) = browser.visit(world.gateway, login).await;
    assert_eq!(answer.status, 200);
    // Nothing stands between the two, where it would be lost.
    assert!(trail.last().unwrap().contains("/.wxgate/return?to="));
    assert_eq!((asked_wechat(&trail), trail.len()), (2, 5), "{trail:#?}");
    let (_, trail) = browser.visit(world.gateway, "/order/fragment?a=1").await;
    assert!(trail.is_empty());
    assert_told(&world, OPENID);
    // Who only lacks the second comes by the page that keeps it too.
    let mut browser = world.visitor().await;
    let page = browser.open(world.gateway, "/order/fragment").await;
    assert!(page.text().contains("sessionStorage"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_could_be_read_as_that_of_a_route_that_tells_more_is_none() {
    let world = near().await;
    let mut browser = payer(&world, "/order").await;
    let before = world.app.seen().len();
    for path in ["/x/../order", "//order", "/%6frder", "/order;x"] {
        let answer = browser.open(world.gateway, path).await;
        assert_eq!(answer.status, 400, "{path}");
    }
    assert_eq!(world.app.seen().len(), before);
    // What tells more may be read as what tells less.
    let answer = browser.open(world.gateway, "/order/../x").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_visitor_has_sessions_with_several_accounts_side_by_side() {
    let world = near().await;
    let mut browser = world.visitor().await;
    let openid = || world.app.last().value("X-WeChat-OpenId").unwrap();
    let (answer, trail) = browser.visit(world.gateway, "/club").await;
    assert_eq!((answer.status, asked_wechat(&trail)), (200, 1));
    assert_eq!(openid(), pay_openid(&world, OPENID));
    for (target, expected) in [
        ("/", OPENID.to_owned()),
        ("/club", pay_openid(&world, OPENID)),
    ] {
        assert_eq!(browser.open(world.gateway, target).await.status, 200);
        assert_eq!(openid(), expected, "{target}");
        let cookies = world.app.last().values("cookie").join("; ");
        assert_eq!(cookies.matches("wxgate_").count(), 1, "its own alone");
    }
    // A session with the account under which visitors pay is not who pays.
    let answer = browser.open(world.gateway, "/order").await;
    assert_eq!(answer.status, 302);
    // Each is none with the other.
    for (own, other, target) in [
        ("wxgate_shop", "wxgate_club", "/club"),
        ("wxgate_club", "wxgate_shop", "/"),
    ] {
        let mut forger = browser.clone();
        forger.jar.retain(|cookie| cookie.name == own);
        assert_eq!(forger.open(world.gateway, target).await.status, 302);
        forger.jar[0].name = other.to_owned();
        assert_eq!(forger.open(world.gateway, target).await.status, 302);
    }
    // One logout ends all of them.
    let mut copy = browser.clone();
    let origin = format!("http://{}", world.gateway);
    let headers = [("Origin", origin.as_str())];
    browser
        .ask("POST", world.gateway, "/.wxgate/logout", &headers, b"")
        .await;
    for target in ["/", "/club", "/order"] {
        assert_eq!(copy.open(world.gateway, target).await.status, 302);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_takes_over_both_cookies() {
    let world = near_with(Extra {
        session: "keys = [{ file = \"key\" }]",
        server: "trusted_proxies = [\"127.0.0.1\"]",
        ..Extra::default()
    })
    .await;
    let mut browser = payer(&world, "/order").await;
    let old = browser.clone();
    let newer = wxgate::signing::generate_key().unwrap();
    std::fs::write(world.dir().join("newer"), newer.expose()).unwrap();
    let both = "keys = [{ file = \"newer\" }, { file = \"key\" }]";
    world.reload(|text| text.replace("keys = [{ file = \"key\" }]", both));
    // A proxy that asks may pass on one cookie at a time.
    let mut asked = old.clone();
    let question = [
        ("X-Original-URI", "/order/asked"),
        ("X-Original-Method", "GET"),
    ];
    for name in ["wxgate_shop", COOKIE] {
        let answer = asked
            .ask("GET", world.gateway, "/.wxgate/auth", &question, b"")
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.values("set-cookie").len(), 1, "{answer:?}");
        assert!(sets(&answer, name), "{answer:?}");
    }
    let answer = browser.open(world.gateway, "/order").await;
    assert_eq!(answer.status, 200);
    assert!(sets(&answer, "wxgate_shop") && sets(&answer, COOKIE));
    world.reload(|text| text.replace(both, "keys = [{ file = \"newer\" }]"));
    assert_eq!(browser.open(world.gateway, "/order").await.status, 200);
    assert_told(&world, OPENID);
    assert_eq!(asked.open(world.gateway, "/order").await.status, 200);
    assert_eq!(old.clone().open(world.gateway, "/order").await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_told_who_pays_where_and_why_not() {
    let world = near_with(Extra {
        session: "keys = [{ file = \"key\" }]",
        ..Extra::default()
    })
    .await;
    let browser = payer(&world, "/order").await;
    let url = format!("http://{}/order", world.gateway);
    let run = |arguments: &[&str]| {
        let output = wxgate(arguments, world.dir()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{complaint}");
        text
    };
    let explain = |cookies: &str, more: &[&str]| {
        let all = ["explain", "--inside-wechat", "--cookie", cookies];
        run(&[&all[..], more, &["GET", &url]].concat())
    };
    let pays = pay_openid(&world, OPENID);
    let both = browser.cookies("/order");
    let text = explain(&both, &["--show-openid"]);
    for line in [
        "decision  vouched (session)",
        &format!("x-wechat-pay-openid: {pays}"),
        &format!("x-wechat-pay-appid: {CLUB}"),
        &format!("payer     {COOKIE} with club: counts, beside the session; openid {pays}"),
        "paying with club",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let text = explain(&both, &[]);
    assert!(!text.contains(&pays), "only on request: {text}");
    let value = |name: &str| browser.cookie(name).unwrap().value.clone();
    let first = format!("wxgate_shop={}", value("wxgate_shop"));
    let json: serde_json::Value = serde_json::from_str(&explain(&first, &["--json"])).unwrap();
    assert_eq!(
        (&json["way"], &json["reason"]),
        (&"login".into(), &"no_payer".into())
    );
    assert_eq!(json["answer"]["wechat"]["appid"], CLUB);
    assert_eq!(json["route"]["pay_account"], "club");
    let alone = format!("{COOKIE}={}", value(COOKIE));
    let text = explain(&alone, &[]);
    assert!(
        text.contains("refused: there is no session that counts"),
        "{text}"
    );
    let all = ["explain", "--cookie", &first, "GET", &url];
    assert!(run(&all).contains("vouched (session_without_payer)"));
    let text = run(&["check"]);
    let told = "login with shop (snsapi_base), paying with club";
    assert!(text.contains(told), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_openid_to_pay_with_stands_in_the_log() {
    crate::world::install_crypto();
    let gateway = free_address();
    let app = App::start().await;
    let simulator = simulator(gateway).await;
    let files = files();
    let config = files.path().join("gateway.toml");
    let tables = format!("{HOSTS}{ROUTES}[log]\nlevel = \"trace\"\n")
        .replace("{door}", CLUB_CALLBACK)
        .replace("{secret}", "app_secret")
        .replace("{club}", CLUB);
    let extra = Extra {
        callback: Some(CALLBACK),
        tables: &tables,
        ..Extra::default()
    };
    std::fs::write(&config, gateway_toml(gateway, app.addr, &simulator, &extra)).unwrap();
    let mut process = Process::gateway(&config);
    let mut traveller = Traveller::new(gateway);
    let (answer, trail) = traveller.visit("http://a.test/order").await;
    assert_eq!(answer.status, 200);
    traveller.open("http://a.test/.wxgate/me").await;
    process.kill();
    let log = process.written();
    assert!(log.contains("ticket_taken"), "{log}");
    let mut secrets = vec![simulator.openid_on(CLUB, OPENID).unwrap()];
    secrets.push(traveller.at("a.test").cookie(COOKIE).unwrap().value.clone());
    let crossed = trail.iter().filter_map(|url| url.split_once('?'));
    secrets.extend(crossed.map(|(_, query)| query.to_owned()));
    assert!(secrets.len() > 6, "{trail:#?}");
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} stands in the log");
    }
}

#[test]
fn a_pay_account_that_tells_nothing_is_a_mistake() {
    let files = files();
    let plan = |route: &str| {
        let account = |name: &str, id: &str| {
            format!(
                "[accounts.{name}]\napp_id = \"{id}\"\napp_secret = {{ file = \"app_secret\" }}\n\
                 callback_origin = \"https://{name}.example.com\"\n"
            )
        };
        let text = format!(
            "[server]\nstate_dir = \"state\"\n{}{}{}[[routes]]\nhost = \"x.example.com\"\nupstream = \"http://127.0.0.1:1\"\n{route}\n",
            account("shop", "wx1234567890abcdef"),
            account("twin", "wx1234567890abcdef"),
            account("club", CLUB),
        );
        let path: &Path = &files.path().join("gateway.toml");
        Plan::parse(path, &text).map_err(|mistakes| mistakes.to_string())
    };
    let shop = "account = \"shop\"\n";
    for (route, said) in [
        (
            format!("{shop}pay_account = \"shop\""),
            "which is the route's account already",
        ),
        (
            format!("{shop}pay_account = \"twin\""),
            "whose app_id is that of \"shop\"",
        ),
        (
            format!("{shop}pay_account = \"nobody\""),
            "which is no account; expected one of: club, shop, twin",
        ),
        (
            "auth = \"none\"\npay_account = \"club\"".to_owned(),
            "on a route that knows no visitor",
        ),
        (
            format!("{shop}auth = \"none\"\npay_account = \"club\""),
            "on a route that knows no visitor",
        ),
    ] {
        let found = plan(&route).unwrap_err();
        assert!(
            found.contains(said) && found.contains("pay_account"),
            "{route}: {found}"
        );
    }
    let good = plan(&format!("{shop}pay_account = \"club\"")).unwrap();
    let host = |name: &str| Host::new(name).unwrap();
    // Behind the first login the second is begun where WeChat can be asked alone.
    for (agent, expected) in [
        (WECHAT, Opens::SessionThenPayer("club".to_owned())),
        (DESKTOP, Opens::Session),
    ] {
        let mut header = RequestHeader::build("GET", b"/", None).unwrap();
        header.insert_header("Host", "x.example.com").unwrap();
        header.insert_header("User-Agent", agent).unwrap();
        let asked = Asked::read(&header, b"").unwrap();
        assert_eq!(Opens::for_route(&good.listed[0], &asked), expected);
    }
    assert!(good.routes.is_callback(&host("club.example.com")));
    assert!(good.routes.is_callback(&host("shop.example.com")));
    assert!(!good.routes.is_callback(&host("twin.example.com")));
}

#[test]
fn a_page_that_orders_where_nobody_is_asked_who_pays_is_told_of() {
    let files = files();
    let warnings = |above: &str, below: &str| {
        let account = |name: &str, id: &str| {
            format!(
                "[accounts.{name}]\napp_id = \"{id}\"\napp_secret = {{ file = \"app_secret\" }}\n\
                 callback_origin = \"https://{name}.example.com\"\n"
            )
        };
        let route = |path: &str, keys: &str| {
            format!(
                "[[routes]]\nhost = \"x.example.com\"\npath = \"{path}\"\nupstream = \"http://127.0.0.1:1\"\n{keys}\n"
            )
        };
        let text = [
            "[server]\nstate_dir = \"state\"\n",
            &account("shop", "wx1234567890abcdef"),
            &account("club", CLUB),
            &account("other", "wx2234567890abcdef"),
            &route("/", above),
            &route("/order", below),
        ]
        .concat();
        let path: &Path = &files.path().join("gateway.toml");
        let plan = Plan::parse(path, &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        plan.warnings().concat()
    };
    let shop = "account = \"shop\"";
    let pays = "account = \"shop\"\npay_account = \"club\"";
    let told = "x.example.com/order has pay_account = \"club\" and lies below x.example.com/, which has not: ";
    for above in [shop, "account = \"shop\"\npay_account = \"other\""] {
        assert!(warnings(above, pays).contains(told), "{above}");
    }
    for (above, below) in [
        (pays, pays),
        (shop, shop),
        (pays, shop),
        ("auth = \"none\"", pays),
    ] {
        let told = warnings(above, below);
        assert!(!told.contains("pay_account"), "{above} {below}: {told}");
    }
}
