//! libFuzzer's program for the target `range`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::check("range", bytes));
