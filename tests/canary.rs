//! Marked texts in every place that a client or an upstream can write to, through every ending, and no
//! sink that shows one.
//!
//! But for what the contract names: the user agent in the log and in the audit, the path and the verified
//! user in the audit, and an id of a client that looks like a machine's. Those fields are taken out before the search,
//! and what is in them is judged on its own. The ids of a `traceparent` become the link of a span.
//!
//! A search that finds nothing proves little, so another test plants a leak in every sink.

mod callers;
mod certificates;
mod everything;
mod markers;
mod panicked;
mod receiver;
mod service;
mod sinks;
mod tokens;
mod traffic;
mod visit;

use std::sync::Arc;

use self::everything::everything;
use self::markers::{Markers, Shape};
use self::receiver::Receiver;
use self::sinks::Sinks;
use self::traffic::{Ask, End, Writer};
use self::visit::{ask_once, assert_clean, converse, gather, note, operators, second};
use crate::support::grpc_collector::GrpcCollector;
use crate::support::process::Process;
use crate::support::upstream;

/// How the requests of a stranger end.
const ENDINGS: [&str; 18] = [
    "served",
    "read_class",
    "forbidden",
    "rate_limited",
    "_OTHER",
    "unsupported_media_type",
    "bad_request",
    "schema_violation",
    "uri_too_long",
    "header_too_large",
    "body_too_large",
    "request_body_timeout",
    "upstream_reset",
    "upstream_protocol",
    "response_header_timeout",
    "idle_timeout",
    "stream_idle_timeout",
    "client_abort",
];

#[tokio::test]
async fn nothing_that_a_stranger_or_the_upstream_wrote_comes_out_of_a_sink() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let upstream = service::start(&markers).await;
    let timing = "[server]\nserver_timing = true";
    let text = everything(&upstream.address.to_string(), &receiver, timing);
    let process = Process::start(&text).await;
    // The bucket's one token.
    assert_eq!(process.client().await.get("/limited/first").await.status, 200);
    let writer = |shape| Writer { markers: Arc::clone(&markers), shape, is_believed: false };
    let mut sinks = Sinks::default();
    for shape in Shape::ALL {
        let writer = writer(shape);
        let asks = [writer.served(), writer.refused(), writer.malformed()].concat();
        converse(&process, &upstream, asks, &mut sinks).await;
        second(&process, &writer, &mut sinks).await;
        operators(&process, &writer, &mut sinks).await;
    }
    let late = Shape::ALL.into_iter().flat_map(|shape| writer(shape).late()).collect();
    converse(&process, &upstream, late, &mut sinks).await;
    gather(process, &receiver, &mut sinks).await;

    assert!(markers.count() > 10_000, "{} markers", markers.count());
    for ending in ENDINGS {
        assert!(sinks.endings.contains(ending), "nothing ended as {ending}: {:?}", sinks.endings);
    }
    let is_agent = |agent: &String| agent.contains("zebracanary");
    assert!(sinks.agents.iter().any(is_agent), "the log has agents: {:?}", sinks.agents);
    assert!(sinks.headers.iter().any(is_agent), "the log has the one header that it may have");
    assert!(sinks.paths.iter().any(|path| markers.is_minted("path", path)), "the audit has paths");
    for fact in [
        "conversationId",
        "gen_ai.response.model",
        "orchestration.mode",
        "path.form",
        "answer.place",
    ] {
        let fact = format!("\"{fact}\":\"_other\"");
        assert!(sinks.has("console", &fact), "nothing was captured as {fact}");
    }
    for fact in ["session.id", "path.id", "answer.tag"] {
        assert!(sinks.has("console", &format!("\"{fact}\":\"")), "no pseudonym of {fact}");
    }
    assert!(!sinks.client_ids.is_empty(), "the log has ids of clients");
    for id in &sinks.client_ids {
        assert!(markers.is_minted("x-request-id", id), "{id} is an id");
        assert!([32, 36].contains(&id.len()) && !id.contains("zebra"), "{id} is a machine's");
    }
    assert_clean(&markers, &sinks);
}

