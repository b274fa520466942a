//! OTLP over gRPC: what a collector gets, and what becomes of a parcel when it is odd.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use vital_sidecar::config::model::{OtlpProtocol, OtlpTarget, Signal};
use vital_sidecar::secret::Secret;
use vital_sidecar::telemetry::export::gzip::pack;
use vital_sidecar::telemetry::export::transport::connect;
use vital_sidecar::telemetry::export::{Answer, Carrier, Encoding, Parcel};

use crate::support::authority::Authority;
use crate::support::client::Client;
use crate::support::grpc_collector::{GrpcCollector, Reply};
use crate::support::house::{self, config};
use crate::support::recorder::recording;
use crate::support::{eventually, h2};

const LIMIT: Duration = Duration::from_secs(10);
/// For those that never answer.
const SHORT: Duration = Duration::from_millis(100);
const TAKEN: Answer = Answer::Taken { rejected: 0 };

fn target(collector: &GrpcCollector) -> OtlpTarget {
    OtlpTarget::new(format!("http://{}", collector.address), OtlpProtocol::Grpc)
}

fn carrier(target: &OtlpTarget) -> Box<dyn Carrier> {
    connect(target, Signal::Traces).unwrap()
}

fn parcel() -> Parcel {
    pack(3, Bytes::from_static(b"a message"), Encoding::Identity)
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Taken { rejected: 0 } => "taken".to_owned(),
        Answer::Taken { rejected } => format!("taken but {rejected}"),
        Answer::Later { reason, .. } => format!("{reason} later"),
        Answer::Never { reason, .. } => format!("{reason} never"),
    }
}

#[tokio::test]
async fn each_signal_has_its_service() {
    let collector = GrpcCollector::start().await;
    // A path means nothing to gRPC.
    let mut target = target(&collector);
    target.url += "/v1/traces?a=b";
    for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
        let carrier = connect(&target, signal).unwrap();
        assert_eq!(carrier.carry(&parcel(), LIMIT).await, TAKEN);
    }
    let uris: Vec<_> = collector.seen().into_iter().map(|seen| seen.uri).collect();
    let of = |name: &str| {
        format!("http://{}/opentelemetry.proto.collector.{name}/Export", collector.address)
    };
    let services =
        ["trace.v1.TraceService", "metrics.v1.MetricsService", "logs.v1.LogsService"].map(of);
    assert_eq!(uris, services);
}

#[tokio::test]
async fn a_parcel_arrives_as_it_is_with_its_headers_and_its_deadline() {
    let collector = GrpcCollector::start().await;
    let mut target = target(&collector);
    target.headers = vec![("authorization".to_owned(), Secret::new("Bearer 100%41"))];
    let carrier = carrier(&target);
    for encoding in [Encoding::Identity, Encoding::Gzip] {
        let parcel = pack(1, Bytes::from(vec![7; 300_000]), encoding);
        assert_eq!(carrier.carry(&parcel, LIMIT).await, TAKEN);
    }
    for (seen, is_compressed) in collector.seen().into_iter().zip([false, true]) {
        assert!(seen.message == vec![7; 300_000] && seen.is_compressed == is_compressed);
        assert_eq!(seen.headers["authorization"], "Bearer 100%41");
        assert_eq!(seen.headers["grpc-timeout"], "10000m");
        assert!(seen.headers["user-agent"].to_str().unwrap().starts_with("vital-sidecar/"));
    }
    assert_eq!(collector.connections(), 1, "requests share a connection");
}

