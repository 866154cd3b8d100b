//! libFuzzer's program for the target `engine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::check("engine", bytes));
