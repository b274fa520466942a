//! The transport of OTLP over HTTP: finished bytes to the collector, with bounded patience.
//!
//! It retries what the OTLP specification calls retryable (429, 502, 503, 504 and lost connections)
//! with growing pauses, or the pause the collector asks for, within one timeout altogether; reads
//! partial success; and logs only changes between reachable and not. It knows nothing of spans but
//! their number.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri, header};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tokio::time::{Instant, sleep};

use crate::telemetry::export_client::ExportClient;
use crate::telemetry::sink::Delivery;

/// Even where the collector asks for none.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Sends encoded batches to one endpoint.
#[derive(Debug)]
pub(super) struct Sender {
    client: ExportClient,
    endpoint: Uri,
    /// The configured headers: secrets, so each is marked sensitive.
    headers: HeaderMap,
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

/// Why an attempt failed.
struct Failed {
    reason: &'static str,
    detail: String,
    again: Again,
}

/// Whether another attempt is worth while.
enum Again {
    /// After our own pause.
    Soon,
    /// After the pause that the collector asked for.
    After(Duration),
    Never,
}

impl Sender {
    pub(super) fn new(
        client: ExportClient,
        endpoint: Uri,
        headers: HeaderMap,
        timeout: Duration,
        is_configured: bool,
    ) -> Self {
        Self { client, endpoint, headers, timeout, is_configured, state: State::Untried }
    }

    /// Sends one encoded batch of this many spans and says what became of them.
    pub(super) async fn send(&mut self, encoded: HeaderMap, body: Bytes, spans: u64) -> Delivery {
        let mut headers = self.headers.clone();
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING] {
            if let Some(value) = encoded.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        match self.persist(headers, body).await {
            Ok(answer) => {
                self.note_success();
                partial_success(answer, spans)
            }
            Err(Failed { reason, detail, .. }) => {
                self.note_failure(&detail);
                Delivery { exported: 0, dropped: vec![(reason, spans)] }
            }
        }
    }

    async fn persist(&self, headers: HeaderMap, body: Bytes) -> Result<Bytes, Failed> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let failed = match self.attempt(headers.clone(), body.clone(), deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let wait = match failed.again {
                Again::Soon => pause.mul_f64(0.75 + fastrand::f64() / 2.0),
                Again::After(asked) => asked.max(SHORTEST_PAUSE),
                Again::Never => return Err(failed),
            };
            // The collector may ask for more than a clock can add.
            if wait >= deadline.saturating_duration_since(Instant::now()) {
                return Err(failed);
            }
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(
        &self,
        headers: HeaderMap,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, Failed> {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = self.client.post(self.endpoint.clone(), headers, body, left).await;
        let answer = answer.map_err(|error| {
            // Nobody asked for the default collector: do not hold spans back for it.
            let is_worth_it = self.is_configured && error.reason != "timeout";
            let again = if is_worth_it { Again::Soon } else { Again::Never };
            Failed { reason: error.reason, detail: error.detail, again }
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let asked = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok());
        let asked = asked.and_then(|v| v.trim().parse().ok()).map(Duration::from_secs);
        let detail = format!("the collector answered {}", status.as_u16());
        let again = match asked {
            _ if !is_retryable(status) => Again::Never,
            Some(asked) => Again::After(asked),
            None => Again::Soon,
        };
        Err(Failed { reason: "refused", detail, again })
    }

    fn note_success(&mut self) {
        if std::mem::replace(&mut self.state, State::Reachable) == State::Failing {
            tracing::info!(endpoint = %self.place(), "The OTLP collector takes spans again.");
        }
    }

    /// One line when it begins to fail, then silence: the ledger counts the rest.
    fn note_failure(&mut self, detail: &str) {
        if std::mem::replace(&mut self.state, State::Failing) == State::Failing {
            return;
        }
        let endpoint = self.place();
        if self.is_configured {
            tracing::warn!(%endpoint, error = detail, "Spans cannot be delivered; they are dropped and counted.");
        } else {
            tracing::info!(%endpoint, error = detail, "No OTLP collector at the default endpoint; spans are dropped and counted.");
        }
    }

    /// The endpoint without what may be secret in it: user and query.
    fn place(&self) -> String {
        let scheme = self.endpoint.scheme_str().unwrap_or("http");
        let host = self.endpoint.host().unwrap_or_default();
        let port = self.endpoint.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{host}{port}{}", self.endpoint.path())
    }
}

fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// Reads the answer of a collector that took the batch, or most of it. What cannot be read means
/// success: the status said so.
fn partial_success(answer: Bytes, spans: u64) -> Delivery {
    let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|a| a.partial_success);
    let rejected = partial.map_or(0, |partial| partial.rejected_spans);
    let rejected = u64::try_from(rejected).unwrap_or(0).min(spans);
    let dropped = if rejected > 0 { vec![("rejected", rejected)] } else { Vec::new() };
    Delivery { exported: spans - rejected, dropped }
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

    fn sender(is_configured: bool) -> Sender {
        let endpoint = "http://user:secret@localhost:4318/v1/traces?key=secret".parse().unwrap();
        let client = ExportClient::new(None).unwrap();
        Sender::new(client, endpoint, HeaderMap::new(), FIRST_PAUSE, is_configured)
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

    #[test]
    fn the_endpoint_is_told_without_what_may_be_secret() {
        assert_eq!(sender(true).place(), "http://localhost:4318/v1/traces");
    }

    #[test]
    fn an_answer_that_cannot_be_read_means_what_its_status_said() {
        assert_eq!(partial_success(Bytes::from_static(b"{}"), 3), Delivery::all(3));
        assert_eq!(partial_success(Bytes::new(), 3), Delivery::all(3));
    }
}
