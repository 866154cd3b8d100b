//! libFuzzer's program for the target `arp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::check("arp", bytes));
