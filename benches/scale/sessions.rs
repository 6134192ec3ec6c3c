//! More visitors: what the gateway holds after it has seen a thousand, and a
//! million, all different.

use std::sync::Arc;

use crate::gateway::{Gateway, HOST, Wanted, visitors};
use crate::measure::{self, Verdict, many, mib};
use crate::origin::Origin;
use crate::visitors::drive;

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const CONNECTIONS: usize = 16;

pub async fn measure() -> Vec<Verdict> {
    let origin = Origin::start();
    let dir = tempfile::tempdir().unwrap();
    let visitors = Arc::new(visitors(dir.path()));
    let wanted = Wanted {
        app: origin.address,
        wechat: None,
        tables: "",
    };
    let gateway = Gateway::start(dir.path(), &visitors, &wanted).await;
    measure::head(
        "Visitors with a session, each another one",
        &["visitors", "memory, MiB", "CPU a request, µs", "requests/s"],
    );
    measure::row(&[
        "1".to_owned(),
        mib(gateway.resident()),
        String::new(),
        String::new(),
    ]);
    let (mut seen, mut held) = (1, Vec::new());
    for size in SIZES {
        let (count, first, cpu) = (size - seen, seen, gateway.cpu());
        let visitors = Arc::clone(&visitors);
        let request = move |number| visitors.request(first + number, HOST, "/");
        let took = drive(&[gateway.address], count, CONNECTIONS, request).await;
        held.push(gateway.resident());
        measure::row(&[
            many(size),
            mib(gateway.resident()),
            format!("{:.1}", (gateway.cpu() - cpu) / count as f64 * 1e6),
            format!("{:.0}", count as f64 / took.as_secs_f64()),
        ]);
        seen = size;
    }
    // After the first thousands, with which buffers come to their size.
    let each = (held[3] - held[1]).max(0.0) / (SIZES[3] - SIZES[1]) as f64;
    vec![Verdict {
        what: "memory a visitor, from 10,000 to 1,000,000",
        budget: "0 bytes".to_owned(),
        found: format!("{each:.2} bytes"),
        holds: each < 1.0,
    }]
}
