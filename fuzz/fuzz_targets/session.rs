//! Fuzzes `checks::session`: session cookies.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::checks::session(data));
