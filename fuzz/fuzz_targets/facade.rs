//! Fuzzes `checks::facade`: what crosses from one host to another.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::checks::facade(data));
