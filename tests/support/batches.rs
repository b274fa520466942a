//! Property tests that play whole batches over sockets: their runtime, and how many they play.

use proptest::test_runner::Config as Cases;
use tokio::runtime::{Builder, Runtime};

/// A runtime on which what is played together runs at once.
pub fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// So many batches, and a while to make one that fails smaller.
pub fn cases(batches: u32) -> Cases {
    Cases { cases: batches, failure_persistence: None, max_shrink_time: 30_000, ..Cases::default() }
}
