//! Whom WeCom names by an openid, who are not of the corp: they are let in where the
//! account says so, and nowhere else.

use serde_json::{Value, json};

use super::{here, tables, told, traveller, utf8, world};
use crate::client::{Answer, Traveller, WECHAT, WECOM, send};
use crate::world::{CORP, OPENID, World};

/// The page of a route that nobody else could use, and that of one with an account
/// for another browser.
const MEMBERS: (&str, &str) = ("not_a_member", ">This page is for members of the company<");
const HERE: (&str, &str) = (
    "not_a_member_in_wecom",
    ">In WeCom this page is for members of the company<",
);

/// The tables of all kinds, where the corp's account lets in who is none of its members.
fn with_outsiders() -> String {
    let agent = "agent_id = ";
    assert_eq!(tables().matches(agent).count(), 1);
    tables().replace(agent, "outsiders = true\nagent_id = ")
}

fn opens_session(answer: &Answer) -> bool {
    let set = answer.values("set-cookie");
    set.iter().any(|cookie| {
        let named = cookie.starts_with("wxgate_") || cookie.starts_with("wxgate-snapshot");
        named && !cookie.contains("Max-Age=0")
    })
}

async fn outsider(world: &World) -> Traveller {
    assert!(world.simulator.set_default_visitor("oOutsider"));
    traveller(world, WECOM)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_of_the_corp_gets_a_page_and_no_session() {
    let world = world().await;
    let mut browser = outsider(&world).await;
    let openid = world.simulator.openid_on(CORP, "oOutsider").unwrap();
    for (at, (path, (_, title))) in [
        ("/corp/x?a=1&b=%20", MEMBERS),
        ("/all/x?a=1&b=%20", HERE),
        ("/look", HERE),
        ("/work", HERE),
        ("/staff", HERE),
    ]
    .into_iter()
    .enumerate()
    {
        let url = match path {
            // Nobody is sent to WeChat from there unless the app does.
            "/look" => here(&world, &format!("/.wxgate/login?to={}", utf8(path))),
            path => here(&world, path),
        };
        let (answer, trail) = browser.visit(&url).await;
        assert_eq!(answer.status, 403, "{trail:#?}");
        let text = answer.text();
        assert!(text.contains(title), "{path}: {text}");
        // It leads on, by itself nowhere; and where another browser would do, it
        // shows the address.
        assert!(text.contains("class=\"go\" href=\"/"), "{text}");
        let shown = here(&world, path).replace('&', "&amp;");
        let shows = text.contains(&format!("<code>{shown}</code>")) && text.contains("<svg");
        assert_eq!(shows, title == HERE.1, "{text}");
        assert!(!answer.everything().contains(&openid), "{answer:?}");
        assert!(!opens_session(&answer), "{answer:?}");
        // Once: no loop.
        assert_eq!(world.simulator.calls().getuserinfo.total, at as u64 + 1);
        let me = browser.open(&here(&world, "/.wxgate/me")).await;
        assert_eq!(me.status, 401, "{me:?}");
    }
    assert!(world.app.seen().is_empty());
    let metrics = send(world.admin, "GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n").await;
    for ((reason, _), times) in [(MEMBERS, 1), (HERE, 4)] {
        let labels = format!("account=\"corp\",outcome=\"{reason}\"");
        let text = metrics.text();
        let line = text.lines().find(|line| line.contains(&labels));
        let line = line.unwrap_or_else(|| panic!("no {labels} in {text}"));
        assert!(line.ends_with(&format!(" {times}")), "{line}");
    }
    // The same browser, once a member of the corp uses it.
    assert!(world.simulator.set_default_visitor(OPENID));
    let (answer, trail) = browser.visit(&here(&world, "/corp")).await;
    assert_eq!(answer.status, 200, "{trail:#?}");
    assert_eq!(told(&world)["userid"], "Li.Ming@corp");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubled_callback_of_an_outsider_gets_the_same_page_twice() {
    let world = world().await;
    let mut browser = outsider(&world).await;
    let is_callback = |url: &str| url.contains("/.wxgate/callback?code=");
    let (_, trail) = browser.until(&here(&world, "/all"), is_callback).await;
    let callback = trail.last().unwrap().clone();
    let mut both = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (mut browser, callback) = (browser.clone(), callback.clone());
        both.spawn(async move { browser.open(&callback).await });
    }
    for answer in both.join_all().await {
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.text().contains(HERE.1), "{answer:?}");
        assert!(!opens_session(&answer), "{answer:?}");
    }
    assert_eq!(world.simulator.calls().getuserinfo.total, 1);
    // In another browser the link is nobody's.
    let answer = traveller(&world, WECHAT).open(&callback).await;
    assert!(!opens_session(&answer), "{answer:?}");
    assert_eq!(world.simulator.calls().getuserinfo.total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_host_is_a_way_in_for_an_outsider() {
    let world = world().await;
    let mut browser = outsider(&world).await;
    let (answer, trail) = browser.visit("http://a.test/x?y=1").await;
    assert_eq!(answer.status, 403, "{trail:#?}");
    let text = answer.text();
    assert!(text.contains(HERE.1), "{text}");
    assert!(text.contains("<code>http://a.test/</code>"), "{text}");
    assert!(
        !trail.iter().any(|url| url.contains("ticket")),
        "{trail:#?}"
    );
    assert!(world.app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outsider_has_an_openid_and_no_userid_and_their_session_ends_with_the_setting() {
    let world = World::with_tables(&with_outsiders()).await;
    assert!(world.simulator.employ(OPENID, "Li.Ming@corp"));
    let mut browser = outsider(&world).await;
    let url = here(&world, "/all");
    let (answer, _) = browser.visit(&url).await;
    assert_eq!(answer.status, 200);
    let openid = world.simulator.openid_on(CORP, "oOutsider").unwrap();
    let expected = json!({"openid": openid, "appid": CORP, "scope": "snsapi_base"});
    assert_eq!(told(&world), expected);
    let me = browser.open(&here(&world, "/.wxgate/me")).await.json();
    assert_eq!(
        (&me["data"]["openid"], &me["data"]["userid"]),
        (&json!(openid), &Value::Null)
    );
    let (answer, _) = browser.visit("http://a.test/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(told(&world), expected);
    let seen = world.app.seen().len();
    world.reload(|text| text.replace("outsiders = true\n", ""));
    for url in [url.as_str(), "http://a.test/"] {
        let (answer, trail) = browser.visit(url).await;
        assert_eq!(answer.status, 403, "{trail:#?}");
        assert!(answer.text().contains(HERE.1), "{answer:?}");
    }
    assert_eq!(world.app.seen().len(), seen);
}
