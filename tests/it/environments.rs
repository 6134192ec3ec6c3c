//! Several gateways on one account: a development gateway without the secret logs
//! its visitors in by way of the one that has it, and can do nothing else with it.

mod told;

use std::net::{SocketAddr, TcpListener};

use wxgate::config::Plan;
use wxgate::origin::{Host, PublicOrigin};
use wxgate::route::{AccountName, Via};
use wxgate::secret::Secret;
use wxgate::server::{self, Running};
use wxgate::session::Session;
use wxgate::signing::{Keyring, Purpose, generate_key};
use wxgate::signon::{Ask, ClientAsk, ClientTicket, Ticket};
use wxgate::simulator::{Mood, SimAccount};

use crate::app::App;
use crate::client::{Answer, DESKTOP, Traveller, parts};
use crate::world::{CALLBACK, CLUB, CLUB_CALLBACK, Extra, OPENID, World, files};

/// Hosts of production: with the same account, and another account with a client of
/// its own.
const PRODUCTION: &str = r#"
[[routes]]
host = "a.test"
upstream = "http://{app}"
account = "shop"

[[routes]]
host = "club.test"
upstream = "http://{app}"
account = "club"

[accounts.club]
app_id = "{club}"
app_secret = { file = "app_secret" }
callback_origin = "http://{door}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{wechat}"

[[accounts.club.clients]]
name = "clubs"
origins = ["http://localhost:1", "{dev}"]
key = { file = "{dir}/clubs_key" }
"#;

/// The routes of the development gateway, at each of its hosts.
const DEVELOPMENT: &str = r#"
[[routes]]
host = "{host}"
upstream = "http://{app}"
account = "shop"

[[routes]]
host = "{host}"
path = "/member"
upstream = "http://{app}"
account = "shop"
scope = "snsapi_userinfo"

[[routes]]
host = "{host}"
path = "/look"
upstream = "http://{app}"
account = "shop"
scope = "snsapi_userinfo"
snapshot = "read_only"

[[routes]]
host = "{host}"
path = "/fragment"
upstream = "http://{app}"
account = "shop"
keep_fragment = true

[[routes]]
host = "{host}"
path = "/any"
upstream = "http://{app}"
account = "shop"
outside_wechat = "redirect"
"#;

/// A client's table on production.
pub fn client(name: &str, origins: &[&str], key: &str) -> String {
    format!(
        "[[accounts.shop.clients]]\nname = \"{name}\"\norigins = {origins:?}\nkey = {{ file = \"{key}\" }}\n"
    )
}

/// A production gateway with its WeChat, and a development gateway, which has two
/// origins that are listed there and one that is not.
struct Two {
    production: World,
    dev: SocketAddr,
    app: App,
    origin: PublicOrigin,
    via: Via,
    files: tempfile::TempDir,
    _running: Running,
}

/// What of the two is not as usual.
#[derive(Default)]
struct Changes<'a> {
    /// Keys of production's `[limits]`.
    limits: &'a str,
    /// Replaced in the development gateway's file.
    dev: &'a [(&'a str, &'a str)],
    /// Whether visitors come back from WeChat to production's address.
    by_address: bool,
}

impl Two {
    async fn new() -> Self {
        Self::with(Changes::default()).await
    }

