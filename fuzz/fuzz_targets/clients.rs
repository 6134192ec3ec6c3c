//! Fuzzes `checks::clients`: what crosses between two gateways of one account.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::checks::clients(data));
