//! Feeds `checks/traceparent.rs` with whatever the fuzzer thinks of.
#![no_main]

#[path = "../checks/traceparent.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