    async fn with(changes: Changes<'_>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dev = listener.local_addr().unwrap();
        let port = dev.port();
        let files = tempfile::tempdir().unwrap();
        let keys = ["client_key", "other_key", "clubs_key", "stray_key"].map(|name| {
            let key = generate_key().unwrap();
            std::fs::write(files.path().join(name), key.expose()).unwrap();
            key
        });
        let dir = files.path().display().to_string();
        let listed = [
            format!("http://localhost:{port}"),
            format!("http://127.0.0.1:{port}"),
        ];
        let clients = [
            client(
                "dev",
                &[&listed[0], &listed[1]],
                &format!("{dir}/client_key"),
            ),
            client(
                "other",
                &["http://localhost:2"],
                &format!("{dir}/other_key"),
            ),
        ];
        let tables = PRODUCTION
            .replace("{club}", CLUB)
            .replace("{door}", CLUB_CALLBACK)
            .replace("{dev}", &listed[0])
            .replace("{dir}", &dir);
        let production = World::with(Extra {
            limits: changes.limits,
            callback: (!changes.by_address).then_some(CALLBACK),
            account: &clients.concat(),
            tables: &tables,
            ..Extra::default()
        })
        .await;
        let app = App::start().await;
        let via = match changes.by_address {
            true => production.gateway.to_string(),
            false => CALLBACK.to_owned(),
        };
        let mut text = development(dev, &format!("http://{via}"), app.addr);
        for (from, to) in changes.dev {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let path = files.path().join("gateway.toml");
        std::fs::write(&path, &text).unwrap();
        let plan = Plan::parse(&path, &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let _running = server::start_on(plan, vec![listener]).await.unwrap();
        let [key, ..] = keys;
        Self {
            production,
            dev,
            app,
            origin: PublicOrigin::try_from(listed[0].clone()).unwrap(),
            via: Via {
                client: name("dev"),
                key: Keyring::new(&[key]).unwrap(),
            },
            files,
            _running,
        }
    }

    /// A visitor, inside WeChat.
    fn traveller(&self) -> Traveller {
        let mut traveller = Traveller::new(self.production.gateway);
        for host in ["localhost", "unlisted.test"] {
            let authority = format!("{host}:{}", self.dev.port());
            traveller.elsewhere.insert(authority, self.dev);
        }
        traveller
    }

    /// The address of `target` on the development gateway.
    fn url(&self, target: &str) -> String {
        format!("{}{target}", self.origin.as_str())
    }

    /// A login at the development gateway as far as its ticket.
    async fn until_ticket(&self, target: &str) -> (Traveller, String) {
        let mut traveller = self.traveller();
        let (_, trail) = traveller.until(&self.url(target), is_ticket).await;
        let ticket = trail.last().unwrap().clone();
        assert!(is_ticket(&ticket), "{trail:?}");
        (traveller, ticket)
    }

    /// The first step of a login there: the ask.
    async fn ask(&self, traveller: &mut Traveller) -> (String, ClientAsk) {
        let answer = traveller.open(&self.url("/x")).await;
        let url = answer.location().to_owned();
        let asked = ClientAsk::of_query(&self.via.key, &self.via.client, query(&url));
        (url, asked.unwrap())
    }

    /// A session of production's, for making tickets of.
    async fn session(&self) -> Session {
        let mut traveller = self.traveller();
        let (_, trail) = traveller.until("http://a.test/x", is_ticket).await;
        let (keys, host) = (self.production.keys(), Host::new("a.test").unwrap());
        let ticket = Ticket::of_query(&keys, &host, query(trail.last().unwrap()));
        ticket.unwrap().session
    }

    fn authorizes(&self) -> u64 {
        self.production.simulator.calls().authorize.total
    }

    fn ring(&self, file: &str) -> Keyring {
        let key = std::fs::read_to_string(self.files.path().join(file)).unwrap();
        Keyring::new(&[Secret::new(key)]).unwrap()
    }
}

/// The development gateway's file, at `dev`, by way of `via`.
pub fn development(dev: SocketAddr, via: &str, app: SocketAddr) -> String {
    let routes = ["localhost", "127.0.0.1", "unlisted.test"].map(|host| {
        DEVELOPMENT
            .replace("{host}", host)
            .replace("{app}", &app.to_string())
    });
    format!(
        "[server]\nlisten = [\"{dev}\"]\npublic_scheme = \"http\"\nstate_dir = \"state\"\n\n\
         [accounts.shop]\napp_id = \"{}\"\nvia = \"{via}\"\nsandbox = true\nclient = \"dev\"\n\
         client_key = {{ file = \"client_key\" }}\n{}",
        SimAccount::default().app_id,
        routes.concat()
    )
}

fn name(text: &str) -> AccountName {
    text.to_owned().try_into().unwrap()
}

fn query(url: &str) -> &str {
    url.split_once('?').unwrap().1
}

fn is_ticket(url: &str) -> bool {
    url.contains("/.wxgate/callback/ticket?t=")
}

fn sets_a_session(answer: &Answer) -> bool {
    let cookies = answer.values("set-cookie");
    let of = |cookie: &&str| cookie.starts_with("wxgate_") || cookie.starts_with("wxgate-snap");
    cookies.iter().any(of)
}

/// The one link of a page.
fn link(page: &Answer) -> String {
    let text = page.text();
    let link = text
        .split("href=\"")
        .nth(1)
        .unwrap_or_else(|| panic!("{text}"));
    link.split('"').next().unwrap().to_owned()
}

/// Whether `page` refuses a client's visitor, and sends them nowhere.
fn refuses(page: &Answer) -> bool {
    page.status == 403
        && page.value("location").is_none()
        && page.text().contains("That gateway may not log you in here")
        && page.text().contains("此网关未获准使用本站登录")
        && !link(page).contains("localhost")
        && !link(page).contains("unlisted")
        && !sets_a_session(page)
}

/// `url` with one byte at `at` of the value behind its last `=` changed.
fn changed(url: &str, at: usize) -> String {
    let (start, value) = url.rsplit_once('=').unwrap();
    let mut bytes = value.to_owned().into_bytes();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    format!("{start}={}", String::from_utf8(bytes).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_of_the_development_gateway_ends_where_they_were_going() {
    let two = Two::new().await;
    let mut traveller = two.traveller();
    let target = "/goods//x?a=1&b=%20&to=//evil.test";
    let (answer, trail) = traveller.visit(&two.url(target)).await;
    assert_eq!(answer.status, 200, "{trail:#?}");
    assert_eq!(*trail.last().unwrap(), two.url(target));
    let seen = two.app.last();
    assert_eq!(seen.line(), format!("GET {target} HTTP/1.1"));
    assert_eq!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
    assert_eq!(
        seen.value("x-wechat-appid"),
        Some(two.production.app_id.clone())
    );
    // Nobody reads on the way who they are or where they want to go.
    let way = &trail[..trail.len() - 1];
    assert!(
        way.iter()
            .all(|url| !url.contains("goods") && !url.contains(OPENID))
    );
    assert!(way[0].starts_with("http://login.test/.wxgate/sign-on?client=dev&ask="));
    let ticket = format!("{}/.wxgate/callback/ticket?t=", two.origin.as_str());
    assert!(way.last().unwrap().starts_with(&ticket), "{way:#?}");
    assert_eq!((two.production.exchanges(), two.authorizes()), (1, 1));
    // They are known here from then on, and by production too: WeChat is not asked.
    assert_eq!(traveller.open(&two.url("/")).await.status, 200);
    let (answer, _) = traveller.visit("http://a.test/").await;
    assert_eq!((answer.status, two.authorizes()), (200, 1));
    // The other way round as well.
    let mut traveller = two.traveller();
    traveller.visit("http://a.test/").await;
    let (answer, trail) = traveller.visit(&two.url("/y")).await;
    assert_eq!((answer.status, two.authorizes()), (200, 2), "{trail:#?}");
    assert_eq!(trail.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_there_is_another_and_names_none_of_productions() {
    let two = Two::new().await;
    let mut traveller = two.traveller();
    traveller.visit(&two.url("/")).await;
    let mut ids = Vec::new();
    for host in [two.origin.as_str(), "http://login.test"] {
        let me = traveller.open(&format!("{host}/.wxgate/me")).await;
        ids.push(me.json()["data"]["session"].as_str().unwrap().to_owned());
    }
    assert_ne!(ids[0], ids[1]);
    // Its cookie is none at production, nor production's there.
    let authority = parts(two.origin.as_str()).0.to_owned();
    for (from, to) in [
        (authority.as_str(), "login.test"),
        ("login.test", &authority),
    ] {
        let mut other = traveller.clone();
        let jar = other.at(from).jar.clone();
        other.at(to).jar = jar;
        let me = other.open(&format!("http://{to}/.wxgate/me")).await;
        assert_eq!(me.status, 401, "{from} → {to}");
    }
    // Ended here, it is ended here alone; by production, there alone.
    let headers = [("Origin", two.origin.as_str())];
    let logout = two.url("/.wxgate/logout");
    let answer = traveller.ask("POST", &logout, &headers, b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(traveller.open(&two.url("/.wxgate/me")).await.status, 401);
    assert_eq!(
        traveller.open("http://login.test/.wxgate/me").await.status,
        200
    );
    traveller.visit(&two.url("/")).await;
    let order = format!("{{\"session\":\"{}\"}}", ids[1]);
    let word = two.production.admin_word();
    assert_eq!(two.production.order(&word, &order).await.status, 200);
    assert_eq!(traveller.open(&two.url("/.wxgate/me")).await.status, 200);
    assert_eq!(
        traveller.open("http://login.test/.wxgate/me").await.status,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_taken_once_and_by_the_browser_alone_that_began() {
    let two = Two::new().await;
    let (mut traveller, ticket) = two.until_ticket("/x").await;
    let mut copy = traveller.clone();
    let first = traveller.open(&ticket).await;
    assert!(sets_a_session(&first));
    assert_eq!(first.location(), two.url("/x"));
    let second = copy.open(&ticket).await;
    assert!(!sets_a_session(&second), "{second:?}");
    let (answer, trail) = copy.visit(&ticket).await;
    assert_eq!(answer.status, 200, "{trail:#?}");
    // Of eight at once one is taken.
    let (traveller, ticket) = two.until_ticket("/x").await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (mut traveller, ticket) = (traveller.clone(), ticket.clone());
            tokio::spawn(async move { traveller.open(&ticket).await })
        })
        .collect();
    let mut opened = 0;
    for call in calls {
        opened += usize::from(sets_a_session(&call.await.unwrap()));
    }
    assert_eq!(opened, 1);
    // In another browser it is used up and opens nothing, with a login of its own in
    // flight or without.
    for busy in [false, true] {
        let (mut attacker, ticket) = two.until_ticket("/mine").await;
        let mut victim = two.traveller();
        if busy {
            victim.open(&two.url("/x")).await;
        }
        let answer = victim.open(&ticket).await;
        assert!(!sets_a_session(&answer), "{answer:?}");
        let (answer, _) = victim.visit(answer_to(&two, &answer).as_str()).await;
        assert_eq!(answer.status, 200, "they log in as themselves");
        assert!(!sets_a_session(&attacker.open(&ticket).await));
    }
}

/// Where `answer` of the development gateway leads.
fn answer_to(two: &Two, answer: &Answer) -> String {
    match answer.location() {
        to if to.starts_with('/') => two.url(to),
        to => to.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_with_anything_changed_or_at_another_origin_logs_nobody_in() {
    let two = Two::new().await;
    let (mut traveller, ticket) = two.until_ticket("/x").await;
    let (start, value) = ticket.split_once("?t=").unwrap();
    let mut wrong: Vec<String> = (0..value.len())
        .step_by(7)
        .map(|at| changed(&ticket, at))
        .collect();
    for cut in [0, 1, 42, 43, 60, value.len() - 1] {
        wrong.push(format!("{start}?t={}", &value[..cut]));
    }
    wrong.push(format!("{ticket}&t={value}"));
    wrong.push(format!("{start}?ask={value}"));
    for url in wrong {
        let answer = traveller.clone().open(&url).await;
        assert!(!sets_a_session(&answer), "{url}");
        assert_eq!(answer.status, 403, "{url}");
    }
    // The other origin of the same client, at the same gateway, with all cookies.
    let stolen = traveller.at(parts(two.origin.as_str()).0).jar.clone();
    for host in ["127.0.0.1", "unlisted.test"] {
        let authority = format!("{host}:{}", two.dev.port());
        let mut thief = two.traveller();
        thief.open(&format!("http://{authority}/y")).await;
        thief.at(&authority).jar.extend(stolen.iter().cloned());
        let moved = ticket.replacen(two.origin.as_str(), &format!("http://{authority}"), 1);
        let answer = thief.open(&moved).await;
        assert!(!sets_a_session(&answer), "{host}: {answer:?}");
    }
    // Another port of its host.
    let mut other = traveller.clone();
    other.elsewhere.insert("localhost:1".to_owned(), two.dev);
    other.at("localhost:1").jar = stolen;
    let moved = ticket.replacen(two.origin.as_str(), "http://localhost:1", 1);
    assert!(!sets_a_session(&other.open(&moved).await));
    assert!(sets_a_session(&traveller.open(&ticket).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_is_not_taken_and_goes_round_never() {
    let two = Two::new().await;
    let session = two.session().await;
    for (older, taken) in [(29_000, true), (31_000, false)] {
        let mut traveller = two.traveller();
        let (_, asked) = two.ask(&mut traveller).await;
        let Via { client, key } = &two.via;
        let made = asked.ask.made - older;
        let sealed = ClientTicket::seal(key, client, &two.origin, &asked.ask, &session, made);
        let ticket = two.url(&format!("/.wxgate/callback/ticket?t={}", sealed.unwrap()));
        let answer = traveller.open(&ticket).await;
        assert_eq!(sets_a_session(&answer), taken, "{older}: {answer:?}");
        let (answer, _) = traveller.visit(&answer_to(&two, &answer)).await;
        assert_eq!(answer.status, 200);
    }
    // An ask that is late leads back by a link, for its origin is a listed one.
    let mut traveller = two.traveller();
    let (url, asked) = two.ask(&mut traveller).await;
    for change in [-601_000_i64, 90_000] {
        let (_, mut late) = two.ask(&mut two.traveller()).await;
        late.ask.made = late.ask.made.checked_add_signed(change).unwrap();
        let (start, _) = url.rsplit_once('=').unwrap();
        let page = traveller
            .open(&format!("{start}={}", late.seal(&two.via).unwrap()))
            .await;
        assert_eq!((page.status, link(&page)), (403, two.url("/")));
    }
    assert!(!asked.probe);
    // Never taken, it ends on a page.
    let mut rounds = 0;
    let mut traveller = two.traveller();
    let (_, mut asked) = two.ask(&mut traveller).await;
    loop {
        let Via { client, key } = &two.via;
        let made = asked.ask.made - 31_000;
        let sealed = ClientTicket::seal(key, client, &two.origin, &asked.ask, &session, made);
        let ticket = two.url(&format!("/.wxgate/callback/ticket?t={}", sealed.unwrap()));
        let answer = traveller.open(&ticket).await;
        rounds += 1;
        if answer.status != 302 {
            assert_eq!((answer.status, rounds), (403, 3));
            break;
        }
        let next = query(answer.location()).to_owned();
        asked = ClientAsk::of_query(key, client, &next).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_that_is_none_of_a_clients_is_refused_and_sent_nowhere() {
    let two = Two::new().await;
    // Somebody with a session here, so that nothing else is in the way.
    let mut known = two.traveller();
    known.visit("http://a.test/").await;
    let (url, _) = two.ask(&mut known).await;
    let asked = || async { two.ask(&mut two.traveller()).await.1 };
    let value = url.rsplit_once('=').unwrap().1.to_owned();
    let ask_of = |client: &str, value: &str| {
        format!("http://login.test/.wxgate/sign-on?client={client}&ask={value}")
    };
    let mut wrong: Vec<String> = (0..value.len())
        .step_by(9)
        .map(|at| changed(&url, at))
        .collect();
    // Unknown names, twice a name, no ask, two, another client's name and key.
    wrong.extend([
        ask_of("nobody", &value),
        ask_of("other", &value),
        ask_of("clubs", &value),
        ask_of("", &value),
        ask_of("dev&client=dev", &value),
        ask_of("dev&client=other", &value),
        ask_of("%64ev%00", &value),
        format!("{url}&ask={value}"),
        "http://login.test/.wxgate/sign-on?client=dev".to_owned(),
        // Where another account's visitors come back.
        url.replacen("login.test", CLUB_CALLBACK, 1),
    ]);
    for (file, client) in [
        ("stray_key", "dev"),
        ("other_key", "dev"),
        ("clubs_key", "clubs"),
        ("client_key", "other"),
    ] {
        let via = Via {
            client: name(client),
            key: two.ring(file),
        };
        wrong.push(ask_of(client, &asked().await.seal(&via).unwrap()));
        // Its name outside, and another inside.
        let inside = Via {
            client: name("inside"),
            key: two.ring(file),
        };
        wrong.push(ask_of("dev", &asked().await.seal(&inside).unwrap()));
    }
    // Good in form, from who has the key: origins that do not stand in its list.
    for origin in [
        "http://evil.test".to_owned(),
        "http://localhost".to_owned(),
        format!("https://localhost:{}", two.dev.port()),
        format!("http://unlisted.test:{}", two.dev.port()),
        format!("http://x.localhost:{}", two.dev.port()),
        "http://localhost:2".to_owned(),
        "http://a.test".to_owned(),
        "http://login.test".to_owned(),
    ] {
        let mut other = asked().await;
        other.origin = PublicOrigin::try_from(origin).unwrap();
        other.ask.host = other.origin.host().clone();
        wrong.push(ask_of("dev", &other.seal(&two.via).unwrap()));
    }
    let mut other = asked().await;
    other.kind = "website";
    wrong.push(ask_of("dev", &other.seal(&two.via).unwrap()));
    let mut other = asked().await;
    other.ask.app_id = CLUB.to_owned();
    wrong.push(ask_of("dev", &other.seal(&two.via).unwrap()));
    // Two hosts in one.
    let mut other = asked().await;
    other.ask.host = Host::new("evil.test").unwrap();
    wrong.push(ask_of("dev", &other.seal(&two.via).unwrap()));
    for url in wrong {
        let page = known.clone().open(&url).await;
        assert!(refuses(&page), "{url}: {page:?}\n{}", page.text());
        let leads = link(&page);
        assert!(
            leads.starts_with('/')
                || leads.starts_with("http://a.test")
                || leads.starts_with("http://127.0.0.1")
                || leads.starts_with("http://club.test"),
            "{url}: {leads}"
        );
    }
    // A picture or a frame is no visitor.
    let headers = [("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")];
    assert_eq!(known.ask("GET", &url, &headers, b"").await.status, 400);
    assert!(is_ticket(known.open(&url).await.location()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_has_opens_nothing_of_productions_nor_the_other_way_round() {
    let two = Two::new().await;
    let (mut own, own_ticket) = {
        let mut traveller = two.traveller();
        let (_, trail) = traveller.until("http://a.test/x", is_ticket).await;
        (traveller, trail.last().unwrap().clone())
    };
    let (mut theirs, their_ticket) = two.until_ticket("/x").await;
    // Each one's ticket at the other, with the other's login in flight.
    let authority = parts(two.origin.as_str()).0.to_owned();
    for host in ["a.test", "login.test", "127.0.0.1"] {
        let moved = their_ticket.replacen(&authority, host, 1);
        let mut thief = own.clone();
        let stolen = theirs.at(&authority).jar.clone();
        thief.at(host).jar.extend(stolen);
        assert!(!sets_a_session(&thief.open(&moved).await), "{host}");
        assert!(!sets_a_session(&own.clone().open(&moved).await), "{host}");
    }
    let moved = own_ticket.replacen("a.test", &authority, 1);
    let stolen = own.at("a.test").jar.clone();
    let mut thief = theirs.clone();
    thief.at(&authority).jar.extend(stolen);
    assert!(!sets_a_session(&thief.open(&moved).await));
    // Each one's ask as the other's.
    let own_ask = own.open("http://a.test/y").await.location().to_owned();
    let page = own
        .open(&own_ask.replacen("?ask=", "?client=dev&ask=", 1))
        .await;
    assert!(refuses(&page), "{page:?}");
    let (url, asked) = two.ask(&mut theirs).await;
    let page = own.open(&url.replacen("client=dev&", "", 1)).await;
    assert_eq!(page.status, 400, "{page:?}");
    // What the key could make: an ask and a ticket of production's own hosts, a
    // session, a login, an operator's word.
    let key = &two.via.key;
    let mut forged = Ask::of_query(&two.production.keys(), query(&own_ask)).unwrap();
    let sealed = forged.seal(key).unwrap();
    let page = own
        .open(&format!("http://login.test/.wxgate/sign-on?ask={sealed}"))
        .await;
    assert_eq!(page.status, 400, "{page:?}");
    let session = two.session().await;
    forged.binding = asked.ask.binding;
    let ticket = Ticket::new(&forged, session.clone(), forged.made);
    let sealed = ticket.seal(key, &Host::new("a.test").unwrap()).unwrap();
    let page = own
        .open(&format!("http://a.test/.wxgate/callback/ticket?t={sealed}"))
        .await;
    assert!(page.status == 403 && !sets_a_session(&page), "{page:?}");
    let genuine = own.at("login.test").cookie("wxgate_shop").unwrap().clone();
    for (purpose, cookie) in [
        (Purpose::Session, "wxgate_shop"),
        (Purpose::Snapshot, "wxgate-snapshot-shop"),
    ] {
        let payload = wxgate::session::Sessions::pack(&session);
        let mut forger = two.traveller();
        for payload in [&payload[1..], &payload[..]] {
            let mut forged = genuine.clone();
            forged.name = cookie.to_owned();
            forged.value = key.seal(purpose, payload);
            forger.at("login.test").jar = vec![forged];
            let me = forger.open("http://login.test/.wxgate/me").await;
            assert_eq!(me.status, 401, "{me:?}");
        }
    }
    let word = key.admin_word();
    let answer = two
        .production
        .order(word.expose(), "{\"everyone\":true}")
        .await;
    assert_ne!(answer.status, 200, "{answer:?}");
    // Both still hold what is theirs.
    assert!(sets_a_session(&theirs.open(&their_ticket).await));
    assert!(sets_a_session(&own.open(&own_ticket).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_removed_logs_nobody_in_any_more() {
    let two = Two::new().await;
    let mut old = two.traveller();
    old.visit(&two.url("/")).await;
    // One has asked, one is at WeChat, one has an ask in hand and is known.
    let mut at_wechat = two.traveller();
    let callback = |url: &str| url.contains("/.wxgate/callback?");
    let (_, trail) = at_wechat.until(&two.url("/x"), callback).await;
    let mut known = two.traveller();
    known.visit("http://a.test/").await;
    let (ask, _) = two.ask(&mut known).await;
    let told = two
        .production
        .reload(|text| text.replacen("name = \"dev\"", "name = \"gone\"", 1));
    assert_eq!((told.applied, told.refused), (1, 0), "{told:?}");
    assert!(refuses(&known.open(&ask).await));
    let (page, rest) = at_wechat.visit(trail.last().unwrap()).await;
    assert!(refuses(&page), "{rest:#?} {page:?}");
    assert!(
        rest.iter().all(|url| !url.contains("localhost")),
        "{rest:#?}"
    );
    let (page, rest) = two.traveller().visit(&two.url("/new")).await;
    assert!(refuses(&page) && rest.len() == 1, "{rest:#?}");
    // Whoever is in stays in, until the development gateway's own limits.
    assert_eq!(old.open(&two.url("/")).await.status, 200);
    // Back again, it works again.
    two.production
        .reload(|text| text.replacen("name = \"gone\"", "name = \"dev\"", 1));
    assert!(is_ticket(known.open(&ask).await.location()));
    // An origin that is taken out is none from then on.
    let listed = format!("\"{}\", ", two.origin.as_str());
    two.production.reload(|text| {
        assert!(text.contains(&listed));
        text.replacen(&listed, "", 1)
    });
    assert!(refuses(&known.open(&ask).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_an_unknown_client_and_an_unlisted_origin_end_on_a_page() {
    for dev in [
        ("\"client_key\"", "\"stray_key\""),
        ("client = \"dev\"", "client = \"devel\""),
        ("client = \"dev\"", "client = \"clubs\""),
    ] {
        let two = Two::with(Changes {
            dev: &[dev],
            ..Changes::default()
        })
        .await;
        let (page, trail) = two.traveller().visit(&two.url("/x")).await;
        assert!(
            refuses(&page) && trail.len() == 1,
            "{dev:?}: {trail:#?} {page:?}"
        );
        assert_eq!(two.authorizes(), 0);
    }
    let two = Two::new().await;
    let unlisted = format!("http://unlisted.test:{}/x", two.dev.port());
    let (page, trail) = two.traveller().visit(&unlisted).await;
    assert!(refuses(&page) && trail.len() == 1, "{trail:#?} {page:?}");
    // The other origin of the list is as good as the first.
    let listed = format!("http://{}/x", two.dev);
    let (answer, trail) = two.traveller().visit(&listed).await;
    assert_eq!((answer.status, trail.last()), (200, Some(&listed)));
    // One whose file names another appid is told so, and not logged in.
    let app_id = SimAccount::default().app_id;
    let two = Two::with(Changes {
        dev: &[(&app_id, CLUB)],
        ..Changes::default()
    })
    .await;
    let (page, trail) = two.traveller().visit(&two.url("/x")).await;
    assert!(refuses(&page) && trail.len() == 1, "{trail:#?} {page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_forms_and_other_browsers_are_answered_with_the_port() {
    let two = Two::new().await;
    let mut traveller = two.traveller();
    let page = two.url("/page?q=1");
    let headers = [
        ("X-Requested-With", "XMLHttpRequest"),
        ("Referer", page.as_str()),
    ];
    let answer = traveller.ask("GET", &two.url("/api"), &headers, b"").await;
    assert_eq!(answer.status, 401);
    let login = answer.json()["login_url"].as_str().unwrap().to_owned();
    assert!(
        login.starts_with(&two.url("/.wxgate/login?to=%2Fpage")),
        "{login}"
    );
    let (answer, trail) = traveller.visit(&login).await;
    assert_eq!((answer.status, trail.last()), (200, Some(&page)));
    let login = two.url("/.wxgate/login?to=%2Ffragment%3Fx%3D1");
    let (_, trail) = two.traveller().visit(&login).await;
    assert_eq!(
        *trail.last().unwrap(),
        two.url("/.wxgate/return?to=%2Ffragment%3Fx%3D1")
    );
    // Outside WeChat a page with the address, and nobody is sent on.
    let mut outside = two.traveller();
    outside.agent = DESKTOP;
    let answer = outside.open(&two.url("/x")).await;
    assert!(answer.status == 403 && answer.text().contains(&two.url("/x")));
    // An ask that was carried there is no way in either: the page leads to its origin.
    let ask = two.traveller().open(&two.url("/x")).await;
    let (answer, trail) = outside.visit(ask.location()).await;
    assert_eq!((answer.status, trail), (403, Vec::new()));
    assert!(answer.text().contains("Please open in WeChat"));
    assert_eq!(link(&answer), two.url("/"));
    // Where the route there sends any browser to WeChat, this is what is done.
    let (_, trail) = outside.visit(&two.url("/any/x")).await;
    assert!(
        trail[1].contains("/connect/oauth2/authorize?"),
        "{trail:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scope_profile_and_snapshot_visitors_come_across() {
    let two = Two::new().await;
    let mut traveller = two.traveller();
    traveller.visit(&two.url("/")).await;
    assert!(two.app.last().value("x-wechat-nickname").is_none());
    let (_, trail) = traveller.visit(&two.url("/member?x=1")).await;
    let asked = trail.last().unwrap();
    assert!(asked.contains("scope=snsapi_userinfo"), "{trail:#?}");
    let query = query(asked).split('#').next().unwrap();
    let wechat = two.production.simulator.base_url();
    let yes = format!("{wechat}/simulator/choose/authorize/{OPENID}?{query}");
    let (answer, trail) = traveller.visit(&yes).await;
    assert_eq!(
        (answer.status, trail.last()),
        (200, Some(&two.url("/member?x=1")))
    );
    let seen = two.app.last();
    assert!(seen.value("x-wechat-nickname").is_some());
    assert_eq!(
        seen.value("x-wechat-scope").as_deref(),
        Some("snsapi_userinfo")
    );
    assert!(seen.value("x-wechat-access-token").is_none());
    // A snapshot page's visitor: where the route there says so, and nowhere else.
    two.production.simulator.set_mood(Mood::Snapshot);
    let mut looking = two.traveller();
    let (answer, _) = looking.visit(&two.url("/look")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        two.app.last().value("x-wechat-snapshot").as_deref(),
        Some("1")
    );
    let answer = looking.ask("POST", &two.url("/look"), &[], b"").await;
    assert_eq!(answer.status, 403);
    let before = two.app.seen().len();
    let (page, trail) = looking.visit(&two.url("/member")).await;
    assert!(
        page.status == 403 && page.text().contains("使用完整服务"),
        "{trail:#?}"
    );
    assert_eq!(two.app.seen().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_that_keep_too_little_are_stopped_and_logins_are_counted() {
    let two = Two::new().await;
    let authority = parts(two.origin.as_str()).0.to_owned();
    for forgets in [None, Some("wxgate_shop"), Some("wxgate-pending")] {
        let mut lossy = two.traveller();
        lossy.at(&authority).keeps_cookies = forgets.is_some();
        lossy.at(&authority).forgets = forgets;
        let (answer, trail) = lossy.visit(&two.url("/x")).await;
        assert!(
            answer.status == 403 && trail.len() < 20,
            "{forgets:?}: {trail:#?}"
        );
    }
    let two = Two::with(Changes {
        limits: "logins_per_minute = 4",
        ..Changes::default()
    })
    .await;
    let mut known = two.traveller();
    known.visit("http://a.test/").await;
    let (ask, _) = two.ask(&mut known).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(known.open(&ask).await.status);
    }
    // Two were taken by the first visit: its host's and its callback's.
    assert_eq!(statuses, [302, 302, 429, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_given_no_more_than_who_a_visitor_is_whatever_it_asks_for() {
    let two = Two::new().await;
    let mut known = two.traveller();
    known.visit("http://a.test/").await;
    let me = known.open("http://login.test/.wxgate/me").await;
    let id = me.json()["data"]["session"].as_str().unwrap().to_owned();
    let id = wxgate::revocation::parse_id(&id).unwrap();
    let (url, mut asked) = two.ask(&mut known).await;
    // Tokens, which would be kept for it; another session than that of production.
    asked.ask.need.tokens = true;
    asked.ask.instead_of = Some(id);
    let (start, _) = url.rsplit_once('=').unwrap();
    let answer = known
        .open(&format!("{start}={}", asked.seal(&two.via).unwrap()))
        .await;
    assert!(is_ticket(answer.location()), "{answer:?}");
    assert_eq!(two.authorizes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_for_the_account_whose_gateway_was_asked() {
    // Two accounts of one appid there, each with a gateway of its own to vouch for it.
    let twin = "[accounts.twin]\napp_id = \"APP\"\nvia = \"http://login.test\"\nsandbox = true\nclient = \"other\"\n\
                client_key = { file = \"other_key\" }\n\n[accounts.shop]"
        .replace("APP", &SimAccount::default().app_id);
    let two = Two::with(Changes {
        dev: &[
            ("[accounts.shop]", &twin),
            (
                "account = \"shop\"\noutside_wechat",
                "account = \"twin\"\noutside_wechat",
            ),
        ],
        ..Changes::default()
    })
    .await;
    let session = two.session().await;
    let other = Via {
        client: name("other"),
        key: two.ring("other_key"),
    };
    for (via, taken) in [(&other, true), (&two.via, false)] {
        let mut traveller = two.traveller();
        let answer = traveller.open(&two.url("/any/x")).await;
        let asked = ClientAsk::of_query(&other.key, &other.client, query(answer.location()));
        let asked = asked.unwrap();
        let Via { client, key } = via;
        let made = asked.ask.made;
        let sealed = ClientTicket::seal(key, client, &two.origin, &asked.ask, &session, made);
        let ticket = two.url(&format!("/.wxgate/callback/ticket?t={}", sealed.unwrap()));
        let answer = traveller.open(&ticket).await;
        assert_eq!(sets_a_session(&answer), taken, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_nobodys_callback() {
    let two = Two::with(Changes {
        by_address: true,
        ..Changes::default()
    })
    .await;
    let (answer, trail) = two.traveller().visit(&two.url("/x")).await;
    assert_eq!((answer.status, trail.last()), (200, Some(&two.url("/x"))));
    // Its own address is the host of `via`, and logs in by way of that all the same.
    let own = format!("http://{}/x", two.dev);
    let (answer, trail) = two.traveller().visit(&own).await;
    assert_eq!((answer.status, trail.last()), (200, Some(&own)));
    assert!(
        trail[0].contains("/.wxgate/sign-on?client=dev&ask="),
        "{trail:#?}"
    );
    // An ask of its own hosts, as its own keys would make it, is none there, nor is a
    // client's, nor a code.
    let (_, asked) = two.ask(&mut two.traveller()).await;
    let sealed = asked.ask.seal(&two.ring("state/session.key")).unwrap();
    let there = format!("http://{}/.wxgate", two.dev);
    let page = two
        .traveller()
        .open(&format!("{there}/sign-on?ask={sealed}"))
        .await;
    assert_eq!(page.status, 400, "{page:?}");
    let sealed = asked.seal(&two.via).unwrap();
    let client = format!("{there}/sign-on?client=dev&ask={sealed}");
    assert!(refuses(&two.traveller().open(&client).await));
    let calls = two.production.exchanges();
    let state = "00112233445566778899aabbccddeeff1";
    let callback = format!("{there}/callback?code=x&state={state}");
    assert_eq!(two.traveller().open(&callback).await.status, 403);
    assert_eq!(two.production.exchanges(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pays_comes_across_beside_a_session_and_leaves_none() {
    let club = "[accounts.club]\napp_id = \"APP\"\nvia = \"http://door.test\"\nsandbox = true\nclient = \"clubs\"\n\
                client_key = { file = \"clubs_key\" }\n\n[accounts.shop]"
        .replace("APP", CLUB);
    let two = Two::with(Changes {
        dev: &[
            ("[accounts.shop]", &club),
            (
                "account = \"shop\"\noutside_wechat",
                "account = \"shop\"\npay_account = \"club\"\noutside_wechat",
            ),
        ],
        ..Changes::default()
    })
    .await;
    let mut traveller = two.traveller();
    let (answer, trail) = traveller.visit(&two.url("/any/x?a=1")).await;
    assert_eq!(
        (answer.status, trail.last()),
        (200, Some(&two.url("/any/x?a=1")))
    );
    assert_eq!(
        trail.iter().filter(|url| is_ticket(url)).count(),
        2,
        "{trail:#?}"
    );
    let seen = two.app.last();
    assert_eq!(seen.value("x-wechat-openid").as_deref(), Some(OPENID));
    assert_eq!(seen.value("x-wechat-pay-appid").as_deref(), Some(CLUB));
    let pays = seen.value("x-wechat-pay-openid").unwrap();
    assert_ne!(pays, OPENID);
    assert!(traveller.at("door.test").cookie("wxgate_").is_none());
    assert!(traveller.at("login.test").cookie("wxgate_shop").is_some());
    // Known from then on; elsewhere the app is told of one alone.
    assert_eq!(traveller.open(&two.url("/any/y")).await.status, 200);
    assert_eq!(two.authorizes(), 2);
    traveller.open(&two.url("/x")).await;
    assert!(two.app.last().value("x-wechat-pay-openid").is_none());
    // The first one's ticket is none for the second login, nor the other way round.
    let mut traveller = two.traveller();
    let (_, trail) = traveller.until(&two.url("/any/x"), is_ticket).await;
    let first = trail.last().unwrap().clone();
    let mut copy = traveller.clone();
    let (_, trail) = traveller.visit(&first).await;
    let second = trail.iter().find(|url| is_ticket(url)).unwrap();
    assert!(!sets_a_session(&copy.open(second).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_facade_at_a_development_gateway_keeps_its_port() {
    let secrets = files();
    let facade = format!(
        "[facade]\nhost = \"wx.dev.test\"\n[[facade.apps]]\nname = \"legacy\"\naccount = \"shop\"\n\
         app_id = \"wxlegacy00000001\"\napp_secret = {{ file = \"{}/legacy_secret\" }}\n\
         callback_origins = [\"http://legacy.test\"]\n[accounts.shop]",
        secrets.path().display()
    );
    let two = Two::with(Changes {
        dev: &[("[accounts.shop]", &facade)],
        ..Changes::default()
    })
    .await;
    let port = two.dev.port();
    let again = "/.wxgate/login?to=%2Fconnect%2Foauth2%2Fauthorize%3Fappid%3Dx";
    let request = format!("GET {again} HTTP/1.1\r\nHost: wx.dev.test:{port}\r\n\r\n");
    let answer = crate::client::send(two.dev, request).await;
    assert_eq!(
        answer.location(),
        format!("http://wx.dev.test:{port}/connect/oauth2/authorize?appid=x")
    );
}

#[test]
fn a_client_to_which_browsers_bring_sessions_is_told() {
    let files = files();
    let key = generate_key().unwrap();
    std::fs::write(files.path().join("client_key"), key.expose()).unwrap();
    let text = format!(
        "[server]\nstate_dir = \"state\"\n[session]\n\
         [accounts.shop]\napp_id = \"wx1234567890abcdef\"\napp_secret = {{ file = \"app_secret\" }}\n\
         callback_origin = \"https://login.example.com\"\n{}\
         [[routes]]\nhost = \"a.example.com\"\nupstream = \"http://127.0.0.1:9\"\naccount = \"shop\"\n",
        client(
            "dev",
            &[
                "http://localhost:3000",
                "https://a.example.com:8443",
                "https://login.example.com:8443",
                "https://dev.example.com",
                "https://example.com.test"
            ],
            "client_key"
        )
    );
    let told = |text: &str| {
        let plan = Plan::parse(&files.path().join("gateway.toml"), text).unwrap();
        let mut told = plan.warnings();
        told.retain(|line| line.starts_with("accounts.shop.clients (dev): "));
        told
    };
    // One for each, in the order of the file.
    let holds = |found: Vec<String>, origins: &[&str], why: &str| {
        assert_eq!(found.len(), origins.len(), "{found:#?}");
        for (line, origin) in found.iter().zip(origins) {
            assert!(line.contains(&format!("(dev): {origin} {why}")), "{line}");
        }
    };
    let near = [
        "https://a.example.com:8443",
        "https://login.example.com:8443",
        "https://dev.example.com",
    ];
    holds(told(&text), &near[..2], "is on a host of this gateway");
    let shared = "[session]\ncookie_domain = \"example.com\"\n";
    let text = text.replace("[session]\n", shared);
    holds(told(&text), &near, "lies within session.cookie_domain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_the_account_as_another_kind_ends_on_a_page_with_every_browser() {
    let two = Two::with(Changes {
        dev: &[
            ("client = \"dev\"", "kind = \"website\"\nclient = \"dev\""),
            ("outside_wechat = \"redirect\"", ""),
            ("snapshot = \"read_only\"", ""),
        ],
        ..Changes::default()
    })
    .await;
    let mut known = two.traveller();
    known.visit("http://a.test/").await;
    for agent in [DESKTOP, crate::client::WECHAT] {
        for start in [two.traveller(), known.clone()] {
            let mut browser = Traveller { agent, ..start };
            let (page, trail) = browser.visit(&two.url("/x")).await;
            assert!(trail.len() <= 1, "to and fro: {trail:#?}");
            assert_eq!(page.status, 403, "{page:?}");
            // An ordinary browser was sent on, and is refused there.
            assert_eq!(refuses(&page), agent == DESKTOP, "{}", page.text());
        }
    }
    assert_eq!(two.authorizes(), 1);
    // And a ticket for it is none.
    let session = two.session().await;
    let mut browser = two.traveller();
    browser.agent = DESKTOP;
    let answer = browser.open(&two.url("/x")).await;
    let Via { client, key } = &two.via;
    let asked = ClientAsk::of_query(key, client, query(answer.location())).unwrap();
    let made = asked.ask.made;
    let sealed = ClientTicket::seal(key, client, &two.origin, &asked.ask, &session, made);
    let ticket = two.url(&format!("/.wxgate/callback/ticket?t={}", sealed.unwrap()));
    assert!(!sets_a_session(&browser.open(&ticket).await));
}
