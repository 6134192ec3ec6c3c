//! More instances: what one and two of them that share a Redis cost a request
//! and a login, and how soon a session that was ended at one is ended at the
//! other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::gateway::{Gateway, HOST, Wanted, revocation, visitors};
use crate::measure::{self, Verdict, many, median};
use crate::origin::Origin;
use crate::servers::Server;
use crate::visitors::{Connection, Visitors, begin_login, drive, is_logged_in, openid};
use crate::wechat::WeChat;

const ROUNDS: usize = 5;
const REQUESTS: usize = 20_000;
const LOGINS: usize = 2_000;
const CONNECTIONS: usize = 16;
const REVOCATIONS: usize = 200;
pub const REDIS: &str = "\n[store]\nkind = { redis = { file = \"redis_url\" } }\n";

/// Some gateways that are one to their visitors.
struct Group {
    name: &'static str,
    gateways: Vec<Gateway>,
    requests: Vec<f64>,
    logins: Vec<f64>,
    rates: Vec<f64>,
}

impl Group {
    fn addresses(&self) -> Vec<SocketAddr> {
        let all = self.gateways.iter();
        all.map(|gateway| gateway.address).collect()
    }

    fn cpu(&self) -> f64 {
        let ids: Vec<u32> = self.gateways.iter().map(Gateway::id).collect();
        measure::cpu_of(&ids)
    }
}

/// Fails where there is none, and says which there is.
pub fn redis_version() -> String {
    let told = std::process::Command::new("redis-server")
        .arg("--version")
        .output()
        .unwrap_or_else(|error| panic!("redis-server: {error}; install it (tests/run does)"));
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let version = told.split_whitespace().nth(2).unwrap_or_default();
    format!("Redis {}", version.trim_start_matches("v="))
}

pub async fn measure() -> Vec<Verdict> {
    redis_version();
    let origin = Origin::start();
    let wechat = WeChat::start().await;
    let dir = tempfile::tempdir().unwrap();
    let redis = Server::plain(dir.path());
    std::fs::write(dir.path().join("redis_url"), redis.url()).unwrap();
    let visitors = Arc::new(visitors(dir.path()));
    let mut groups = Vec::new();
    for (name, count, tables) in [
        ("one, without a Redis", 1, ""),
        ("one and a Redis", 1, REDIS),
        ("two and a Redis", 2, REDIS),
    ] {
        let wanted = Wanted {
            app: origin.address,
            wechat: Some(wechat.address),
            tables,
        };
        let mut gateways = Vec::new();
        for _ in 0..count {
            gateways.push(Gateway::start(dir.path(), &visitors, &wanted).await);
        }
        groups.push(Group {
            name,
            gateways,
            requests: Vec::new(),
            logins: Vec::new(),
            rates: Vec::new(),
        });
    }
    for round in 0..=ROUNDS {
        for group in &mut groups {
            let (request, login, rate) = one_round(group, &visitors).await;
            // The first round warms up.
            if round > 0 {
                group.requests.push(request);
                group.logins.push(login);
                group.rates.push(rate);
            }
        }
    }
    measure::head(
        "Instances",
        &[
            "instances",
            "CPU a request with a session, µs",
            "CPU a login, µs",
            "logins/s",
        ],
    );
    let mut costs = Vec::new();
    for group in &mut groups {
        let cost = median(std::mem::take(&mut group.requests));
        measure::row(&[
            group.name.to_owned(),
            format!("{cost:.1}"),
            format!("{:.0}", median(std::mem::take(&mut group.logins))),
            format!("{:.0}", median(std::mem::take(&mut group.rates))),
        ]);
        costs.push(cost);
    }
    println!("\nCPU of all instances; Redis' own is not in it.");
    let pair = groups.pop().unwrap();
    let late = ended_elsewhere(dir.path(), &pair, &visitors).await;
    let ratio = costs[2] / costs[0];
    vec![
        Verdict {
            what: "CPU a request, two and a Redis to one without",
            budget: "none: no call a request".to_owned(),
            found: format!("{ratio:.2} ×"),
            holds: ratio <= 1.2,
        },
        Verdict {
            what: "a session ended at one, still let in at the other",
            budget: "the next request".to_owned(),
            found: format!("{late:.1} ms at most"),
            holds: late <= 100.0,
        },
    ]
}

