//! Gateways that share a Redis behave as one, whatever becomes of it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wxgate::config::Plan;
use wxgate::secret::Secret;
use wxgate::server::{self, Running};
use wxgate::signing::Keyring;
use wxgate::simulator::{Mood, Simulator};

use crate::app::App;
use crate::client::{Answer, Browser, Traveller, WECHAT, send, split};
use crate::conformance::{now, until};
use crate::kill::kills;
use crate::servers::{PASSWORD, Server};
use crate::world::{Extra, OPENID, files, gateway_toml, install_crypto, simulator};

const ROUTES: &str = r#"
[[routes]]
host = "127.0.0.1"
path = "/checked"
upstream = "http://{app}"
account = "shop"
verify_every = "2s"

[[routes]]
host = "127.0.0.1"
path = "/trusted"
upstream = "http://{app}"
account = "shop"
access_token = true

[[routes]]
host = "a.test"
upstream = "http://{app}"
account = "shop"

[facade]
host = "wx.test"

[[facade.apps]]
name = "legacy"
account = "shop"
app_id = "wxlegacy00000001"
app_secret = { file = "legacy_secret" }
callback_origins = ["http://legacy.test"]

[store]
kind = { redis = { file = "redis_url" } }
"#;

/// Two gateways, of which the first has the callback.
pub struct Pair {
    pub one: SocketAddr,
    pub other: SocketAddr,
    admins: [SocketAddr; 2],
    word: String,
    app: App,
    simulator: Simulator,
    files: tempfile::TempDir,
    _running: [Running; 2],
}

/// The same file for a gateway at an address of its own: the callback stays the
/// first's.
fn listening_at(own: SocketAddr, text: &str, first: SocketAddr) -> String {
    let listen = |address| format!("listen = [\"{address}\"]");
    assert!(text.contains(&listen(first)));
    text.replace(&listen(first), &listen(own))
}

impl Pair {
    pub async fn on(server: &Server) -> Self {
        install_crypto();
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [one, other] = [0, 1].map(|at: usize| listeners[at].local_addr().unwrap());
        let app = App::start().await;
        let simulator = simulator(one).await;
        let files = files();
        std::fs::write(files.path().join("redis_url"), server.url()).unwrap();
        let extra = Extra {
            session: "keys = [{ file = \"key\" }]",
            tables: ROUTES,
            ..Extra::default()
        };
        let text = gateway_toml(one, app.addr, &simulator, &extra);
        let mut running = Vec::new();
        for listener in listeners {
            let text = listening_at(listener.local_addr().unwrap(), &text, one);
            let plan = Plan::parse(&files.path().join("gateway.toml"), &text)
                .unwrap_or_else(|mistakes| panic!("{mistakes}"));
            running.push(server::start_on(plan, vec![listener]).await.unwrap());
        }
        let running: [Running; 2] = running.try_into().ok().unwrap();
        let key = std::fs::read_to_string(files.path().join("key")).unwrap();
        let ring = Keyring::new(&[Secret::new(key)]).unwrap();
        Self {
            one,
            other,
            admins: [0, 1].map(|at: usize| running[at].admin.unwrap()),
            word: ring.admin_word().expose().to_owned(),
            app,
            simulator,
            files,
            _running: running,
        }
    }

    /// A visitor who logged in for `target` at the first.
    async fn visitor(&self, target: &str) -> Browser {
        let mut browser = Browser::new(WECHAT);
        let (answer, _) = browser.visit(self.one, target).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        browser
    }

    async fn is_let_in(&self, gateway: SocketAddr, browser: &Browser) -> bool {
        match browser.clone().open(gateway, "/").await.status {
            200 => true,
            302 => false,
            status => panic!("{status}"),
        }
    }

    async fn order(&self, order: &str) -> Answer {
        let request = format!(
            "POST /sessions/revoke HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{order}",
            self.word,
            order.len()
        );
        send(self.admins[0], request).await
    }

    async fn ready(&self, at: usize) -> Answer {
        send(
            self.admins[at],
            "GET /readyz HTTP/1.1\r\nHost: admin\r\n\r\n",
        )
        .await
    }

    pub async fn until_ready(&self) {
        for at in [0, 1] {
            until("it is ready", async || self.ready(at).await.status == 200).await;
        }
    }
}

