//! libFuzzer's program for the target `yaml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::check("yaml", bytes));
