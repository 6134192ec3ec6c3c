//! Three kinds of account, and the browser that chooses among them: one route,
//! one app, each visitor by the id that their account has of them.

mod outsiders;

use serde_json::{Value, json};
use wxgate::config::Plan;
use wxgate::simulator::{Api, Mood};
use wxgate::wechat::{AgentId, Kind};

use crate::client::{Answer, DESKTOP, Traveller, WECHAT, WECOM};
use crate::world::{AGENT, CLUB, CORP, Extra, OPENID, SITE, UNBOUND, World, files, gateway_toml};

const ACCOUNTS: &str = r#"
[accounts.club]
app_id = "{club}"
app_secret = { file = "app_secret" }
callback_origin = "http://{gateway}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{wechat}"

[accounts.desk]
kind = "website"
app_id = "{site}"
app_secret = { file = "app_secret" }
callback_origin = "http://{gateway}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{wechat}"

[accounts.loose]
kind = "website"
app_id = "{unbound}"
app_secret = { file = "app_secret" }
callback_origin = "http://{gateway}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{wechat}"

[accounts.corp]
kind = "wecom"
app_id = "{corp}"
app_secret = { file = "app_secret" }
agent_id = "{agent}"
callback_origin = "http://{gateway}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{wechat}"
verify_files = ["WW_verify_AbCdEfGhIjKlMnOp.txt"]
"#;

/// A route at `path`, with more of its keys.
fn route(host: &str, path: &str, keys: &str) -> String {
    format!(
        "[[routes]]\nhost = \"{host}\"\npath = \"{path}\"\nupstream = \"http://{{app}}\"\n{keys}\n\n"
    )
}

