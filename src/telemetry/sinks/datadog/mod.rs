//! Lines of the log to Datadog's intake: gzipped JSON arrays, through an outbox like OTLP's.
//!
//! What an entry says is the line that the files hold (`line`); how many go in a request is the intake's
//! limits (`batch`); delivery, retries, the spool and every count from there on are `export`'s. An entry
//! that is larger than the intake takes is dropped as `too_large`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::yield_now;

use self::batch::{Arrays, INTAKE};
use self::line::Line;
use crate::config::Config;
use crate::telemetry::export::dispatch::Dispatch;
use crate::telemetry::export::outbox::{Clerk, Settings};
use crate::telemetry::export::spool::Spool;
use crate::telemetry::export::transport::{self, ConnectError};
use crate::telemetry::log::Entry;
use crate::telemetry::resource;
use crate::telemetry::sink::{Delivery, Sink};

mod batch;
mod line;

/// How long an entry waits for others, usually.
const PATIENCE: Duration = Duration::from_millis(500);
/// The limit of one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Entries between two looks at what else there is to do: some fifty microseconds.
const TURN: usize = 32;

/// Sends the entries of the log to Datadog.
#[derive(Debug)]
pub struct DatadogSink {
    line: Line,
    dispatch: Dispatch,
}

impl DatadogSink {
    /// Makes the sink and starts its clerk, or gives `None` where nothing is shipped. Connects to nobody
    /// yet. Needs a runtime.
    pub fn start(
        config: &Config,
        spool: Option<&Arc<Spool>>,
    ) -> Result<Option<Self>, ConnectError> {
        let Some(datadog) = &config.datadog else { return Ok(None) };
        let carrier = transport::to_datadog(datadog)?;
        let settings = Settings::to_datadog(&datadog.url, TIMEOUT);
        let dispatch = Dispatch::start(settings, spool, carrier);
        let line = Line::new(&config.service, datadog, resource::host().as_deref());
        Ok(Some(Self { line, dispatch }))
    }
}

#[async_trait]
impl Sink for DatadogSink {
    type Item = Entry;

    fn name(&self) -> &'static str {
        "datadog"
    }

    fn patience(&self) -> Duration {
        self.dispatch.patience(PATIENCE)
    }

    fn clerk(&mut self) -> Option<Clerk> {
        self.dispatch.clerk()
    }

    async fn deliver(&mut self, batch: Vec<Entry>) -> Delivery {
        let (mut arrays, mut written) = (Arrays::new(INTAKE), Vec::new());
        for some in batch.chunks(TURN) {
            for entry in some {
                written.clear();
                self.line.write(entry, &mut written);
                arrays.push(&written);
            }
            yield_now().await;
        }
        // Their memory is free again before they are compressed.
        drop(batch);
        let (arrays, too_large) = arrays.finish();
        let mut delivery = Delivery::default();
        if too_large > 0 {
            delivery.dropped.push(("too_large", too_large));
        }
        for (count, array) in arrays {
            let sent = self.dispatch.send(count, array.into()).await;
            delivery.handed_over += sent.handed_over;
            delivery.dropped.extend(sent.dropped);
        }
        delivery
    }
}
