//! Apps of several peers: who is asked, who is left alone, and what is sent again.

mod broken_off;
mod secured;
mod table;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use wxgate::upstream::{Failure, UpstreamSeen};

use crate::app::App;
use crate::client::{Answer, Browser, DESKTOP, Wire, send};
use crate::world::{Extra, OPENID, World};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A route at `path` without login, whose app's table has `keys`.
fn open_route(path: &str, keys: &str) -> String {
    format!(
        "\n[[routes]]\nhost = \"127.0.0.1\"\npath = \"{path}\"\nauth = \"none\"\n\n[routes.upstream]\n{keys}\n"
    )
}

/// `peers` of the apps at `addrs`.
fn peers(addrs: &[SocketAddr]) -> String {
    let urls: Vec<String> = addrs
        .iter()
        .map(|addr| format!("\"http://{addr}\""))
        .collect();
    format!("peers = [{}]", urls.join(", "))
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

async fn get(world: &World, target: &str) -> Answer {
    Browser::new(DESKTOP).open(world.gateway, target).await
}

/// What is known of the app that begins with the peer at `addr`.
fn seen(world: &World, addr: SocketAddr) -> UpstreamSeen {
    let all = world.upstreams().into_iter();
    let mut found = all.filter(|seen| seen.peers[0].peer.ends_with(&addr.to_string()));
    found.next().expect("an app with this peer")
}

/// Waits until `holds`.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < PATIENCE, "{what}: in vain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn three() -> [App; 3] {
    [App::start().await, App::start().await, App::start().await]
}

