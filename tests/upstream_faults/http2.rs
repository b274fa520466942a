//! The HTTP/2 column of the matrix, frame by frame, and the row of TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;
use vital_sidecar::config::Config;
use vital_sidecar::config::model::Scheme;

use super::matrix::{Expected, Fault, config, meet};
use crate::support::authority::Authority;
use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, INTERNAL_ERROR, STATUS_200,
};
use crate::support::upstream::{self, Upstream, Wire};

const CONTINUATION: u8 = 9;

async fn serve(mut frames: Frames) {
    if frames.greet().await {
        go_on(frames).await;
    }
}

/// Answers all further requests of a connection.
async fn go_on(mut frames: Frames) {
    while let Some(stream) = frames.request().await {
        frames.answer(stream, b"fine").await;
    }
}

/// Sends a head and four bytes of a body that goes on.
async fn begin(frames: &mut Frames, stream: u32) {
    frames.write(HEADERS, END_HEADERS, stream, STATUS_200).await;
    frames.write(DATA, 0, stream, b"four").await;
}

/// Answers the preface in another tongue, and reads on: a close on unread bytes would be a reset.
async fn say_otherwise(mut wire: Wire, bytes: &[u8]) {
    wire.head().await;
    wire.say(bytes).await;
    wire.closed().await;
}

/// Lets what was said arrive, then closes with a reset.
async fn reset(mut frames: Frames) {
    let _quiet = tokio::time::timeout(Duration::from_millis(20), frames.next()).await;
    let socket = socket2::SockRef::from(&frames.stream);
    socket.set_linger(Some(Duration::ZERO)).expect("linger");
}

/// Reads until the sidecar has closed.
async fn closed(mut frames: Frames) {
    while frames.next().await.is_some() {}
}

/// Commits the fault on a connection.
async fn commit(fault: Fault, wire: Wire) {
    match fault {
        // An alert: protocol_version.
        Fault::Tls => return say_otherwise(wire, b"\x15\x03\x03\0\x02\x02\x46").await,
        Fault::OtherVersion => {
            let bad = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            return say_otherwise(wire, bad).await;
        }
        _ => {}
    }
    let mut frames = Frames { stream: wire.stream };
    if !frames.greet().await {
        return;
    }
    let Some(stream) = frames.request().await else { return };
    match fault {
        Fault::ResetBeforeHead => reset(frames).await,
        Fault::ResetInHead => {
            frames.write(HEADERS, 0, stream, STATUS_200).await;
            reset(frames).await;
        }
        Fault::ResetInBody => {
            begin(&mut frames, stream).await;
            reset(frames).await;
        }
        Fault::HangBeforeHead => go_on(frames).await,
        Fault::HangInBody => {
            begin(&mut frames, stream).await;
            go_on(frames).await;
        }
        Fault::TrickledHead => {
            frames.write(HEADERS, 0, stream, STATUS_200).await;
            trickle(&mut frames, CONTINUATION, stream, 60).await;
            frames.write(CONTINUATION, END_HEADERS, stream, b"").await;
            go_on(frames).await;
        }
        Fault::TrickledBody => {
            begin(&mut frames, stream).await;
            trickle(&mut frames, DATA, stream, 10).await;
            go_on(frames).await;
        }
        Fault::Garbage | Fault::GarbageInBody => {
            if fault == Fault::GarbageInBody {
                begin(&mut frames, stream).await;
            }
            let _left = frames.stream.write_all(b"220 mail.example ESMTP\r\n\r\n").await;
            closed(frames).await;
        }
        Fault::OversizeHead => oversize(frames, stream).await,
        Fault::EarlyClose => {
            let head = with_length(100);
            frames.write(HEADERS, END_HEADERS, stream, &head).await;
            frames.write(DATA, 0, stream, b"four").await;
        }
        Fault::HalfClose => {
            frames.stream.shutdown().await.expect("a half-close");
            closed(frames).await;
        }
        Fault::Refused | Fault::Tls | Fault::OtherVersion => {}
    }
}

/// Sends a small frame every so many milliseconds until the sidecar has reset the stream, or closed
/// the connection.
async fn trickle(frames: &mut Frames, kind: u8, stream: u32, millis: u64) {
    let (quiet, payload) = (Duration::from_millis(millis), [b'z'; 1]);
    let payload = if kind == DATA { &payload[..] } else { &[] };
    while tokio::time::timeout(quiet, frames.next()).await.is_err() {
        frames.write(kind, 0, stream, payload).await;
    }
}

