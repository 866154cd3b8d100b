//! libFuzzer's program for the target `ndp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::check("ndp", bytes));
