//! libFuzzer's program for the target `seal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::check("seal", bytes));