/// A head of 70 KiB: a literal field (RFC 7541 §6.2.2) in each of more frames than a head may have.
async fn oversize(mut frames: Frames, stream: u32) {
    frames.write(HEADERS, 0, stream, STATUS_200).await;
    for nth in 0..70_u8 {
        // Name of one byte, value of 1000 bytes: 0x7f and two bytes of what is over 127.
        let mut field = vec![0, 1, b'a' + nth % 26, 0x7f, 0xe9, 0x06];
        field.extend([b'y'; 1000]);
        let flags = if nth == 69 { END_HEADERS } else { 0 };
        frames.write(CONTINUATION, flags, stream, &field).await;
    }
    frames.write(DATA, END_STREAM, stream, b"fine").await;
    go_on(frames).await;
}

/// `:status: 200` and a content-length, which is 28 in the static table.
fn with_length(length: u32) -> Vec<u8> {
    let digits = length.to_string();
    let mut head = STATUS_200.to_vec();
    head.extend([0x0f, 28 - 15, u8::try_from(digits.len()).expect("short")]);
    head.extend(digits.bytes());
    head
}

fn h2c(upstream: &Upstream) -> Config {
    let mut config = config(upstream);
    config.upstream.scheme = Scheme::H2c;
    config
}

/// An upstream whose first connection fails and whose others serve.
async fn failing_once(fault: Fault) -> Upstream {
    let is_first = AtomicBool::new(true);
    upstream::scripted(move |wire| {
        let is_first = is_first.swap(false, Ordering::SeqCst);
        async move {
            if is_first {
                commit(fault, wire).await;
            } else {
                serve(Frames { stream: wire.stream }).await;
            }
        }
    })
    .await
}

/// A fault that breaks its connection, or one that breaks a stream and leaves the connection to the
/// next request.
async fn cell(fault: Fault, connections: usize) {
    let upstream = failing_once(fault).await;
    meet(&h2c(&upstream), fault.expected(), async || {}).await;
    assert_eq!(upstream.connections(), connections);
}

macro_rules! cells {
    ($($name:ident: $fault:ident, $connections:literal;)*) => { $(
        #[tokio::test]
        async fn $name() {
            cell(Fault::$fault, $connections).await;
        }
    )* };
}

cells! {
    a_reset_before_the_head_is_502: ResetBeforeHead, 2;
    a_reset_in_the_head_is_502: ResetInHead, 2;
    a_reset_in_the_body_cuts_the_answer: ResetInBody, 2;
    an_upstream_that_hangs_before_its_head_is_504: HangBeforeHead, 1;
    an_upstream_that_hangs_in_its_body_is_cut: HangInBody, 1;
    a_head_that_trickles_is_504: TrickledHead, 1;
    a_body_that_trickles_is_cut_when_the_request_is_due: TrickledBody, 1;
    garbage_is_502: Garbage, 2;
    garbage_in_the_body_cuts_the_answer: GarbageInBody, 2;
    an_oversize_head_is_502: OversizeHead, 2;
    a_close_before_the_announced_length_cuts_the_answer: EarlyClose, 2;
    a_half_closed_connection_without_an_answer_is_502: HalfClose, 2;
    an_upstream_that_speaks_tls_is_502: Tls, 2;
    an_upstream_that_speaks_http1_is_502: OtherVersion, 2;
}

#[tokio::test]
async fn a_refused_connection_is_502_until_somebody_listens() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bind");
    let mut config = Config::for_upstream(socket.local_addr().expect("address"));
    config.upstream.scheme = Scheme::H2c;
    let mut upstream = None;
    let mend = async || {
        let listener = socket.listen(16).expect("listen");
        upstream = Some(upstream::scripted_at(listener, async |wire: Wire| {
            serve(Frames { stream: wire.stream }).await;
        }));
    };
    meet(&config, Fault::Refused.expected(), mend).await;
    assert_eq!(upstream.expect("an upstream").connections(), 1);
}

