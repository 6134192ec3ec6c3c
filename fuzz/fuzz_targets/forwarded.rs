//! Fuzzes `checks::forwarded`: headers that say who or whence.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::checks::forwarded(data));