async fn log_out(browser: &mut Browser, gateway: SocketAddr) -> Answer {
    let own = [
        ("Sec-Fetch-Site", "same-origin"),
        ("Accept", "application/json"),
    ];
    browser
        .ask("POST", gateway, "/.wxgate/logout", &own, b"")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ended_at_one_has_ended_at_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Server::plain(dir.path());
    let pair = Pair::on(&redis).await;
    let mut browser = pair.visitor("/").await;
    let copy = browser.clone();
    assert!(pair.is_let_in(pair.other, &copy).await);
    assert_eq!(log_out(&mut browser, pair.one).await.status, 200);
    let took = until("it has ended", async || {
        !pair.is_let_in(pair.other, &copy).await
    })
    .await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let second = pair.visitor("/").await;
    assert!(pair.is_let_in(pair.other, &second).await);
    assert_eq!(
        pair.order(&format!("{{\"openid\":\"{OPENID}\"}}"))
            .await
            .status,
        200
    );
    let took = until("it has ended", async || {
        !pair.is_let_in(pair.other, &second).await
    })
    .await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_kept_once_sealed_and_renewed_once_for_both() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Server::plain(dir.path());
    let pair = Pair::on(&redis).await;
    // With less nothing is kept.
    pair.visitor("/").await;
    assert_eq!(records(&redis).len(), 0);
    let mut browser = pair.visitor("/trusted").await;
    let token = pair.app.last().value("x-wechat-access-token").unwrap();
    assert_eq!(browser.open(pair.other, "/trusted").await.status, 200);
    assert_eq!(
        pair.app.last().value("x-wechat-access-token"),
        Some(token.clone())
    );
    let kept = records(&redis);
    assert_eq!(kept.len(), 1);
    let value = redis.cli(&["--no-raw", "GET", &kept[0]]);
    assert!(
        !value.contains(&token) && !value.contains(OPENID) && value.len() > 100,
        "{value}"
    );

    let browser = pair.visitor("/checked").await;
    pair.simulator.advance_clock(Duration::from_secs(3 * 3600));
    let began = Instant::now();
    while pair.simulator.calls().refresh.total == 0 {
        let requests = [pair.one, pair.other].repeat(4).into_iter().map(|gateway| {
            let bytes = browser.request("GET", gateway, "/checked", &[], b"");
            tokio::spawn(send(gateway, bytes))
        });
        for request in requests.collect::<Vec<_>>() {
            assert_eq!(request.await.unwrap().status, 200);
        }
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(pair.simulator.calls().refresh.total, 1);
}

/// The names of the records in `redis`, but for locks and for what came of an
/// exchange, which live for a minute.
fn records(redis: &Server) -> Vec<String> {
    let names = redis.cli(&["KEYS", "{wxgate}:r:*"]);
    let names = names.lines().map(str::to_owned);
    let is_kept = |name: &String| {
        let left: i64 = redis.cli(&["PTTL", name]).trim().parse().unwrap();
        left > 60_000
    };
    names.filter(is_kept).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_exchanged_once_wherever_its_callback_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Server::plain(dir.path());
    let pair = Pair::on(&redis).await;
    pair.simulator
        .set_mood(Mood::Slow(Duration::from_millis(300)));
    for round in 1..=3 {
        let mut browser = Browser::new(WECHAT);
        let answer = browser.open(pair.one, "/somewhere?x=1").await;
        let answer = browser.open_url(answer.location()).await;
        let callback = split(answer.location()).1;
        let arrivals = [pair.one, pair.other].repeat(4).into_iter().map(|gateway| {
            let bytes = browser.request("GET", gateway, &callback, &[], b"");
            tokio::spawn(send(gateway, bytes))
        });
        let mut ids = Vec::new();
        for arrival in arrivals.collect::<Vec<_>>() {
            let answer = arrival.await.unwrap();
            assert_eq!(answer.status, 302, "{answer:?}");
            assert!(answer.location().ends_with("/somewhere?x=1"), "{answer:?}");
            let mut visitor = browser.clone();
            visitor.keep(&answer);
            let me = visitor.open(pair.other, "/.wxgate/me").await.json();
            ids.push(me["data"]["session"].as_str().unwrap().to_owned());
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "one code opened several sessions");
        assert_eq!(pair.simulator.calls().exchange.total, round);
    }
}

/// A login at another host than the callback's as far as its ticket, which is not
/// used yet.
async fn until_ticket(pair: &Pair) -> (Traveller, String) {
    let mut traveller = Traveller::new(pair.other);
    let is_ticket = |url: &str| url.contains("/.wxgate/callback/ticket?t=");
    let (_, trail) = traveller.until("http://a.test/x", is_ticket).await;
    let ticket = trail.last().unwrap().clone();
    assert!(is_ticket(&ticket), "{trail:?}");
    (traveller, ticket)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_taken_once_by_all_that_share_a_redis() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Server::plain(dir.path());
    let pair = Pair::on(&redis).await;
    for _ in 0..3 {
        let (traveller, ticket) = until_ticket(&pair).await;
        let arrivals = [pair.one, pair.other].repeat(4).into_iter().map(|gateway| {
            let (mut traveller, ticket) = (traveller.clone(), ticket.clone());
            traveller.gateway = gateway;
            tokio::spawn(async move { (traveller.open(&ticket).await, traveller) })
        });
        let mut opened = 0;
        for arrival in arrivals.collect::<Vec<_>>() {
            let (answer, mut traveller) = arrival.await.unwrap();
            assert_eq!(answer.status, 302, "{answer:?}");
            let session = traveller.at("a.test").cookie("wxgate_shop").is_some();
            opened += usize::from(session);
            assert_eq!(session, answer.location() == "http://a.test/x");
        }
        assert_eq!(opened, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_ticket_is_taken_while_redis_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = Server::plain(dir.path());
    let pair = Pair::on(&redis).await;
    pair.until_ready().await;
    let (mut traveller, ticket) = until_ticket(&pair).await;
    redis.kill();
    for at in [0, 1] {
        until("it tells", async || pair.ready(at).await.status == 503).await;
    }
    let answer = traveller.open(&ticket).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(traveller.at("a.test").cookie("wxgate_shop").is_none());
    redis.restart();
    pair.until_ready().await;
    // Nothing was used up, and the login goes on where it stopped.
    let (answer, trail) = traveller.visit(&ticket).await;
    assert_eq!(answer.status, 200, "{trail:#?}");
    assert_eq!(trail.last().unwrap(), "http://a.test/x");
}

/// What visitors met while something went on.
#[derive(Default)]
struct Met {
    asked: AtomicUsize,
    not_let_in: AtomicUsize,
    slow: AtomicUsize,
}

/// Visitors who ask all the time, until `stop`.
async fn visit(pair: &Pair, browser: &Browser, met: &Met, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for gateway in [pair.one, pair.other] {
            let began = Instant::now();
            let answer = send(gateway, browser.request("GET", gateway, "/", &[], b"")).await;
            met.asked.fetch_add(1, Ordering::Relaxed);
            met.not_let_in
                .fetch_add(usize::from(answer.status != 200), Ordering::Relaxed);
            let slow = began.elapsed() > Duration::from_secs(1);
            met.slow.fetch_add(usize::from(slow), Ordering::Relaxed);
        }
    }
}

/// A Redis that goes away, by `away`, and comes back, by `back`, under visitors.
async fn outage(away: impl AsyncFnOnce(&mut Server), back: impl AsyncFnOnce(&mut Server)) {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = Server::plain(dir.path());
    let pair = Pair::on(&redis).await;
    pair.until_ready().await;
    let browser = pair.visitor("/").await;
    let mut trusted = pair.visitor("/trusted").await;
    let mut leaver = pair.visitor("/").await;
    let copy = leaver.clone();
    let (met, stop) = (Met::default(), AtomicBool::new(false));
    let visitors = async {
        tokio::join!(
            visit(&pair, &browser, &met, &stop),
            visit(&pair, &browser, &met, &stop),
            visit(&pair, &browser, &met, &stop),
        )
    };
    let story = async {
        away(&mut redis).await;
        for at in [0, 1] {
            until("it tells", async || pair.ready(at).await.status == 503).await;
            let told = pair.ready(at).await.text();
            assert!(
                told.starts_with("store: ") && !told.contains(PASSWORD),
                "{told}"
            );
            let except = "GET /readyz?except=store HTTP/1.1\r\nHost: admin\r\n\r\n";
            let bare = send(pair.admins[at], except).await;
            assert_eq!(bare.status, 200, "{bare:?}");
        }
        // What needs the store is refused, and says so. What was opened a moment
        // ago may still be remembered, for half a minute.
        let mut fresh = Browser::new(WECHAT);
        let (answer, _) = fresh.visit(pair.one, "/trusted").await;
        assert_eq!(
            (answer.status, answer.value("retry-after")),
            (503, Some("5")),
            "{answer:?}"
        );
        let exchanged = pair.simulator.calls().exchange.total;
        assert!(
            answer.text().contains("暂时无法确认登录"),
            "{}",
            answer.text()
        );
        assert_eq!(pair.simulator.calls().exchange.total, exchanged);
        // A login that needs nothing of it goes on.
        let (answer, _) = fresh.visit(pair.one, "/").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        // A logout is not certain, and holds here.
        let answer = log_out(&mut leaver, pair.one).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(leaver.cookie("wxgate_shop"), None);
        assert!(!pair.is_let_in(pair.one, &copy).await);
        assert_eq!(pair.order("{\"openid\":\"oNobody\"}").await.status, 503);
        back(&mut redis).await;
        pair.until_ready().await;
        // It is certain now, everywhere.
        until("it has ended", async || {
            !pair.is_let_in(pair.other, &copy).await
        })
        .await;
        let (answer, _) = trusted.visit(pair.other, "/trusted").await;
        assert_eq!(answer.status, 200);
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(visitors, story);
    let [asked, not_let_in, slow] =
        [&met.asked, &met.not_let_in, &met.slow].map(|count| count.load(Ordering::Relaxed));
    assert!(
        asked > 100 && not_let_in == 0,
        "{not_let_in} of {asked} were not let in"
    );
    assert_eq!(slow, 0, "of {asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on_while_redis_is_silent() {
    outage(async |redis| redis.stop(), async |redis| redis.go_on()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on_while_redis_is_gone() {
    outage(async |redis| redis.kill(), async |redis| redis.restart()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on_while_redis_is_slow() {
    // A script that runs for two seconds at a time: everything else waits for it.
    let busy = Arc::new(AtomicBool::new(true));
    let (away, back) = (Arc::clone(&busy), Arc::clone(&busy));
    outage(
        async move |redis| {
            let port = redis.port.to_string();
            std::thread::spawn(move || {
                while away.load(Ordering::Relaxed) {
                    let script = "local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 3 do end";
                    let _ = std::process::Command::new("redis-cli")
                        .args(["-p", &port, "-a", PASSWORD, "--no-auth-warning", "EVAL", script, "0"])
                        .output();
                }
            });
        },
        async move |_| back.store(false, Ordering::Relaxed),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_without_its_redis_lets_nobody_in_until_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Server::plain(dir.path());
    let first = Pair::on(&redis).await;
    let browser = first.visitor("/").await;
    redis.stop();
    // The same files: the same keys, so that the session is one.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = listener.local_addr().unwrap();
    let extra = Extra {
        session: "keys = [{ file = \"key\" }]",
        tables: ROUTES,
        ..Extra::default()
    };
    let text = gateway_toml(first.one, first.app.addr, &first.simulator, &extra);
    let text = listening_at(gateway, &text, first.one);
    let plan = Plan::parse(&first.files.path().join("gateway.toml"), &text).unwrap();
    let running = server::start_on(plan, vec![listener]).await.unwrap();
    let open = async |target: &str| {
        let bytes = browser.request("GET", gateway, target, &[], b"");
        send(gateway, bytes).await.status
    };
    for target in [
        "/",
        "/welcome",
        "/.wxgate/me",
        "/.wxgate/login",
        "/.wxgate/callback?state=x",
    ] {
        assert_eq!(open(target).await, 503, "{target}");
    }
    let nobody = Browser::new(WECHAT);
    let public = async |target: &str| {
        send(gateway, nobody.request("GET", gateway, target, &[], b""))
            .await
            .status
    };
    assert_eq!(
        (
            public("/pay/notify").await,
            public("/welcome").await,
            public("/").await
        ),
        (200, 200, 503)
    );
    redis.go_on();
    until("it lets in", async || open("/").await == 200).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sigkills_bring_nobody_back_with_a_redis() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Server::plain(dir.path());
    let url = dir.path().join("redis_url");
    std::fs::write(&url, redis.url()).unwrap();
    let kind = format!("kind = {{ redis = {{ file = \"{}\" }} }}", url.display());
    kills(&kind, 100).await;
}

/// A million visitors are put out already, and one more is.
#[tokio::test(flavor = "multi_thread")]
async fn one_among_a_million_is_put_out_within_a_second() {
    const MANY: usize = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let redis = Server::plain(dir.path());
    let script = format!(
        "for i = 1, {MANY} do redis.call('ZADD', KEYS[1], ARGV[1], string.format('v:wx1:oMany%021d %s', i, ARGV[2])) end"
    );
    let (before, until_then) = (now().to_string(), (now() + 86_400).to_string());
    redis.cli(&[
        "EVAL",
        &script,
        "1",
        "{wxgate}:revoked",
        &until_then,
        &before,
    ]);
    assert_eq!(
        redis.cli(&["ZCARD", "{wxgate}:revoked"]).trim(),
        MANY.to_string()
    );
    let pair = Pair::on(&redis).await;
    let began = Instant::now();
    while pair.ready(0).await.status != 200 || pair.ready(1).await.status != 200 {
        assert!(began.elapsed() < Duration::from_secs(300));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("a million revocations were read in {:?}", began.elapsed());
    let browser = pair.visitor("/").await;
    assert!(pair.is_let_in(pair.other, &browser).await);
    let began = Instant::now();
    assert_eq!(
        pair.order(&format!("{{\"openid\":\"{OPENID}\"}}"))
            .await
            .status,
        200
    );
    for gateway in [pair.one, pair.other] {
        until("it has ended", async || {
            !pair.is_let_in(gateway, &browser).await
        })
        .await;
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(pair.simulator.calls().check.total, 0);
}