/// What a stream can do wrong by itself; the others of its connection go on.
async fn meet_on_a_stream(
    expected: Expected,
    head: Vec<u8>,
    flags: u8,
    then: Option<(u8, u8, Vec<u8>)>,
) {
    let is_first = Arc::new(AtomicBool::new(true));
    let upstream = upstream::scripted(move |wire| {
        let (is_first, head, then) = (Arc::clone(&is_first), head.clone(), then.clone());
        async move {
            let mut frames = Frames { stream: wire.stream };
            frames.greet().await;
            while let Some(stream) = frames.request().await {
                if !is_first.swap(false, Ordering::SeqCst) {
                    frames.answer(stream, b"fine").await;
                    continue;
                }
                frames.write(HEADERS, END_HEADERS | flags, stream, &head).await;
                if let Some((kind, flags, payload)) = &then {
                    frames.write(*kind, *flags, stream, payload).await;
                }
            }
        }
    })
    .await;
    meet(&h2c(&upstream), expected, async || {}).await;
}

/// A literal field without indexing (RFC 7541 §6.2.2) behind `:status: 200`.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut head = STATUS_200.to_vec();
    for text in [name, value] {
        head.push(u8::try_from(text.len()).expect("short"));
        head.extend(text.bytes());
    }
    head.insert(STATUS_200.len(), 0);
    head
}

#[tokio::test]
async fn a_malformed_head_is_502() {
    let problem = Expected::Problem(502, "upstream_protocol");
    for head in [
        field("transfer-encoding", "chunked"),
        field("connection", "close"),
        field("content-length", "garbage"),
        field("content-length", "4, 4"),
        field("Upper", "case"),
        field(":unknown", "/"),
        // No status at all.
        field("x", "y")[STATUS_200.len()..].to_vec(),
        // 600, 204 with a length: literal values for the name at 8 of the static table.
        [&[0x08, 3][..], b"600"].concat(),
        [&[0x89][..], &field("content-length", "4")[STATUS_200.len()..]].concat(),
    ] {
        meet_on_a_stream(problem, head, END_STREAM, None).await;
    }
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_announced_cuts_the_answer() {
    let cut = Expected::Cut("upstream_protocol");
    for length in [3, 5, 100] {
        let data = Some((DATA, END_STREAM, b"four".to_vec()));
        meet_on_a_stream(cut, with_length(length), 0, data).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_is_502_and_its_connection_goes_on() {
    let is_first = AtomicBool::new(true);
    let upstream = upstream::scripted(move |wire| {
        let is_first = is_first.swap(false, Ordering::SeqCst);
        async move {
            let mut frames = Frames { stream: wire.stream };
            frames.greet().await;
            let stream = frames.request().await.expect("a request");
            assert!(is_first, "the connection goes on");
            frames.reset(stream, INTERNAL_ERROR).await;
            go_on(frames).await;
        }
    })
    .await;
    meet(&h2c(&upstream), Expected::Problem(502, "upstream_reset"), async || {}).await;
    assert_eq!(upstream.connections(), 1);
}

/// Answers every request of a connection in the clear text of HTTP/1.1.
async fn answer_http1(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    let mut stream = tokio::io::BufReader::new(stream);
    let mut line = String::new();
    while let Ok(1..) = tokio::io::AsyncBufReadExt::read_line(&mut stream, &mut line).await {
        if std::mem::take(&mut line) == "\r\n" {
            let fine = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
            let _left = stream.write_all(fine).await;
        }
    }
}

#[tokio::test]
async fn a_tls_handshake_that_fails_is_502_and_the_next_one_succeeds() {
    // It says something else, it hangs up, it resets.
    for manner in 0..3 {
        let authority = Authority::new();
        let tls = TlsAcceptor::from(authority.server("127.0.0.1", &["http/1.1"]));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let is_first = AtomicBool::new(true);
        let upstream = upstream::scripted_at(listener, move |mut wire: Wire| {
            let (tls, is_first) = (tls.clone(), is_first.swap(false, Ordering::SeqCst));
            async move {
                match (is_first, manner) {
                    (true, 0) => wire.say("HTTP/1.1 400 Bad Request\r\n\r\n").await,
                    (true, 1) => {}
                    (true, _) => wire.reset(),
                    _ => {
                        let Ok(stream) = tls.accept(wire.stream).await else { return };
                        answer_http1(stream).await;
                    }
                }
            }
        });
        let mut config = config(&upstream);
        config.upstream.scheme = Scheme::Https;
        config.upstream.ca_file = Some(authority.file());
        meet(&config, Expected::Problem(502, "upstream_tls"), async || {}).await;
        assert_eq!(upstream.connections(), 2);
    }
}
