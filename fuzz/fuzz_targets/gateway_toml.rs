//! Fuzzes `checks::gateway_toml`: the file.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::checks::gateway_toml(data));
