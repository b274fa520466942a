//! OTLP over http/protobuf: answers that no collector should give.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vital_sidecar::config::model::{OtlpProtocol, OtlpTarget, Signal};
use vital_sidecar::telemetry::export::gzip::pack;
use vital_sidecar::telemetry::export::transport::connect;
use vital_sidecar::telemetry::export::{Answer, Encoding};

const LIMIT: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);
const TAKEN: Answer = Answer::Taken { rejected: 0 };

/// The verdict on a peer that says these bytes, and then closes or says nothing more.
async fn answered_by(words: &[u8], closes: bool, limit: Duration) -> Answer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let carrier = connect(&OtlpTarget::new(url, OtlpProtocol::Http), Signal::Traces).unwrap();
    let parcel = pack(3, Bytes::from_static(b"a message"), Encoding::Identity);
    let peer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"a message") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        // Who has read enough closes.
        let _said = stream.write_all(words).await;
        if closes {
            stream.shutdown().await.unwrap();
        }
        let _left = stream.read_to_end(&mut Vec::new()).await;
    };
    tokio::join!(carrier.carry(&parcel, limit), peer).0
}

#[tokio::test]
async fn a_success_that_breaks_off_or_never_ends_is_a_success() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n";
    assert_eq!(answered_by(head.as_bytes(), true, LIMIT).await, TAKEN);
    assert_eq!(answered_by(head.as_bytes(), false, SHORT).await, TAKEN);
    let flood = [head.as_bytes(), &vec![b'x'; 4 << 20]].concat();
    assert_eq!(answered_by(&flood, false, LIMIT).await, TAKEN);
}

#[tokio::test]
async fn a_refusal_needs_no_body() {
    let refused = "HTTP/1.1 503 Busy\r\nretry-after: 2\r\ncontent-length: 9999999\r\n\r\n";
    for closes in [true, false] {
        let answer = answered_by(refused.as_bytes(), closes, SHORT).await;
        let expected = Some(Duration::from_secs(2));
        assert!(
            matches!(answer, Answer::Later { reason: "refused", after, .. } if after == expected)
        );
    }
}

#[tokio::test]
async fn what_is_no_http_is_unreachable_and_silence_a_timeout() {
    for words in [&b""[..], b"hunter2\r\n\r\n", &[0xff; 100], b"HTTP/1.1 200 OK\r\nx: "] {
        let answer = answered_by(words, true, LIMIT).await;
        assert!(matches!(answer, Answer::Later { reason: "unreachable", .. }), "{answer:?}");
        assert!(!format!("{answer:?}").contains("hunter2"), "{answer:?}");
    }
    let answer = answered_by(b"", false, SHORT).await;
    assert!(matches!(answer, Answer::Later { reason: "timeout", .. }), "{answer:?}");
}

#[tokio::test]
async fn nobody_is_followed_elsewhere() {
    let moved =
        "HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let answer = answered_by(moved.as_bytes(), true, LIMIT).await;
    assert!(matches!(answer, Answer::Never { reason: "refused", .. }), "{answer:?}");
}
