//! Feeds `checks/propagation.rs` with whatever the fuzzer thinks of.
#![no_main]

#[path = "../checks/propagation.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
