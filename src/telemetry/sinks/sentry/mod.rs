//! Error events for Sentry: one for each exchange that failed, was cut or panicked, or whose error the
//! configuration has a class for. Alerts go there beside them, through a lane of their own (`alert`).
//!
//! The event holds what `event` lists and nothing else. At most a bucketful per kind of error
//! leaves (10, then 10 a minute), and none while Sentry asks for silence; what does not leave is
//! counted by reason. `sentry`'s types write the envelope; there is no client, no hub and no global
//! state, because they would add fields, threads and a queue that nobody counts.
//!
//! Nothing is retried: an error event that arrives late is of little use, and the next one follows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::HeaderName;
use thiserror::Error;

use crate::config::model::Sentry;
use crate::record::Record;
use crate::telemetry::post::Post;
use crate::telemetry::sink::{Delivery, Sink};

mod alert;
mod event;
mod pace;
mod project;

pub use alert::AlertSink;
use pace::Pace;
use project::Project;

/// The longest that one event may take to be taken.
const LIMIT: Duration = Duration::from_secs(5);
const AUTH: HeaderName = HeaderName::from_static("x-sentry-auth");
const CLIENT: &str = concat!("vital-sidecar/", env!("CARGO_PKG_VERSION"));

/// The DSN cannot be used. The text does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("`sentry.dsn` is not of the form `https://<key>@<host>/<project>`")]
pub struct BadDsn;

/// The sink of the errors lane. Its items are the records that are
/// [`is_reported`](crate::record::Record::is_reported).
#[derive(Debug)]
pub struct SentrySink<P> {
    project: Project<P>,
    sample_rate: f32,
    pace: Pace,
}

impl<P: Post> SentrySink<P> {
    /// Makes the sink of a project.
    pub fn new(config: &Sentry, post: P) -> Result<Self, BadDsn> {
        let project = Project::new(config, post)?;
        Ok(Self { project, sample_rate: config.sample_rate, pace: Pace::new() })
    }

    /// Sends one event, or says why it does not leave.
    async fn send(&mut self, record: &Record) -> Result<(), &'static str> {
        if fastrand::f32() >= self.sample_rate {
            return Err("sampled");
        }
        if self.project.is_silent() || !self.pace.allows(record) {
            return Err("rate_limited");
        }
        let body = event::envelope(record, &self.project.origin).ok_or("io")?;
        self.project.send(body.into()).await
    }
}

#[async_trait]
impl<P: Post> Sink for SentrySink<P> {
    type Item = Arc<Record>;

    fn name(&self) -> &'static str {
        "sentry"
    }

    /// Events go one by one. After one that could not be sent at all the rest of the batch is given
    /// up for the same reason, so a dead Sentry costs one waiting time per batch.
    async fn deliver(&mut self, batch: Vec<Arc<Record>>) -> Delivery {
        let mut exported = 0;
        let mut dropped = BTreeMap::new();
        let mut unavailable = None;
        for record in &batch {
            let sent = match unavailable {
                Some(reason) => Err(reason),
                None => self.send(record).await,
            };
            match sent {
                Ok(()) => exported += 1,
                Err(reason) => {
                    if matches!(reason, "unreachable" | "timeout") {
                        unavailable = Some(reason);
                    }
                    *dropped.entry(reason).or_insert(0) += 1;
                }
            }
        }
        Delivery { exported, dropped: dropped.into_iter().collect(), ..Delivery::default() }
    }
}

#[cfg(test)]
mod tests;