/// What a request costs, and a login, in µs of CPU; how many logins a second.
async fn one_round(group: &Group, visitors: &Arc<Visitors>) -> (f64, f64, f64) {
    let addresses = group.addresses();
    let visitors = Arc::clone(visitors);
    let before = group.cpu();
    drive(&addresses, REQUESTS, CONNECTIONS, move |number| {
        visitors.request(number, HOST, "/")
    })
    .await;
    let request = (group.cpu() - before) / REQUESTS as f64 * 1e6;
    let before = group.cpu();
    let took = log_in(&addresses).await;
    let login = (group.cpu() - before) / LOGINS as f64 * 1e6;
    (request, login, LOGINS as f64 / took.as_secs_f64())
}

/// Logs visitors in who begin at one instance and come back to the next.
async fn log_in(addresses: &[SocketAddr]) -> Duration {
    // A code is used once, in all rounds.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let last = NEXT.load(Ordering::Relaxed) + LOGINS;
    let began = Instant::now();
    let mut all = JoinSet::new();
    for at in 0..CONNECTIONS {
        let there = addresses[at % addresses.len()];
        let back = addresses[(at + 1) % addresses.len()];
        all.spawn(async move {
            let mut first = Connection::to(there).await;
            let mut second = Connection::to(back).await;
            loop {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                if number >= last {
                    return;
                }
                let callback = begin_login(&mut first, number).await;
                let status = second.ask(&callback).await;
                assert!(is_logged_in(status, &second.text()), "{}", second.text());
            }
        });
    }
    all.join_all().await;
    NEXT.store(last, Ordering::Relaxed);
    began.elapsed()
}

/// Ends visitors' sessions at the first; how long the second lets them in after
/// the first has said that it is done, at most, in milliseconds.
async fn ended_elsewhere(dir: &std::path::Path, pair: &Group, visitors: &Visitors) -> f64 {
    let [one, other] = &pair.gateways[..] else {
        unreachable!("two instances");
    };
    let mut operator = Connection::to(one.admin).await;
    let mut visitor = Connection::to(other.address).await;
    let (mut said, mut from_order, mut from_answer) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..REVOCATIONS {
        // Visitors that nobody else is.
        let number = 10_000_000 + number;
        let order = revocation(dir, &openid(number));
        let page = visitors.request(number, HOST, "/");
        visitor.page(&page).await;
        let ordered = Instant::now();
        let telling = async {
            let status = operator.ask(&order).await;
            assert_eq!(status, 200, "{}", operator.text());
            Instant::now()
        };
        let asking = async {
            while visitor.ask(&page).await == 200 {}
            Instant::now()
        };
        let (told, refused) = tokio::join!(telling, asking);
        said.push(told - ordered);
        from_order.push(refused - ordered);
        from_answer.push(refused.saturating_duration_since(told));
        sleep(Duration::from_millis(2)).await;
    }
    measure::head(
        "A session ended at one instance, asked about at the other",
        &["of so many", "p50, ms", "p99, ms", "most, ms"],
    );
    let row = |what: &str, times: &mut Vec<Duration>| {
        measure::row(&[
            format!("{} {what}", many(REVOCATIONS)),
            format!("{:.1}", measure::at(times, 0.5)),
            format!("{:.1}", measure::at(times, 0.99)),
            format!("{:.1}", measure::at(times, 1.0)),
        ]);
    };
    row("orders, until done by the one", &mut said);
    row("orders, until the other refuses", &mut from_order);
    row("orders done, until the other refuses", &mut from_answer);
    measure::at(&mut from_answer, 1.0)
}
