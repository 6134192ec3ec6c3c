//! Fuzzes `checks::cookies`: `Cookie` and `Set-Cookie` lines.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::checks::cookies(data));
