//! The gateway and its store against real Redis servers, which each test starts
//! and ends. `tests/run` installs them; `cargo test` alone needs none, and leaves
//! this out.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    dead_code,
    reason = "a test fails by panicking, and shares the other tests' world, of which it needs a part"
)]

#[path = "../it/app.rs"]
mod app;
#[path = "../it/client.rs"]
mod client;
#[path = "../it/conformance.rs"]
mod conformance;
#[path = "../it/kill.rs"]
mod kill;
#[path = "../it/process.rs"]
mod process;
#[path = "../it/world.rs"]
mod world;

mod facade;
mod gateways;
mod servers;
mod store;
