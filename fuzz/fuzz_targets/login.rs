//! Fuzzes `checks::login`: the `Cookie` lines of a callback.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::checks::login(data));
