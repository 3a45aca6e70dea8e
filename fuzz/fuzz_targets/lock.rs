//! Fuzzes `toolgate_tests::fuzz::lock`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| toolgate_tests::fuzz::lock(data));
