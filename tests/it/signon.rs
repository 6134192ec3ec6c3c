//! Hosts on domains of their own, one callback, one login: what crosses between
//! them lets in whom it is for, once, and nobody else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wxgate::origin::Host;
use wxgate::signon::{Ask, Ticket};
use wxgate::simulator::{Api, Mood};

use crate::client::{Answer, Traveller};
use crate::world::{CALLBACK, CLUB, CLUB_CALLBACK, Extra, OPENID, World};

const HOSTS: &str = r#"
[[routes]]
host = "a.test"
upstream = "http://{app}"
account = "shop"

[[routes]]
host = "a.test"
path = "/member"
upstream = "http://{app}"
account = "shop"
scope = "snsapi_userinfo"

[[routes]]
host = "a.test"
path = "/trusted"
upstream = "http://{app}"
account = "shop"
access_token = true

[[routes]]
host = "a.test"
path = "/fragment"
upstream = "http://{app}"
account = "shop"
keep_fragment = true

[[routes]]
host = "b.test"
upstream = "http://{app}"
account = "shop"

[[routes]]
host = "b.test"
path = "/club"
upstream = "http://{app}"
account = "club"

[[routes]]
host = "c.test"
upstream = "http://{app}"
account = "shop"

[[routes]]
host = "c.test"
path = "/trusted"
upstream = "http://{app}"
account = "shop"
access_token = true

[[routes]]
host = "*.wild.test"
upstream = "http://{app}"
account = "shop"

[[routes]]
host = "look.test"
upstream = "http://{app}"
account = "shop"
scope = "snsapi_userinfo"
snapshot = "read_only"

[[routes]]
host = "door.test"
upstream = "http://{app}"
account = "shop"

[accounts.club]
app_id = "{club}"
app_secret = { file = "app_secret" }
callback_origin = "http://{door}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{wechat}"
"#;

async fn world_with(session: &str) -> World {
    let tables = HOSTS
        .replace("{club}", CLUB)
        .replace("{door}", CLUB_CALLBACK);
    World::with(Extra {
        session,
        callback: Some(CALLBACK),
        tables: &tables,
        ..Extra::default()
    })
    .await
}

async fn world() -> World {
    world_with("").await
}

fn sets_a_session(answer: &Answer) -> bool {
    let cookies = answer.values("set-cookie");
    let of = |cookie: &&str| cookie.starts_with("wxgate_") || cookie.starts_with("wxgate-snap");
    cookies.iter().any(of)
}

fn is_ticket(url: &str) -> bool {
    url.contains("/.wxgate/callback/ticket?t=")
}

/// A login for `url` as far as its ticket, which is not used yet.
async fn until_ticket(world: &World, url: &str) -> (Traveller, String) {
    let mut traveller = Traveller::new(world.gateway);
    let (_, trail) = traveller.until(url, is_ticket).await;
    let ticket = trail.last().unwrap().clone();
    assert!(is_ticket(&ticket), "{trail:?}");
    (traveller, ticket)
}

