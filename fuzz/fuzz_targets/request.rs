//! Fuzzes `checks::request`: a request's header.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::checks::request(data));