#[tokio::test]
async fn nothing_that_a_trusted_proxy_passes_on_comes_out_of_a_sink() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let upstream = service::start(&markers).await;
    let trust = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let process =
        Process::start(&everything(&upstream.address.to_string(), &receiver, trust)).await;
    assert_eq!(process.client().await.get("/limited/first").await.status, 200);
    let mut sinks = Sinks::default();
    for shape in [Shape::Word, Shape::Uuid, Shape::Mail] {
        let writer = Writer { markers: Arc::clone(&markers), shape, is_believed: true };
        let asks = [writer.served(), writer.refused(), writer.malformed()].concat();
        converse(&process, &upstream, asks, &mut sinks).await;
    }
    gather(process, &receiver, &mut sinks).await;
    assert_clean(&markers, &sinks);
}

#[tokio::test]
async fn nothing_comes_out_where_the_upstream_is_gone_and_where_the_house_is_full() {
    let markers = Arc::<Markers>::default();
    let writer = |shape| Writer { markers: Arc::clone(&markers), shape, is_believed: false };
    let mut sinks = Sinks::default();

    let receiver = Receiver::start().await;
    let upstream = service::start(&markers).await;
    let nobody = upstream::nobody().await.to_string();
    let process = Process::start(&everything(&nobody, &receiver, "")).await;
    for (index, shape) in Shape::ALL.into_iter().enumerate() {
        // After five refused connections the breaker answers in the upstream's place.
        let end = End::Status(if index < 5 { 502 } else { 503 });
        let ask = Ask { end, ..writer(shape).served().swap_remove(index % 2) };
        ask_once(process.client().await, ask, &upstream, &mut sinks).await;
    }
    gather(process, &receiver, &mut sinks).await;

    let receiver = Receiver::start().await;
    let full = "[overload]\nmax_in_flight = 1\nmax_streams = 0\nqueue_timeout = \"0s\"";
    let text = everything(&upstream.address.to_string(), &receiver, full)
        .replace("idle = \"1s\"", "idle = \"30s\"");
    let process = Process::start(&text).await;
    let mut first = process.client().await;
    first.say("GET /first/stall HTTP/1.1\r\nhost: a\r\n\r\n").await;
    first.until(b"\r\n\r\n").await;
    for shape in Shape::ALL {
        for ask in writer(shape).served() {
            let ask = Ask { end: End::Status(503), ..ask };
            if ask.about.starts_with("fine") {
                ask_once(process.client().await, ask, &upstream, &mut sinks).await;
            }
        }
    }
    drop(first);
    gather(process, &receiver, &mut sinks).await;

    for ending in ["upstream_connect", "circuit_open", "overloaded"] {
        assert!(sinks.endings.contains(ending), "nothing ended as {ending}: {:?}", sinks.endings);
    }
    assert_clean(&markers, &sinks);
}

#[tokio::test]
async fn nothing_comes_out_of_what_waits_on_disk_for_a_collector_that_refuses() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    receiver.refuse();
    let upstream = service::start(&markers).await;
    let process = Process::start(&everything(&upstream.address.to_string(), &receiver, "")).await;
    let mut sinks = Sinks::default();
    for shape in Shape::ALL {
        let writer = Writer { markers: Arc::clone(&markers), shape, is_believed: false };
        converse(&process, &upstream, writer.served(), &mut sinks).await;
    }
    gather(process, &receiver, &mut sinks).await;
    let spooled = sinks.stacks.iter().filter(|stack| stack.name == "spool");
    let spooled: usize = spooled.map(|stack| stack.bytes.len()).sum();
    assert!(spooled > 50_000, "only {spooled} bytes waited on disk");
    assert_clean(&markers, &sinks);
}

