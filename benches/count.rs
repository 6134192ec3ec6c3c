//! One step of a request's way, so many times: what `benches/guard` counts the
//! instructions of.

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

use crate::steps::World;

/// What `benches/guard` counts: by this name, so that making the world, which takes
/// other numbers of instructions each time, is not among it.
#[inline(never)]
fn counted(step: fn(&mut World), world: &mut World, times: u32) {
    for _ in 0..times {
        step(world);
    }
}

fn main() {
    // `cargo bench` adds one of its own.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    match arguments.as_slice() {
        [] => {
            for (name, _) in World::steps() {
                println!("{name}");
            }
        }
        [name, times] => {
            let mut world = World::new();
            let (_, step) = World::steps()
                .into_iter()
                .find(|(known, _)| known == name)
                .unwrap_or_else(|| panic!("no step is called {name}"));
            counted(step, &mut world, times.parse().unwrap());
        }
        // `cargo test --benches` and others ask for a list of tests: there is none.
        _ => {}
    }
}