#[tokio::test]
async fn statuses_and_partial_success_are_read_wherever_they_stand() {
    let collector = GrpcCollector::start().await;
    let carrier = carrier(&target(&collector));
    let status = |status| [("grpc-status", status)];
    let cases = [
        (Reply::taken(0), "taken"),
        (Reply::taken(2), "taken but 2"),
        (Reply::taken(99), "taken but 3"),
        (Reply::taken(-1), "taken"),
        (Reply::refused(&status("14")), "refused later"),
        (Reply::http(200).body("").trailers(&status("14")), "refused later"),
        (Reply::http(200).body("\0\0\0").trailers(&status("0")), "taken"),
        (Reply::http(200).body("\0\0\0\0\x02{}").trailers(&status("0")), "taken"),
        (Reply::refused(&status("3")), "refused never"),
        (Reply::refused(&status("8")), "refused never"),
        (Reply::refused(&status("0")), "taken"),
        (Reply::http(503).body("<html>"), "refused later"),
        (Reply::http(404).body("<html>"), "refused never"),
        (Reply::http(200).body("<html>"), "refused never"),
        (Reply::http(200), "refused never"),
        (Reply::http(200).reset(), "unreachable later"),
        (Reply::http(200).body("\0").reset(), "unreachable later"),
    ];
    for (reply, expected) in cases {
        collector.script([reply.clone()]);
        let answer = carrier.carry(&parcel(), LIMIT).await;
        assert_eq!(told(&answer), expected, "{reply:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_pause_is_taken_from_the_details() {
    let collector = GrpcCollector::start().await;
    let carrier = carrier(&target(&collector));
    // A google.rpc.Status with a RetryInfo of 1.5 s; no base64 at all.
    let details = "CAgSBHNsb3caKgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLkVycm9ySW5mbxo2Cih0eXBlLmdvb\
                   2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuUmV0cnlJbmZvEgoKCAgBEIDKte4B";
    let cases = [(details, Some(Duration::from_millis(1500))), ("%%%%", None)];
    for (details, expected) in cases {
        let fields = [("grpc-status", "14"), ("grpc-status-details-bin", details)];
        for reply in [Reply::refused(&fields), Reply::http(200).body("").trailers(&fields)] {
            collector.script([reply]);
            let answer = carrier.carry(&parcel(), LIMIT).await;
            assert!(matches!(answer, Answer::Later { after, .. } if after == expected));
        }
    }
}

#[tokio::test]
async fn a_collector_that_never_ends_is_given_up_in_time_and_its_connection_too() {
    let collector = GrpcCollector::start().await;
    let carrier = carrier(&target(&collector));
    let endless =
        [Reply::silence(), Reply::http(200).hanging(), Reply::taken(0).body("\0").hanging()];
    for (index, reply) in endless.into_iter().enumerate() {
        collector.script([reply]);
        let started = Instant::now();
        let answer = carrier.carry(&parcel(), SHORT).await;
        assert_eq!(told(&answer), "timeout later");
        assert!(started.elapsed() < LIMIT);
        assert_eq!(carrier.carry(&parcel(), LIMIT).await, TAKEN);
        assert_eq!(collector.connections(), 2 + index as u64, "the silent one is not asked again");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let collector = GrpcCollector::start().await;
    let carrier = carrier(&target(&collector));
    let flood = (0..64).fold(Reply::http(200), |reply, _| reply.body(vec![0; 64 * 1024]));
    collector.script([flood.hanging()]);
    let answer = carrier.carry(&parcel(), LIMIT).await;
    assert_eq!(told(&answer), "refused never", "{answer:?}");
    assert_eq!(carrier.carry(&parcel(), LIMIT).await, TAKEN, "the connection still serves");
}

#[tokio::test]
async fn nothing_a_collector_says_is_repeated() {
    let collector = GrpcCollector::start().await;
    let carrier = carrier(&target(&collector));
    for status in ["3", "14", "hunter2"] {
        let fields = [("grpc-status", status), ("grpc-message", "hunter2"), ("hunter2", "hunter2")];
        collector.script([Reply::refused(&fields).body("hunter2")]);
        let answer = carrier.carry(&parcel(), LIMIT).await;
        assert!(!format!("{answer:?}").contains("hunter2"), "{answer:?}");
    }
    // The last words of a connection.
    let mut goaway = vec![0, 0, 0, 0, 0, 0, 0, 11];
    goaway.extend(b"hunter2");
    let words = [h2::frame(h2::SETTINGS, 0, 0, b""), h2::frame(h2::GOAWAY, 0, 0, &goaway)].concat();
    let answer = answered_by(words).await;
    assert!(told(&answer) == "unreachable later" && !format!("{answer:?}").contains("hunter2"));
}

#[tokio::test]
async fn what_is_no_http2_is_unreachable() {
    let (page, noise) = ("HTTP/1.1 400 Bad Request\r\n\r\n", vec![0xff; 10_000]);
    for words in [page.into(), noise, Vec::new()] {
        assert_eq!(told(&answered_by(words).await), "unreachable later");
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = OtlpTarget::new(format!("http://{free}"), OtlpProtocol::Grpc);
    assert_eq!(told(&carrier(&nobody).carry(&parcel(), LIMIT).await), "unreachable later");
}

/// The verdict on a peer that says these bytes and closes.
async fn answered_by(words: Vec<u8>) -> Answer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let carrier = carrier(&OtlpTarget::new(url, OtlpProtocol::Grpc));
    let parcel = parcel();
    let peer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        stream.write_all(&words).await.unwrap();
        stream.shutdown().await.unwrap();
        // Until the sidecar has had enough of it, so that nothing is lost to a reset.
        let _left = stream.read_to_end(&mut Vec::new()).await;
    };
    tokio::join!(carrier.carry(&parcel, LIMIT), peer).0
}

#[tokio::test]
async fn tls_needs_the_right_roots_and_http2() {
    let authority = Authority::new();
    let right = GrpcCollector::start_tls(authority.server("localhost", &["h2"])).await;
    let url = |collector: &GrpcCollector| format!("https://localhost:{}", collector.address.port());
    let mut target = OtlpTarget::new(url(&right), OtlpProtocol::Grpc);
    target.ca_file = Some(authority.file());
    assert_eq!(carrier(&target).carry(&parcel(), LIMIT).await, TAKEN);

    let other = Authority::new();
    target.ca_file = Some(other.file());
    assert_eq!(told(&carrier(&target).carry(&parcel(), LIMIT).await), "unreachable later");

    target.ca_file = Some(authority.file());
    let old = GrpcCollector::start_tls(authority.server("localhost", &["http/1.1"])).await;
    target.url = url(&old);
    assert_eq!(told(&carrier(&target).carry(&parcel(), LIMIT).await), "unreachable later");
    let stranger = GrpcCollector::start_tls(authority.server("example.org", &["h2"])).await;
    target.url = url(&stranger);
    assert_eq!(told(&carrier(&target).carry(&parcel(), LIMIT).await), "unreachable later");
}

#[tokio::test]
async fn a_whole_sidecar_sends_its_spans_and_log_records_by_grpc() {
    let (recorder, collector) = (recording().await, GrpcCollector::start().await);
    let otlp = format!(
        "[otlp]\nendpoint = \"http://{}\"\nprotocol = \"grpc\"\ncompression = \"gzip\"\n",
        collector.address
    );
    let house = house::open(&config(recorder.upstream.address, &otlp)).await;
    let mut client = Client::connect(house.data).await;
    assert_eq!(client.get("/x").await.status, 200);
    eventually("two spans arrive", || collector.seen().iter().any(|seen| seen.spans() == 2)).await;
    let has_log = || collector.seen().iter().any(|seen| seen.log_records() > 0);
    eventually("a log record arrives", has_log).await;
    assert!(collector.seen().iter().all(|seen| seen.is_compressed));
    house.close().await;
}
