//! What operators are told in numbers: that each moves when its thing happens, and
//! tells nothing of a visitor.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wxgate::secret::Secret;
use wxgate::signing::{Keyring, Purpose};
use wxgate::simulator::{Api, Mood};
use wxgate::wechat::Scope;

use crate::client::{Browser, DESKTOP, WECHAT, Wire, send};
use crate::issued::Issued;
use crate::process::free_address;
use crate::world::{Extra, OPENID, SECRET, World};

/// One series: a name, and labels in the order of their names.
type Series = (String, BTreeMap<String, String>);

/// What a scrape told, read by the rules of the text format.
#[derive(Debug)]
pub struct Scrape {
    types: BTreeMap<String, String>,
    values: BTreeMap<Series, f64>,
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    let first = chars.next().unwrap();
    (first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads `a="b",c="d"`.
fn labels(mut text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").unwrap();
        let (mut value, mut end, mut escaped) = (String::new(), None, false);
        for (at, c) in rest.char_indices() {
            match (escaped, c) {
                (false, '"') => {
                    end = Some(at);
                    break;
                }
                (false, '\\') => escaped = true,
                (true, 'n') => (value.push('\n'), escaped = false).1,
                (_, c) => (value.push(c), escaped = false).1,
            }
        }
        assert!(is_name(name), "{name}");
        assert!(all.insert(name.to_owned(), value).is_none(), "{name} twice");
        text = &rest[end.unwrap() + 1..];
        text = text.strip_prefix(',').unwrap_or(text);
    }
    all
}

impl Scrape {
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'));
        let (mut types, mut helps, mut values) =
            (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && helps.insert(name.to_owned()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(helps.contains(name), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                let new = types.insert(name.to_owned(), kind.to_owned()).is_none();
                assert!(new, "{line}");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = match series.split_once('{') {
                    Some((name, rest)) => (name, labels(rest.strip_suffix('}').unwrap())),
                    None => (series, BTreeMap::new()),
                };
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert!(is_name(name) && value.is_finite() && value >= 0.0, "{line}");
                let base = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|ending| name.strip_suffix(ending))
                    .filter(|base| types.get(*base).is_some_and(|kind| kind == "histogram"));
                assert!(types.contains_key(base.unwrap_or(name)), "{line}");
                let new = values.insert((name.to_owned(), labels), value).is_none();
                assert!(new, "twice: {line}");
            }
        }
        Self { types, values }
    }

    /// The value of one series; 0 where it is not listed.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let labels = labels.iter().map(owned).collect();
        let found = self.values.get(&(name.to_owned(), labels));
        found.copied().unwrap_or(0.0)
    }

    /// The sum of all series of a name.
    fn sum(&self, name: &str) -> f64 {
        let of_name = self.values.iter().filter(|((found, _), _)| found == name);
        of_name.map(|(_, value)| value).sum()
    }
}

