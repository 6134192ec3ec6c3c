//! The checks of the gateway's own tests, compiled for the fuzzer.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a check fails by panicking"
)]

#[path = "../../tests/it/checks/mod.rs"]
pub mod checks;
