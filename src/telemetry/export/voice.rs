//! What the operator is told about a collector: only changes between reachable and failing.
//!
//! One line when it begins to fail, one when it takes parcels again; the ledger counts the rest. Who
//! fails again and again within a minute is spoken of once in it. A default endpoint that nobody
//! configured is missed quietly.

use std::time::Duration;

use tokio::time::Instant;

/// How long one line about a failure holds.
const SILENCE: Duration = Duration::from_mins(1);

/// Who is spoken about, and what was said last.
#[derive(Debug)]
pub(super) struct Voice {
    /// What is exported, as a sentence begins: `Spans`.
    noun: &'static str,
    /// Where to, without secrets.
    endpoint: String,
    is_configured: bool,
    state: State,
    /// Whether the failure that lasts has been told.
    is_told: bool,
    /// No failure is told before.
    silent_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Untried,
    Reachable,
    Failing,
}

/// What happens to what could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is dropped.
    Dropped,
    /// It waits in the spool.
    Spooled,
    /// It waits in memory.
    Waits,
}

impl Voice {
    pub(super) fn new(signal: &'static str, endpoint: String, is_configured: bool) -> Self {
        let noun = match signal {
            "traces" => "Spans",
            "metrics" => "Metrics",
            _ => "Logs",
        };
        let state = State::Untried;
        Self { noun, endpoint, is_configured, state, is_told: false, silent_until: None }
    }

    pub(super) fn note_success(&mut self) {
        let was_told = std::mem::take(&mut self.is_told);
        if std::mem::replace(&mut self.state, State::Reachable) == State::Failing && was_told {
            let noun = self.noun.to_ascii_lowercase();
            tracing::info!(endpoint = %self.endpoint, "The OTLP collector takes {noun} again.");
        }
    }

    pub(super) fn note_failure(&mut self, detail: &str, fate: Fate) {
        self.state = State::Failing;
        let now = Instant::now();
        if self.is_told || self.silent_until.is_some_and(|until| now < until) {
            return;
        }
        self.is_told = true;
        self.silent_until = Some(now + SILENCE);
        let (endpoint, noun) = (&self.endpoint, self.noun);
        let fate = match fate {
            Fate::Dropped => "they are dropped and counted",
            Fate::Spooled => "they wait in the spool; what finds no room is dropped and counted",
            Fate::Waits => "they wait in memory; what finds no room is dropped and counted",
        };
        if self.is_configured {
            tracing::warn!(%endpoint, error = detail, "{noun} cannot be delivered; {fate}.");
        } else {
            let noun = noun.to_ascii_lowercase();
            tracing::info!(%endpoint, error = detail, "No OTLP collector at the default endpoint for {noun}; {fate}.");
        }
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

    /// Remembers how loud each event was.
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<Level>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().push(*event.metadata().level());
        }
    }

    #[test]
    fn only_a_change_is_told_and_louder_where_somebody_asked_for_it() {
        for (is_configured, level) in [(true, Level::WARN), (false, Level::INFO)] {
            let heard = Heard::default();
            let subscriber = tracing_subscriber::registry().with(heard.clone());
            tracing::subscriber::with_default(subscriber, || {
                let mut voice = Voice::new("traces", "http://localhost".to_owned(), is_configured);
                voice.note_success();
                (0..3).for_each(|_| voice.note_failure("Connection refused", Fate::Waits));
                (0..3).for_each(|_| voice.note_success());
            });
            assert_eq!(*heard.0.lock(), [level, Level::INFO]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_comes_and_goes_cannot_fill_the_log() {
        let heard = Heard::default();
        let subscriber = tracing_subscriber::registry().with(heard.clone());
        let _guard = tracing::subscriber::set_default(subscriber);
        let mut voice = Voice::new("traces", "http://localhost".to_owned(), true);
        for _ in 0..1000 {
            voice.note_failure("the collector answered 400", Fate::Dropped);
            voice.note_success();
        }
        assert_eq!(*heard.0.lock(), [Level::WARN, Level::INFO]);
        voice.note_failure("Connection refused", Fate::Waits);
        assert_eq!(heard.0.lock().len(), 2);
        tokio::time::sleep(SILENCE).await;
        voice.note_failure("Connection refused", Fate::Waits);
        assert_eq!(heard.0.lock().len(), 3, "what lasts is told in the end");
        voice.note_success();
        assert_eq!(heard.0.lock().len(), 4);
    }
}
