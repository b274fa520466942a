//! Feeds `checks/answers.rs` with whatever the fuzzer thinks of.
#![no_main]

#[path = "../checks/answers.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
