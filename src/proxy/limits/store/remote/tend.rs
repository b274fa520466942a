//! The task that keeps a store's link: it connects, tries the store out, hands the link to requests,
//! and begins again when the link is lost.
//!
//! Pauses between attempts grow to two seconds, and shrink again only after a link that lasted: so a
//! store that comes and goes is left alone for a while each time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::Quota;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};

use super::super::SharedKey;
use super::dial::{Connection, Driver};
use super::script::{Debt, Question};
use super::trouble::Trouble;
use super::{Charge, Link, Remote, State};

/// For name, socket, TLS and introduction together.
const TO_CONNECT: Duration = Duration::from_secs(2);
/// The first pause; each failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A link that held this long clears the record of those before.
const LASTING: Duration = Duration::from_secs(10);
/// The bucket that is tried out. Nobody's key: a hash is never all ones.
const TRIAL: SharedKey = SharedKey(u128::MAX);

impl Remote {
    /// Keeps the link until it is dropped. A second call while the first runs does nothing.
    pub async fn tend(&self) {
        let Some(mut charges) = self.arriving.lock().take() else { return };
        let mut failures = 0;
        loop {
            let began = Instant::now();
            match timeout(TO_CONNECT, self.dialler.dial()).await {
                Ok(Ok((connection, driver))) => self.hold(connection, driver, &mut charges).await,
                Ok(Err(trouble)) => self.note_away(trouble),
                Err(_late) => self.note_away(Trouble::Late),
            }
            self.owing.sweep();
            failures = if began.elapsed() >= LASTING { 0 } else { failures + 1 };
            sleep(pause(failures)).await;
        }
    }

    /// Tries a connection out, and lets requests use it until it is lost.
    async fn hold(
        &self,
        connection: Connection,
        driver: Driver,
        charges: &mut mpsc::Receiver<Charge>,
    ) {
        let link = Arc::new(Link { connection, lost: Notify::new() });
        let serving = async {
            if let Err(trouble) = self.try_out(&link).await {
                return trouble;
            }
            self.note_here(); // Before anybody can lose it.
            self.link.store(Some(Arc::clone(&link)));
            self.serve(&link, charges).await
        };
        let trouble = tokio::select! {
            biased;
            trouble = serving => trouble,
            () = driver => Trouble::Broken,
        };
        self.link.store(None);
        self.note_away(trouble);
    }

    /// A whole call within the budget: it writes, so it also finds a replica or a full disk out.
    async fn try_out(&self, link: &Link) -> Result<(), Trouble> {
        let quota = Quota::per_second(NonZeroU32::MIN);
        let due = Debt::of(quota, 1);
        let question = Question { key: TRIAL, quota, weight: 0, due };
        self.call(link, &question, self.budget()).await.map(drop)
    }

    /// Passes charges on until the link is lost.
    async fn serve(&self, link: &Arc<Link>, charges: &mut mpsc::Receiver<Charge>) -> Trouble {
        loop {
            tokio::select! {
                biased;
                () = link.lost.notified() => return self.last_trouble(),
                Some(charge) = charges.recv() => {
                    let Charge { key, quota, tokens } = charge;
                    let due = Debt::of(quota, tokens);
                    let question = Question { key, quota, weight: 0, due };
                    if let Err(trouble) = self.call(link, &question, self.budget()).await {
                        return trouble;
                    }
                }
            }
        }
    }

    fn last_trouble(&self) -> Trouble {
        match *self.state.lock() {
            State::Away { why, .. } => why,
            State::Starting | State::Here => Trouble::Broken,
        }
    }

    fn note_here(&self) {
        let before = std::mem::replace(&mut *self.state.lock(), State::Here);
        let store = self.dialler.url();
        match before {
            State::Away { since, .. } => {
                let after = format!("{:.1}s", since.elapsed().as_secs_f64());
                tracing::info!(%store, after, "The shared rate-limit store is back.");
            }
            State::Starting => tracing::info!(%store, "Rate limits are shared."),
            State::Here => {}
        }
    }
}

/// Each replica waits for its own random part of the pause, so that they do not come back together.
fn pause(failures: u32) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    whole.mul_f64(0.5 + fastrand::f64() / 2.0)
}