fn tables() -> String {
    let here = "127.0.0.1";
    let all = r#"account = ["shop", "desk", "corp"]"#;
    let two = r#"account = ["shop", "desk"]"#;
    let union = "scope = \"snsapi_userinfo\"\nidentity = \"unionid\"";
    let routes = [
        route(here, "/all", all),
        route(
            here,
            "/named",
            &format!("{all}\nscope = \"snsapi_userinfo\""),
        ),
        route(here, "/look", &format!("{all}\nauth = \"optional\"")),
        route(here, "/union", &format!("{two}\n{union}\nassertion = true")),
        route(
            here,
            "/hello",
            &format!("{two}\n{union}\nauth = \"optional\""),
        ),
        route(here, "/paid", &format!("{all}\npay_account = \"club\"")),
        route(here, "/desk", "account = \"desk\""),
        route(here, "/corp", "account = \"corp\""),
        route(here, "/work", r#"account = ["shop", "corp"]"#),
        route(here, "/staff", r#"account = ["desk", "corp"]"#),
        route(
            here,
            "/loose",
            "account = \"loose\"\nidentity = \"unionid\"",
        ),
        route(here, "/plain", "account = \"loose\""),
        route("a.test", "/", all),
        route("a.test", "/union", &format!("{two}\n{union}")),
    ];
    let accounts = ACCOUNTS
        .replace("{club}", CLUB)
        .replace("{site}", SITE)
        .replace("{unbound}", UNBOUND)
        .replace("{corp}", CORP)
        .replace("{agent}", AGENT);
    routes.concat() + &accounts
}

async fn world() -> World {
    let world = World::with_tables(&tables()).await;
    assert!(world.simulator.employ(OPENID, "Li.Ming@corp"));
    world
}

fn traveller(world: &World, agent: &'static str) -> Traveller {
    Traveller {
        agent,
        ..Traveller::new(world.gateway)
    }
}

fn here(world: &World, path: &str) -> String {
    format!("http://{}{path}", world.gateway)
}

/// Opens `url` as somebody who agrees wherever WeChat asks, by a tap or a scan.
async fn agreeing(world: &World, browser: &mut Traveller, url: &str) -> (Answer, Vec<String>) {
    let (mut answer, mut trail) = browser.visit(url).await;
    for page in ["authorize", "qrconnect"] {
        let mark = match page {
            "authorize" => "/connect/oauth2/authorize?",
            _ => "/connect/qrconnect?",
        };
        let Some((_, query)) = trail.last().and_then(|url| url.split_once(mark)) else {
            continue;
        };
        let query = query.split('#').next().unwrap();
        let base = world.simulator.base_url();
        let yes = format!("{base}/simulator/choose/{page}/{OPENID}?{query}");
        let rest;
        (answer, rest) = browser.visit(&yes).await;
        trail.extend(rest);
    }
    (answer, trail)
}

/// What the app was told last, by the ends of the names.
fn told(world: &World) -> Value {
    let seen = world.app.last();
    let names = ["openid", "userid", "unionid", "appid", "scope", "nickname"];
    let told = names.map(|name| (name, seen.value(&format!("x-wechat-{name}"))));
    told.into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
        .collect()
}

async fn logged_in(world: &World, agent: &'static str, path: &str) -> Traveller {
    let mut browser = traveller(world, agent);
    let (answer, trail) = agreeing(world, &mut browser, &here(world, path)).await;
    assert_eq!(answer.status, 200, "{agent} {trail:#?} {answer:?}");
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn one_route_three_browsers_three_logins_one_app() {
    let world = world().await;
    let openid = |app_id| world.simulator.openid_on(app_id, OPENID).unwrap();
    for (agent, page, expected) in [
        (
            WECHAT,
            "/connect/oauth2/authorize?",
            json!({"openid": OPENID, "appid": world.app_id, "scope": "snsapi_base"}),
        ),
        (
            DESKTOP,
            "/connect/qrconnect?",
            json!({"openid": openid(SITE), "appid": SITE, "scope": "snsapi_login",
                   "unionid": world.simulator.visitors().iter().find(|its| its.openid == OPENID).unwrap().unionid}),
        ),
        (
            WECOM,
            "/connect/oauth2/authorize?",
            json!({"userid": "Li.Ming@corp", "appid": CORP, "scope": "snsapi_base"}),
        ),
    ] {
        let mut browser = traveller(&world, agent);
        let target = here(&world, "/all/x?a=1&b=%20");
        let (answer, trail) = agreeing(&world, &mut browser, &target).await;
        assert_eq!(answer.status, 200, "{trail:#?}");
        assert!(trail[0].contains(page), "{trail:#?}");
        assert_eq!(*trail.last().unwrap(), target);
        assert_eq!(world.app.last().line(), "GET /all/x?a=1&b=%20 HTTP/1.1");
        assert_eq!(told(&world), expected);
        // Who is logged in stays so.
        assert_eq!(browser.open(&target).await.status, 200);
        let me = browser.open(&here(&world, "/.wxgate/me")).await.json();
        for name in ["openid", "userid"] {
            let expected = expected.get(name).unwrap_or(&Value::Null);
            assert_eq!(&me["data"][name], expected, "{me}");
        }
        assert_eq!(me["data"]["scope"], expected["scope"]);
        let answer = browser.open(&here(&world, "/.wxgate/openid")).await;
        match expected.get("openid") {
            Some(openid) => assert_eq!(answer.json()["data"]["openid"], *openid),
            None => {
                assert_eq!(answer.status, 403, "{answer:?}");
                assert_eq!(answer.json()["code"], 403);
                assert!(!answer.everything().contains("Li.Ming"));
            }
        }
    }
    // The link is WeChat's to the byte: an agent's number stands behind the state.
    let answer = traveller(&world, WECOM).open(&here(&world, "/all")).await;
    let to = answer.location();
    let callback = utf8(&format!("http://{}/.wxgate/callback", world.gateway));
    let (head, rest) = to.split_once("&state=").unwrap();
    let wechat = world.simulator.base_url();
    assert_eq!(
        head,
        format!(
            "{wechat}/connect/oauth2/authorize?appid={CORP}&redirect_uri={callback}&response_type=code&scope=snsapi_base"
        )
    );
    assert_eq!(&rest[33..], format!("&agentid={AGENT}#wechat_redirect"));
    let answer = traveller(&world, DESKTOP).open(&here(&world, "/all")).await;
    let (head, rest) = answer.location().split_once("&state=").unwrap();
    assert_eq!(
        head,
        format!(
            "{wechat}/connect/qrconnect?appid={SITE}&redirect_uri={callback}&response_type=code&scope=snsapi_login"
        )
    );
    assert_eq!(&rest[33..], "#wechat_redirect");
}

/// Percent-encoded as a part of a query.
fn utf8(text: &str) -> String {
    text.replace(':', "%3A").replace('/', "%2F")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unionid_is_one_for_both_browsers_and_required_where_the_route_says_so() {
    let world = world().await;
    let mut seen = Vec::new();
    for agent in [WECHAT, DESKTOP] {
        let mut browser = logged_in(&world, agent, "/union").await;
        let told = told(&world);
        assert!(told.get("unionid").is_some(), "{told}");
        let claims = claims(&world);
        assert_eq!(claims["sub"], told["unionid"], "{claims}");
        assert_eq!(browser.open(&here(&world, "/union")).await.status, 200);
        seen.push(told);
    }
    assert_eq!(seen[0]["unionid"], seen[1]["unionid"]);
    assert_ne!(seen[0]["openid"], seen[1]["openid"]);
    // A session without one is not enough there, and one login later it is.
    let mut browser = logged_in(&world, WECHAT, "/all").await;
    assert!(told(&world).get("unionid").is_none());
    let (answer, trail) = browser.visit(&here(&world, "/hello")).await;
    assert_eq!((answer.status, trail.len()), (200, 0));
    assert!(
        told(&world).get("openid").is_none(),
        "an app that could not name them"
    );
    let (answer, trail) = agreeing(&world, &mut browser, &here(&world, "/union")).await;
    assert_eq!(answer.status, 200, "{trail:#?}");
    assert!(trail[0].contains("scope=snsapi_userinfo"), "{trail:#?}");
    browser.open(&here(&world, "/hello")).await;
    assert!(told(&world).get("unionid").is_some());
}

/// What the last assertion says.
fn claims(world: &World) -> Value {
    use base64::Engine as _;
    let token = world.app.last().value("x-wechat-assertion").unwrap();
    let body = token.split('.').nth(1).unwrap().to_owned();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    serde_json::from_slice(&engine.decode(body).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_unionid_gets_a_page_and_no_loop() {
    let world = world().await;
    let mut browser = traveller(&world, DESKTOP);
    let (answer, trail) = agreeing(&world, &mut browser, &here(&world, "/loose")).await;
    assert_eq!(answer.status, 502, "{trail:#?}");
    assert!(answer.text().contains("gives no UnionID"), "{answer:?}");
    assert_eq!(world.simulator.calls().qrconnect.total, 1);
    let nobody = !answer
        .values("set-cookie")
        .iter()
        .any(|cookie| cookie.starts_with("wxgate_"));
    assert!(nobody, "{answer:?}");
    assert!(world.app.seen().is_empty());
    // Where it is not asked for, the same account lets in, and its session is not
    // enough where it is.
    let (answer, _) = agreeing(&world, &mut browser, &here(&world, "/plain")).await;
    assert_eq!(answer.status, 200);
    let (answer, _) = agreeing(&world, &mut browser, &here(&world, "/loose")).await;
    assert_eq!(answer.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_of_the_routes_accounts_lets_in_and_of_no_other() {
    let world = world().await;
    // A user agent is no proof, and none is asked for.
    for (agent, other) in [(DESKTOP, WECHAT), (WECHAT, DESKTOP), (WECOM, DESKTOP)] {
        let mut browser = logged_in(&world, agent, "/all").await;
        let first = told(&world);
        for jar in browser.jars.values_mut() {
            jar.agent = other;
        }
        browser.agent = other;
        assert_eq!(browser.open(&here(&world, "/all")).await.status, 200);
        assert_eq!(told(&world), first);
        assert_eq!(browser.open(&here(&world, "/look")).await.status, 200);
        assert_eq!(told(&world), first);
    }
    // Both: the browser's own comes first.
    let mut browser = logged_in(&world, DESKTOP, "/all").await;
    let desk = told(&world);
    let wechat = logged_in(&world, WECHAT, "/all").await;
    let shop = told(&world);
    let host = world.gateway.to_string();
    let more = wechat.jars[&host].jar.clone();
    browser.at(&host).jar.extend(more);
    for (agent, expected) in [(DESKTOP, &desk), (WECHAT, &shop), (WECOM, &shop)] {
        browser.at(&host).agent = agent;
        assert_eq!(browser.open(&here(&world, "/all")).await.status, 200);
        assert_eq!(told(&world), *expected, "{agent}");
    }
    // With one account alone another's session is none, whatever its cookie is called.
    browser.at(&host).agent = DESKTOP;
    browser
        .at(&host)
        .jar
        .retain(|cookie| cookie.name == "wxgate_shop");
    let answer = browser.open(&here(&world, "/desk")).await;
    assert_eq!(answer.status, 302, "{answer:?}");
    for name in ["wxgate_desk", "wxgate_corp"] {
        let jar = browser.at(&host);
        jar.jar.retain(|cookie| cookie.name.starts_with("wxgate_"));
        jar.jar[0].name = name.to_owned();
        for path in ["/desk", "/corp"] {
            let answer = browser.open(&here(&world, path)).await;
            assert!(matches!(answer.status, 302 | 403), "{answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_no_account_is_for_is_told_where_to_open_the_page() {
    let world = world().await;
    for (path, agent, title, code) in [
        ("/", DESKTOP, "Please open in WeChat", true),
        ("/", WECOM, "Please open in WeChat", true),
        ("/desk", WECHAT, "Please open in a browser", false),
        ("/desk", WECOM, "Please open in a browser", false),
        ("/corp", WECHAT, "Please open in WeCom", true),
        ("/corp", DESKTOP, "Please open in WeCom", true),
        ("/work", DESKTOP, "Please open in WeChat or WeCom", true),
        ("/union", WECOM, "Please open in WeChat or a browser", true),
        ("/staff", WECHAT, "Please open in WeCom or a browser", true),
    ] {
        let mut browser = traveller(&world, agent);
        let login = here(&world, &format!("/.wxgate/login?to={}", utf8(path)));
        for url in [here(&world, path), login] {
            let answer = browser.open(&url).await;
            assert_eq!(answer.status, 403, "{url} {agent}");
            let text = answer.text();
            assert!(
                text.contains(&format!(">{title}<")),
                "{path} {agent}: {text}"
            );
            assert!(text.contains(&here(&world, path)), "{text}");
            assert_eq!(text.contains("<svg"), code, "{path} {agent}");
        }
        let script = [("Accept", "application/json")];
        let answer = browser.ask("GET", &here(&world, path), &script, b"").await;
        assert_eq!(answer.status, 401, "{path} {agent}");
    }
    let calls = world.simulator.calls();
    assert_eq!((calls.authorize.total, calls.qrconnect.total), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websites_one_scope_has_the_profile_where_the_route_asks_for_it() {
    let world = world().await;
    let mut browser = logged_in(&world, DESKTOP, "/all").await;
    assert!(told(&world).get("nickname").is_none());
    assert_eq!(world.simulator.calls().userinfo.total, 0);
    // One login more, and none back.
    let (answer, _) = agreeing(&world, &mut browser, &here(&world, "/named")).await;
    assert_eq!(answer.status, 200);
    let named = told(&world);
    assert!(
        named.get("nickname").is_some() && named["scope"] == "snsapi_login",
        "{named}"
    );
    for path in ["/all", "/named", "/all"] {
        assert_eq!(browser.open(&here(&world, path)).await.status, 200);
        assert_eq!(told(&world), named);
    }
    assert_eq!(world.simulator.calls().qrconnect.total, 2);
    // A corp's visitors have none, and are not asked again for it.
    let mut browser = logged_in(&world, WECOM, "/named").await;
    assert_eq!(browser.open(&here(&world, "/named")).await.status, 200);
    assert_eq!(browser.open(&here(&world, "/all")).await.status, 200);
    assert_eq!(told(&world)["scope"], "snsapi_base");
    assert_eq!(world.simulator.calls().getuserinfo.total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corps_token_is_asked_for_once_and_anew_once_when_it_is_dead() {
    let world = world().await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut browser = traveller(&world, WECOM);
        let url = here(&world, "/corp");
        all.spawn(async move { browser.visit(&url).await.0.status });
    }
    assert_eq!(all.join_all().await, [200; 8]);
    let calls = world.simulator.calls();
    assert_eq!((calls.gettoken.total, calls.getuserinfo.ok()), (1, 8));
    for (round, kill) in [
        (
            2,
            (|world: &World| world.simulator.forget_corp_tokens()) as fn(&World),
        ),
        (3, |world| {
            let day = std::time::Duration::from_secs(7200);
            world.simulator.advance_clock(day);
        }),
    ] {
        kill(&world);
        for _ in 0..2 {
            logged_in(&world, WECOM, "/corp").await;
        }
        assert_eq!(world.simulator.calls().gettoken.total, round);
    }
    // A token that is dead at once is not asked for for ever.
    let dead = Mood::Errcode {
        api: Api::CorpUser,
        errcode: 42001,
    };
    world.simulator.set_mood(dead);
    let before = world.simulator.calls();
    let (answer, _) = traveller(&world, WECOM).visit(&here(&world, "/corp")).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    let calls = world.simulator.calls();
    let logins = calls.authorize.total - before.authorize.total;
    assert!(logins <= 3, "{logins}");
    assert_eq!(
        calls.getuserinfo.total - before.getuserinfo.total,
        2 * logins
    );
    assert!(calls.gettoken.total - before.gettoken.total <= 2 * logins);
}

#[tokio::test(flavor = "multi_thread")]
async fn wecoms_errors_have_their_pages() {
    let world = world().await;
    for (api, errcode, title, logins) in [
        (Api::CorpToken, 60020, "WeCom app is set up wrongly", 1),
        (Api::CorpToken, 40001, "WeCom app is set up wrongly", 1),
        (Api::CorpToken, 40013, "WeCom app is set up wrongly", 1),
        (Api::CorpUser, 60011, "WeCom app is set up wrongly", 1),
        (Api::CorpUser, 40029, "did not succeed", 3),
        (Api::CorpUser, -1, "does not answer", 3),
    ] {
        world.simulator.set_mood(Mood::Errcode { api, errcode });
        world.simulator.forget_corp_tokens();
        // A gateway that knows the token asks for none.
        world.reload(|text| format!("{text}\n# {errcode}\n"));
        let before = world.simulator.calls().authorize.total;
        let (answer, _) = traveller(&world, WECOM).visit(&here(&world, "/corp")).await;
        assert_eq!(answer.status, 502, "{errcode}");
        assert!(
            answer.text().contains(title),
            "{errcode}: {}",
            answer.text()
        );
        let after = world.simulator.calls().authorize.total;
        assert_eq!(after - before, logins, "{errcode}");
    }
    // What is counted by the minute holds nobody off for the day.
    let busy = Mood::Errcode {
        api: Api::CorpUser,
        errcode: 45009,
    };
    world.simulator.set_mood(busy);
    let (answer, _) = traveller(&world, WECOM).visit(&here(&world, "/corp")).await;
    assert_eq!(answer.status, 503);
    let wait: u64 = answer.value("retry-after").unwrap().parse().unwrap();
    assert!(wait <= 300, "{wait}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubled_callback_is_one_exchange_with_every_kind() {
    let world = world().await;
    for agent in [DESKTOP, WECOM] {
        let mut browser = traveller(&world, agent);
        let is_callback = |url: &str| url.contains("/.wxgate/callback?code=");
        let (_, trail) = browser.until(&here(&world, "/all"), is_callback).await;
        let callback = match agent {
            WECOM => trail.last().unwrap().clone(),
            _ => {
                let query = trail[0]
                    .split_once('?')
                    .unwrap()
                    .1
                    .split('#')
                    .next()
                    .unwrap();
                let base = world.simulator.base_url();
                let yes = format!("{base}/simulator/choose/qrconnect/{OPENID}?{query}");
                browser.open(&yes).await.location().to_owned()
            }
        };
        let mut both = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (mut browser, callback) = (browser.clone(), callback.clone());
            both.spawn(async move { browser.open(&callback).await });
        }
        for answer in both.join_all().await {
            assert_eq!(answer.status, 302, "{answer:?}");
            assert_eq!(answer.location(), here(&world, "/all"));
        }
        // Another browser with the same link gets nothing.
        let answer = traveller(&world, agent).open(&callback).await;
        assert!(
            !answer.everything().contains("wxgate_desk=")
                && !answer.everything().contains("wxgate_corp=")
        );
    }
    let calls = world.simulator.calls();
    assert_eq!((calls.exchange.total, calls.getuserinfo.total), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_refuses_at_the_code_gets_a_page() {
    let world = world().await;
    let mut browser = traveller(&world, DESKTOP);
    let answer = browser.open(&here(&world, "/all")).await;
    let query = answer.location().split_once('?').unwrap().1;
    let query = query.split('#').next().unwrap();
    let base = world.simulator.base_url();
    let no = format!("{base}/simulator/choose/qrconnect/refuse?{query}");
    let (answer, _) = browser.visit(&no).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("Not authorised"), "{answer:?}");
    assert_eq!(world.simulator.calls().exchange.total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_sign_on_with_the_account_of_the_browser() {
    let world = world().await;
    for (agent, name) in [(WECHAT, "openid"), (DESKTOP, "openid"), (WECOM, "userid")] {
        let mut browser = traveller(&world, agent);
        let target = "http://a.test/x?y=1";
        let (answer, trail) = agreeing(&world, &mut browser, target).await;
        assert_eq!(answer.status, 200, "{agent} {trail:#?}");
        assert!(trail[0].contains("/.wxgate/sign-on?ask="), "{trail:#?}");
        assert!(trail.iter().any(|url| url.contains("/callback/ticket?t=")));
        assert_eq!(*trail.last().unwrap(), target);
        assert!(told(&world).get(name).is_some(), "{}", told(&world));
    }
    // An ask that was carried to another kind of browser leads to no page of
    // WeChat's that could only fail, nor to and fro, should its host take the browser
    // for another.
    let ask = traveller(&world, DESKTOP).open("http://a.test/").await;
    let answer = traveller(&world, WECHAT).open(ask.location()).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.value("location").is_none());
    let text = answer.text();
    assert!(text.contains("Please open in a browser"), "{text}");
    assert!(text.contains("href=\"http://a.test/\""), "{text}");
    // What is asked for crosses too: a session without a unionid gets no ticket.
    let mut browser = traveller(&world, WECHAT);
    let (answer, _) = agreeing(&world, &mut browser, "http://a.test/").await;
    assert_eq!(answer.status, 200);
    let (answer, trail) = agreeing(&world, &mut browser, "http://a.test/union").await;
    assert_eq!(answer.status, 200, "{trail:#?}");
    assert!(
        trail.iter().any(|url| url.contains("snsapi_userinfo")),
        "{trail:#?}"
    );
    assert!(told(&world).get("unionid").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_end_a_members_sessions_and_nobody_elses() {
    let world = world().await;
    let url = here(&world, "/all");
    let mut member = logged_in(&world, WECOM, "/all").await;
    let mut visitor = logged_in(&world, DESKTOP, "/all").await;
    let word = world.admin_word();
    let order = |text: &'static str| world.order(&word, text);
    // An openid that is spelled like the userid is another's.
    assert_eq!(order("{\"openid\": \"Li-Ming\"}").await.status, 200);
    let refused = order("{\"userid\": \"x\", \"account\": \"desk\"}").await;
    assert!(
        refused.status == 422 && refused.text().contains("wecom"),
        "{refused:?}"
    );
    assert_eq!(member.open(&url).await.status, 200);
    assert_eq!(order("{\"userid\": \"LI.MING@corp\"}").await.status, 200);
    assert_eq!(member.open(&url).await.status, 302);
    assert_eq!(visitor.open(&url).await.status, 200);
    let (answer, _) = member.visit(&url).await;
    assert_eq!(answer.status, 200, "and back in");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pays_is_asked_inside_wechat_alone() {
    let world = world().await;
    for (agent, asked) in [(WECHAT, 2), (DESKTOP, 0), (WECOM, 1)] {
        let before = world.simulator.calls().authorize.total;
        let mut browser = logged_in(&world, agent, "/paid").await;
        let pays = world.app.last().value("x-wechat-pay-openid");
        let openid = world.simulator.openid_on(CLUB, OPENID);
        assert_eq!(pays, openid.filter(|_| agent == WECHAT), "{agent}");
        let url = here(&world, "/paid");
        let login = here(&world, "/.wxgate/login?to=%2Fpaid");
        assert_eq!(browser.open(&url).await.status, 200);
        assert_eq!(browser.open(&login).await.location(), url);
        let after = world.simulator.calls().authorize.total;
        assert_eq!(after - before, asked, "{agent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_the_sessions_of_every_kind() {
    let world = world().await;
    let mut browser = logged_in(&world, DESKTOP, "/all").await;
    let host = world.gateway.to_string();
    let corp = logged_in(&world, WECOM, "/all").await;
    let more = corp.jars[&host].jar.clone();
    browser.at(&host).jar.extend(more);
    let copy = browser.clone();
    let origin = here(&world, "");
    let headers = [("Origin", origin.as_str()), ("Accept", "application/json")];
    let url = here(&world, "/.wxgate/logout");
    let answer = browser.ask("POST", &url, &headers, b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for agent in [DESKTOP, WECOM] {
        let mut copy = copy.clone();
        copy.at(&host).agent = agent;
        assert_eq!(copy.open(&here(&world, "/all")).await.status, 302);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wecoms_file_is_served_as_wechats_is() {
    let world = world().await;
    let url = here(&world, "/WW_verify_AbCdEfGhIjKlMnOp.txt");
    let answer = traveller(&world, DESKTOP).open(&url).await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "AbCdEfGhIjKlMnOp")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_a_kind_is_a_mistake() {
    let world = world().await;
    let dir = files();
    let whole = |tables: &str| {
        let extra = Extra {
            tables,
            ..Extra::default()
        };
        gateway_toml(world.gateway, world.app.addr, &world.simulator, &extra)
    };
    let parse = |text: &str| Plan::parse(&dir.path().join("gateway.toml"), text);
    let good = whole(&tables());
    assert!(parse(&good).is_ok());
    // The second login is with an official account, and any browser may make it.
    let desk = "account = \"desk\"\n";
    let any = "pay_account = \"club\"\noutside_wechat = \"redirect\"\n";
    assert!(good.contains(desk));
    assert!(parse(&good.replacen(desk, &format!("{desk}{any}"), 1)).is_ok());
    let corp = "kind = \"wecom\"\n";
    let desk = "kind = \"website\"\n";
    let all = "account = [\"shop\", \"desk\", \"corp\"]\n";
    for (from, to, words) in [
        (
            format!("agent_id = \"{AGENT}\"\n"),
            String::new(),
            "no agent_id",
        ),
        (
            format!("agent_id = \"{AGENT}\""),
            "agent_id = \"1e3\"".to_owned(),
            "1000002",
        ),
        (
            desk.to_owned(),
            format!("{desk}agent_id = \"1\"\n"),
            "agent_id stands beside",
        ),
        (
            desk.to_owned(),
            format!("{desk}force_popup = true\n"),
            "force_popup stands beside",
        ),
        (
            desk.to_owned(),
            format!("{desk}connect_redirect = true\n"),
            "connect_redirect stands",
        ),
        (
            corp.to_owned(),
            format!("{corp}lang = \"en\"\n"),
            "lang stands beside",
        ),
        (
            corp.to_owned(),
            format!("{corp}api_fallback_url = \"http://x.test\"\n"),
            "api_fallback_url stands beside",
        ),
        (
            desk.to_owned(),
            format!("{desk}outsiders = false\n"),
            "desk.outsiders: outsiders stands beside kind = \"website\"",
        ),
        (
            "[accounts.club]\n".to_owned(),
            "[accounts.club]\noutsiders = true\n".to_owned(),
            "club.outsiders: outsiders stands beside kind = \"official\"",
        ),
        (
            corp.to_owned(),
            format!("{corp}outsiders = \"members\"\n"),
            "expected a boolean",
        ),
        (desk.to_owned(), "kind = \"pc\"\n".to_owned(), "website"),
        (all.to_owned(), "account = []\n".to_owned(), "an empty list"),
        (
            all.to_owned(),
            "account = [\"shop\", \"shop\"]\n".to_owned(),
            "twice",
        ),
        (
            all.to_owned(),
            "account = [\"desk\", \"loose\"]\n".to_owned(),
            "\"desk\" and \"loose\", which are both of kind \"website\"",
        ),
        (
            all.to_owned(),
            "account = [\"shop\", \"nobody\"]\n".to_owned(),
            "\"nobody\", which is no account",
        ),
        (
            "account = \"desk\"\n".to_owned(),
            "account = \"desk\"\npay_account = \"club\"\n".to_owned(),
            "pay_account: found \"club\" on a route without an official account",
        ),
        (
            "account = [\"desk\", \"corp\"]\n".to_owned(),
            "account = [\"desk\", \"corp\"]\npay_account = \"club\"\n".to_owned(),
            "expected an official account in account, or no pay_account",
        ),
        (
            format!("app_id = \"{SITE}\"\n"),
            format!("app_id = \"{CLUB}\"\n"),
            "accounts.desk.app_id: found \"wx5150a7c0ffee0002\" with kind = \"website\", which is accounts.club.app_id too, with kind = \"official\"",
        ),
        (
            format!("app_id = \"{CLUB}\"\n"),
            format!("app_id = \"{CORP}\"\n"),
            "with kind = \"wecom\", which is accounts.club.app_id too, with kind = \"official\"",
        ),
        (
            all.to_owned(),
            format!("{all}pay_account = \"loose\"\n"),
            "\"loose\" of kind \"website\", with which nobody",
        ),
        (
            all.to_owned(),
            format!("{all}verify_every = \"1h\"\n"),
            "\"corp\" of kind \"wecom\", whose visitors have no tokens",
        ),
        (
            all.to_owned(),
            format!("{all}access_token = true\n"),
            "have no tokens",
        ),
        (
            all.to_owned(),
            format!("{all}identity = \"unionid\"\n"),
            "have no unionid",
        ),
        (
            all.to_owned(),
            format!("{all}identity = \"phone\"\n"),
            "unionid",
        ),
        (
            "account = \"corp\"\n".to_owned(),
            "account = \"corp\"\nscope = \"snsapi_userinfo\"\n".to_owned(),
            "its visitors have no profile",
        ),
        (
            "account = [\"shop\", \"corp\"]\n".to_owned(),
            "account = \"shop\"\nidentity = \"unionid\"\n".to_owned(),
            "snsapi_base\", with which WeChat gives no unionid",
        ),
        (
            "account = [\"shop\", \"corp\"]\n".to_owned(),
            "auth = \"none\"\nidentity = \"unionid\"\n".to_owned(),
            "no visitor is known",
        ),
        (
            "account = \"corp\"\n".to_owned(),
            "account = \"corp\"\noutside_wechat = \"redirect\"\n".to_owned(),
            "outside_wechat: found \"redirect\" on a route without an official account",
        ),
        (
            "account = [\"desk\", \"corp\"]\n".to_owned(),
            "account = [\"desk\", \"corp\"]\nsnapshot = \"read_only\"\n".to_owned(),
            "snapshot: found \"read_only\" on a route without an official account",
        ),
        (
            "account = \"corp\"\n".to_owned(),
            "auth = \"none\"\nsnapshot = \"read_only\"\n".to_owned(),
            "expected one in account, or no snapshot",
        ),
    ] {
        let text = good.replacen(&from, &to, 1);
        assert_ne!(text, good, "{from}");
        let mistakes = parse(&text).err().map(|mistakes| mistakes.to_string());
        let mistakes = mistakes.unwrap_or_else(|| panic!("{to} is taken"));
        assert!(mistakes.contains(words), "{to}: {mistakes}");
    }
}

#[test]
fn apps_of_one_corp_are_apart_where_another_gateway_holds_their_secrets() {
    let dir = files();
    let account = |name: &str, agent: &str| {
        let key = wxgate::signing::generate_key().unwrap();
        std::fs::write(dir.path().join(name), key.expose()).unwrap();
        format!(
            "[accounts.{name}]\nkind = \"wecom\"\napp_id = \"ww1234567890abcdef\"\n{agent}via = \"https://www.example.com\"\n\
             client = \"dev\"\nclient_key = {{ file = \"{name}\" }}\n\
             [[routes]]\nhost = \"{name}.test\"\nupstream = \"http://127.0.0.1:9\"\naccount = \"{name}\"\n"
        )
    };
    let parse = |agent: &str| {
        let text = format!(
            "[server]\nstate_dir = \"state\"\n{}{}",
            account("one", "agent_id = \"1000002\"\n"),
            account("two", agent)
        );
        Plan::parse(&dir.path().join("gateway.toml"), &text)
    };
    let plan = parse("agent_id = \"1000003\"\n").unwrap();
    // A session is held against its account's kind, the app's number with it.
    let kinds: Vec<_> = (plan.accounts.iter())
        .map(|planned| planned.account.wechat.kind())
        .collect();
    let number = |text: &str| Kind::WeCom(AgentId::parse(text).unwrap());
    assert_eq!(kinds, [number("1000002"), number("1000003")]);
    for (agent, words) in [
        ("", "kind = \"wecom\" and no agent_id"),
        ("agent_id = \"0\"\n", "found \"0\""),
    ] {
        let mistakes = parse(agent).unwrap_err().to_string();
        assert!(mistakes.contains(words), "{agent}: {mistakes}");
    }
}
