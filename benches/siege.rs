//! What visitors with a session notice while somebody means it badly:
//! `cargo bench --bench siege`.
//!
//! One gateway in a process of its own, an app and WeChat's simulator beside it,
//! all on loopback. Visitors ask at a fixed rate, and the time is measured from
//! when a request was due, so that waiting for a slow answer does not hide the
//! next ones. From another address come, one after the other, 2,000 connections
//! that send their headers drop by drop, and 20,000 starts of logins. First with
//! the limits as they are shipped, then with limits so high that all of it gets
//! in. Everything is bounded in number and time; it takes a minute and a half.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    dead_code,
    missing_docs,
    reason = "a benchmark fails by panicking, and shares the tests' world, of which it needs a part"
)]

#[path = "../tests/it/app.rs"]
mod app;
#[path = "../tests/it/client.rs"]
mod client;
#[path = "../tests/it/process.rs"]
mod process;
#[path = "../tests/it/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::client::{Browser, WECHAT, Wire};
use crate::process::Process;
use crate::world::Extra;

const VISITORS: usize = 40;
/// How often each visitor asks.
const PAUSE: Duration = Duration::from_millis(100);
const PHASE: Duration = Duration::from_secs(10);
const SLOW: usize = 2_000;
const LOGINS: usize = 20_000;
/// How fast logins are started: more, and the two cores measure the attacker.
const LOGINS_A_SECOND: usize = 2_000;
const ATTACKER: [u8; 4] = [127, 0, 0, 66];

/// What the visitors saw in one phase.
#[derive(Default)]
struct Seen {
    micros: Vec<u64>,
    failed: usize,
}

fn main() {
    // `cargo test --benches` and others ask for a list of tests: there is none.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let few = wxgate::process::open_files_for(NonZeroUsize::new(2 * SLOW).unwrap());
    assert!(few.is_none(), "too few files may be opened: {few:?}");
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            run("limits as shipped", "").await;
            run(
                "limits out of the way",
                "connections_per_address = 10000\nlogins_per_minute = 1000000\nheader_timeout = \"1m\"",
            )
            .await;
        });
}

async fn run(title: &str, limits: &str) {
    world::install_crypto();
    // Reserves a port; the gateway takes it a moment later.
    let gateway = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let app = app::App::start().await;
    let simulator = world::simulator(gateway).await;
    let files = world::files();
    let extra = Extra {
        limits,
        ..Extra::default()
    };
    let config = files.path().join("gateway.toml");
    let text = world::gateway_toml(gateway, app.addr, &simulator, &extra);
    std::fs::write(&config, format!("{text}\n[log]\nlevel = \"error\"\n")).unwrap();
    let process = Process::start(&["run", "--config", config.to_str().unwrap()]);
    while TcpStream::connect(gateway).await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
    let mut sessions = Vec::new();
    for _ in 0..VISITORS {
        let mut browser = Browser::new(WECHAT);
        let (answer, _) = browser.visit(gateway, "/").await;
        assert_eq!(answer.status, 200);
        sessions.push(browser);
    }
    println!(
        "\n{title}: {VISITORS} visitors, {} requests a second in all",
        VISITORS * 1000 / 100
    );
    println!(
        "{:<22}{:>9}{:>9}{:>9}{:>9}{:>9}{:>8}{:>10}{:>8}",
        "phase", "requests", "p50 ms", "p95 ms", "p99 ms", "max ms", "failed", "CPU s", "RSS MB"
    );
    let quiet = phase("quiet", &process, gateway, &sessions, sleep(PHASE)).await;
    let slow = Arc::new(Slowloris::default());
    phase(
        "2,000 slow headers",
        &process,
        gateway,
        &sessions,
        Arc::clone(&slow).besiege(gateway),
    )
    .await;
    println!(
        "{:22}held at most {}, refused with 503 {}, cut off {}",
        "",
        slow.most.load(Ordering::Relaxed),
        slow.refused.load(Ordering::Relaxed),
        slow.cut.load(Ordering::Relaxed)
    );
    let flood = Arc::new(Flood::default());
    phase(
        "20,000 login starts",
        &process,
        gateway,
        &sessions,
        Arc::clone(&flood).besiege(gateway),
    )
    .await;
    println!("{:22}answers {:?}", "", flood.answers.lock().unwrap());
    let after = phase("quiet again", &process, gateway, &sessions, sleep(PHASE)).await;
    println!(
        "{:22}p99 of the last to the first quiet: {:.2}",
        "",
        after as f64 / quiet as f64
    );
    drop(process);
}

