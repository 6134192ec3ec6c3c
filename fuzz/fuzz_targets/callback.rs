//! Fuzzes `checks::callback`: the query of a callback.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::checks::callback(data));
