//! A deadline that may come sooner than was said at first, and never later.
//!
//! Whoever ends something waits by a [`Deadline`]; whoever may lose patience meanwhile keeps the
//! [`Hurry`] that belongs to it. A plain [`Instant`] is a deadline that nobody moves.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// When an end has to be reached. Clones move together.
#[derive(Clone, Debug)]
pub struct Deadline(watch::Receiver<Instant>);

/// What brings a deadline forward.
#[derive(Debug)]
pub struct Hurry(watch::Sender<Instant>);

impl Hurry {
    /// A deadline, and what brings it forward.
    pub fn before(at: Instant) -> (Self, Deadline) {
        let (sender, receiver) = watch::channel(at);
        (Self(sender), Deadline(receiver))
    }

    /// Brings the deadline forward; one that comes sooner already stays.
    pub fn until(&self, at: Instant) {
        self.0.send_if_modified(|deadline| {
            let is_sooner = at < *deadline;
            *deadline = at.min(*deadline);
            is_sooner
        });
    }
}

impl Deadline {
    /// When it is, as things stand.
    pub fn at(&self) -> Instant {
        *self.0.borrow()
    }

    /// Returns once the moment is over that `moment` makes of the deadline; it is asked again when the
    /// deadline moves. Cancel safe.
    pub async fn passes(&self, moment: impl Fn(Instant) -> Instant) {
        let mut moves = self.0.clone();
        loop {
            let at = moment(*moves.borrow_and_update());
            tokio::select! {
                biased;
                () = sleep_until(at) => return,
                Ok(()) = moves.changed() => {}
            }
        }
    }

    /// What comes of a future until that moment; `None` if nothing does. The future is dropped then.
    pub async fn bound<F: Future>(
        &self,
        moment: impl Fn(Instant) -> Instant,
        future: F,
    ) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.passes(moment) => None,
        }
    }
}

impl From<Instant> for Deadline {
    fn from(at: Instant) -> Self {
        Hurry::before(at).1
    }
}

/// The end itself, for [`Deadline::passes`] and [`Deadline::bound`].
pub fn whole(at: Instant) -> Instant {
    at
}

/// The middle between `began` and the end, likewise.
pub fn half_since(began: Instant) -> impl Fn(Instant) -> Instant {
    move |at| at - at.saturating_duration_since(began) / 2
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_comes_sooner_on_request_and_never_later() {
        let began = Instant::now();
        let (hurry, deadline) = Hurry::before(began + 60 * SECOND);
        let hurrying = async {
            tokio::time::sleep(10 * SECOND).await;
            hurry.until(began + 20 * SECOND);
            hurry.until(began + 30 * SECOND);
        };
        tokio::join!(hurrying, deadline.passes(whole));
        assert_eq!(began.elapsed(), 20 * SECOND);
        drop(hurry);
        assert_eq!(deadline.at(), began + 20 * SECOND);
        deadline.passes(whole).await;
        assert_eq!(began.elapsed(), 20 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_bound_by_half_of_the_time_gets_half_of_what_is_left() {
        let began = Instant::now();
        let (hurry, deadline) = Hurry::before(began + 60 * SECOND);
        let hurrying = async {
            tokio::time::sleep(2 * SECOND).await;
            hurry.until(began + 8 * SECOND);
        };
        let never = deadline.bound(half_since(began), std::future::pending::<()>());
        assert_eq!(tokio::join!(hurrying, never).1, None);
        assert_eq!(began.elapsed(), 4 * SECOND);
        assert_eq!(deadline.bound(half_since(began), async { 7 }).await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_plain_instant_is_a_deadline_that_nobody_moves() {
        let at = Instant::now() + SECOND;
        Deadline::from(at).passes(whole).await;
        assert_eq!(Instant::now(), at);
    }
}
