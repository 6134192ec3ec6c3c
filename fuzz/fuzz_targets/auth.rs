//! Fuzzes `checks::auth`: a proxy's question.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::checks::auth(data));
