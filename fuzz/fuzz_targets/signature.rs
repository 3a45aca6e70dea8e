//! Fuzzes `toolgate_tests::fuzz::signature`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| toolgate_tests::fuzz::signature(data));