pub async fn scrape(world: &World) -> Scrape {
    let answer = Browser::new("Prometheus")
        .open(world.admin, "/metrics")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.value("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(answer.value("cache-control"), Some("no-store"));
    Scrape::parse(&answer.text())
}

/// A scrape at which `is_so`: what is counted when a request has ended may come
/// behind its answer.
async fn until(world: &World, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
    let began = Instant::now();
    loop {
        let scrape = scrape(world).await;
        if is_so(&scrape) {
            return scrape;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{scrape:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a series has this value.
async fn until_is(world: &World, name: &str, labels: &[(&str, &str)], value: f64) -> Scrape {
    #[expect(clippy::float_cmp, reason = "they are whole numbers")]
    until(world, |scrape| scrape.get(name, labels) == value).await
}

const SHOP: (&str, &str) = ("account", "shop");
const ROOT: (&str, &str) = ("route", "127.0.0.1/");

fn outcome(outcome: &str) -> [(&str, &str); 2] {
    [SHOP, ("outcome", outcome)]
}

fn event(event: &str) -> [(&str, &str); 2] {
    [SHOP, ("event", event)]
}

/// All names that operators may rest on, with what they are.
const NAMES: &str = "\
wxgate_build_info gauge
wxgate_requests_total counter
wxgate_responses_total counter
wxgate_refusals_total counter
wxgate_request_duration_seconds histogram
wxgate_upstream_response_seconds histogram
wxgate_requests_in_flight gauge
wxgate_connections gauge
wxgate_connections_refused_total counter
wxgate_logins_total counter
wxgate_login_loops_stopped_total counter
wxgate_callback_duplicates_total counter
wxgate_wechat_request_duration_seconds histogram
wxgate_wechat_errors_total counter
wxgate_wechat_circuit_open gauge
wxgate_sessions_total counter
wxgate_store_up gauge
wxgate_store_errors_total counter
wxgate_revocations_known gauge
wxgate_upstream_up gauge
wxgate_upstream_ejections_total counter
wxgate_upstream_retries_total counter
wxgate_upstream_errors_total counter
wxgate_config_reloads_total counter
wxgate_config_last_reload_successful gauge
wxgate_config_last_reload_success_timestamp_seconds gauge
wxgate_config_restart_needed gauge
wxgate_certificate_expiry_timestamp_seconds gauge
wxgate_draining gauge
process_cpu_seconds_total counter
process_resident_memory_bytes gauge
process_virtual_memory_bytes gauge
process_open_fds gauge
process_max_fds gauge
process_start_time_seconds gauge
";

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_there_from_the_start() {
    let world = World::new().await;
    let scrape = scrape(&world).await;
    let told: BTreeSet<String> = (scrape.types.iter())
        .map(|(name, kind)| format!("{name} {kind}"))
        .collect();
    let promised: BTreeSet<String> = NAMES.lines().map(str::to_owned).collect();
    assert_eq!(told, promised);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    for (name, labels, value) in [
        ("wxgate_build_info", &version[..], 1.0),
        ("wxgate_store_up", &[], 1.0),
        ("wxgate_revocations_known", &[], 1.0),
        ("wxgate_draining", &[], 0.0),
        ("wxgate_config_last_reload_successful", &[], 1.0),
        ("wxgate_config_restart_needed", &[], 0.0),
        ("wxgate_wechat_circuit_open", &[SHOP], 0.0),
        ("wxgate_requests_in_flight", &[], 0.0),
    ] {
        let series = (
            name.to_owned(),
            (labels.iter())
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        );
        assert_eq!(scrape.values.get(&series), Some(&value), "{name}");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for name in [
        "process_start_time_seconds",
        "wxgate_config_last_reload_success_timestamp_seconds",
    ] {
        let age = now.as_secs_f64() - scrape.get(name, &[]);
        assert!((-2.0..3600.0).contains(&age), "{name}: {age}");
    }
    assert!(scrape.get("process_resident_memory_bytes", &[]) > 1e6);
    assert!(scrape.get("process_open_fds", &[]) > 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_and_what_follows_are_counted() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    for _ in 0..3 {
        visitor.open(world.gateway, "/goods?x=1").await;
    }
    let scrape = until_is(
        &world,
        "wxgate_requests_total",
        &[ROOT, ("decision", "vouched")],
        4.0,
    )
    .await;
    for (name, labels, value) in [
        ("wxgate_logins_total", &outcome("started")[..], 1.0),
        ("wxgate_logins_total", &outcome("ok"), 1.0),
        ("wxgate_sessions_total", &event("opened"), 1.0),
        ("wxgate_requests_total", &[("decision", "login"), ROOT], 1.0),
        (
            "wxgate_requests_total",
            &[("decision", "callback"), ("route", "")],
            1.0,
        ),
        ("wxgate_responses_total", &[("class", "2xx"), ROOT], 4.0),
        ("wxgate_responses_total", &[("class", "3xx"), ROOT], 1.0),
        (
            "wxgate_request_duration_seconds_count",
            &[("decision", "vouched")],
            4.0,
        ),
        (
            "wxgate_wechat_request_duration_seconds_count",
            &[("call", "access_token")],
            1.0,
        ),
    ] {
        assert_eq!(scrape.get(name, labels), value, "{name} {labels:?}");
    }
    let app = world.app.addr.to_string();
    let upstream = [("upstream", app.as_str())];
    let name = "wxgate_upstream_response_seconds_count";
    assert_eq!(scrape.get(name, &upstream), 4.0);
    assert!(scrape.get("wxgate_upstream_response_seconds_sum", &upstream) > 0.0);
    assert_eq!(scrape.sum("wxgate_wechat_errors_total"), 0.0);
    assert_eq!(scrape.sum("wxgate_upstream_errors_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_is_counted_by_why() {
    let world = World::new().await;
    world.simulator.set_mood_times(Mood::Refuse, 1);
    let (page, _) = Browser::new(WECHAT).visit(world.gateway, "/").await;
    assert_eq!(page.status, 403);
    until_is(
        &world,
        "wxgate_logins_total",
        &outcome("refused_at_wechat"),
        1.0,
    )
    .await;

    // A code that was used: it begins anew, twice, and then there is a page.
    let spent = Mood::Errcode {
        api: Api::Exchange,
        errcode: 40163,
    };
    world.simulator.set_mood_for(Api::Exchange, spent);
    let (page, _) = Browser::new(WECHAT).visit(world.gateway, "/").await;
    assert_eq!(page.status, 502);
    world.simulator.set_mood(Mood::Normal);
    let scrape = until_is(
        &world,
        "wxgate_logins_total",
        &outcome("code_not_taken"),
        1.0,
    )
    .await;
    assert_eq!(
        scrape.get("wxgate_logins_total", &outcome("started_again")),
        2.0
    );
    assert_eq!(scrape.get("wxgate_logins_total", &outcome("started")), 2.0);
    assert_eq!(scrape.get("wxgate_logins_total", &outcome("ok")), 0.0);
    let errcode = |errcode| [SHOP, ("call", "access_token"), ("errcode", errcode)];
    assert_eq!(
        scrape.get("wxgate_wechat_errors_total", &errcode("40163")),
        3.0
    );

    for (mood, word) in [
        (Mood::Html, "unreadable"),
        (Mood::ResetBeforeAnswer, "http"),
    ] {
        world.simulator.set_mood(mood);
        Browser::new(WECHAT).visit(world.gateway, "/").await;
        until_is(&world, "wxgate_wechat_errors_total", &errcode(word), 3.0).await;
    }
    world.simulator.set_mood(Mood::Normal);
}

#[tokio::test(flavor = "multi_thread")]
async fn wechat_that_is_slow_or_gone_is_counted() {
    let world = World::with(Extra {
        limits: "wechat_timeout = \"1s\"",
        ..Extra::default()
    })
    .await;
    world.simulator.set_mood_for(Api::Exchange, Mood::Hanging);
    let (mut browser, callback) = world.until_callback("/").await;
    browser.open(world.gateway, &callback).await;
    let errcode = |errcode| [SHOP, ("call", "access_token"), ("errcode", errcode)];
    until_is(
        &world,
        "wxgate_wechat_errors_total",
        &errcode("timeout"),
        1.0,
    )
    .await;

    let world = World::with(Extra {
        api: Some(format!("http://{}", free_address())),
        ..Extra::default()
    })
    .await;
    let (page, _) = Browser::new(WECHAT).visit(world.gateway, "/").await;
    assert_eq!(page.status, 502);
    let scrape = until_is(
        &world,
        "wxgate_wechat_errors_total",
        &errcode("connect"),
        1.0,
    )
    .await;
    let name = "wxgate_logins_total";
    assert_eq!(scrape.get(name, &outcome("wechat_unreachable")), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_shows_until_a_login_works() {
    let world = World::new().await;
    let (mut waiting, callback) = world.until_callback("/").await;
    let used_up = Mood::Errcode {
        api: Api::Exchange,
        errcode: 45009,
    };
    world.simulator.set_mood_for(Api::Exchange, used_up);
    Browser::new(WECHAT).visit(world.gateway, "/").await;
    let scrape = until_is(&world, "wxgate_wechat_circuit_open", &[SHOP], 1.0).await;
    assert_eq!(
        scrape.get("wxgate_logins_total", &outcome("wechat_quota")),
        1.0
    );
    // Neither who comes back nor who begins costs a call.
    waiting.open(world.gateway, &callback).await;
    Browser::new(WECHAT).open(world.gateway, "/").await;
    let scrape = until_is(&world, "wxgate_logins_total", &outcome("wechat_quota"), 3.0).await;
    assert_eq!(scrape.sum("wxgate_wechat_errors_total"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_and_duplicates_are_counted() {
    let world = World::new().await;
    for (stopped, forgets) in [(1.0, "wxgate_shop"), (2.0, "wxgate-pending")] {
        let mut browser = Browser::new(WECHAT);
        browser.forgets = Some(forgets);
        let (page, _) = browser.visit(world.gateway, "/").await;
        assert_eq!(page.status, 403);
        until_is(&world, "wxgate_login_loops_stopped_total", &[SHOP], stopped).await;
    }
    let mut browser = Browser::new(WECHAT);
    browser.keeps_cookies = false;
    browser.visit(world.gateway, "/").await;
    until_is(&world, "wxgate_login_loops_stopped_total", &[SHOP], 3.0).await;

    let before = scrape(&world)
        .await
        .get("wxgate_logins_total", &outcome("ok"));
    let slow = Mood::Slow(Duration::from_millis(200));
    world.simulator.set_mood(slow);
    let (mut browser, callback) = world.until_callback("/").await;
    let request = browser.request("GET", world.gateway, &callback, &[], b"");
    let calls: Vec<_> = (0..8)
        .map(|_| tokio::spawn(send(world.gateway, request.clone())))
        .collect();
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!(answer.status, 302);
        browser.keep(&answer);
    }
    let scrape = until_is(&world, "wxgate_callback_duplicates_total", &[SHOP], 7.0).await;
    let name = "wxgate_logins_total";
    assert_eq!(scrape.get(name, &outcome("ok")), before + 1.0);
    // And once more when all is done.
    browser.open(world.gateway, &callback).await;
    until_is(&world, "wxgate_callback_duplicates_total", &[SHOP], 8.0).await;
}

/// The value of a session cookie of `world`'s shop that was last seen at `seen`.
fn session_seen_at(world: &World, seen: u64) -> String {
    let key = std::fs::read_to_string(world.dir().join("state/session.key")).unwrap();
    let ring = Keyring::new(&[Secret::new(key)]).unwrap();
    let nobody: Option<&str> = None;
    let wire = (
        ([7_u8; 16], "127.0.0.1", world.app_id.as_str()),
        // An openid is the first of the two kinds of id.
        (wxgate::wechat::Kind::Official, 0_u8, OPENID),
        (nobody, nobody, nobody, Scope::Base),
        (seen, seen, seen + 7 * 86_400),
        (0_u64, 0_u64, false),
    );
    ring.seal(Purpose::Session, &postcard::to_stdvec(&wire).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_sessions_is_counted() {
    let world = World::new().await;
    let visitor = world.visitor().await;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let with = |value: &str| {
        let mut browser = visitor.clone();
        for cookie in &mut browser.jar {
            if cookie.name.starts_with("wxgate_shop") {
                value.clone_into(&mut cookie.value);
            }
        }
        browser
    };
    let (day, hour) = (86_400, 3600);
    for (value, status, event_) in [
        ("no session".to_owned(), 302, "refused_forged"),
        (session_seen_at(&world, now - day), 302, "refused_expired"),
        (session_seen_at(&world, now + day), 302, "refused_future"),
        (session_seen_at(&world, now - 8 * hour), 200, "renewed"),
    ] {
        let answer = with(&value).open(world.gateway, "/").await;
        assert_eq!(answer.status, status, "{event_}");
        until_is(&world, "wxgate_sessions_total", &event(event_), 1.0).await;
    }
    let mut twice = visitor.clone();
    let cookie = twice.cookie("wxgate_shop").unwrap().clone();
    twice.jar.push(cookie);
    twice.open(world.gateway, "/").await;
    until_is(
        &world,
        "wxgate_sessions_total",
        &event("refused_repeated"),
        1.0,
    )
    .await;

    let mut copied = visitor.clone();
    let origin = format!("http://{}", world.gateway);
    let from_here = [("Origin", origin.as_str()), ("Accept", "application/json")];
    let answer = visitor
        .clone()
        .ask("POST", world.gateway, "/.wxgate/logout", &from_here, b"")
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    until_is(&world, "wxgate_sessions_total", &event("logged_out"), 1.0).await;
    assert_eq!(copied.open(world.gateway, "/").await.status, 302);
    let scrape = until_is(
        &world,
        "wxgate_sessions_total",
        &event("refused_ended"),
        1.0,
    )
    .await;
    assert_eq!(scrape.get("wxgate_sessions_total", &event("opened")), 1.0);
}

/// An app that reads what it is asked, says `answer`, and closes.
async fn app_that_says(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer).await;
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_fails_is_counted_by_how() {
    let odd = app_that_says(b"well, hello\r\n\r\n").await;
    let silent = app_that_says(b"").await;
    let apps = [
        ("/down", format!("http://{}", free_address()), "connect"),
        ("/nowhere", "http://app.invalid:80".to_owned(), "no_peer"),
        ("/silent", format!("http://{silent}"), "closed"),
        ("/odd", format!("http://{odd}"), "invalid"),
        ("/tls", format!("https://{odd}"), "tls"),
    ];
    let tables = apps.iter().map(|(path, upstream, _)| {
        format!("[[routes]]\nhost = \"127.0.0.1\"\npath = \"{path}\"\nupstream = \"{upstream}\"\nauth = \"none\"\n")
    });
    let world = World::with_tables(&tables.collect::<String>()).await;
    for (path, upstream, kind) in &apps {
        let answer = Browser::new(DESKTOP).open(world.gateway, path).await;
        assert_eq!(answer.status, 502, "{path}");
        let upstream = upstream.strip_prefix("http://").unwrap_or(upstream);
        let labels = [("upstream", upstream), ("kind", *kind)];
        until_is(&world, "wxgate_upstream_errors_total", &labels, 1.0).await;
        let label = format!("127.0.0.1{path}");
        let labels = [("route", label.as_str()), ("class", "5xx")];
        until_is(&world, "wxgate_responses_total", &labels, 1.0).await;
    }
    let told = scrape(&world).await;
    assert_eq!(told.sum("wxgate_upstream_errors_total"), 5.0);
    let down = apps[0].1.strip_prefix("http://").unwrap();
    let peer = [("upstream", down), ("peer", down)];
    let series = |name: &str| {
        told.values.keys().any(|(found, labels)| {
            found == name && peer.iter().all(|(name, value)| labels[*name] == *value)
        })
    };
    assert!(series("wxgate_upstream_up") && series("wxgate_upstream_ejections_total"));
    // None of these has another address.
    assert_eq!(told.sum("wxgate_upstream_retries_total"), 0.0);
}

/// An app by name may have several addresses, as this machine's own has.
#[tokio::test(flavor = "multi_thread")]
async fn each_address_that_is_tried_in_vain_is_counted() {
    let port = free_address().port();
    let upstream = format!("localhost:{port}");
    let tables = format!(
        "[[routes]]\nhost = \"127.0.0.1\"\npath = \"/named\"\nupstream = \"http://{upstream}\"\nauth = \"none\"\n"
    );
    let world = World::with_tables(&tables).await;
    let answer = Browser::new(DESKTOP).open(world.gateway, "/named").await;
    assert_eq!(answer.status, 502);
    let addresses = tokio::net::lookup_host(&upstream).await.unwrap();
    let addresses: BTreeSet<SocketAddr> = addresses.collect();
    let tried = f64::from(u32::try_from(addresses.len()).unwrap());
    let labels = [("upstream", upstream.as_str()), ("kind", "connect")];
    let told = until_is(&world, "wxgate_upstream_errors_total", &labels, tried).await;
    let retries = told.get("wxgate_upstream_retries_total", &labels[..1]);
    assert_eq!(retries, tried - 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_by_why() {
    let world = World::with(Extra {
        limits: "connections_per_address = 3",
        ..Extra::default()
    })
    .await;
    let refused = |reason| [("reason", reason)];
    let answer = Browser::new(DESKTOP).open(world.gateway, "/").await;
    assert_eq!(answer.status, 403);
    until_is(&world, "wxgate_refusals_total", &refused("no_session"), 1.0).await;
    let odd = b"GET /a b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    assert_eq!(send(world.gateway, odd).await.status, 400);
    until(&world, |scrape| scrape.sum("wxgate_refusals_total") == 2.0).await;
    let stranger = b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n";
    send(world.gateway, stranger).await;
    until_is(&world, "wxgate_refusals_total", &refused("no_route"), 1.0).await;

    let mut open = Vec::new();
    for _ in 0..3 {
        let mut wire = Wire::to(world.gateway).await;
        wire.send(Browser::new(WECHAT).request("GET", world.gateway, "/pay/notify", &[], b""))
            .await;
        assert_eq!(wire.answer(false).await.status, 200);
        open.push(wire);
    }
    until_is(&world, "wxgate_connections", &[], 3.0).await;
    let name = "wxgate_connections_refused_total";
    assert_eq!(
        Wire::to(world.gateway).await.answer(false).await.status,
        503
    );
    until_is(&world, name, &refused("full_for_address"), 1.0).await;
    drop(open);
    until_is(&world, "wxgate_connections", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_has_no_duration_and_is_on_its_way() {
    let world = World::new().await;
    let visitor = world.visitor().await;
    let duration = (
        "wxgate_request_duration_seconds_count",
        ("decision", "vouched"),
    );
    until_is(&world, duration.0, &[duration.1], 1.0).await;
    let mut wire = Wire::to(world.gateway).await;
    wire.send(visitor.request("GET", world.gateway, "/events", &[], b""))
        .await;
    assert_eq!(wire.head().await.status, 200);
    until_is(&world, "wxgate_requests_in_flight", &[], 1.0).await;
    world.app.go_on.notify_one();
    let events = [("route", "127.0.0.1/events"), ("decision", "vouched")];
    let scrape = until_is(&world, "wxgate_requests_total", &events, 1.0).await;
    assert_eq!(scrape.get(duration.0, &[duration.1]), 1.0);
    until_is(&world, "wxgate_requests_in_flight", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_is_told() {
    let files = tempfile::tempdir().unwrap();
    let url = files.path().join("url");
    std::fs::write(&url, format!("redis://{}", free_address())).unwrap();
    let store = format!(
        "[store]\nkind = {{ redis = {{ file = \"{}\" }} }}\n",
        url.display()
    );
    let world = World::with_tables(&store).await;
    let told = scrape(&world).await;
    assert_eq!(told.get("wxgate_store_up", &[]), 0.0);
    assert_eq!(told.get("wxgate_revocations_known", &[]), 0.0);
    let answer = world
        .order(&world.admin_word(), "{\"everyone\": true}")
        .await;
    assert_eq!(answer.status, 503);
    let labels = [("operation", "revoke")];
    until_is(&world, "wxgate_store_errors_total", &labels, 1.0).await;
    // Nobody is let in, whatever they show.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nCookie: wxgate_shop={}\r\n\r\n",
        world.gateway,
        session_seen_at(&world, now)
    );
    assert_eq!(send(world.gateway, request).await.status, 503);
    until_is(
        &world,
        "wxgate_sessions_total",
        &event("refused_unknown"),
        1.0,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_certificate_is_told() {
    let issued = Issued::for_hosts(&["127.0.0.1"]);
    let world = World::over_tls(Extra::default(), &[("[\"127.0.0.1\"]", issued.pem())], "").await;
    let labels = [("hosts", "127.0.0.1")];
    let told = scrape(&world).await;
    let expiry = told.get("wxgate_certificate_expiry_timestamp_seconds", &labels);
    // What rcgen issues holds until the year 4096.
    assert!(expiry > 6.0e10, "{expiry}");
}

/// Words that a label may have, by the label's name.
fn is_allowed(world: &World, label: &str, value: &str) -> bool {
    let app = world.app.addr.to_string();
    let word = |value: &str| {
        !value.is_empty() && value.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    match label {
        "version" => value == env!("CARGO_PKG_VERSION"),
        "route" => [
            "",
            "127.0.0.1/",
            "127.0.0.1/pay/notify",
            "127.0.0.1/welcome",
            "127.0.0.1/member",
            "127.0.0.1/events",
        ]
        .contains(&value),
        "account" => ["", "shop"].contains(&value),
        "upstream" | "peer" => value == app,
        "class" => ["none", "1xx", "2xx", "3xx", "4xx", "5xx"].contains(&value),
        "errcode" => value.parse::<i64>().is_ok() || word(value),
        "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
        "call" => [
            "access_token",
            "refresh_token",
            "userinfo",
            "auth",
            "gettoken",
            "getuserinfo",
        ]
        .contains(&value),
        "decision" | "reason" | "outcome" | "event" | "operation" | "kind" | "result" => {
            word(value)
        }
        _ => false,
    }
}

/// A day with everything on it that a visitor can choose.
pub async fn busy_day(world: &World) -> Vec<String> {
    let mut visitor = world.visitor().await;
    world.visit(&mut visitor, "/member").await;
    let odd = "oddwordofthevisitors";
    for target in [
        format!("/{odd}?{odd}={odd}"),
        format!("/{odd}/../welcome"),
        format!("/.wxgate/{odd}"),
        format!("/.wxgate/callback?code={odd}&state={odd}"),
        format!("/.wxgate/callback?code={odd}"),
        format!("/.wxgate/login?to=//{odd}"),
        format!("/pay/notify/{odd}"),
        format!("/MP_verify_{odd}.txt"),
    ] {
        for agent in [WECHAT, DESKTOP] {
            Browser::new(agent).open(world.gateway, &target).await;
        }
        visitor.open(world.gateway, &target).await;
        let method = "ODDWORD";
        visitor.ask(method, world.gateway, &target, &[], b"x").await;
    }
    for host in [odd.to_owned(), format!("{odd}.example.com"), String::new()] {
        let request = format!(
            "GET /{odd} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {odd}\r\nX-WeChat-OpenId: {odd}\r\n\
             Cookie: wxgate_shop={odd}; {odd}={odd}\r\nX-Request-Id: {odd}\r\nReferer: http://{odd}/\r\n\r\n"
        );
        send(world.gateway, request).await;
    }
    let forged = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nCookie: wxgate_shop={odd}\r\n\r\n",
        world.gateway
    );
    send(world.gateway, forged).await;
    for mood in [
        Mood::Refuse,
        Mood::Snapshot,
        Mood::Html,
        Mood::BadOpenId,
        Mood::Errcode {
            api: Api::Exchange,
            errcode: 40029,
        },
        Mood::Errcode {
            api: Api::Exchange,
            errcode: -424_242,
        },
    ] {
        world.simulator.set_mood(mood);
        Browser::new(WECHAT)
            .visit(world.gateway, "/welcome-not")
            .await;
    }
    world.simulator.set_mood(Mood::Normal);
    vec![
        odd.to_owned(),
        "ODDWORD".to_owned(),
        OPENID.to_owned(),
        SECRET.to_owned(),
        world.app_id.clone(),
        visitor.cookie("wxgate_shop").unwrap().value.clone(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_label_is_chosen_by_a_visitor() {
    let world = World::new().await;
    let never = busy_day(&world).await;
    let answer = Browser::new("Prometheus")
        .open(world.admin, "/metrics")
        .await;
    for word in never {
        assert!(!answer.text().contains(&word), "{word}: {}", answer.text());
    }
    let scrape = Scrape::parse(&answer.text());
    assert!(scrape.sum("wxgate_requests_total") > 40.0);
    for (name, labels) in scrape.values.keys() {
        for (label, value) in labels {
            assert!(is_allowed(&world, label, value), "{name}: {label}={value}");
        }
    }
    // As many series tomorrow, whatever visitors make up.
    let before = scrape.values.len();
    for at in 0..200 {
        let target = format!("/{at}/x?{at}");
        Browser::new(DESKTOP).open(world.gateway, &target).await;
    }
    let after = until_is(&world, "wxgate_requests_in_flight", &[], 0.0).await;
    assert_eq!(after.values.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_histogram_is_one() {
    let world = World::new().await;
    world.visitor().await;
    let labels = ("decision", "vouched");
    let scrape = until_is(
        &world,
        "wxgate_request_duration_seconds_count",
        &[labels],
        1.0,
    )
    .await;
    let mut buckets: Vec<(f64, f64)> = (scrape.values.iter())
        .filter(|((name, found), _)| {
            name == "wxgate_request_duration_seconds_bucket" && found["decision"] == "vouched"
        })
        .map(|((_, found), value)| (found["le"].parse().unwrap(), *value))
        .collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert_eq!(buckets.len(), 16);
    assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    assert_eq!(buckets[15], (f64::INFINITY, 1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_costs_no_request() {
    let world = World::new().await;
    let visitor = world.visitor().await;
    let loads: Vec<_> = (0..4)
        .map(|_| {
            let (gateway, mut visitor) = (world.gateway, visitor.clone());
            tokio::spawn(async move {
                for _ in 0..100 {
                    assert_eq!(visitor.open(gateway, "/goods").await.status, 200);
                }
            })
        })
        .collect();
    let mut last = 0.0;
    while loads.iter().any(|load| !load.is_finished()) {
        let all = scrape(&world).await.sum("wxgate_requests_total");
        assert!(all >= last, "a counter went back");
        last = all;
    }
    for load in loads {
        load.await.unwrap();
    }
    let vouched = [ROOT, ("decision", "vouched")];
    until_is(&world, "wxgate_requests_total", &vouched, 401.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_pages_of_operators_are_not_for_visitors() {
    let world = World::new().await;
    for path in ["/metrics", "/status", "/status.json"] {
        let told = Browser::new(DESKTOP).open(world.admin, path).await;
        assert_eq!(told.status, 200);
        let public = Browser::new(DESKTOP).open(world.gateway, path).await;
        assert_eq!(public.status, 403, "a path like any other");
        assert!(!public.text().contains("wxgate_requests"));
        let mut visitor = world.visitor().await;
        assert_eq!(visitor.open(world.gateway, path).await.status, 200);
        assert_eq!(world.app.last().line(), format!("GET {path} HTTP/1.1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_plan_takes_nothing_away_and_is_told() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let notify = [("route", "127.0.0.1/pay/notify"), ("decision", "public")];
    let vouched = [ROOT, ("decision", "vouched")];
    visitor.open(world.gateway, "/pay/notify").await;
    until_is(&world, "wxgate_requests_total", &notify, 1.0).await;
    let before = scrape(&world).await;
    // One route more before all others, so that each has another number.
    let first = "[[routes]]\nhost = \"127.0.0.1\"\npath = \"/first\"\nupstream = \"http://127.0.0.1:1\"\nauth = \"none\"\n\n[[routes]]";
    let reloads = world.reload(|text| text.replacen("[[routes]]", first, 1));
    assert_eq!((reloads.applied, reloads.refused), (1, 0));
    visitor.open(world.gateway, "/pay/notify").await;
    visitor.open(world.gateway, "/x").await;
    world.visitor().await;
    let told = until_is(&world, "wxgate_requests_total", &vouched, 3.0).await;
    assert_eq!(told.get("wxgate_requests_total", &notify), 2.0);
    assert_eq!(told.get("wxgate_logins_total", &outcome("ok")), 2.0);
    let call = [("call", "access_token")];
    let name = "wxgate_wechat_request_duration_seconds_count";
    assert_eq!(told.get(name, &call), 2.0);
    for ((name, labels), value) in &before.values {
        let (now, is_gauge) = (
            told.values.get(&(name.clone(), labels.clone())),
            told.types.get(name).is_some_and(|kind| kind == "gauge"),
        );
        assert!(
            is_gauge || now >= Some(value),
            "{name} {labels:?}: {now:?} < {value}"
        );
    }
    let result = |result| [("result", result)];
    let (name, good) = (
        "wxgate_config_reloads_total",
        "wxgate_config_last_reload_successful",
    );
    assert_eq!(told.get(name, &result("applied")), 1.0);
    assert_eq!(told.get(good, &[]), 1.0);

    world.reload(|text| format!("{text}\n<not toml>"));
    let told = scrape(&world).await;
    assert_eq!(told.get(name, &result("refused")), 1.0);
    assert_eq!(told.get(good, &[]), 0.0);
    world.reload(|text| {
        let mended = text.replace("<not toml>", "");
        mended.replacen("[server]", "[server]\nthreads = 3", 1)
    });
    let told = scrape(&world).await;
    assert_eq!(told.get("wxgate_config_restart_needed", &[]), 1.0);
    assert_eq!(told.get(good, &[]), 1.0);
}
