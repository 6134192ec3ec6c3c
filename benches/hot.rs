//! What each step of a request's way costs: `cargo bench --bench hot`. Times, and
//! how often memory is allocated.

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
mod steps;

use criterion::{Criterion, criterion_group, criterion_main};

use crate::steps::World;

fn hot(criterion: &mut Criterion) {
    let mut world = World::new();
    for (name, step) in World::steps() {
        // Once, so that what is made lazily is there.
        step(&mut world);
        let counted = allocation_counter::measure(|| step(&mut world));
        println!(
            "{name}: {} allocations, {} bytes",
            counted.count_total, counted.bytes_total
        );
        criterion.bench_function(name, |bencher| bencher.iter(|| step(&mut world)));
    }
}

criterion_group!(benches, hot);
criterion_main!(benches);
