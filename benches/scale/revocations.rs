//! More that was ended: a start, its memory and a request with up to a million
//! revocations, from the journal and from a Redis.

use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;
use wxgate::revocation::{Revocation, Revocations};
use wxgate::secret::Secret;
use wxgate::store::{Place, RedisUrl, Settings, Store};

use crate::gateway::{APP_ID, Gateway, HOST, Wanted, visitors};
use crate::instances::{REDIS, redis_version};
use crate::measure::{self, Verdict, many, median, mib};
use crate::origin::Origin;
use crate::servers::Server;
use crate::visitors::{drive, id, now, openid};

const SIZES: [usize; 4] = [0, 10_000, 100_000, 1_000_000];
/// How many are written at one time.
const AT_ONCE: usize = 2_000;
/// Visitors with this number and more were put out, and those below were not.
const FIRST: usize = 50_000_000;
const ROUNDS: usize = 5;
const REQUESTS: usize = 20_000;
const CONNECTIONS: usize = 16;

/// One that runs, and what it took.
struct Case {
    name: String,
    gateway: Gateway,
    start_cpu: f64,
    resident: f64,
    most: f64,
    costs: Vec<f64>,
}

impl Case {
    fn of(name: String, gateway: Gateway) -> Self {
        Self {
            start_cpu: gateway.cpu(),
            resident: gateway.resident(),
            most: measure::most_resident(gateway.id()),
            name,
            gateway,
            costs: Vec::new(),
        }
    }
}

/// Number `number`: one half visitors, the other sessions.
fn revocation(number: usize) -> Revocation {
    let number = FIRST + number;
    match number % 2 {
        0 => Revocation::of_visitor(APP_ID, &openid(number), now()),
        _ => Revocation::of_session(id(number), now() + 7 * 24 * 3600),
    }
}

/// Ends sessions as the gateway does: through its own store.
async fn end(place: Place, state_dir: Option<&Path>, numbers: std::ops::Range<usize>) {
    let settings = Settings {
        place,
        prefix: "wxgate".to_owned(),
    };
    let revocations = Arc::new(Revocations::default());
    let dir = state_dir.map(Path::to_owned);
    let store = Store::open(settings, dir, revocations).await.unwrap();
    let mut writing = JoinSet::new();
    for number in numbers {
        if writing.len() == AT_ONCE {
            writing.join_next().await.unwrap().unwrap();
        }
        let store = Arc::clone(&store);
        writing.spawn(async move { store.revoke(&revocation(number)).await.unwrap() });
    }
    writing.join_all().await;
    store.ready().unwrap();
}

pub async fn measure() -> Vec<Verdict> {
    redis_version();
    let origin = Origin::start();
    let dir = tempfile::tempdir().unwrap();
    let visitors = Arc::new(visitors(dir.path()));
    let wanted = |tables| Wanted {
        app: origin.address,
        wechat: None,
        tables,
    };
    let state = dir.path().join("state");
    let mut cases = Vec::new();
    let mut written = 0;
    for size in SIZES {
        end(Place::Memory, Some(&state), written..size).await;
        written = size;
        // Each alone with its own, as one machine's gateway is.
        let own = dir.path().join(size.to_string());
        std::fs::create_dir_all(own.join("state")).unwrap();
        for file in ["key", "app_secret", "state/revocations"] {
            std::fs::copy(dir.path().join(file), own.join(file)).unwrap();
        }
        let gateway = Gateway::start(&own, &visitors, &wanted("")).await;
        cases.push(Case::of(format!("{} in the journal", many(size)), gateway));
    }
    let redis = Server::plain(dir.path());
    std::fs::write(dir.path().join("redis_url"), redis.url()).unwrap();
    let url = RedisUrl::parse(&Secret::new(redis.url())).unwrap();
    end(Place::Redis(url), None, 0..SIZES[3]).await;
    let gateway = Gateway::start(dir.path(), &visitors, &wanted(REDIS)).await;
    cases.push(Case::of(format!("{} in a Redis", many(SIZES[3])), gateway));
    for round in 0..=ROUNDS {
        for case in &mut cases {
            let visitors = Arc::clone(&visitors);
            let before = case.gateway.cpu();
            drive(
                &[case.gateway.address],
                REQUESTS,
                CONNECTIONS,
                move |number| visitors.request(number, HOST, "/"),
            )
            .await;
            // The first round warms up.
            if round > 0 {
                let cpu = case.gateway.cpu() - before;
                case.costs.push(cpu / REQUESTS as f64 * 1e6);
            }
        }
    }
    measure::head(
        "Revocations",
        &[
            "revocations",
            "start to first answer, ms",
            "CPU of it, ms",
            "memory, MiB",
            "most at once, MiB",
            "CPU a request, µs",
        ],
    );
    let mut costs = Vec::new();
    for case in &mut cases {
        let cost = median(std::mem::take(&mut case.costs));
        measure::row(&[
            case.name.clone(),
            format!("{:.0}", case.gateway.started_in.as_secs_f64() * 1e3),
            format!("{:.0}", case.start_cpu * 1e3),
            mib(case.resident),
            mib(case.most),
            format!("{cost:.1}"),
        ]);
        costs.push(cost);
    }
    let ratio = costs[3] / costs[0];
    vec![Verdict {
        what: "CPU a request, 1,000,000 revocations to none",
        budget: "≤ 1.2 ×".to_owned(),
        found: format!("{ratio:.2} ×"),
        holds: ratio <= 1.2,
    }]
}
