//! Delivery of finished parcels to the collector, one after the other, with bounded patience.
//!
//! What may be taken another time is sent again with growing pauses, or after the pause the collector
//! asks for, within one timeout altogether; only changes between reachable and not are logged. What
//! an answer means is the transport's business.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::model::OtlpTarget;
use crate::telemetry::export::{Answer, Carrier, Parcel};
use crate::telemetry::sink::Delivery;

/// Even where the collector asks for none.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Sends encoded batches to one collector.
pub(super) struct Sender {
    carrier: Box<dyn Carrier>,
    /// For our log.
    place: String,
    timeout: Duration,
    is_configured: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Untried,
    Reachable,
    Failing,
}

/// What is told of a parcel that was not taken.
struct Failed {
    reason: &'static str,
    detail: String,
}

impl Sender {
    pub(super) fn new(carrier: Box<dyn Carrier>, target: &OtlpTarget) -> Self {
        Self {
            carrier,
            place: target.place(),
            timeout: target.timeout,
            is_configured: target.is_configured,
            state: State::Untried,
        }
    }

    /// Sends one parcel and says what became of its items.
    pub(super) async fn send(&mut self, parcel: &Parcel) -> Delivery {
        match self.persist(parcel).await {
            Ok(rejected) => {
                self.note_success();
                let dropped = if rejected > 0 { vec![("rejected", rejected)] } else { Vec::new() };
                Delivery { exported: parcel.items.saturating_sub(rejected), dropped }
            }
            Err(Failed { reason, detail }) => {
                self.note_failure(&detail);
                Delivery { exported: 0, dropped: vec![(reason, parcel.items)] }
            }
        }
    }

    /// How many items were rejected, once it is taken.
    async fn persist(&self, parcel: &Parcel) -> Result<u64, Failed> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (reason, detail, after) = match self.carrier.carry(parcel, left).await {
                Answer::Taken { rejected } => return Ok(rejected),
                Answer::Never { reason, detail } => return Err(Failed { reason, detail }),
                Answer::Later { reason, detail, after } => (reason, detail, after),
            };
            // Nobody asked for the default collector: do not hold spans back for it.
            let is_worth_it = self.is_configured || reason != "unreachable";
            let jittered = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
            let wait = after.map_or(jittered, |asked| asked.max(SHORTEST_PAUSE));
            if !is_worth_it || wait >= deadline.saturating_duration_since(Instant::now()) {
                return Err(Failed { reason, detail });
            }
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn note_success(&mut self) {
        if std::mem::replace(&mut self.state, State::Reachable) == State::Failing {
            tracing::info!(endpoint = %self.place, "The OTLP collector takes spans again.");
        }
    }

    /// One line when it begins to fail, then silence: the ledger counts the rest.
    fn note_failure(&mut self, detail: &str) {
        if std::mem::replace(&mut self.state, State::Failing) == State::Failing {
            return;
        }
        let endpoint = &self.place;
        if self.is_configured {
            tracing::warn!(%endpoint, error = detail, "Spans cannot be delivered; they are dropped and counted.");
        } else {
            tracing::info!(%endpoint, error = detail, "No OTLP collector at the default endpoint; spans are dropped and counted.");
        }
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { place, timeout, state, .. } = self;
        f.debug_struct("Sender")
            .field("place", place)
            .field("timeout", timeout)
            .field("state", state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt};

    use super::*;
    use crate::config::model::{OtlpProtocol, Signal};
    use crate::telemetry::export::transport;

    /// Remembers how loud each event was.
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<Level>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().push(*event.metadata().level());
        }
    }

    fn sender(is_configured: bool) -> Sender {
        let target = OtlpTarget::new("http://localhost:4318/v1/traces", OtlpProtocol::Http);
        let target = OtlpTarget { is_configured, ..target };
        Sender::new(transport::connect(&target, Signal::Traces).unwrap(), &target)
    }

    #[test]
    fn only_a_change_is_told_and_louder_where_somebody_asked_for_it() {
        for (is_configured, level) in [(true, Level::WARN), (false, Level::INFO)] {
            let heard = Heard::default();
            let subscriber = tracing_subscriber::registry().with(heard.clone());
            tracing::subscriber::with_default(subscriber, || {
                let mut sender = sender(is_configured);
                sender.note_success();
                (0..3).for_each(|_| sender.note_failure("Connection refused"));
                (0..3).for_each(|_| sender.note_success());
            });
            assert_eq!(*heard.0.lock(), [level, Level::INFO]);
        }
    }
}
