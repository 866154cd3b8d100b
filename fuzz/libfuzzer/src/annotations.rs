//! libFuzzer's program for the target `annotations`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::check("annotations", bytes));
