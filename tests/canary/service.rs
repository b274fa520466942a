//! An upstream that repeats nothing but says marked texts of its own, in every place it can, and
//! breaks off in every way.
//!
//! What it does is the last segment of the path.

use std::fmt::Write;
use std::sync::Arc;

use super::markers::{Markers, Shape};
use crate::support::upstream::{self, Upstream, Wire, content_length};

/// Starts one.
pub(super) async fn start(markers: &Arc<Markers>) -> Arc<Upstream> {
    let markers = Arc::clone(markers);
    let service = upstream::scripted(move |mut wire| {
        let markers = Arc::clone(&markers);
        async move {
            while let Some(head) = wire.head().await {
                note_identity(&markers, &head);
                if head.contains("\r\ntransfer-encoding: ") {
                    wire.until(b"\r\n\r\n").await; // Its trailers end it.
                } else {
                    wire.body(content_length(&head)).await;
                }
                let target = head.split(' ').nth(1).unwrap_or_default();
                let path = target.split('?').next().unwrap_or_default();
                let what = path.rsplit('/').next().unwrap_or_default().to_owned();
                let shape = Shape::ALL[fastrand::usize(..Shape::ALL.len())];
                if !answer(&mut wire, &what, &Said { markers: &markers, shape }).await {
                    if what == "reset" {
                        wire.reset();
                    }
                    return;
                }
            }
        }
    });
    Arc::new(service.await)
}

/// The signed identity is for the upstream alone.
fn note_identity(markers: &Markers, head: &str) {
    let signed = head.lines().find_map(|line| line.strip_prefix("x-identity: "));
    for part in signed.iter().flat_map(|token| token.split('.').skip(1)) {
        markers.note("x-identity", part);
    }
}

/// What the upstream says.
struct Said<'a> {
    markers: &'a Markers,
    shape: Shape,
}

impl Said<'_> {
    fn word(&self, place: &str) -> String {
        self.markers.token(&format!("the upstream's {place}"), self.shape)
    }

    /// Header fields full of markers.
    fn fields(&self) -> String {
        let mut fields = String::new();
        for name in [
            "server",
            "x-powered-by",
            "set-cookie",
            "etag",
            "location",
            "via",
            "x-request-id",
            "traceparent",
            "tracestate",
            "www-authenticate",
            "cache-control",
            "x-audit-event",
            "x-audit-resource-id",
            "x-audit-resource-type",
            "x-error-type",
            "cache-status",
            "x-cache",
            "server-timing",
            "retry-after",
            "ratelimit",
            "alt-svc",
        ] {
            write!(fields, "{name}: {}\r\n", self.word(name)).ok();
        }
        let name = self.markers.token("the upstream's field names", Shape::Word);
        fields + &format!("x-{name}: {}\r\n", self.word("own field"))
    }
}

/// Whether the connection can be used again.
async fn answer(wire: &mut Wire, what: &str, said: &Said<'_>) -> bool {
    let fields = said.fields();
    let kind = format!("content-type: application/json; note={}\r\n", said.word("media type"));
    match what {
        "reset" => false,
        "malformed" | "nonsense" => {
            let start = if what == "malformed" { "HTTP/1.1 200 OK\n" } else { "" };
            wire.say(format!("{start}{} is no HTTP\r\n\r\n", said.word("nonsense"))).await;
            false
        }
        "slow" => {
            wire.closed().await;
            false
        }
        "stall" | "short" => {
            wire.say(format!("HTTP/1.1 200 OK\r\n{fields}content-length: 900\r\n\r\n")).await;
            wire.say(said.word("half body")).await;
            if what == "stall" {
                wire.closed().await;
            }
            false
        }
        "events" | "silence" | "torn" => {
            stream(wire, what, said, &fields).await;
            what == "events"
        }
        "trailers" => {
            wire.say(trailers(said, &fields)).await;
            true
        }
        "hints" => {
            wire.say(format!("HTTP/1.1 103 Early\r\n{fields}\r\n")).await;
            wire.say(format!("HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\nok")).await;
            true
        }
        what => {
            let status = match what {
                "broken" => "500",
                "missing" => "404",
                "moved" => "302",
                _ => "200",
            };
            let (reason, body) = (said.word("reason"), said.word("body"));
            let body = format!(
                "{{\"error\":\"{body}\",\"conversationId\":\"{body}\",\"model\":\"{body}\",\
                 \"usage\":\"{body}\"}}"
            );
            let length = body.len();
            wire.say(format!(
                "HTTP/1.1 {status} {reason}\r\n{fields}{kind}content-length: {length}\r\n\r\n{body}"
            ))
            .await;
            true
        }
    }
}

/// An event stream that ends, falls silent, or breaks off.
async fn stream(wire: &mut Wire, what: &str, said: &Said<'_>, fields: &str) {
    let (id, name, data) = (said.word("event id"), said.word("event"), said.word("data"));
    let facts = format!("{{\"model\":\"{data}\",\"usage\":\"{data}\",\"error\":\"{data}\"}}");
    let event =
        format!(": {data}\nid: {id}\nevent: {name}\ndata: {data}\nretry: 7\n\ndata: {facts}\n\n");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
    wire.say(format!("{head}{fields}transfer-encoding: chunked\r\n\r\n")).await;
    wire.say(format!("{:x}\r\n{event}\r\n", event.len())).await;
    match what {
        "silence" => wire.closed().await,
        "torn" => {}
        _ => wire.say("0\r\n\r\n").await,
    }
}

/// A gRPC answer that failed, with what there is to say about it.
fn trailers(said: &Said<'_>, fields: &str) -> String {
    let (one, two) = (said.word("trailer"), said.word("grpc-message"));
    format!(
        "HTTP/1.1 200 OK\r\n{fields}content-type: application/grpc\r\ntrailer: x-a, grpc-status, \
         grpc-message\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-a: {one}\r\n\
         grpc-status: 13\r\ngrpc-message: {two}\r\n\r\n"
    )
}
