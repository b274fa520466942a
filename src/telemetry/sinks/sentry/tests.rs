//! The sink against a Sentry that is a list of answers.

use std::collections::VecDeque;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Response, Uri};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::advance;

use super::*;
use crate::http::ids::RequestId;
use crate::http::traceparent::{SpanId, TraceId};
use crate::record::{Caller, PseudonymKey, RouteNames, Trace, User};
use crate::secret::Secret;
use crate::telemetry::export_client::PostError;
use crate::telemetry::log::sample;

type Answer = Result<Response<Bytes>, PostError>;

/// What was posted, and what to answer; 200 when the list is at its end.
#[derive(Clone, Debug, Default)]
struct Inbox {
    posted: Arc<Mutex<Vec<(Uri, HeaderMap, Bytes)>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

#[async_trait]
impl Post for Inbox {
    async fn post(&self, uri: Uri, headers: HeaderMap, body: Bytes, _: Duration) -> Answer {
        self.posted.lock().push((uri, headers, body));
        self.answers.lock().pop_front().unwrap_or_else(|| Ok(Response::default()))
    }
}

fn sink(sample_rate: f32, answers: Vec<Answer>) -> (SentrySink<Inbox>, Inbox) {
    let inbox = Inbox { answers: Arc::new(Mutex::new(answers.into())), ..Inbox::default() };
    let config = Sentry {
        dsn: Secret::new("https://public@sentry.example/42"),
        environment: "test".to_owned(),
        release: "app@1.0.0".to_owned(),
        sample_rate,
    };
    (SentrySink::new(&config, inbox.clone()).unwrap(), inbox)
}

fn answer(status: u16, limits: Option<&str>) -> Response<Bytes> {
    let mut response = Response::builder().status(status);
    if let Some(limits) = limits {
        response = response.header("x-sentry-rate-limits", limits);
    }
    response.body(Bytes::new()).unwrap()
}

fn failed(template: &'static str) -> Arc<Record> {
    let failed = sample::failed();
    let (trace_id, server_span) = (TraceId([0xab; 16]), SpanId([0xcd; 8]));
    Arc::new(Record {
        request_id: RequestId::generate(),
        trace: Trace { trace_id, server_span, ..failed.trace.clone() },
        started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        duration: Duration::from_millis(1500),
        route: Arc::new(RouteNames { template: template.into(), ..(*failed.route).clone() }),
        shape: Some("/secret-url".into()),
        user_agent: Some("secret-agent".into()),
        ..failed
    })
}

/// All paths to scalars in a JSON value.
fn leaves(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| leaves(value, &format!("{path}/{name}"), out));
        }
        Value::Array(values) => values.iter().for_each(|value| leaves(value, path, out)),
        _ => out.push(path.to_owned()),
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_holds_the_listed_fields_and_no_other() {
    let (mut sink, inbox) = sink(1.0, vec![]);
    let record = failed("/api/orchestrate");
    assert_eq!(sink.deliver(vec![Arc::clone(&record)]).await, Delivery::all(1));

    let (uri, headers, body) = inbox.posted.lock().pop().unwrap();
    assert_eq!(uri, "https://sentry.example/api/42/envelope/");
    assert!(headers[AUTH].to_str().unwrap().contains("sentry_key=public"));
    let lines: Vec<Value> =
        body.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let [head, item, event] = &lines[..] else { panic!("not an envelope: {body:?}") };
    let id = |part: &Value| part["event_id"].as_str().map(|id| id.replace('-', ""));
    assert_eq!(id(head), id(event));
    assert_eq!(item["type"], "event");

    let mut paths = Vec::new();
    leaves(event, "", &mut paths);
    let expected = "/contexts/trace/op /contexts/trace/span_id /contexts/trace/trace_id \
         /contexts/trace/type /environment /event_id /exception/values/type \
         /exception/values/value /fingerprint /fingerprint /logentry/message \
         /release /tags/error.type /tags/http.status_code /tags/method /tags/request_id /tags/route \
         /timestamp /transaction";
    assert_eq!(paths.join(" "), expected);
    assert_eq!(event["transaction"], "POST /api/orchestrate");
    assert_eq!(event["fingerprint"], serde_json::json!(["upstream_connect", "/api/orchestrate"]));
    assert_eq!(event["contexts"]["trace"]["trace_id"], "ab".repeat(16));
    assert_eq!(event["contexts"]["trace"]["span_id"], "cd".repeat(8));
    assert_eq!(event["tags"]["request_id"], record.request_id.to_string());
    assert_eq!(event["timestamp"], 1_700_000_001.5);
}

