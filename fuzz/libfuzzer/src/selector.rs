//! libFuzzer's program for the target `selector`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::check("selector", bytes));
