//! The HTTP/1.1 column of the matrix.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};

use super::matrix::{Fault, config, meet};
use crate::support::sidecar;
use crate::support::upstream::{self, Upstream, Wire};

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
const FOUR_OF_HUNDRED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfour";

/// Commits the fault on a connection.
async fn commit(fault: Fault, mut wire: Wire) {
    if fault == Fault::OtherVersion {
        // What a server of HTTP/2 says before it is asked anything: SETTINGS.
        wire.say(b"\0\0\0\x04\0\0\0\0\0").await;
    }
    wire.head().await;
    match fault {
        Fault::ResetBeforeHead => wire.reset(),
        Fault::ResetInHead => {
            wire.say("HTTP/1.1 200 OK\r\ncontent-le").await;
            wire.reset();
        }
        Fault::ResetInBody => {
            wire.say(FOUR_OF_HUNDRED).await;
            wire.closed_or(Duration::from_millis(20)).await;
            wire.reset();
        }
        Fault::HangBeforeHead => wire.closed().await,
        Fault::HangInBody => {
            wire.say(FOUR_OF_HUNDRED).await;
            wire.closed().await;
        }
        Fault::TrickledHead => trickle(wire, "HTTP/1.1 200 OK\r\nx-slow: ").await,
        Fault::TrickledBody => trickle(wire, FOUR_OF_HUNDRED).await,
        Fault::Garbage => wire.say("220 mail.example ESMTP\r\n\r\n").await,
        Fault::GarbageInBody => {
            wire.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\nsix\r\n")
                .await;
            wire.closed().await;
        }
        Fault::OversizeHead => {
            let field = "y".repeat(70 * 1024);
            wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx: {field}\r\n\r\nfine"))
                .await;
            wire.closed().await;
        }
        Fault::EarlyClose => wire.say(FOUR_OF_HUNDRED).await,
        Fault::HalfClose => {
            wire.stream.shutdown().await.expect("a half-close");
            wire.closed().await;
        }
        // An alert: protocol_version.
        Fault::Tls => wire.say(b"\x15\x03\x03\0\x02\x02\x46").await,
        Fault::Refused | Fault::OtherVersion => {}
    }
}

async fn trickle(mut wire: Wire, beginning: &str) {
    wire.say(beginning).await;
    while wire.stream.write_all(b"z").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An upstream whose first connection fails and whose others serve.
async fn failing_once(fault: Fault) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let is_first = std::sync::atomic::AtomicBool::new(true);
    upstream::scripted_at(listener, move |mut wire| {
        let is_first = is_first.swap(false, std::sync::atomic::Ordering::SeqCst);
        async move {
            if is_first {
                return commit(fault, wire).await;
            }
            while wire.head().await.is_some() {
                wire.say(FINE).await;
            }
        }
    })
}

async fn cell(fault: Fault) {
    let upstream = failing_once(fault).await;
    meet(&config(&upstream), fault.expected(), async || {}).await;
    assert_eq!(upstream.connections(), 2, "the broken connection is not used again");
}

#[tokio::test]
async fn a_refused_connection_is_502_until_somebody_listens() {
    // Bound, so that nobody else has the address; but not listening.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bind");
    let address = socket.local_addr().expect("address");
    let config = vital_sidecar::config::Config::for_upstream(address);
    let mut upstream = None;
    let mend = async || {
        let listener = socket.listen(16).expect("listen");
        upstream = Some(upstream::scripted_at(listener, async |mut wire: Wire| {
            while wire.head().await.is_some() {
                wire.say(FINE).await;
            }
        }));
    };
    meet(&config, Fault::Refused.expected(), mend).await;
    assert_eq!(upstream.expect("an upstream").connections(), 1);
}

macro_rules! cells {
    ($($name:ident: $fault:ident,)*) => { $(
        #[tokio::test]
        async fn $name() {
            cell(Fault::$fault).await;
        }
    )* };
}

cells! {
    a_reset_before_the_head_is_502: ResetBeforeHead,
    a_reset_in_the_head_is_502: ResetInHead,
    a_reset_in_the_body_cuts_the_answer: ResetInBody,
    an_upstream_that_hangs_before_its_head_is_504: HangBeforeHead,
    an_upstream_that_hangs_in_its_body_is_cut: HangInBody,
    a_head_that_trickles_is_504: TrickledHead,
    a_body_that_trickles_is_cut_when_the_request_is_due: TrickledBody,
    garbage_is_502: Garbage,
    garbage_in_the_body_cuts_the_answer: GarbageInBody,
    an_oversize_head_is_502: OversizeHead,
    a_close_before_the_announced_length_cuts_the_answer: EarlyClose,
    a_half_closed_connection_without_an_answer_is_502: HalfClose,
    an_upstream_that_speaks_tls_is_502: Tls,
    an_upstream_that_speaks_http2_is_502: OtherVersion,
}

#[tokio::test]
async fn a_body_that_trickles_and_ends_in_time_is_served() {
    let upstream = upstream::scripted(async |mut wire: Wire| {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await;
        for byte in ["f", "i", "n", "e"] {
            tokio::time::sleep(Duration::from_millis(60)).await;
            wire.say(byte).await;
        }
        wire.closed().await;
    })
    .await;
    let mut config = config(&upstream);
    config.upstream.timeouts.request = None;
    let mut sidecar = sidecar::with(&config).await;

    let answer = sidecar.client().await.get("/").await;

    super::matrix::succeeds(&mut sidecar, answer).await;
}
