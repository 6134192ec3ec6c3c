//! More routes: what a start, its memory and a request cost with 10, 1,000 and
//! 10,000 of them.

use std::fmt::Write as _;

use crate::gateway::{Gateway, HOST, Wanted, visitors};
use crate::measure::{self, Verdict, many, median, mib};
use crate::origin::Origin;
use crate::visitors::drive;

const SIZES: [usize; 3] = [10, 1_000, 10_000];
const STARTS: usize = 5;
const ROUNDS: usize = 5;
const REQUESTS: usize = 20_000;
const CONNECTIONS: usize = 16;

/// The host and the path of route `number`: ten to a host.
fn place(number: usize) -> (String, String) {
    let path = match number % 10 {
        0 => "/".to_owned(),
        part => format!("/part{part}/of/it"),
    };
    (format!("shop{}.example.com", number / 10), path)
}

fn tables(count: usize, origin: &Origin) -> String {
    let mut text = String::new();
    // The usual one is there already.
    for number in 1..count {
        let (host, path) = place(number);
        let app = origin.address;
        write!(
            text,
            "\n[[routes]]\nhost = \"{host}\"\npath = \"{path}\"\nupstream = \"http://{app}\"\naccount = \"shop\"\n"
        )
        .unwrap();
    }
    text
}

pub async fn measure() -> Vec<Verdict> {
    let origin = Origin::start();
    let dir = tempfile::tempdir().unwrap();
    let mut gateways = Vec::new();
    let mut starts = Vec::new();
    let mut resident = Vec::new();
    for count in SIZES {
        let visitors = visitors(dir.path());
        let tables = tables(count, &origin);
        let wanted = Wanted {
            app: origin.address,
            wechat: None,
            tables: &tables,
        };
        let mut took = Vec::new();
        let mut last = None;
        for _ in 0..STARTS {
            drop(last.take());
            let gateway = Gateway::start(dir.path(), &visitors, &wanted).await;
            took.push(gateway.started_in.as_secs_f64() * 1e3);
            last = Some(gateway);
        }
        let gateway = last.unwrap();
        starts.push(median(took));
        resident.push(gateway.resident());
        // One visitor a route, made beforehand: all routes are asked for, out
        // of their order.
        let requests: Vec<_> = (0..count)
            .map(|at| match at * 7919 % count {
                0 => visitors.request(0, HOST, "/"),
                number => {
                    let (host, path) = place(number);
                    visitors.request(number, &host, &path)
                }
            })
            .collect();
        gateways.push((gateway, std::sync::Arc::new(requests)));
    }
    let mut costs = vec![Vec::new(); SIZES.len()];
    for round in 0..=ROUNDS {
        for (at, (gateway, requests)) in gateways.iter().enumerate() {
            let requests = std::sync::Arc::clone(requests);
            let before = gateway.cpu();
            drive(&[gateway.address], REQUESTS, CONNECTIONS, move |number| {
                requests[number % requests.len()].clone()
            })
            .await;
            // The first round warms up.
            if round > 0 {
                costs[at].push((gateway.cpu() - before) / REQUESTS as f64 * 1e6);
            }
        }
    }
    measure::head(
        "Routes",
        &[
            "routes",
            "start to first answer, ms",
            "memory, MiB",
            "CPU a request, µs",
        ],
    );
    let costs: Vec<f64> = costs.into_iter().map(median).collect();
    for (at, count) in SIZES.into_iter().enumerate() {
        measure::row(&[
            many(count),
            format!("{:.0}", starts[at]),
            mib(resident[at]),
            format!("{:.1}", costs[at]),
        ]);
    }
    let ratio = costs[2] / costs[0];
    vec![
        Verdict {
            what: "start to first answer",
            budget: "≤ 100 ms".to_owned(),
            found: format!("{:.0} ms", starts[0]),
            holds: starts[0] <= 100.0,
        },
        Verdict {
            what: "CPU a request, 10,000 routes to 10",
            budget: "≤ 1.2 ×".to_owned(),
            found: format!("{ratio:.2} ×"),
            holds: ratio <= 1.2,
        },
    ]
}
