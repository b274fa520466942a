//! Scenes for the tests: each reads as "given an upstream, given a sidecar, when a client…, then".

#![expect(unreachable_pub, reason = "one binary: what is public here is public to its files")]
pub mod authority;
pub mod batches;
pub mod client;
pub mod collector;
pub mod edits;
pub mod grpc_collector;
pub mod h2;
pub mod house;
pub mod http2;
pub mod intake;
pub mod issuer;
pub mod process;
pub mod receiver;
pub mod recorder;
pub mod records;
pub mod sentry_inbox;
pub mod sidecar;
pub mod store;
pub mod upstream;

use std::time::Duration;

/// How long a test waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `condition` holds, by asking again; fails the test after [`PATIENCE`].
pub async fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, condition).await;
}

/// The same for what takes longer by design.
pub async fn eventually_within(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) {
    let asking = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(patience, asking).await.is_ok(), "never happened: {what}");
}

/// The same for what takes a question to find out: asks until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    asked.unwrap_or_else(|_| panic!("never happened: {what}"))
}
