//! Alerts, posted as JSON to whoever the configuration names: a chat, a pager, a gateway.
//!
//! The body has the `text` that Slack and its kin show, and the same in fields of its own. A turn that does
//! not arrive is tried three times within some twenty seconds and then dropped and counted; those behind it
//! wait so long. The URL is a secret, and stands in no error and no log line.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Uri;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use serde_json::json;
use tokio::time::sleep;

use crate::config::model::Service;
use crate::telemetry::alerts::Turn;
use crate::telemetry::export_client::PostError;
use crate::telemetry::post::Post;
use crate::telemetry::sink::{Delivery, Sink};
use crate::telemetry::{resource, timestamp};

/// The longest that one attempt may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The pauses before a second and a third attempt.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// The sink of the alerts' lane to webhooks.
#[derive(Debug)]
pub struct Webhook<P> {
    post: P,
    service: String,
    version: String,
    environment: String,
    host: Option<String>,
    /// Why the last turn did not arrive, if it did not.
    trouble: Option<String>,
}

impl<P: Post> Webhook<P> {
    /// Posts in the name of this service.
    pub fn new(service: &Service, post: P) -> Self {
        Self {
            post,
            service: service.name.clone(),
            version: service.version.clone(),
            environment: service.environment.clone(),
            host: resource::host(),
            trouble: None,
        }
    }

    /// What is posted.
    fn body(&self, turn: &Turn) -> Bytes {
        let place = self.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        let text = format!(
            "[{}] {}: {} (at {}) by {} in {}{place}, instance {}",
            turn.status(),
            turn.name,
            turn.when,
            turn.shown_value(),
            self.service,
            self.environment,
            resource::instance(),
        );
        let body = json!({
            "text": escaped(&text),
            "alert": &*turn.name,
            "status": turn.status(),
            "when": &*turn.when,
            "value": turn.value,
            "threshold": turn.threshold,
            "unit": turn.unit,
            "service": self.service,
            "version": self.version,
            "environment": self.environment,
            "host": self.host,
            "instance": resource::instance(),
            "since": timestamp::format(turn.since),
            "at": timestamp::format(turn.at),
        });
        body.to_string().into()
    }

    /// Says how it ended, and how many requests that took.
    async fn send(&self, turn: &Turn) -> (Result<(), PostError>, u64) {
        let unaddressed =
            || PostError { reason: "unaddressed", detail: "it has no address".to_owned() };
        let uri = turn.webhook.as_ref().and_then(|url| url.reveal().parse::<Uri>().ok());
        let Some(uri) = uri else { return (Err(unaddressed()), 0) };
        let body = self.body(turn);
        let (mut pauses, mut made) = (PAUSES.into_iter(), 0);
        loop {
            let sent = self.attempt(uri.clone(), body.clone()).await;
            made += 1;
            let again =
                |error: &PostError| matches!(error.reason, "unreachable" | "timeout" | "refused");
            match pauses.next().filter(|_| sent.as_ref().is_err_and(again)) {
                Some(pause) => sleep(pause).await,
                None => return (sent, made),
            }
        }
    }

    async fn attempt(&self, uri: Uri, body: Bytes) -> Result<(), PostError> {
        let json = HeaderValue::from_static("application/json");
        let agent = HeaderValue::from_static(concat!("vital-sidecar/", env!("CARGO_PKG_VERSION")));
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, json), (USER_AGENT, agent)]);
        let answer = self.post.post(uri, headers, body, LIMIT).await.map_err(discreet)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        // Worth another attempt.
        let may_pass = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        let reason = if may_pass { "refused" } else { "rejected" };
        Err(PostError { reason, detail: format!("the webhook answered {}", status.as_u16()) })
    }
}

#[async_trait]
impl<P: Post> Sink for Webhook<P> {
    type Item = Arc<Turn>;

    fn name(&self) -> &'static str {
        "webhook"
    }

    async fn deliver(&mut self, batch: Vec<Arc<Turn>>) -> Delivery {
        let mut delivery = Delivery::default();
        let (mut made, mut failed) = (0, 0);
        for turn in batch {
            let (sent, requests) = self.send(&turn).await;
            made += requests;
            match sent {
                Ok(()) => {
                    delivery.exported += 1;
                    failed += requests.saturating_sub(1);
                    self.trouble = None;
                }
                Err(PostError { reason, detail }) => {
                    let alert = &*turn.name;
                    tracing::warn!(
                        alert,
                        reason,
                        attempts = requests,
                        error = detail,
                        "A webhook was not told of an alert."
                    );
                    delivery.dropped.push((reason, 1));
                    failed += requests;
                    self.trouble = Some(format!("{reason}: {detail}"));
                }
            }
        }
        delivery.requests = Some((made, failed));
        delivery
    }

    fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

/// What TLS says may name the host, which is a part of the secret.
fn discreet(PostError { reason, detail }: PostError) -> PostError {
    let is_of_tls = detail.starts_with("TLS");
    let detail = if is_of_tls { "the TLS handshake failed".to_owned() } else { detail };
    PostError { reason, detail }
}