/// Runs `siege` while the visitors ask; says what they saw, and their p99.
async fn phase(
    name: &str,
    process: &Process,
    gateway: SocketAddr,
    sessions: &[Browser],
    siege: impl Future<Output = ()>,
) -> u64 {
    let over = Arc::new(AtomicBool::new(false));
    let before = cpu_seconds(process.id());
    let visitors: Vec<_> = sessions
        .iter()
        .enumerate()
        .map(|(at, browser)| {
            let request = browser.request("GET", gateway, "/x", &[], b"");
            let offset =
                PAUSE * u32::try_from(at).unwrap() / u32::try_from(sessions.len()).unwrap();
            tokio::spawn(visit(gateway, request, offset, Arc::clone(&over)))
        })
        .collect();
    siege.await;
    over.store(true, Ordering::Relaxed);
    let mut all = Seen::default();
    for visitor in visitors {
        let seen = visitor.await.unwrap();
        all.micros.extend(seen.micros);
        all.failed += seen.failed;
    }
    all.micros.sort_unstable();
    let at =
        |share: f64| all.micros[((all.micros.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    println!(
        "{name:<22}{:>9}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>8}{:>10.2}{:>8.0}",
        all.micros.len(),
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0),
        all.failed,
        cpu_seconds(process.id()) - before,
        resident_mb(process.id()),
    );
    (at(0.99) * 1000.0) as u64
}

/// One visitor, who asks on one connection and opens another if that ends.
async fn visit(
    gateway: SocketAddr,
    request: Vec<u8>,
    offset: Duration,
    over: Arc<AtomicBool>,
) -> Seen {
    let mut seen = Seen::default();
    sleep(offset).await;
    let mut due = interval(PAUSE);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut wire = Wire::to(gateway).await;
    while !over.load(Ordering::Relaxed) {
        let began = due.tick().await;
        wire.send(&request).await;
        let answer = wire.answer(false).await;
        seen.micros
            .push(u64::try_from(began.elapsed().as_micros()).unwrap());
        if answer.status != 200 {
            seen.failed += 1;
            wire = Wire::to(gateway).await;
        }
    }
    seen
}

/// Connections that send their headers drop by drop.
#[derive(Default)]
struct Slowloris {
    held: AtomicUsize,
    most: AtomicUsize,
    refused: AtomicUsize,
    cut: AtomicUsize,
}

impl Slowloris {
    /// For twice as long as the others, so that a header's time runs out in it.
    async fn besiege(self: Arc<Self>, gateway: SocketAddr) {
        let end = Instant::now() + 2 * PHASE;
        let mut all = JoinSet::new();
        for _ in 0..SLOW {
            all.spawn(Arc::clone(&self).drip(gateway, end));
        }
        all.join_all().await;
    }

    async fn drip(self: Arc<Self>, gateway: SocketAddr, end: Instant) {
        while Instant::now() < end {
            let mut wire = Wire::from(IpAddr::from(ATTACKER), gateway).await;
            wire.send("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
                .await;
            let held = self.held.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(held, Ordering::Relaxed);
            let mut drops = 0;
            while Instant::now() < end && wire.try_send(b"x").await {
                drops += 1;
                sleep(Duration::from_secs(1)).await;
            }
            self.held.fetch_sub(1, Ordering::Relaxed);
            if Instant::now() < end {
                let why = if drops < 3 { &self.refused } else { &self.cut };
                why.fetch_add(1, Ordering::Relaxed);
                // At once would be another attack, and measure this machine.
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Logins that are started and never ended.
#[derive(Default)]
struct Flood {
    answers: std::sync::Mutex<BTreeMap<u16, usize>>,
}

impl Flood {
    const CONNECTIONS: usize = 20;

    async fn besiege(self: Arc<Self>, gateway: SocketAddr) {
        let mut all = JoinSet::new();
        for _ in 0..Self::CONNECTIONS {
            all.spawn(Arc::clone(&self).ask(gateway));
        }
        all.join_all().await;
    }

    async fn ask(self: Arc<Self>, gateway: SocketAddr) {
        let request = Browser::new(WECHAT).request("GET", gateway, "/x", &[], b"");
        let mut wire = Wire::from(IpAddr::from(ATTACKER), gateway).await;
        let pause = Duration::from_secs(1) * u32::try_from(Self::CONNECTIONS).unwrap()
            / u32::try_from(LOGINS_A_SECOND).unwrap();
        let mut due = interval(pause);
        for _ in 0..LOGINS / Self::CONNECTIONS {
            due.tick().await;
            wire.send(&request).await;
            let answer = timeout(Duration::from_secs(10), wire.answer(false)).await;
            let status = answer.map_or(0, |answer| answer.status);
            *self.answers.lock().unwrap().entry(status).or_default() += 1;
            if status == 0 {
                wire = Wire::from(IpAddr::from(ATTACKER), gateway).await;
            }
        }
    }
}

/// What a process has used of the processors, by `/proc` (proc(5)).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: f64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().unwrap())
        .sum();
    // Linux has counted hundredths of a second here for as long as it has /proc.
    ticks / 100.0
}

fn resident_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}