#[tokio::test(start_paused = true)]
async fn an_event_names_its_caller_in_the_form_that_telemetry_may_show() {
    let pseudonym = PseudonymKey::from_bytes(b"key").pseudonym(b"u-4711");
    let hash = pseudonym.to_string();
    for (user, id) in [(User::Hash(pseudonym), &*hash), (User::Raw("u-4711".into()), "u-4711")] {
        let (mut sink, inbox) = sink(1.0, vec![]);
        let mut record = Arc::into_inner(failed("/a")).unwrap();
        record.caller = Caller { user: Some(user), tenant: Some("acme".into()) };
        assert_eq!(sink.deliver(vec![Arc::new(record)]).await, Delivery::all(1));
        let (_, _, body) = inbox.posted.lock().pop().unwrap();
        let event: Value =
            serde_json::from_slice(body.split(|b| *b == b'\n').nth(2).unwrap()).unwrap();
        let mut paths = Vec::new();
        leaves(&event, "", &mut paths);
        paths.retain(|path| path.starts_with("/user"));
        assert_eq!((paths, &event["user"]["id"]), (vec!["/user/id".to_owned()], &id.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn each_kind_has_a_bucket_of_ten_that_fills_in_a_minute() {
    let (mut sink, inbox) = sink(1.0, vec![]);
    let mut batch = vec![failed("/a"); 25];
    batch.push(failed("/b"));
    let limited =
        Delivery { exported: 11, dropped: vec![("rate_limited", 15)], ..Delivery::default() };
    assert_eq!(sink.deliver(batch).await, limited);
    advance(Duration::from_secs(6)).await;
    let one = Delivery { exported: 1, dropped: vec![("rate_limited", 1)], ..Delivery::default() };
    assert_eq!(sink.deliver(vec![failed("/a"), failed("/a")]).await, one);
    assert_eq!(inbox.posted.lock().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn sentry_is_left_alone_for_as_long_as_it_asks() {
    let (mut sink, inbox) =
        sink(1.0, vec![Ok(answer(200, Some("30:error:key"))), Ok(answer(429, None))]);
    let first = Delivery { exported: 1, dropped: vec![("rate_limited", 1)], ..Delivery::default() };
    assert_eq!(sink.deliver(vec![failed("/a"), failed("/a")]).await, first);
    advance(Duration::from_secs(30)).await;
    assert_eq!(sink.deliver(vec![failed("/a")]).await, Delivery::none(1, "rate_limited"));
    assert_eq!(inbox.posted.lock().len(), 2);
    advance(Duration::from_mins(1)).await;
    assert_eq!(sink.deliver(vec![failed("/a")]).await, Delivery::all(1));
}

#[tokio::test(start_paused = true)]
async fn a_dead_sentry_costs_one_attempt_per_batch() {
    let unreachable = PostError { reason: "unreachable", detail: String::new() };
    let (mut sink, inbox) = sink(1.0, vec![Err(unreachable)]);
    let batch = vec![failed("/a"), failed("/a"), failed("/b")];
    assert_eq!(sink.deliver(batch).await, Delivery::none(3, "unreachable"));
    assert_eq!(inbox.posted.lock().len(), 1);
    assert_eq!(sink.deliver(vec![failed("/a")]).await, Delivery::all(1));
}

#[tokio::test(start_paused = true)]
async fn refusals_and_sampling_are_counted() {
    let (mut full, _) = sink(1.0, vec![Ok(answer(400, None)), Ok(answer(503, None))]);
    let counted = Delivery {
        exported: 0,
        dropped: vec![("refused", 1), ("rejected", 1)],
        ..Delivery::default()
    };
    assert_eq!(full.deliver(vec![failed("/a"), failed("/a")]).await, counted);
    let (mut none, inbox) = sink(0.0, vec![]);
    assert_eq!(none.deliver(vec![failed("/a")]).await, Delivery::none(1, "sampled"));
    assert!(inbox.posted.lock().is_empty());
}

#[test]
fn a_bad_dsn_is_an_error_that_does_not_repeat_it() {
    for dsn in ["", "not a url", "https://sentry.example/42", "https://key@/1"] {
        let config = Sentry {
            dsn: Secret::new(dsn),
            environment: String::new(),
            release: String::new(),
            sample_rate: 1.0,
        };
        let error = SentrySink::new(&config, Inbox::default()).map(drop).unwrap_err();
        assert!(dsn.is_empty() || !error.to_string().contains(dsn), "{error}");
    }
}
