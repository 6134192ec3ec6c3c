//! More visitors: what the gateway holds after it has seen a thousand, and a
//! million, all different; and after as many requests of one and the same, for
//! what grows with these is no visitor's.

use std::sync::Arc;

use crate::gateway::{Gateway, HOST, Wanted, visitors};
use crate::measure::{self, Verdict, many, mib};
use crate::origin::Origin;
use crate::visitors::{Visitors, drive};

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const CONNECTIONS: usize = 16;

pub async fn measure() -> Vec<Verdict> {
    let dir = tempfile::tempdir().unwrap();
    let visitors = Arc::new(visitors(dir.path()));
    measure::head(
        "Visitors with a session",
        &["requests", "memory, MiB", "CPU a request, µs", "requests/s"],
    );
    let all = grow(dir.path(), &visitors, "each of another visitor", |at| at).await;
    let one = grow(dir.path(), &visitors, "all of one visitor", |_| 1).await;
    // After the first thousands, with which buffers come to their size.
    let grown = |held: &[f64]| (held[3] - held[1]) / (SIZES[3] - SIZES[1]) as f64;
    let each = (grown(&all) - grown(&one)).max(0.0);
    vec![Verdict {
        what: "memory a visitor, from 10,000 to 1,000,000",
        budget: "0 bytes".to_owned(),
        found: format!(
            "{each:.2} bytes ({:.2}, less {:.2} a request of one visitor)",
            grown(&all),
            grown(&one)
        ),
        // A page more or less is nobody's.
        holds: each < 1.0,
    }]
}

/// What a gateway holds after so many requests, of which each is that of the
/// visitor that `whose` says.
async fn grow(
    dir: &std::path::Path,
    visitors: &Arc<Visitors>,
    name: &str,
    whose: fn(usize) -> usize,
) -> Vec<f64> {
    let origin = Origin::start();
    let wanted = Wanted {
        app: origin.address,
        wechat: None,
        tables: "",
    };
    let gateway = Gateway::start(dir, visitors, &wanted).await;
    let (mut seen, mut held) = (0, Vec::new());
    for size in SIZES {
        let (count, first, cpu) = (size - seen, seen, gateway.cpu());
        let visitors = Arc::clone(visitors);
        let request = move |number| visitors.request(whose(first + number), HOST, "/");
        let took = drive(&[gateway.address], count, CONNECTIONS, request).await;
        held.push(gateway.resident());
        measure::row(&[
            format!("{}, {name}", many(size)),
            mib(gateway.resident()),
            format!("{:.1}", (gateway.cpu() - cpu) / count as f64 * 1e6),
            format!("{:.0}", count as f64 / took.as_secs_f64()),
        ]);
        seen = size;
    }
    held
}
