//! What the outside asks of a running sidecar, and who asks again.
//!
//! The first ask begins the drain; a second *signal* ends it at once. A drain that was asked for at the
//! admin port is followed by a signal as a matter of course (a kubelet sends it after the `preStop`
//! hook), so that one says nothing new.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What the outside asks of a running sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Drain in order (SIGTERM). Asked a second time: end at once.
    Drain,
    /// Drain without the delay (SIGINT). Asked a second time: end at once.
    DrainNow,
}

/// Hears the asks, of which signals are made, from the first to the last.
#[derive(Debug)]
pub(super) struct Hearing {
    asks: mpsc::Receiver<Ask>,
    /// The drain was asked for by other means; no signal has come yet.
    awaits_first: bool,
    /// Cancelled by whoever wants no delay any more.
    stop: CancellationToken,
}

impl Hearing {
    /// Hears these; `stop` ends the delay.
    pub(super) fn of(asks: mpsc::Receiver<Ask>, stop: CancellationToken) -> Self {
        Self { asks, awaits_first: false, stop }
    }

    /// What is asked for first, by a signal or at the admin port. Where nobody can ask any more, that
    /// is an ask, too.
    pub(super) async fn first(&mut self, at_admin: &CancellationToken) -> Ask {
        tokio::select! {
            ask = self.asks.recv() => ask.unwrap_or(Ask::DrainNow),
            () = at_admin.cancelled() => {
                self.awaits_first = true;
                Ask::Drain
            }
        }
    }

    /// Returns once the process shall end at once: at the second signal. Cancel safe.
    pub(super) async fn second(&mut self) {
        while let Some(ask) = self.asks.recv().await {
            if !std::mem::take(&mut self.awaits_first) {
                return;
            }
            if ask == Ask::DrainNow {
                self.stop.cancel();
            }
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, timeout};

    use super::*;

    fn hearing() -> (mpsc::Sender<Ask>, Hearing, CancellationToken) {
        let (ask, asks) = mpsc::channel(4);
        let stop = CancellationToken::new();
        (ask, Hearing::of(asks, stop.clone()), stop)
    }

    async fn has_second(hearing: &mut Hearing) -> bool {
        timeout(Duration::from_secs(1), hearing.second()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_is_one_after_a_signal() {
        let (ask, mut hearing, _stop) = hearing();
        ask.send(Ask::Drain).await.unwrap();
        assert_eq!(hearing.first(&CancellationToken::new()).await, Ask::Drain);
        assert!(!has_second(&mut hearing).await);
        ask.send(Ask::Drain).await.unwrap();
        assert!(has_second(&mut hearing).await);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_drain_at_the_admin_port_the_first_signal_says_nothing_new() {
        for first in [Ask::Drain, Ask::DrainNow] {
            let (ask, mut hearing, stop) = hearing();
            let at_admin = CancellationToken::new();
            at_admin.cancel();
            assert_eq!(hearing.first(&at_admin).await, Ask::Drain);
            ask.send(first).await.unwrap();
            assert!(!has_second(&mut hearing).await);
            assert_eq!(stop.is_cancelled(), first == Ask::DrainNow, "SIGINT wants no delay");
            ask.send(Ask::Drain).await.unwrap();
            assert!(has_second(&mut hearing).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_ask_any_more_does_not_ask_again() {
        let (ask, mut hearing, _stop) = hearing();
        drop(ask);
        assert_eq!(hearing.first(&CancellationToken::new()).await, Ask::DrainNow);
        assert!(!has_second(&mut hearing).await);
    }
}
