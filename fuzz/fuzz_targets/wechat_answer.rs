//! Fuzzes `checks::wechat_answer`: answers of WeChat's api.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::checks::wechat_answer(data));