/// What Slack asks to escape; others show it as it is meant, or as it stands.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::SystemTime;

    use http::Response;
    use parking_lot::Mutex;
    use tokio::time::Instant;

    use super::*;
    use crate::secret::Secret;

    /// A status, or no answer for this reason.
    type Answer = Result<u16, &'static str>;

    /// What was posted, and what to answer; 200 when the list is at its end.
    #[derive(Clone, Debug, Default)]
    struct Inbox {
        posted: Arc<Mutex<Vec<(Uri, Bytes)>>>,
        answers: Arc<Mutex<VecDeque<Answer>>>,
    }

    #[async_trait]
    impl Post for Inbox {
        async fn post(
            &self,
            uri: Uri,
            _: HeaderMap,
            body: Bytes,
            _: Duration,
        ) -> Result<Response<Bytes>, PostError> {
            self.posted.lock().push((uri, body));
            let none = |reason| PostError { reason, detail: "Connection refused".to_owned() };
            let status = self.answers.lock().pop_front().unwrap_or(Ok(200)).map_err(none)?;
            Ok(Response::builder().status(status).body(Bytes::new()).unwrap())
        }
    }

    fn turn() -> Arc<Turn> {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Arc::new(Turn {
            name: "high_error_rate".into(),
            when: "errors > 10/min".into(),
            is_firing: true,
            value: Some(12.0),
            threshold: 10.0,
            unit: "/min",
            since,
            at: since,
            webhook: Some(Secret::new("https://hooks.example/secret")),
        })
    }

    fn webhook(answers: &[Answer]) -> (Webhook<Inbox>, Inbox) {
        let answers = Arc::new(Mutex::new(answers.iter().copied().collect()));
        let inbox = Inbox { answers, ..Inbox::default() };
        let service = Service {
            name: "orchestrator".to_owned(),
            version: "1.0.0".to_owned(),
            environment: "production".to_owned(),
            attributes: Vec::new(),
        };
        let mut webhook = Webhook::new(&service, inbox.clone());
        webhook.host = Some("web-1".to_owned());
        (webhook, inbox)
    }

    #[tokio::test]
    async fn the_body_is_what_slack_shows_and_the_same_in_fields() {
        let (mut webhook, inbox) = webhook(&[]);
        let told = Delivery { requests: Some((1, 0)), ..Delivery::all(1) };
        assert_eq!(webhook.deliver(vec![turn()]).await, told);
        let (uri, body) = inbox.posted.lock().pop().unwrap();
        assert_eq!(uri, "https://hooks.example/secret");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let text = "[firing] high_error_rate: errors &gt; 10/min (at 12/min) by orchestrator in production on web-1";
        let expected = json!({
            "text": format!("{text}, instance {}", resource::instance()),
            "alert": "high_error_rate",
            "status": "firing",
            "when": "errors > 10/min",
            "value": 12.0,
            "threshold": 10.0,
            "unit": "/min",
            "service": "orchestrator",
            "version": "1.0.0",
            "environment": "production",
            "host": "web-1",
            "instance": resource::instance(),
            "since": "2023-11-14T22:13:20.000Z",
            "at": "2023-11-14T22:13:20.000Z",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn what_tls_says_of_the_host_is_not_repeated() {
        let said = |detail: &str| {
            discreet(PostError { reason: "unreachable", detail: detail.to_owned() }).detail
        };
        assert!(!said("TLS: not valid for name \"hooks.example\"").contains("hooks"));
        assert_eq!(said("Connection refused (os error 111)"), "Connection refused (os error 111)");
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
        let dropped = |reason| Delivery::none(1, reason);
        for (answers, attempts, expected, trouble) in [
            (&[Ok(204)][..], 1, Delivery::all(1), None),
            (&[Ok(503), Err("timeout")], 3, Delivery::all(1), None),
            (
                &[Ok(429), Ok(500), Ok(503)],
                3,
                dropped("refused"),
                Some("refused: the webhook answered 503"),
            ),
            (
                &[Err("unreachable"); 3],
                3,
                dropped("unreachable"),
                Some("unreachable: Connection refused"),
            ),
            (&[Ok(404)], 1, dropped("rejected"), Some("rejected: the webhook answered 404")),
            (&[Ok(302)], 1, dropped("rejected"), Some("rejected: the webhook answered 302")),
        ] {
            let requests = Some((attempts, attempts - expected.exported));
            let expected = Delivery { requests, ..expected };
            let (mut webhook, inbox) = webhook(answers);
            let began = Instant::now();
            assert_eq!(webhook.deliver(vec![turn()]).await, expected, "{answers:?}");
            assert_eq!(inbox.posted.lock().len() as u64, attempts, "{answers:?}");
            assert_eq!(webhook.trouble(), trouble, "{answers:?}");
            assert!(began.elapsed() <= PAUSES[0] + PAUSES[1]);
        }
    }
}
