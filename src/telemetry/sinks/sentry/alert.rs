//! Events about alerts: one when an alert fires, of level error; one when it is over, of level info.
//!
//! All events of an alert have its name for their fingerprint, so Sentry shows them as one issue.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ::sentry::Envelope;
use ::sentry::protocol::{Event, Level, LogEntry};
use async_trait::async_trait;

use super::event::Origin;
use super::project::Project;
use super::{BadDsn, Post};
use crate::config::model::Sentry;
use crate::telemetry::alerts::Turn;
use crate::telemetry::resource;
use crate::telemetry::sink::{Delivery, Sink};

/// The sink of the alerts' lane to Sentry.
#[derive(Debug)]
pub struct AlertSink<P>(Project<P>);

impl<P: Post> AlertSink<P> {
    /// Makes the sink of a project.
    pub fn new(config: &Sentry, post: P) -> Result<Self, BadDsn> {
        Project::new(config, post).map(Self)
    }

    async fn send(&mut self, turn: &Turn) -> Result<(), &'static str> {
        if self.0.is_silent() {
            return Err("rate_limited");
        }
        let mut bytes = Vec::with_capacity(1024);
        let envelope = Envelope::from(event(turn, &self.0.origin));
        envelope.to_writer(&mut bytes).map_err(|_| "io")?;
        self.0.send(bytes.into()).await
    }
}

#[async_trait]
impl<P: Post> Sink for AlertSink<P> {
    type Item = Arc<Turn>;

    fn name(&self) -> &'static str {
        "sentry"
    }

    async fn deliver(&mut self, batch: Vec<Arc<Turn>>) -> Delivery {
        let mut delivery = Delivery::default();
        for turn in batch {
            match self.send(&turn).await {
                Ok(()) => delivery.exported += 1,
                Err(reason) => delivery.dropped.push((reason, 1)),
            }
        }
        delivery
    }
}

fn event(turn: &Turn, origin: &Origin) -> Event<'static> {
    let (level, word) =
        if turn.is_firing { (Level::Error, "fires") } else { (Level::Info, "is over") };
    let message =
        format!("The alert {} {word}: {} (at {})", turn.name, turn.when, turn.shown_value());
    // Each replica has alerts of its own.
    let instance = ("service.instance.id", resource::instance());
    let tags = [("alert", &*turn.name), ("alert.status", turn.status()), instance];
    let tags = tags.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Event {
        level,
        timestamp: turn.at,
        logentry: Some(LogEntry { message, params: Vec::new() }),
        fingerprint: vec![Cow::Borrowed("alert"), Cow::Owned(turn.name.to_string())].into(),
        environment: Some(origin.environment.clone().into()),
        release: Some(origin.release.clone().into()),
        tags: BTreeMap::from(tags),
        ..Event::default()
    }
}
