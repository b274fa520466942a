//! How late this process gets to what is due: on a machine with other things to do, a clock of half a
//! second may strike though nobody kept silent for so long.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often it is looked at.
const TICK: Duration = Duration::from_millis(5);
/// A runtime that is no later than this keeps up.
const CALM: Duration = Duration::from_millis(20);

/// How late a task that wanted to run after a tick did run.
async fn once() -> Duration {
    let due = Instant::now() + TICK;
    sleep(TICK).await;
    due.elapsed()
}

/// Waits until the runtime keeps up with what runs on it.
pub(super) async fn calm() {
    while once().await > CALM {}
}

/// Runs something, and says how late anybody may have been meanwhile.
pub(super) async fn beside<T>(running: impl Future<Output = T>) -> (T, Duration) {
    tokio::pin!(running);
    let mut latest = Duration::ZERO;
    loop {
        tokio::select! {
            // First the tick: one that is overdue says how late the end is.
            biased;
            late = once() => latest = latest.max(late),
            ended = &mut running => return (ended, latest),
        }
    }
}