async fn visitor(world: &World, urls: &[&str]) -> Traveller {
    let mut traveller = Traveller::new(world.gateway);
    for url in urls {
        let (answer, _) = traveller.visit(url).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    traveller
}

/// Opens `url` as somebody who grants the profile where WeChat asks.
async fn agreeing(world: &World, traveller: &mut Traveller, url: &str) -> (Answer, Vec<String>) {
    agreeing_as(world, OPENID, traveller, url).await
}

/// The same as the visitor `openid`.
async fn agreeing_as(
    world: &World,
    openid: &str,
    traveller: &mut Traveller,
    url: &str,
) -> (Answer, Vec<String>) {
    let (_, trail) = traveller.visit(url).await;
    let asked = trail.last().unwrap();
    assert!(asked.contains("/connect/oauth2/authorize?"), "{trail:#?}");
    let query = asked.split_once('?').unwrap().1.split('#').next().unwrap();
    let wechat = world.simulator.base_url();
    let yes = format!("{wechat}/simulator/choose/authorize/{openid}?{query}");
    traveller.visit(&yes).await
}

fn authorizes(world: &World) -> u64 {
    world.simulator.calls().authorize.total
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_visit_to_each_host_ends_where_it_was_going_and_wechat_is_asked_once() {
    let world = world().await;
    let mut traveller = Traveller::new(world.gateway);
    for (at, host) in ["a.test", "b.test", "c.test", "x.wild.test"]
        .iter()
        .enumerate()
    {
        let target = "/goods//x?a=1&b=%20&to=//evil.test";
        let (answer, trail) = traveller.visit(&format!("http://{host}{target}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(*trail.last().unwrap(), format!("http://{host}{target}"));
        let seen = world.app.last();
        assert_eq!(seen.line(), format!("GET {target} HTTP/1.1"));
        assert_eq!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
        // Where they want to go and who they are stands in no address on the way.
        let way = &trail[..trail.len() - 1];
        assert!(
            way.iter()
                .all(|url| !url.contains("goods") && !url.contains(OPENID))
        );
        let wechat = way.iter().filter(|url| url.contains("/connect/oauth2/"));
        assert_eq!(wechat.count(), usize::from(at == 0), "{trail:#?}");
        assert_eq!(way.iter().filter(|url| is_ticket(url)).count(), 1);
        // They are known from then on.
        let again = traveller.open(&format!("http://{host}/")).await;
        assert_eq!(again.status, 200);
        assert_eq!(
            seen.values("cookie").len(),
            1,
            "nothing of logins reaches the app"
        );
    }
    assert_eq!((world.exchanges(), authorizes(&world)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crosses_is_kept_by_no_cache_and_told_to_no_other_site() {
    let world = world().await;
    let mut traveller = Traveller::new(world.gateway);
    let mut at = "http://a.test/x".to_owned();
    let mut steps = 0;
    while at.contains(".test/") {
        let answer = traveller.open(&at).await;
        if answer.status != 302 {
            break;
        }
        assert_eq!(answer.value("referrer-policy"), Some("no-referrer"), "{at}");
        assert_eq!(answer.value("cache-control"), Some("no-store"), "{at}");
        at = answer.location().to_owned();
        if at.contains("/connect/oauth2/authorize") {
            at = traveller.open(&at).await.location().to_owned();
        }
        steps += 1;
    }
    // The page, the ask, the callback, the ticket.
    assert_eq!((steps, at.as_str()), (4, "http://a.test/x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_taken_once() {
    let world = world().await;
    let (mut traveller, ticket) = until_ticket(&world, "http://a.test/x").await;
    let mut copy = traveller.clone();
    let first = traveller.open(&ticket).await;
    assert!(sets_a_session(&first));
    assert_eq!(first.location(), "http://a.test/x");
    // The very same browser, its first answer lost: nothing is opened by the
    // ticket, and the way goes on by a new one.
    let second = copy.open(&ticket).await;
    assert!(!sets_a_session(&second), "{second:?}");
    assert!(
        second
            .location()
            .starts_with("http://login.test/.wxgate/sign-on?ask=")
    );
    let (answer, trail) = copy.visit(&ticket).await;
    assert_eq!(answer.status, 200);
    assert!(trail.len() <= 5, "{trail:#?}");
    // Reload where it worked: the session is there.
    let reload = traveller.open(&ticket).await;
    assert_eq!((reload.status, reload.location()), (302, "http://a.test/x"));
    assert!(!sets_a_session(&reload));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_tickets_at_once_one_opens_a_session() {
    let world = world().await;
    let (traveller, ticket) = until_ticket(&world, "http://a.test/x").await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (mut traveller, ticket) = (traveller.clone(), ticket.clone());
            tokio::spawn(async move { traveller.open(&ticket).await })
        })
        .collect();
    let mut opened = 0;
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!(answer.status, 302, "{answer:?}");
        opened += usize::from(sets_a_session(&answer));
    }
    assert_eq!(opened, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ticket_of_the_same_login_is_not_taken_either() {
    let world = world().await;
    let mut traveller = visitor(&world, &["http://a.test/"]).await;
    let ask = traveller
        .open("http://b.test/x")
        .await
        .location()
        .to_owned();
    let one = traveller.open(&ask).await.location().to_owned();
    let two = traveller.open(&ask).await.location().to_owned();
    assert!(is_ticket(&one) && is_ticket(&two) && one != two);
    let mut copy = traveller.clone();
    assert!(sets_a_session(&traveller.open(&one).await));
    assert!(!sets_a_session(&copy.open(&two).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_with_anything_changed_logs_nobody_in() {
    let world = world().await;
    let (mut traveller, ticket) = until_ticket(&world, "http://a.test/x").await;
    let (start, value) = ticket.split_once("?t=").unwrap();
    let mut wrong: Vec<String> = (0..value.len())
        .step_by(5)
        .chain(value.len() - 8..value.len())
        .map(|at| {
            let mut bytes = value.to_owned().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            format!("{start}?t={}", String::from_utf8(bytes).unwrap())
        })
        .collect();
    for cut in [0, 1, 42, 43, 60, value.len() - 1] {
        wrong.push(format!("{start}?t={}", &value[..cut]));
    }
    wrong.push(format!("{ticket}="));
    wrong.push(format!("{ticket}A"));
    wrong.push(format!("{ticket}&t={value}"));
    wrong.push(format!("{start}?ask={value}"));
    wrong.push(start.to_owned());
    for url in wrong {
        let answer = traveller.clone().open(&url).await;
        assert!(!sets_a_session(&answer), "{url}");
        assert_eq!(answer.status, 403, "{url}: {answer:?}");
        assert!(answer.text().contains("/.wxgate/login"), "a way on");
    }
    assert!(
        sets_a_session(&traveller.open(&ticket).await),
        "none of that used it up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_at_another_host_logs_nobody_in() {
    let world = world().await;
    let (mut traveller, ticket) = until_ticket(&world, "http://a.test/x").await;
    // With a login of its own in flight there, and with the other host's cookies
    // put where they do not belong.
    traveller.open("http://b.test/y").await;
    traveller.open("http://x.wild.test/y").await;
    let stolen = traveller.at("a.test").jar.clone();
    for host in [
        "b.test",
        "x.wild.test",
        "login.test",
        "127.0.0.1",
        "nobody.test",
    ] {
        let moved = ticket.replacen("http://a.test", &format!("http://{host}"), 1);
        let answer = traveller.clone().open(&moved).await;
        assert!(!sets_a_session(&answer), "{host}: {answer:?}");
        let mut thief = traveller.clone();
        thief.at(host).jar.extend(stolen.iter().cloned());
        let answer = thief.open(&moved).await;
        assert!(!sets_a_session(&answer), "{host}: {answer:?}");
    }
    assert!(sets_a_session(&traveller.open(&ticket).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_in_another_browser_logs_nobody_in_as_somebody_else() {
    let world = world().await;
    // The attacker logs in, keeps the ticket, and sends its address to somebody.
    let (mut attacker, ticket) = until_ticket(&world, "http://a.test/mine").await;
    let other = "oALi-Rose5Tn1CvX8yQm3Ks6_gHb";
    assert!(world.simulator.set_default_visitor(other));
    let mut victim = Traveller::new(world.gateway);
    let answer = victim.open(&ticket).await;
    assert!(!sets_a_session(&answer), "{answer:?}");
    assert_eq!(answer.location(), "/.wxgate/login?to=%2F&again=1");
    let (answer, trail) = victim.visit(&ticket).await;
    assert_eq!(answer.status, 200, "{trail:#?}");
    let openid = || world.app.last().value("x-wechat-openid");
    assert_eq!(openid().as_deref(), Some(other), "as themselves");
    // Whoever had the address first has used it up.
    let answer = attacker.open(&ticket).await;
    assert!(!sets_a_session(&answer), "{answer:?}");
    let (answer, _) = attacker.visit(&ticket).await;
    assert_eq!(answer.status, 200);
    assert_eq!(openid().as_deref(), Some(OPENID));
    // A login of their own in flight makes no ticket theirs.
    let (_, ticket) = until_ticket(&world, "http://a.test/x").await;
    let mut busy = Traveller::new(world.gateway);
    busy.open("http://a.test/x").await;
    let answer = busy.open(&ticket).await;
    assert!(!sets_a_session(&answer), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_in_another_browser_gives_away_nobody() {
    let world = world().await;
    // The attacker has somebody else bring the ask of the attacker's login.
    let mut attacker = Traveller::new(world.gateway);
    let ask = attacker.open("http://a.test/x").await.location().to_owned();
    let mut victim = visitor(&world, &["http://b.test/"]).await;
    let answer = victim.open(&ask).await;
    let ticket = answer.location().to_owned();
    assert!(is_ticket(&ticket) && ticket.starts_with("http://a.test/"));
    let answer = victim.open(&ticket).await;
    assert!(!sets_a_session(&answer), "{answer:?}");
    // Even one who learned of it gets nothing: it was used up on the way.
    let answer = attacker.open(&ticket).await;
    assert!(!sets_a_session(&answer), "{answer:?}");
    // A page that loads the ask as a picture, a frame or by a script gets none.
    for headers in [
        &[("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")],
        &[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")],
        &[("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")],
    ] {
        let answer = victim.ask("GET", &ask, headers, b"").await;
        assert_eq!(answer.status, 400, "{headers:?}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_cookie_that_another_host_planted_takes_no_ticket() {
    let world = world().await;
    let (mut traveller, ticket) = until_ticket(&world, "http://a.test/x").await;
    // Without the list, which no other host can write.
    let jar = &mut traveller.at("a.test").jar;
    jar.retain(|cookie| cookie.name != "wxgate-pending");
    let answer = traveller.open(&ticket).await;
    assert!(!sets_a_session(&answer), "{answer:?}");
    assert!(
        answer
            .location()
            .starts_with("http://login.test/.wxgate/sign-on?ask=")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_ticket_is_not_taken() {
    let world = world().await;
    let (keys, host) = (world.keys(), Host::new("a.test").unwrap());
    for (older, taken) in [(29_000, true), (31_000, false), (600_000, false)] {
        let (mut traveller, ticket) = until_ticket(&world, "http://a.test/x").await;
        let (start, value) = ticket.split_once('?').unwrap();
        let mut opened = Ticket::of_query(&keys, &host, value).unwrap();
        opened.made -= older;
        let aged = format!("{start}?t={}", opened.seal(&keys, &host).unwrap());
        let answer = traveller.open(&aged).await;
        assert_eq!(sets_a_session(&answer), taken, "{older}: {answer:?}");
        // By a new one at the latest they get where they wanted to go.
        let mut next = answer.location().to_owned();
        if next != "http://a.test/x" {
            let (_, trail) = traveller.visit(&next).await;
            next = trail.last().unwrap().clone();
        }
        assert_eq!(next, "http://a.test/x");
        assert_eq!(traveller.open(&next).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_never_taken_ends_on_a_page() {
    let world = world().await;
    let (keys, host) = (world.keys(), Host::new("a.test").unwrap());
    let (mut traveller, mut ticket) = until_ticket(&world, "http://a.test/x").await;
    let mut rounds = 0;
    let page = loop {
        let (start, value) = ticket.split_once('?').unwrap();
        let mut opened = Ticket::of_query(&keys, &host, value).unwrap();
        opened.made -= 31_000;
        let aged = format!("{start}?t={}", opened.seal(&keys, &host).unwrap());
        rounds += 1;
        assert!(rounds < 5, "a loop");
        let answer = traveller.open(&aged).await;
        if answer.status != 302 {
            break answer;
        }
        let (_, trail) = traveller.until(answer.location(), is_ticket).await;
        ticket = trail.last().unwrap().clone();
    };
    assert_eq!((page.status, rounds), (403, 3));
    assert!(
        page.text().contains("/.wxgate/login?to=%2Fx"),
        "{}",
        page.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_that_is_not_ours_or_not_for_here_is_answered_with_a_page() {
    let world = world().await;
    let mut traveller = visitor(&world, &["http://b.test/"]).await;
    let answer = traveller.open("http://a.test/x").await;
    let ask = answer.location().to_owned();
    let (start, value) = ask.split_once("?ask=").unwrap();
    let mut wrong: Vec<String> = (0..value.len())
        .step_by(5)
        .map(|at| {
            let mut bytes = value.to_owned().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            format!("{start}?ask={}", String::from_utf8(bytes).unwrap())
        })
        .collect();
    wrong.extend([
        start.to_owned(),
        format!("{start}?ask="),
        format!("{start}?ask=http://evil.test/"),
        format!("{ask}&ask={value}"),
        ask.replacen("login.test", "a.test", 1),
        ask.replacen("login.test", CLUB_CALLBACK, 1),
        ask.replacen("login.test", "nobody.test", 1),
    ]);
    // Ours in form, for places that no route has: as if a key had been at hand, or
    // routes had changed meanwhile.
    let keys = world.keys();
    let (_, query) = ask.split_once('?').unwrap();
    let resealed = |change: &dyn Fn(&mut Ask)| {
        let mut ask = Ask::of_query(&keys, query).unwrap();
        change(&mut ask);
        format!("{start}?ask={}", ask.seal(&keys).unwrap())
    };
    for host in ["evil.test", "login.test", "wild.test", "a.test.evil.test"] {
        wrong.push(resealed(&|ask| ask.host = Host::new(host).unwrap()));
    }
    wrong.push(resealed(&|ask| ask.account = "club".to_owned()));
    wrong.push(resealed(&|ask| ask.app_id = CLUB.to_owned()));
    for url in wrong {
        let answer = traveller.clone().open(&url).await;
        assert_eq!(answer.status, 400, "{url}: {answer:?}");
    }
    // One that is too old, or from the future, leads back by a link, for where
    // clocks differ a redirect would go round.
    for change in [(|ask| ask.made -= 601_000) as fn(&mut Ask), |ask| {
        ask.made += 90_000
    }] {
        let page = traveller.clone().open(&resealed(&change)).await;
        assert_eq!(page.status, 403);
        assert!(
            page.text().contains("href=\"http://a.test/\""),
            "{}",
            page.text()
        );
    }
    assert!(is_ticket(traveller.open(&ask).await.location()));
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_and_forms_are_told_where_to_log_in() {
    let world = world().await;
    for method in ["GET", "POST"] {
        let mut traveller = Traveller::new(world.gateway);
        let headers = [
            ("X-Requested-With", "XMLHttpRequest"),
            ("Referer", "http://a.test/page?q=1"),
        ];
        let answer = traveller
            .ask(method, "http://a.test/api", &headers, b"")
            .await;
        assert_eq!(answer.status, 401);
        let login = answer.json()["login_url"].as_str().unwrap().to_owned();
        assert!(
            login.starts_with("http://a.test/.wxgate/login?to="),
            "{login}"
        );
        let (answer, trail) = traveller.visit(&login).await;
        assert_eq!(answer.status, 200);
        assert_eq!(trail.last().unwrap(), "http://a.test/page?q=1");
    }
    let mut outside = Traveller::new(world.gateway);
    outside.agent = crate::client::DESKTOP;
    let page = outside.open("http://a.test/x").await;
    assert!(page.status == 403 && page.text().contains("http://a.test/x"));
    // An ask that was carried there is no way in either: the page leads to its host.
    let ask = Traveller::new(world.gateway).open("http://a.test/x").await;
    let (page, trail) = outside.visit(ask.location()).await;
    assert_eq!((page.status, trail), (403, Vec::new()));
    let text = page.text();
    assert!(
        text.contains("Please open in WeChat") && text.contains("href=\"http://a.test/\""),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_one_host_ends_the_session_at_all() {
    let world = world().await;
    let urls = ["http://a.test/", "http://b.test/", "http://c.test/"];
    let mut traveller = visitor(&world, &urls).await;
    let me = |answer: &Answer| answer.json()["data"]["session"].clone();
    let mut ids = Vec::new();
    for host in ["a.test", "b.test", "c.test", "login.test"] {
        let answer = traveller.open(&format!("http://{host}/.wxgate/me")).await;
        ids.push(me(&answer));
    }
    ids.dedup();
    assert!(ids.len() == 1 && ids[0].is_string(), "{ids:?}");
    let origin = [("Origin", "http://b.test")];
    let answer = traveller
        .ask("POST", "http://b.test/.wxgate/logout", &origin, b"")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(authorizes(&world), 1);
    for (at, host) in ["a.test", "c.test", "login.test"].iter().enumerate() {
        let answer = traveller.open(&format!("http://{host}/.wxgate/me")).await;
        assert_eq!(answer.status, 401, "{host}");
        if *host == "login.test" {
            continue;
        }
        // The first asks WeChat again; the others have its session.
        let (answer, _) = traveller.visit(&format!("http://{host}/")).await;
        assert_eq!((answer.status, authorizes(&world)), (200, 2), "{at}");
        if at == 1 {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_what_one_host_has_asked_for_besides() {
    let world = world().await;
    let id = |answer: &Answer| answer.json()["data"]["session"].clone();
    let urls = ["http://a.test/", "http://b.test/"];
    for at in ["a.test", "b.test"] {
        let mut traveller = visitor(&world, &urls).await;
        let (answer, _) = agreeing(&world, &mut traveller, "http://a.test/member").await;
        assert_eq!(answer.status, 200);
        let member = traveller.open("http://a.test/.wxgate/me").await;
        assert!(member.text().contains("snsapi_userinfo"), "{member:?}");
        let base = traveller.open("http://b.test/.wxgate/me").await;
        assert!(base.text().contains("snsapi_base"), "{base:?}");
        assert_eq!(id(&member), id(&base));
        let origin = format!("http://{at}");
        let url = format!("{origin}/.wxgate/logout");
        let answer = traveller
            .ask("POST", &url, &[("Origin", &origin)], b"")
            .await;
        assert_eq!(answer.status, 200);
        for host in ["a.test", "b.test", "login.test"] {
            let answer = traveller.open(&format!("http://{host}/.wxgate/me")).await;
            assert_eq!(answer.status, 401, "a logout at {at} left {host}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_visitor_in_the_same_browser_has_a_session_of_their_own() {
    let world = world().await;
    let id = |answer: &Answer| answer.json()["data"]["session"].clone();
    let mut traveller = visitor(&world, &["http://a.test/", "http://b.test/"]).await;
    let before = traveller.open("http://b.test/.wxgate/me").await;
    let other = "oALi-Rose5Tn1CvX8yQm3Ks6_gHb";
    let (answer, _) = agreeing_as(&world, other, &mut traveller, "http://a.test/member").await;
    assert_eq!(answer.status, 200);
    let after = traveller.open("http://a.test/.wxgate/me").await;
    assert!(after.text().contains(other), "{after:?}");
    assert!(id(&after).is_string() && id(&after) != id(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_ended_takes_no_ticket_along() {
    let world = world().await;
    let mut traveller = visitor(&world, &["http://a.test/"]).await;
    let me = traveller.open("http://a.test/.wxgate/me").await;
    let id = me.json()["data"]["session"].as_str().unwrap().to_owned();
    let (_, trail) = traveller.until("http://b.test/x", is_ticket).await;
    let order = format!("{{\"session\":\"{id}\"}}");
    let answer = world.order(&world.admin_word(), &order).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = traveller.open(trail.last().unwrap()).await;
    assert!(!sets_a_session(&answer), "{answer:?}");
    assert_eq!(traveller.open("http://a.test/").await.status, 302);
    let (answer, _) = traveller.visit(answer.location()).await;
    assert_eq!((answer.status, authorizes(&world)), (200, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_those_of_the_one_login() {
    let world = world().await;
    let mut traveller = visitor(&world, &["http://a.test/trusted"]).await;
    let token = || world.app.last().value("x-wechat-access-token");
    let first = token().expect("a token");
    let (answer, _) = traveller.visit("http://c.test/trusted").await;
    assert_eq!((answer.status, world.exchanges()), (200, 1));
    assert_eq!(token(), Some(first));
    // Whoever came for less is asked again, once.
    let mut traveller = visitor(&world, &["http://b.test/", "http://c.test/trusted"]).await;
    assert_eq!(world.exchanges(), 3);
    assert!(token().is_some());
    traveller.visit("http://a.test/trusted").await;
    assert_eq!(world.exchanges(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_is_asked_of_wechat_and_less_is_not() {
    let world = world().await;
    let mut traveller = visitor(&world, &["http://b.test/"]).await;
    let (answer, trail) = agreeing(&world, &mut traveller, "http://a.test/member?x=1").await;
    assert_eq!(trail.last().unwrap(), "http://a.test/member?x=1");
    assert_eq!(answer.status, 200);
    assert!(world.app.last().value("x-wechat-nickname").is_some());
    let before = authorizes(&world);
    traveller.visit("http://c.test/").await;
    assert_eq!(authorizes(&world), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fragment_is_kept_across_hosts() {
    let world = world().await;
    let mut traveller = Traveller::new(world.gateway);
    let page = traveller.open("http://a.test/fragment?x=1").await;
    assert!(
        page.text()
            .contains("/.wxgate/login?to=%2Ffragment%3Fx%3D1")
    );
    let login = "http://a.test/.wxgate/login?to=%2Ffragment%3Fx%3D1";
    let (_, trail) = traveller.visit(login).await;
    assert_eq!(
        trail.last().unwrap(),
        "http://a.test/.wxgate/return?to=%2Ffragment%3Fx%3D1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_that_keep_too_little_are_stopped() {
    let world = world().await;
    let stopped = |answer: &Answer| answer.status == 403 && answer.text().contains("href=\"");
    // No cookies at all.
    let mut none = Traveller::new(world.gateway);
    none.at("a.test").keeps_cookies = false;
    none.at("login.test").keeps_cookies = false;
    let (answer, trail) = none.visit("http://a.test/x").await;
    assert!(stopped(&answer) && trail.len() < 10, "{trail:#?}");
    // None at the host, all at the callback's.
    let mut half = Traveller::new(world.gateway);
    half.at("a.test").keeps_cookies = false;
    let (answer, trail) = half.visit("http://a.test/x").await;
    assert!(stopped(&answer) && trail.len() < 12, "{trail:#?}");
    // Logins, but no session.
    for (name, hops) in [("wxgate_shop", 20), ("wxgate-pending", 14)] {
        let mut some = Traveller::new(world.gateway);
        some.at("a.test").forgets = Some(name);
        let (answer, trail) = some.visit("http://a.test/x").await;
        assert!(
            stopped(&answer) && trail.len() < hops,
            "{name} {}: {trail:#?}",
            trail.len()
        );
    }
    // The callback's host keeps no session: each host costs a visit at WeChat.
    let mut lossy = Traveller::new(world.gateway);
    lossy.at("login.test").forgets = Some("wxgate_shop");
    for host in ["a.test", "b.test", "c.test"] {
        let (answer, _) = lossy.visit(&format!("http://{host}/")).await;
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_visitor_is_treated_as_the_route_says() {
    let world = world().await;
    world.simulator.set_mood(Mood::Snapshot);
    let mut looking = visitor(&world, &["http://look.test/x"]).await;
    assert_eq!(
        world.app.last().value("x-wechat-snapshot").as_deref(),
        Some("1")
    );
    let before = world.app.seen().len();
    assert_eq!(
        looking
            .ask("POST", "http://look.test/x", &[], b"")
            .await
            .status,
        403
    );
    let (page, trail) = looking.visit("http://a.test/member").await;
    assert_eq!(page.status, 403, "{trail:#?}");
    assert!(page.text().contains("使用完整服务"), "{}", page.text());
    assert_eq!(world.app.seen().len(), before);
    // The full service is theirs as soon as they ask for it.
    world.simulator.set_mood(Mood::Normal);
    let login = "http://look.test/.wxgate/login?to=/x";
    let (answer, _) = agreeing(&world, &mut looking, login).await;
    assert_eq!(answer.status, 200);
    let seen = world.app.last();
    assert_eq!(seen.value("x-wechat-snapshot"), None);
    assert_eq!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_accounts_session_is_none_of_anothers_at_any_host() {
    let world = world().await;
    let mut traveller = visitor(&world, &["http://b.test/x"]).await;
    assert_eq!(authorizes(&world), 1);
    let (answer, trail) = traveller.visit("http://b.test/club/y?z=1").await;
    assert_eq!((answer.status, authorizes(&world)), (200, 2), "{trail:#?}");
    assert!(trail[0].starts_with("http://door.test/.wxgate/sign-on?ask="));
    assert_eq!(trail.last().unwrap(), "http://b.test/club/y?z=1");
    let seen = world.app.last();
    assert_eq!(seen.value("x-wechat-appid").as_deref(), Some(CLUB));
    assert_ne!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
    traveller.visit("http://b.test/x").await;
    assert_eq!(
        world.app.last().value("x-wechat-openid").as_deref(),
        Some(OPENID)
    );
    // Under the other's name it is none.
    let mut forger = traveller.clone();
    let jar = &mut forger.at("b.test").jar;
    jar.retain(|cookie| cookie.name == "wxgate_shop");
    jar[0].name = "wxgate_club".to_owned();
    assert_eq!(forger.open("http://b.test/club/").await.status, 302);
    // A ticket of one login opens nothing for the other's.
    let (mut both, ticket) = until_ticket(&world, "http://b.test/x").await;
    both.open("http://b.test/club/x").await;
    let jar = &mut both.at("b.test").jar;
    let login = jar
        .iter()
        .position(|cookie| cookie.name.starts_with("wxgate-login-"));
    jar.remove(login.unwrap());
    assert!(!sets_a_session(&both.open(&ticket).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_a_callback_ends_what_it_keeps_for_other_hosts() {
    let world = world().await;
    let mut traveller = visitor(&world, &["http://b.test/club/"]).await;
    // The callback's own routes are of another account.
    let me = traveller.open("http://door.test/.wxgate/me").await;
    assert_eq!(me.status, 401);
    let origin = [("Origin", "http://door.test")];
    let url = "http://door.test/.wxgate/logout";
    assert_eq!(traveller.ask("POST", url, &origin, b"").await.status, 200);
    assert!(traveller.at("door.test").jar.is_empty());
    assert_eq!(traveller.open("http://b.test/club/").await.status, 302);
    traveller.visit("http://b.test/club/").await;
    assert_eq!(authorizes(&world), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_keeps_nobody_from_the_next_host() {
    let world = world().await;
    let mut known = visitor(&world, &["http://a.test/"]).await;
    let errcode = 45011;
    let api = Api::Exchange;
    world
        .simulator
        .set_mood_for(api, Mood::Errcode { api, errcode });
    let mut stranger = Traveller::new(world.gateway);
    let (page, _) = stranger.visit("http://b.test/x").await;
    assert_eq!(page.status, 503);
    // The page leads on by the ask that brought them.
    assert!(page.text().contains("/.wxgate/sign-on?ask="));
    let before = world.exchanges();
    let (page, trail) = stranger.visit("http://b.test/x").await;
    assert_eq!((page.status, world.exchanges()), (503, before));
    assert_eq!(trail.len(), 1, "WeChat is not asked: {trail:#?}");
    let (answer, _) = known.visit("http://b.test/x").await;
    assert_eq!((answer.status, world.exchanges()), (200, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_logins_holds_for_asks_and_tickets() {
    let tables = HOSTS
        .replace("{club}", CLUB)
        .replace("{door}", CLUB_CALLBACK);
    let world = World::with(Extra {
        limits: "logins_per_minute = 6",
        callback: Some(CALLBACK),
        tables: &tables,
        ..Extra::default()
    })
    .await;
    let (mut traveller, ticket) = until_ticket(&world, "http://a.test/x").await;
    let mut fresh = Traveller::new(world.gateway);
    let ask = fresh.open("http://a.test/x").await.location().to_owned();
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(fresh.open(&ask).await.status);
    }
    assert_eq!(statuses, [302, 302, 302, 429, 429, 429]);
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(traveller.clone().open(&format!("{ticket}x")).await.status);
    }
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429, 429]);
    assert_eq!(traveller.open(&ticket).await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_a_shared_domain_share_and_others_keep_their_cookies_to_themselves() {
    let world = world_with("cookie_domain = \"wild.test\"").await;
    let mut traveller = Traveller::new(world.gateway);
    let (answer, trail) = traveller.visit("http://one.wild.test/x").await;
    assert_eq!(answer.status, 200, "{trail:#?}");
    assert!(trail.iter().any(|url| is_ticket(url)));
    let answer = traveller.open("http://two.wild.test/y").await;
    assert_eq!(answer.status, 200, "shared");
    let (answer, trail) = traveller.visit("http://a.test/z").await;
    assert_eq!((answer.status, authorizes(&world)), (200, 1), "{trail:#?}");
    let names: Vec<&String> = traveller.jars.keys().collect();
    assert!(names.contains(&&".wild.test".to_owned()), "{names:?}");
    assert!(traveller.at("a.test").cookie("wxgate_shop").is_some());
    assert!(traveller.at("login.test").cookie("wxgate_shop").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callbacks_host_needs_no_routes_and_leads_somewhere() {
    let world = world().await;
    let mut traveller = Traveller::new(world.gateway);
    assert_eq!(traveller.open("http://login.test/").await.status, 404);
    assert_eq!(
        traveller.open("http://nobody.test/.wxgate/me").await.status,
        404
    );
    let me = traveller.open("http://login.test/.wxgate/me").await;
    assert_eq!(me.status, 401);
    let login = me.json()["login_url"].as_str().unwrap().to_owned();
    let (answer, trail) = traveller.visit(&login).await;
    assert_eq!(answer.status, 200, "{trail:#?}");
    // The pages there lead to where there is something.
    for path in ["/", "/.wxgate/sign-on?ask=x"] {
        let page = traveller.open(&format!("http://login.test{path}")).await;
        let text = page.text();
        let link = text
            .split("href=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let link = link.unwrap_or_else(|| panic!("{path}: {text}")).to_owned();
        assert!(link.starts_with("http://"), "{path}: {link}");
        let (answer, trail) = Traveller::new(world.gateway).visit(&link).await;
        assert_eq!(answer.status, 200, "{path}: {trail:#?}");
    }
    // A callback that came without its login says so, and does not go round.
    let state = "00112233445566778899aabbccddeeff0";
    let stray = format!("http://login.test/.wxgate/callback?code=x&state={state}");
    let page = Traveller::new(world.gateway).open(&stray).await;
    assert_eq!(page.status, 403);
    let (answer, trail) = traveller.visit(&stray).await;
    assert_eq!(
        answer.status, 200,
        "home, where the session holds: {trail:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_exchanged_at_the_callbacks_host_alone() {
    let world = world().await;
    let (mut traveller, _) = until_ticket(&world, "http://b.test/x").await;
    // A login of theirs at a host that comes back elsewhere, and a code.
    traveller.at("login.test").jar.clear();
    traveller.open("http://a.test/x").await;
    let login = traveller.at("a.test").cookie("wxgate-login-").unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(&login.value).unwrap();
    let state = String::from_utf8(bytes[6..39].to_vec()).unwrap();
    assert!(login.name.ends_with(&state[..8]));
    let calls = world.exchanges();
    let stray = format!("http://a.test/.wxgate/callback?code=x&state={state}");
    let answer = traveller.open(&stray).await;
    assert!(!sets_a_session(&answer), "{answer:?}");
    assert_eq!(world.exchanges(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_with_less_than_was_asked_or_of_another_account_is_not_taken() {
    let world = world().await;
    let (keys, host) = (world.keys(), Host::new("a.test").unwrap());
    let session_of = |url: &str, at: &str| {
        let query = url.split_once('?').unwrap().1;
        Ticket::of_query(&keys, &Host::new(at).unwrap(), query)
            .unwrap()
            .session
    };
    let (_, base) = until_ticket(&world, "http://a.test/x").await;
    let (_, club) = until_ticket(&world, "http://b.test/club").await;
    for (target, session, taken) in [
        ("http://a.test/x", session_of(&base, "a.test"), true),
        ("http://a.test/member", session_of(&base, "a.test"), false),
        ("http://a.test/trusted", session_of(&base, "a.test"), false),
        ("http://a.test/x", session_of(&club, "b.test"), false),
    ] {
        let mut traveller = Traveller::new(world.gateway);
        let answer = traveller.open(target).await;
        let (_, query) = answer.location().split_once('?').unwrap();
        let ask = Ask::of_query(&keys, query).unwrap();
        let ticket = Ticket::new(&ask, session, ask.made).seal(&keys, &host);
        let url = format!(
            "http://a.test/.wxgate/callback/ticket?t={}",
            ticket.unwrap()
        );
        let answer = traveller.open(&url).await;
        assert_eq!(sets_a_session(&answer), taken, "{target}: {answer:?}");
    }
}
