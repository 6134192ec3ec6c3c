//! More connections: what one costs that waits for its next request, and a
//! WebSocket.

use crate::crowd::{Crowd, Kind};
use crate::gateway::{Gateway, HOST, Wanted, visitors};
use crate::measure::{self, Verdict, many, mib};
use crate::origin::Origin;
use crate::visitors::{drive, request};

const IDLE: [usize; 3] = [1_000, 5_000, 20_000];
const SOCKETS: [usize; 2] = [1_000, 5_000];
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub async fn measure() -> Vec<Verdict> {
    measure::head(
        "Connections that stay open",
        &[
            "connections",
            "gateways",
            "memory before, MiB",
            "with them, MiB",
            "after each asked again, MiB",
            "KB each",
        ],
    );
    let mut each = 0.0;
    for count in IDLE {
        each = keep(count, Kind::Idle).await;
    }
    for count in SOCKETS {
        keep(count, Kind::Socket).await;
    }
    vec![Verdict {
        what: "memory an idle connection",
        budget: "≤ 45 KB".to_owned(),
        found: format!("{each:.1} KB"),
        holds: each <= 45.0,
    }]
}

/// How many connections one gateway takes here.
fn most() -> usize {
    let few = wxgate::process::open_files_for(usize::MAX.try_into().unwrap());
    // A few are for what is asked besides.
    few.map_or(usize::MAX, |few| few.connections.get()) - 100
}

/// Keeps `count` open, at as many gateways as that takes: how much each costs.
async fn keep(count: usize, kind: Kind) -> f64 {
    let origin = Origin::start();
    let dir = tempfile::tempdir().unwrap();
    let visitors = std::sync::Arc::new(visitors(dir.path()));
    let wanted = Wanted {
        app: origin.address,
        wechat: None,
        tables: "",
    };
    let (target, more) = match kind {
        Kind::Idle => ("/", ""),
        Kind::Socket => ("/socket", UPGRADE),
    };
    let mut gateways = Vec::new();
    let needed = count.div_ceil(most());
    for _ in 0..needed {
        let gateway = Gateway::start(dir.path(), &visitors, &wanted).await;
        // Until buffers and pools have come to their size.
        let visitors = std::sync::Arc::clone(&visitors);
        let page = move |number| visitors.request(number, HOST, "/");
        drive(&[gateway.address], 5_000, 64, page).await;
        gateways.push(gateway);
    }
    let all = || -> f64 { gateways.iter().map(Gateway::resident).sum() };
    let before = all();
    let question = request(HOST, target, &visitors.cookie(1), more);
    let mut crowds = Vec::new();
    for (at, gateway) in gateways.iter().enumerate() {
        let here = count * (at + 1) / needed - count * at / needed;
        crowds.push(Crowd::gather(gateway.address, here, kind, &question).await);
    }
    let with = all();
    for crowd in &mut crowds {
        crowd.ask_again().await;
    }
    let again = all();
    let each = (again - before) / count as f64 / 1e3;
    let what = match kind {
        Kind::Idle => "idle",
        Kind::Socket => "WebSockets",
    };
    measure::row(&[
        format!("{} {what}", many(count)),
        needed.to_string(),
        mib(before),
        mib(with),
        mib(again),
        format!("{each:.1}"),
    ]);
    each
}
