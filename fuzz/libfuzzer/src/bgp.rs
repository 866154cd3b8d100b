//! libFuzzer's program for the target `bgp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::check("bgp", bytes));