fn counts<const N: usize>(apps: &[App; N]) -> [usize; N] {
    apps.each_ref().map(|app| app.seen().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_take_turns_as_their_weights_say() {
    let apps = three().await;
    let [one, two, three] = apps.each_ref().map(|app| app.addr);
    let keys = format!(
        "peers = [{{ url = \"http://{one}\", weight = 3 }}, {{ url = \"http://{two}\", weight = 2 }}, \"http://{three}\"]"
    );
    let world = World::with_tables(&open_route("/spread", &keys)).await;
    for _ in 0..30 {
        assert_eq!(get(&world, "/spread").await.status, 200);
    }
    assert_eq!(counts(&apps), [15, 10, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_a_table_of_peers() {
    let apps = three().await;
    let list = peers(&apps.each_ref().map(|app| app.addr)).replace("peers", "upstream");
    let tables = format!(
        "\n[[routes]]\nhost = \"127.0.0.1\"\npath = \"/spread\"\nauth = \"none\"\n{list}\n"
    );
    let world = World::with_tables(&tables).await;
    for _ in 0..6 {
        assert_eq!(get(&world, "/spread").await.status, 200);
    }
    assert_eq!(counts(&apps), [2, 2, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_least_to_do_is_asked() {
    let apps = three().await;
    let addrs = apps.each_ref().map(|app| app.addr);
    let keys = format!("{}\nbalance = \"least_connections\"", peers(&addrs));
    let world = World::with_tables(&open_route("/half", &keys)).await;
    // Each waits at its app until it is told to go on.
    let mut waiting = Vec::new();
    for count in 1..=9 {
        let mut wire = Wire::to(world.gateway).await;
        wire.send(format!(
            "GET /half HTTP/1.1\r\nHost: {}\r\n\r\n",
            world.gateway
        ))
        .await;
        waiting.push(wire);
        until("it arrives", async || {
            counts(&apps).iter().sum::<usize>() == count
        })
        .await;
    }
    assert_eq!(counts(&apps), [3, 3, 3]);
    let busy = || {
        seen(&world, addrs[0])
            .peers
            .into_iter()
            .map(|peer| peer.busy)
    };
    assert_eq!(busy().collect::<Vec<_>>(), [3, 3, 3]);
    // Two have nothing to do any more, and get all that comes.
    for app in &apps[1..] {
        for _ in 0..3 {
            app.go_on.notify_one();
            until("it goes on", async || busy().sum::<usize>() < waiting.len()).await;
            let before = waiting.len();
            let mut left = Vec::new();
            for mut wire in waiting.drain(..) {
                match tokio::time::timeout(Duration::from_millis(200), wire.bytes(1)).await {
                    Ok(byte) => assert_eq!(byte, b"H"),
                    Err(_) => left.push(wire),
                }
            }
            waiting = left;
            assert_eq!(waiting.len(), before - 1);
        }
    }
    assert_eq!(busy().collect::<Vec<_>>(), [3, 0, 0]);
    let before = counts(&apps);
    for _ in 0..4 {
        for app in &apps[1..] {
            app.go_on.notify_one();
        }
        assert_eq!(get(&world, "/half").await.status, 200);
    }
    assert_eq!(counts(&apps)[0], before[0]);
}

/// A route at `/s` whose visitors each have a peer of their own.
fn by_session(addrs: &[SocketAddr]) -> String {
    format!(
        "\n[[routes]]\nhost = \"127.0.0.1\"\npath = \"/s\"\naccount = \"shop\"\n\n[routes.upstream]\n{}\n\
         balance = \"session\"\nejection = {{ failures = 1, rest = \"50ms\", longest = \"50ms\" }}\n",
        peers(addrs)
    )
}

/// Which of `apps` the next request of `browser` reaches.
async fn reached<const N: usize>(
    world: &World,
    browser: &mut Browser,
    apps: &[App; N],
) -> Option<usize> {
    let before = counts(apps);
    assert_eq!(browser.open(world.gateway, "/s").await.status, 200);
    let after = counts(apps);
    (0..N).find(|at| after[*at] > before[*at])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stays_with_its_peer_through_its_death_and_return() {
    let mut apps = three().await;
    let addrs = apps.each_ref().map(|app| app.addr);
    let world = World::with_tables(&by_session(&addrs)).await;
    let (mut visitors, mut homes) = (Vec::new(), Vec::new());
    for _ in 0..12 {
        let mut visitor = world.visitor().await;
        let home = reached(&world, &mut visitor, &apps).await.unwrap();
        for _ in 0..3 {
            assert_eq!(reached(&world, &mut visitor, &apps).await, Some(home));
        }
        visitors.push(visitor);
        homes.push(home);
    }
    // One of a half million such dozens is all at one peer.
    assert!(homes.iter().any(|home| *home != homes[0]), "{homes:?}");
    // The first one's peer dies: whoever was there goes elsewhere, the rest stay.
    let dead = homes[0];
    let substitute = App::start().await;
    let gone = std::mem::replace(&mut apps[dead], substitute);
    drop(gone);
    for (visitor, home) in visitors.iter_mut().zip(&homes) {
        let now = reached(&world, visitor, &apps).await;
        match *home == dead {
            true => assert_ne!(now, Some(dead)),
            false => assert_eq!(now, Some(*home)),
        }
    }
    // It returns, and with it everybody who was there.
    apps[dead] = App::at(addrs[dead]).await;
    until("its rest ends", async || {
        reached(&world, &mut visitors[0], &apps).await == Some(dead)
    })
    .await;
    for (visitor, home) in visitors.iter_mut().zip(&homes) {
        assert_eq!(reached(&world, visitor, &apps).await, Some(*home));
    }
}

/// An app that answers each path with the status that stands for it.
struct Moody {
    addr: SocketAddr,
    statuses: std::sync::Arc<std::sync::Mutex<std::collections::HashMap<&'static str, u16>>>,
    asked: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Moody {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let moody = Self {
            addr: listener.local_addr().unwrap(),
            statuses: std::sync::Arc::default(),
            asked: std::sync::Arc::default(),
        };
        let (statuses, asked) = (moody.statuses.clone(), moody.asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (statuses, asked) = (statuses.clone(), asked.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let head = String::from_utf8(head).unwrap();
                    let path = head.split(' ').nth(1).unwrap().to_owned();
                    asked.lock().unwrap().push(head);
                    let status = statuses.lock().unwrap().get(&*path).copied().unwrap_or(200);
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        moody
    }

    fn says(&self, path: &'static str, status: u16) {
        self.statuses.lock().unwrap().insert(path, status);
    }

    /// The requests for `path`.
    fn asked(&self, path: &str) -> Vec<String> {
        let begins = format!("GET {path} ");
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|head| head.starts_with(&begins))
            .cloned()
            .collect()
    }
}

const HEALTH: &str = "health = { path = \"/healthz\", interval = \"20ms\", timeout = \"5s\", healthy = 2, unhealthy = 3 }";

#[tokio::test(flavor = "multi_thread")]
async fn a_check_takes_a_peer_out_and_back_in() {
    let (sick, sound) = (Moody::start().await, Moody::start().await);
    let keys = format!("{}\n{HEALTH}", peers(&[sick.addr, sound.addr]));
    let world = World::with_tables(&open_route("/app", &keys)).await;
    for _ in 0..4 {
        assert_eq!(get(&world, "/app").await.status, 200);
    }
    assert_eq!(
        (sick.asked("/app").len(), sound.asked("/app").len()),
        (2, 2)
    );
    let up = || seen(&world, sick.addr).peers[0].up;
    sick.says("/healthz", 500);
    until("it is out", async || !up()).await;
    let (before, checks) = (sick.asked("/app").len(), sick.asked("/healthz").len());
    for _ in 0..6 {
        assert_eq!(get(&world, "/app").await.status, 200);
    }
    assert_eq!(sick.asked("/app").len(), before, "nothing was sent to it");
    assert_eq!(seen(&world, sick.addr).peers[0].checked, Some(false));
    until("it is asked on", async || {
        sick.asked("/healthz").len() > checks
    })
    .await;
    sick.says("/healthz", 302);
    until("it is back", async || up()).await;
    for _ in 0..4 {
        assert_eq!(get(&world, "/app").await.status, 200);
    }
    assert_eq!(sick.asked("/app").len(), before + 2);
    let check = &sick.asked("/healthz")[0];
    assert!(
        check.contains(&format!("\r\nHost: {}\r\n", sick.addr)),
        "{check}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_asks_as_it_is_told() {
    let app = Moody::start().await;
    let health = "health = { path = \"/up?deep=1\", host = \"app.internal\", status = 204, interval = \"20ms\" }";
    let keys = format!("{}\n{health}", peers(&[app.addr]));
    let world = World::with_tables(&open_route("/app", &keys)).await;
    let up = || seen(&world, app.addr).peers[0].up;
    until("200 is not enough", async || !up()).await;
    app.says("/up?deep=1", 204);
    until("204 is", async || up()).await;
    let asked = &app.asked("/up?deep=1")[0];
    assert!(asked.contains("\r\nHost: app.internal\r\n"), "{asked}");
    assert!(asked.contains(": wxgate-health\r\n"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everybody_is_out_visitors_are_told_and_nobody_is_asked() {
    let addrs = [nobody().await, nobody().await];
    let health = "health = { interval = \"20ms\", unhealthy = 1, healthy = 1 }";
    let keys = format!("{}\n{health}", peers(&addrs));
    let world = World::with_tables(&open_route("/app", &keys)).await;
    until("both are out", async || {
        seen(&world, addrs[0]).peers.iter().all(|peer| !peer.up)
    })
    .await;
    let page = get(&world, "/app").await;
    assert_eq!(page.status, 503, "{page:?}");
    assert!(page.text().contains("The site is down"), "{}", page.text());
    assert_eq!(page.value("retry-after"), Some("1"));
    let script = Browser::new(DESKTOP)
        .ask(
            "POST",
            world.gateway,
            "/app",
            &[("Accept", "application/json")],
            b"x",
        )
        .await;
    assert_eq!(
        (script.status, script.json()["message"].as_str()),
        (503, Some("app_out"))
    );
    let errors = seen(&world, addrs[0]).errors;
    assert!(errors.contains(&(Failure::NoPeer, 2)), "{errors:?}");
    assert!(errors.contains(&(Failure::Connect, 0)), "{errors:?}");
    // Anybody is enough.
    let app = App::at(addrs[1]).await;
    until("one is back", async || {
        get(&world, "/app").await.status == 200
    })
    .await;
    assert!(!app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_takes_no_connection_is_left_alone() {
    let (dead, app) = (nobody().await, App::start().await);
    let keys = format!(
        "{}\nejection = {{ failures = 2, rest = \"1h\", longest = \"1h\" }}",
        peers(&[dead, app.addr])
    );
    let world = World::with_tables(&open_route("/app", &keys)).await;
    // Nobody notices, and whatever it was is sent once.
    for count in 1..=8 {
        let posted = Browser::new(DESKTOP)
            .ask("POST", world.gateway, "/app", &[], b"once")
            .await;
        assert_eq!(posted.status, 200);
        assert_eq!(app.seen().len(), count);
        assert_eq!(app.last().body, b"once");
    }
    let known = seen(&world, dead);
    assert_eq!(known.peers[0].ejections, 1, "{known:?}");
    assert_eq!((known.peers[0].up, known.peers[1].up), (false, true));
    assert_eq!(known.retries, 2);
    assert!(known.errors.contains(&(Failure::Connect, 2)), "{known:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_ends_and_a_good_answer_ends_it_for_good() {
    let (dead, app) = (nobody().await, App::start().await);
    let keys = format!(
        "{}\nejection = {{ failures = 1, rest = \"50ms\", longest = \"50ms\" }}",
        peers(&[dead, app.addr])
    );
    let world = World::with_tables(&open_route("/app", &keys)).await;
    until("it is given a rest", async || {
        assert_eq!(get(&world, "/app").await.status, 200);
        seen(&world, dead).peers[0].ejections > 0
    })
    .await;
    let back = App::at(dead).await;
    until("its rest ends", async || {
        assert_eq!(get(&world, "/app").await.status, 200);
        !back.seen().is_empty()
    })
    .await;
    let ejections = || seen(&world, dead).peers[0].ejections;
    let before = ejections();
    for _ in 0..6 {
        assert_eq!(get(&world, "/app").await.status, 200);
    }
    assert!(seen(&world, dead).peers[0].up && ejections() == before);
    assert!(back.seen().len() >= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_for_another_in_vain_is_left_alone_too() {
    let (bad, good) = (Moody::start().await, Moody::start().await);
    bad.says("/app", 502);
    let keys = format!(
        "{}\nejection = {{ failures = 2, rest = \"1h\", longest = \"1h\" }}",
        peers(&[bad.addr, good.addr])
    );
    let world = World::with_tables(&open_route("/app", &keys)).await;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(get(&world, "/app").await.status);
    }
    // What the app says is passed on, and not asked for again elsewhere.
    assert_eq!(statuses, [502, 200, 502, 200, 200, 200, 200, 200, 200, 200]);
    assert_eq!(bad.asked("/app").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_everybody_rests_somebody_is_tried_all_the_same() {
    let addrs = [nobody().await, nobody().await];
    let keys = format!(
        "{}\nejection = {{ failures = 1, rest = \"1h\", longest = \"1h\" }}",
        peers(&addrs)
    );
    let world = World::with_tables(&open_route("/app", &keys)).await;
    for _ in 0..3 {
        let page = get(&world, "/app").await;
        assert_eq!(page.status, 502, "{page:?}");
    }
    assert!(seen(&world, addrs[0]).peers.iter().all(|peer| !peer.up));
    let _app = App::at(addrs[1]).await;
    assert_eq!(get(&world, "/app").await.status, 200);
    assert!(
        seen(&world, addrs[0]).peers[1].up,
        "a good answer ends the rest"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_not_used_again_where_that_is_off() {
    let app = App::start().await;
    let keys = format!("{}\nreuse = false", peers(&[app.addr]));
    let world = World::with(Extra {
        server: "threads = 1",
        tables: &open_route("/app", &keys),
        ..Extra::default()
    })
    .await;
    for _ in 0..4 {
        assert_eq!(get(&world, "/app").await.status, 200);
    }
    let mut connections: Vec<_> = app.seen().iter().map(|seen| seen.connection).collect();
    assert!(
        app.seen()
            .iter()
            .all(|seen| seen.value("connection").as_deref() == Some("close"))
    );
    connections.dedup();
    assert_eq!(connections.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_silent_for_too_long_is_slow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let keys = format!("{}\nread_timeout = \"100ms\"", peers(&[addr]));
    let world = World::with_tables(&open_route("/app", &keys)).await;
    assert_eq!(get(&world, "/app").await.status, 504);
    let errors = seen(&world, addr).errors;
    assert!(errors.contains(&(Failure::Timeout, 1)), "{errors:?}");
}

// Sockets in the file system.

/// An app at a socket: answers a request, or switches to echoing what it is sent.
fn at_socket(path: &std::path::Path) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                loop {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let head = String::from_utf8(head).unwrap().to_lowercase();
                    if !head.contains("upgrade: websocket") {
                        let who = head
                            .lines()
                            .find(|line| line.starts_with("x-wechat-openid: "));
                        let who = who.unwrap_or("nobody").to_owned();
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{who}",
                            who.len()
                        );
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        continue;
                    }
                    stream
                        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                        .await
                        .unwrap();
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    return;
                }
            });
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_listen_at_a_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let app = at_socket(&path);
    let tables = format!(
        "\n[[routes]]\nhost = \"127.0.0.1\"\npath = \"/app\"\naccount = \"shop\"\nupstream = \"unix:{}\"\n",
        path.display()
    );
    let world = World::with_tables(&tables).await;
    let mut visitor = world.visitor().await;
    for _ in 0..3 {
        let answer = visitor.open(world.gateway, "/app").await;
        let who = format!("x-wechat-openid: {}", OPENID.to_lowercase());
        assert_eq!((answer.status, answer.text()), (200, who));
    }
    let mut wire = Wire::to(world.gateway).await;
    let origin = format!("http://{}", world.gateway);
    let fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Origin", origin.as_str()),
    ];
    wire.send(visitor.request("GET", world.gateway, "/app", &fields, b""))
        .await;
    assert_eq!(wire.head().await.status, 101);
    for message in [&b"\x81\x05hello"[..], b"\x88\x00"] {
        wire.send(message).await;
        assert_eq!(wire.bytes(message.len()).await, message);
    }
    app.abort();
    drop(dir);
    let gone = visitor.open(world.gateway, "/app").await;
    assert!(gone.status == 502 || gone.status == 200, "{gone:?}");
    until("nobody is there", async || {
        visitor.open(world.gateway, "/app").await.status == 502
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_an_address_gives_way_to_the_next_peer() {
    let app = App::start().await;
    let keys = format!(
        "peers = [\"http://nobody.invalid:80\", \"http://{}\"]",
        app.addr
    );
    let world = World::with_tables(&open_route("/app", &keys)).await;
    for _ in 0..4 {
        let request = format!("GET /app HTTP/1.1\r\nHost: {}\r\n\r\n", world.gateway);
        assert_eq!(send(world.gateway, request).await.status, 200);
    }
    assert_eq!(app.seen().len(), 4);
}
