//! What it costs to know a visitor: `cargo bench --bench session`.
//!
//! From the bytes of a `Cookie` header to a session, signature and revocations
//! included, as it is done for every request: with nothing revoked, and with a
//! million visitors and a million sessions revoked besides. The budget is one
//! microsecond. Then what it costs to take note of one more.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    dead_code,
    unused_imports,
    missing_docs,
    reason = "a benchmark fails by panicking, and shares the tests' checks, of which it needs a part"
)]

#[path = "../tests/it/checks/mod.rs"]
mod checks;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use wxgate::origin::Host;
use wxgate::revocation::{Person, Revocation, SessionId};
use wxgate::session::Sessions;

use crate::checks::{APP_ID, HOST, NOW, account, session_token, sessions};

const MANY: u128 = 1_000_000;

/// The cookies of a visitor to an ordinary shop.
fn line(sessions: &Sessions) -> Vec<u8> {
    let token = session_token(sessions);
    let name = account("shop").session_cookie;
    format!(
        "JSESSIONID=8A1B2C3D4E5F60718293A4B5C6D7E8F9; _ga=GA1.2.1234567890.1700000000; {name}={token}; lang=zh_CN"
    )
    .into_bytes()
}

fn revoke_many(sessions: &Sessions) {
    let ended = sessions.ended();
    for number in 0..MANY {
        let openid = format!("oRevoked{number:020}");
        ended.apply(&Revocation::of_visitor(APP_ID, &openid, NOW));
        let id: SessionId = number
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            .to_be_bytes();
        ended.apply(&Revocation::of_session(id, NOW + 3600));
    }
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn check(criterion: &mut Criterion) {
    let (host, shop) = (Host::new(HOST).unwrap(), account("shop"));
    let all = sessions();
    let line = line(&all);
    let mut group = criterion.benchmark_group("session check");
    let read = |all: &Sessions| {
        let lines = std::iter::once(black_box(line.as_slice()));
        let carried = all.read(lines, &host, &shop, NOW).unwrap();
        black_box(carried);
    };
    group.bench_function("nothing revoked", |bencher| bencher.iter(|| read(&all)));
    let before = resident();
    revoke_many(&all);
    let grown = resident().saturating_sub(before) / (1 << 20);
    println!("a million visitors and a million sessions revoked: {grown} MiB");
    group.bench_function("a million of each revoked", |bencher| {
        bencher.iter(|| read(&all));
    });
    group.finish();
    let mut number = MANY;
    criterion.bench_function("one more revoked, beside a million of each", |bencher| {
        bencher.iter(|| {
            number += 1;
            let openid = format!("oRevoked{number:020}");
            all.ended()
                .apply(&Revocation::of_visitor(APP_ID, &openid, NOW));
        });
    });
    let last = format!("oRevoked{number:020}");
    assert!(all.ended().earliest(APP_ID, Person::OpenId(&last), NOW) > NOW);
    all.ended()
        .apply(&Revocation::of_visitor(APP_ID, "oVisitor", NOW));
    let lines = std::iter::once(line.as_slice());
    assert!(all.read(lines, &host, &shop, NOW).is_err());
}

criterion_group!(benches, check);
criterion_main!(benches);
