//! What the operator is told about a collector: only changes between reachable and failing.
//!
//! One line when it begins to fail, one more if what waited at first is dropped later in the same
//! outage, one when it takes parcels again; the ledger counts the rest. A default endpoint that nobody
//! configured is missed quietly. Who fails and comes back all the time is spoken of once a minute.

use std::time::Duration;

use tokio::time::Instant;

/// How long one line about a failure holds.
const SILENCE: Duration = Duration::from_mins(1);

/// Who is spoken about, and what was said last.
#[derive(Debug)]
pub(super) struct Notices {
    /// What is exported, as a sentence begins: `Spans`.
    noun: &'static str,
    /// Who takes it.
    taker: &'static str,
    /// Where to, without secrets.
    endpoint: String,
    is_configured: bool,
    /// Of the failure that lasts, if it has been told: the worst fate.
    told: Option<Fate>,
    /// No new failure is told before.
    silent_until: Option<Instant>,
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

impl Notices {
    pub(super) fn new(signal: &'static str, endpoint: String, is_configured: bool) -> Self {
        let noun = match signal {
            "traces" => "Spans",
            "metrics" => "Metrics",
            _ => "Logs",
        };
        let taker = if signal == "datadog" { "Datadog" } else { "The OTLP collector" };
        Self { noun, taker, endpoint, is_configured, told: None, silent_until: None }
    }

    pub(super) fn note_success(&mut self) {
        if self.told.take().is_some() {
            let (taker, noun) = (self.taker, self.noun.to_ascii_lowercase());
            tracing::info!(endpoint = %self.endpoint, "{taker} takes {noun} again.");
        }
    }

    pub(super) fn note_failure(&mut self, detail: &str, fate: Fate) {
        let now = Instant::now();
        let is_news = match self.told {
            Some(told) => told != Fate::Dropped && fate == Fate::Dropped,
            None => self.silent_until.is_none_or(|until| now >= until),
        };
        if !is_news {
            return;
        }
        self.told = Some(fate);
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
                let mut notices =
                    Notices::new("traces", "http://localhost".to_owned(), is_configured);
                notices.note_success();
                (0..3).for_each(|_| notices.note_failure("Connection refused", Fate::Waits));
                (0..3).for_each(|_| notices.note_success());
            });
            assert_eq!(*heard.0.lock(), [level, Level::INFO]);
        }
    }

    #[test]
    fn an_outage_that_begins_to_cost_something_is_told_once_more() {
        let heard = Heard::default();
        let subscriber = tracing_subscriber::registry().with(heard.clone());
        tracing::subscriber::with_default(subscriber, || {
            let mut notices = Notices::new("traces", "http://localhost".to_owned(), true);
            for fate in [Fate::Spooled, Fate::Dropped, Fate::Spooled, Fate::Dropped] {
                notices.note_failure("401", fate);
            }
        });
        assert_eq!(*heard.0.lock(), [Level::WARN; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_comes_and_goes_cannot_fill_the_log() {
        let heard = Heard::default();
        let subscriber = tracing_subscriber::registry().with(heard.clone());
        let _guard = tracing::subscriber::set_default(subscriber);
        let mut notices = Notices::new("traces", "http://localhost".to_owned(), true);
        for _ in 0..1000 {
            notices.note_failure("the collector answered 400", Fate::Dropped);
            notices.note_success();
        }
        assert_eq!(*heard.0.lock(), [Level::WARN, Level::INFO]);
        notices.note_failure("Connection refused", Fate::Waits);
        assert_eq!(heard.0.lock().len(), 2);
        tokio::time::sleep(SILENCE).await;
        notices.note_failure("Connection refused", Fate::Waits);
        assert_eq!(heard.0.lock().len(), 3, "what lasts is told in the end");
        notices.note_success();
        assert_eq!(heard.0.lock().len(), 4);
    }
}
