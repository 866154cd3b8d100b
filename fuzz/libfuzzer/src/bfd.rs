//! libFuzzer's program for the target `bfd`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::check("bfd", bytes));