#[tokio::test]
async fn nothing_comes_out_towards_a_collector_that_is_spoken_to_by_grpc() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let collector = GrpcCollector::start().await;
    let upstream = service::start(&markers).await;
    let from = format!("endpoint = \"http://{}\"", receiver.address);
    let to = format!("endpoint = \"http://{}\"\nprotocol = \"grpc\"", collector.address);
    let text = everything(&upstream.address.to_string(), &receiver, "").replace(&from, &to);
    let process = Process::start(&text).await;
    let mut sinks = Sinks::default();
    for shape in Shape::ALL {
        let writer = Writer { markers: Arc::clone(&markers), shape, is_believed: false };
        converse(&process, &upstream, writer.served(), &mut sinks).await;
    }
    gather(process, &receiver, &mut sinks).await;
    for service in ["TraceService", "MetricsService"] {
        let seen = collector.seen().into_iter().filter(|seen| seen.uri.contains(service));
        let bytes: Vec<u8> = seen
            .flat_map(|seen| [format!("{:?}", seen.headers).into_bytes(), seen.message].concat())
            .collect();
        assert!(bytes.len() > 10_000, "only {} bytes for the {service}", bytes.len());
        sinks.take(service, bytes);
    }
    let seen = collector.seen().into_iter().filter(|seen| seen.uri.contains("LogsService"));
    for seen in seen {
        sinks.take_log_records("LogsService", &seen.message);
    }
    assert!(sinks.has("LogsService", "Request completed"), "log records came by gRPC");
    assert_clean(&markers, &sinks);
}

#[tokio::test]
async fn the_ids_of_a_traceparent_come_out_as_the_link_of_a_span_and_nowhere_else() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let upstream = service::start(&Arc::default()).await;
    let process = Process::start(&everything(&upstream.address.to_string(), &receiver, "")).await;
    let trace = markers.mint("traceparent", Shape::Hex);
    let mut client = process.client().await;
    client
        .say(format!(
            "GET /a/fine HTTP/1.1\r\nhost: a\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\n\r\n"
        ))
        .await;
    assert_eq!(client.answer().await.status, 200);
    let mut sinks = Sinks::default();
    gather(process, &receiver, &mut sinks).await;
    let leaks = markers.leaks(&sinks.stacks);
    assert_eq!(leaks.len(), 1, "{leaks:#?}");
    assert!(leaks[0].starts_with("spans:"), "{leaks:#?}");
}

/// The search must be able to fail: what the configuration names does come out, everywhere.
#[tokio::test]
async fn a_planted_leak_is_found_in_every_sink() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let upstream = service::start(&Arc::default()).await;
    let [name, rule, api, closed, slow] =
        [(); 5].map(|()| markers.mint("the configuration", Shape::Word));
    // What is not taken stays in the spool, and has been seen all the same.
    receiver.refuse();
    let text = everything(&upstream.address.to_string(), &receiver, "")
        .replace("canary-test", &name)
        .replace("once", &rule)
        .replace("/api/", &format!("/{api}/"))
        .replace("/closed/", &format!("/{closed}/"))
        .replace("/slow/", &format!("/{slow}/"));
    let process = Process::start(&text).await;
    let mut sinks = Sinks::default();
    let mut client = process.client().await;
    assert_eq!(client.post(&format!("/{api}/orchestrate/1/fine"), "{}").await.status, 200);
    assert_eq!(client.get(&format!("/{closed}/1")).await.status, 403);
    assert_eq!(client.get(&format!("/{slow}/1/slow")).await.status, 504);
    let mut client = process.client().await;
    assert_eq!(client.get("/limited/1").await.status, 200);
    let limited = client.get("/limited/2").await;
    assert_eq!(limited.status, 429);
    note(&limited, &mut sinks);
    gather(process, &receiver, &mut sinks).await;

    let leaks = markers.leaks(&sinks.stacks);
    let segment = sinks.stacks.iter().find(|stack| stack.name.starts_with("audit-"));
    for name in [
        "console",
        "diagnostics",
        "combined.log",
        "error.log",
        "spans",
        "spans, decoded",
        "log records",
        "log records, decoded",
        "entries",
        "points",
        "points, decoded",
        "spool",
        "events",
        "metrics, text",
        "metrics, OpenMetrics",
        "metrics, protobuf",
        "status",
        "own answers",
        &segment.expect("a segment of the audit").name,
    ] {
        let is_found = leaks.iter().any(|leak| leak.starts_with(&format!("{name}: ")));
        assert!(is_found, "no leak was found in {name}: {leaks:#?}");
    }
}
