//! W3C Trace Context through the whole sidecar: every rule of parsing and of mutation is one named
//! case, and each is sent by a caller that is believed and by one that is not. What counts is what the
//! service behind received, and what the exported SERVER span says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::support::client::Client;
use crate::support::collector::Collector;
use crate::support::house::{self, config};
use crate::support::recorder::{Seen, recording};
use crate::support::upstream;
use crate::tracing::hex;

mod cases;

use cases::{CASES, Case, Means, PARENT, TRACE};

/// One request: what the service received, and the SERVER and CLIENT spans that were exported.
pub(crate) struct Visit {
    pub(crate) told: Seen,
    pub(crate) server: Option<Span>,
    pub(crate) client: Option<Span>,
}

impl Visit {
    /// The four parts of the `traceparent` that the service received.
    fn traceparent(&self) -> Vec<&str> {
        let header = self.told.field("traceparent").expect("a traceparent");
        let parts: Vec<_> = header.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
        parts
    }
}

/// Sends a GET with each of these heads through one sidecar.
pub(crate) async fn visits(more: &str, heads: impl Iterator<Item = String>) -> Vec<Visit> {
    let (recorder, collector) = (recording().await, Collector::start().await);
    let endpoint = collector.endpoint();
    let base = endpoint.strip_suffix("/v1/traces").expect("a traces endpoint");
    let text = format!("[otlp]\nendpoint = \"{base}\"\n{more}");
    let house = house::open(&config(recorder.upstream.address, &text)).await;
    let mut client = house.client().await;
    let mut ids = Vec::new();
    for head in heads {
        client.say(format!("GET /x HTTP/1.1\r\nhost: a\r\n{head}\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200, "{head:?}");
        ids.push(answer.field("x-request-id").expect("an id").to_owned());
    }
    drop(client);
    house.close().await;

    let spans = collector.spans(0).await;
    let of_kind = |kind: SpanKind| spans.iter().filter(move |it| it.span.kind == kind as i32);
    let servers: BTreeMap<_, _> = of_kind(SpanKind::Server)
        .map(|it| (it.attribute("sidecar.request_id").expect("an id"), it.span.clone()))
        .collect();
    let children: BTreeMap<_, _> =
        of_kind(SpanKind::Client).map(|it| (it.span.parent_span_id.clone(), &it.span)).collect();
    let told = recorder.seen();
    assert_eq!(told.len(), ids.len());
    let visit = |(told, id)| {
        let server: Option<Span> = servers.get(&id).cloned();
        let client = server.as_ref().and_then(|server| children.get(&server.span_id));
        Visit { told, client: client.map(|span| Span::clone(span)), server }
    };
    told.into_iter().zip(ids).map(visit).collect()
}

fn head(case: &Case) -> String {
    let lines = case.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    lines.collect::<Vec<_>>().concat()
}

/// Whatever was sent, what goes on is our own span, in version 00 and with no flag but ours.
fn is_well_formed(name: &str, visit: &Visit) {
    let [version, trace, parent, flags] = visit.traceparent()[..] else { panic!("{name}") };
    assert_eq!(version, "00", "{name}");
    assert!(!trace.contains('-') && trace != "0".repeat(32) && parent != "0".repeat(16), "{name}");
    assert!(["00", "01", "02", "03"].contains(&flags), "{name}: {flags}");
    assert_ne!(parent, PARENT, "{name}: the parent is ours");
    let heads = visit.told.head.to_ascii_lowercase();
    for field in ["traceparent:", "tracestate:"] {
        assert!(
            heads.matches(&format!("\r\n{field}")).count() <= 1,
            "{name}: {field} once at most"
        );
    }
    let is_sampled = matches!(flags, "01" | "03");
    assert_eq!(visit.server.is_some(), is_sampled, "{name}: exported as the service was told");
    if let (Some(server), Some(client)) = (&visit.server, &visit.client) {
        assert_eq!((hex(&server.trace_id), hex(&client.trace_id)), (trace.into(), trace.into()));
        assert_eq!(hex(&client.span_id), parent, "{name}: the parent is the CLIENT span");
    }
}

fn is_new(name: &str, visit: &Visit) {
    let parts = visit.traceparent();
    assert_ne!(parts[1], TRACE, "{name}");
    assert_eq!(parts[3], "03", "{name}: sampled by our ratio, and random");
    assert_eq!(visit.told.field("tracestate"), None, "{name}");
    let server = visit.server.as_ref().expect("a span");
    assert!(server.parent_span_id.is_empty() && server.trace_state.is_empty(), "{name}");
}

async fn are_believed(trust: &str) {
    let visits = visits(trust, CASES.iter().map(head)).await;
    for (case, visit) in CASES.iter().zip(visits) {
        let name = case.name;
        is_well_formed(name, &visit);
        let Means::Continued { flags, state } = case.means else {
            is_new(name, &visit);
            assert!(visit.server.expect("a span").links.is_empty(), "{name}");
            continue;
        };
        let state = state();
        let parts = visit.traceparent();
        assert_eq!((parts[1], parts[3]), (TRACE, flags), "{name}");
        assert_eq!(visit.told.field("tracestate"), state.as_deref(), "{name}");
        if let Some(server) = &visit.server {
            assert_eq!(hex(&server.parent_span_id), PARENT, "{name}");
            assert_eq!(server.trace_state, state.unwrap_or_default(), "{name}");
            assert!(server.links.is_empty(), "{name}");
        }
    }
}

async fn are_not_believed(trust: &str) {
    let visits = visits(trust, CASES.iter().map(head)).await;
    for (case, visit) in CASES.iter().zip(visits) {
        let name = case.name;
        is_well_formed(name, &visit);
        is_new(name, &visit);
        let server = visit.server.expect("a span");
        let links: Vec<_> =
            server.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect();
        let expected = match case.means {
            Means::Continued { .. } => vec![(TRACE.to_owned(), PARENT.to_owned())],
            Means::New => vec![],
        };
        assert_eq!(links, expected, "{name}");
        assert!(server.links.iter().all(|link| link.trace_state.is_empty()), "{name}");
    }
}

#[tokio::test]
async fn every_rule_holds_where_everybody_is_believed() {
    are_believed("[tracing]\ntrust = \"always\"\n").await;
}

#[tokio::test]
async fn every_rule_holds_for_a_trusted_proxy() {
    are_believed("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").await;
}

#[tokio::test]
async fn no_rule_lets_a_stranger_force_or_suppress_or_leave_anything_but_a_link() {
    are_not_believed("").await;
}

#[tokio::test]
async fn nobody_is_believed_where_trust_is_never() {
    are_not_believed(
        "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[tracing]\ntrust = \"never\"\n",
    )
    .await;
}

/// A service that calls back three times through the sidecar, with the context it was given.
async fn called_back(fields: &str) -> Vec<Seen> {
    let sidecar = Arc::<OnceLock<SocketAddr>>::default();
    let seen = Arc::<parking_lot::Mutex<Vec<Seen>>>::default();
    let (address, kept) = (Arc::clone(&sidecar), Arc::clone(&seen));
    let service = upstream::scripted(move |mut wire| {
        let (address, kept) = (Arc::clone(&address), Arc::clone(&kept));
        async move {
            while let Some(head) = wire.head().await {
                let told = Seen { head, body: Vec::new() };
                if told.head.starts_with("GET /call ") {
                    let context: Vec<_> = ["traceparent", "tracestate"]
                        .iter()
                        .filter_map(|name| Some(format!("{name}: {}\r\n", told.field(name)?)))
                        .collect();
                    for _ in 0..3 {
                        let mut back = Client::connect(*address.get().expect("an address")).await;
                        back.say(format!(
                            "GET /leaf HTTP/1.1\r\nhost: a\r\n{}\r\n",
                            context.concat()
                        ))
                        .await;
                        assert_eq!(back.answer().await.status, 200);
                    }
                }
                kept.lock().push(told);
                wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
            }
        }
    })
    .await;
    let trust = "[tracing]\ntrust = \"always\"\n";
    let house = house::open(&config(service.address, trust)).await;
    sidecar.set(house.data).expect("set once");
    let mut client = house.client().await;
    client.say(format!("GET /call HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
    assert_eq!(client.answer().await.status, 200);
    house.close().await;
    let seen = seen.lock().clone();
    assert_eq!(seen.len(), 4, "three leaves, then the call");
    seen
}

#[tokio::test]
async fn a_service_that_calls_back_stays_in_the_trace_with_a_new_parent_each_time() {
    let sent = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: foo=1,bar=2\r\n");
    let zeros = format!("traceparent: 00-{}-{PARENT}-01\r\n", "0".repeat(32));
    for (fields, is_continued) in [(sent.as_str(), true), ("", false), (&zeros, false)] {
        let seen = called_back(fields).await;
        let parts = |told: &Seen| {
            let header = told.field("traceparent").expect("a traceparent").to_owned();
            (header[3..35].to_owned(), header[36..52].to_owned())
        };
        let (traces, mut parents): (Vec<_>, Vec<_>) = seen.iter().map(parts).unzip();
        assert!(traces.iter().all(|trace| *trace == traces[0]), "one trace: {traces:?}");
        assert_eq!(traces[0] == TRACE, is_continued, "{fields:?}");
        parents.push(PARENT.to_owned());
        parents.sort();
        parents.dedup();
        assert_eq!(parents.len(), 5, "each parent is another span: {parents:?}");
        let state = is_continued.then_some("foo=1,bar=2");
        assert!(seen.iter().all(|told| told.field("tracestate") == state), "{fields:?}");
    }
}
