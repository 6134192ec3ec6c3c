//! `libz-sys` under the name of `libz-ng-sys`: the reason is in `Cargo.toml`.
pub use libz_sys::*;
