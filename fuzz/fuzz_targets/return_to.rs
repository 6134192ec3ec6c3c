//! Fuzzes `checks::return_to`: ways back.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::checks::return_to(data));
