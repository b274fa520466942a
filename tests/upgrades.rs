//! Connections that switch protocols: which may, what passes, and how each of them ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vital_sidecar::config::Config;
use vital_sidecar::record::{Abort, Failure, Outcome, Phase, Refusal};
use vital_sidecar::telemetry::sinks::audit::Audit;
use vital_sidecar::telemetry::sinks::audit::fake::FakeDisk;

use crate::support::client::{Answer, Client};
use crate::support::house::{self, lines};
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::{self, Upstream, Wire};
use crate::support::{PATIENCE, eventually};

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: app.example\r\nconnection: keep-alive, Upgrade\r\n\
                   upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n\
                      connection: upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const PLAIN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An upstream that switches and gives back what it gets, until its client has ended.
async fn echoing() -> Upstream {
    upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say(SWITCH).await;
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = wire.stream.read(&mut bytes).await {
            wire.say(&bytes[..read]).await;
        }
    })
    .await
}

/// A client whose upgrade was granted, and the head that said so.
async fn switched(sidecar: &Sidecar) -> (Client, String) {
    let mut client = sidecar.client().await;
    client.say(ASK).await;
    let head = String::from_utf8(client.until(b"\r\n\r\n").await).expect("an ASCII head");
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    (client, head.to_lowercase())
}

async fn with(upstream: &Upstream, change: impl FnOnce(&mut Config)) -> Sidecar {
    let mut config = Config::for_upstream(upstream.address);
    change(&mut config);
    sidecar::with(&config).await
}

#[tokio::test]
async fn a_switch_that_was_asked_for_carries_bytes_both_ways_and_counts_them() {
    let upstream = echoing().await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (mut client, head) = switched(&sidecar).await;
    client.say("ping").await;
    client.until(b"ping").await;
    client.say("and again").await;
    client.until(b"and again").await;
    sidecar.assert_no_more_records();
    client.stream.shutdown().await.expect("a shutdown");
    assert_eq!(client.rest().await, b"");

    for line in [
        "\r\nconnection: upgrade\r\n",
        "\r\nupgrade: websocket\r\n",
        "\r\nsec-websocket-accept: ",
        "\r\nx-request-id: ",
    ] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
    let seen = upstream.heads().remove(0);
    assert!(seen.contains("\r\nupgrade: websocket\r\n"), "{seen}");
    assert!(seen.contains("\r\nconnection: upgrade\r\n"), "{seen}");
    assert!(seen.contains("\r\nsec-websocket-key: "), "{seen}");
    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.status), (Outcome::Served, Some(101)));
    assert_eq!((record.bytes_in, record.bytes_out), (13, 13));
    assert!(record.stream.is_some(), "a tunnel is a stream");
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn what_either_side_says_too_early_is_not_lost() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say(format!("{SWITCH}first word")).await;
        let heard = wire.until(b"early bird").await;
        wire.say(heard).await;
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say(format!("{ASK}early bird")).await;
    let all = client.until(b"early bird").await;
    drop(client);

    assert!(all.ends_with(b"\r\n\r\nfirst wordearly bird"), "{}", String::from_utf8_lossy(&all));
    assert_eq!(sidecar.record().await.bytes_in, 10);
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_exchange_and_the_connection_goes_on() {
    for refusal in ["200 OK", "403 Forbidden", "426 Upgrade Required"] {
        let upstream =
            upstream::answering(format!("HTTP/1.1 {refusal}\r\ncontent-length: 2\r\n\r\nno")).await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;
        let mut client = sidecar.client().await;

        for _ in 0..2 {
            client.say(ASK).await;
            let answer = client.answer().await;
            assert!(refusal.starts_with(&answer.status.to_string()), "{refusal}");
            assert_eq!(answer.body, b"no");
            assert_eq!(sidecar.record().await.outcome, Outcome::Served);
        }
        assert_eq!(upstream.connections(), 1, "the upstream's connection is used again");
    }
}

#[tokio::test]
async fn bytes_behind_a_refused_upgrade_are_the_next_request() {
    let upstream = upstream::answering(PLAIN).await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let mut client = sidecar.client().await;
    client.say(format!("{ASK}GET /second HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    let statuses = [client.answer().await.status, client.answer().await.status];

    assert_eq!(statuses, [200, 200]);
    for _ in statuses {
        assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    }
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_switch_to_something_else_than_was_asked_for_is_502() {
    for upgrade in ["h2c", "websocket, h2c", ""] {
        let upstream = upstream::answering(format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {upgrade}\r\n\r\n"
        ))
        .await;
        let mut sidecar = sidecar::in_front_of(&upstream).await;

        let mut client = sidecar.client().await;
        client.say(ASK).await;

        assert_eq!(client.answer().await.status, 502, "{upgrade:?}");
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamProtocol), "{upgrade:?}");
        sidecar.assert_no_more_records();
    }
}

/// The answer to a request, and the head the upstream saw.
async fn plain(request: &str) -> (Answer, String) {
    let upstream = upstream::answering(PLAIN).await;
    let sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;
    client.say(request).await;
    (client.answer().await, upstream.heads().remove(0))
}

#[tokio::test]
async fn http_itself_is_never_offered_and_the_request_is_an_ordinary_one() {
    for upgrade in ["h2c", "H2C", "HTTP/2.0", "TLS/1.2"] {
        let (answer, seen) = plain(&format!(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\n\
             upgrade: {upgrade}\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
        ))
        .await;

        assert_eq!((answer.status, &*answer.body), (200, &b"ok"[..]));
        for field in ["upgrade", "http2-settings", "connection"] {
            assert!(!seen.contains(field), "{field} in {seen}");
        }
    }
    let (_, seen) = plain(&ASK.replace("websocket\r\nsec", "h2c, websocket\r\nsec")).await;
    assert!(seen.contains("\r\nupgrade: websocket\r\n"), "{seen}");
}

#[tokio::test]
async fn an_upgrade_that_cannot_be_is_left_out() {
    for request in [
        ASK.replace("HTTP/1.1", "HTTP/1.0"),
        ASK.replace(", Upgrade", ""),
        ASK.replace("GET", "POST").replace("\r\n\r\n", "\r\ncontent-length: 2\r\n\r\n{}"),
    ] {
        let (answer, seen) = plain(&request).await;
        assert_eq!(answer.status, 200, "{request}");
        assert!(!seen.contains("upgrade"), "{seen}");
    }
}

#[tokio::test]
async fn a_client_that_has_said_all_still_hears_the_rest() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say(SWITCH).await;
        let mut said = Vec::new();
        wire.stream.read_to_end(&mut said).await.expect("an end of file");
        wire.say(format!("you said {}", String::from_utf8_lossy(&said))).await;
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (mut client, _) = switched(&sidecar).await;
    client.say("my last word").await;
    client.stream.shutdown().await.expect("a shutdown");

    assert_eq!(client.rest().await, b"you said my last word");
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn an_upstream_that_has_said_all_still_hears_the_rest() {
    let (heard, mut was_heard) = tokio::sync::mpsc::channel(1);
    let upstream = upstream::scripted(move |mut wire: Wire| {
        let heard = heard.clone();
        async move {
            wire.head().await;
            wire.say(format!("{SWITCH}bye")).await;
            wire.stream.shutdown().await.expect("a shutdown");
            let mut said = Vec::new();
            wire.stream.read_to_end(&mut said).await.expect("an end of file");
            heard.send(said).await.expect("the test waits");
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (mut client, _) = switched(&sidecar).await;
    assert_eq!(client.rest().await, b"bye");
    client.say("one more thing").await;
    client.stream.shutdown().await.expect("a shutdown");

    assert_eq!(was_heard.recv().await.expect("the rest"), b"one more thing");
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn an_answer_to_an_upstream_that_has_closed_is_no_failure() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say(SWITCH).await;
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (mut client, _) = switched(&sidecar).await;
    assert_eq!(client.rest().await, b"");
    // The first write meets a closed socket, and one after it the reset.
    let saying = async {
        loop {
            client.say("goodbye").await;
            tokio::task::yield_now().await;
        }
    };
    let record = tokio::select! {
        record = sidecar.record() => record,
        () = saying => unreachable!("it says it for ever"),
    };

    assert_eq!(record.outcome, Outcome::Served);
}

#[tokio::test]
async fn a_client_that_vanishes_is_gone_and_its_upstream_is_told() {
    let (closed, mut was_closed) = tokio::sync::mpsc::channel(1);
    let upstream = upstream::scripted(move |mut wire: Wire| {
        let closed = closed.clone();
        async move {
            wire.head().await;
            wire.say(SWITCH).await;
            wire.closed().await;
            closed.send(()).await.expect("the test waits");
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (client, _) = switched(&sidecar).await;
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).expect("linger");
    drop(client);

    assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase: Phase::Response });
    was_closed.recv().await.expect("the upstream sees the end");
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn an_upstream_that_breaks_a_tunnel_has_failed() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say(SWITCH).await;
        wire.until(b"break").await;
        wire.reset();
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (mut client, _) = switched(&sidecar).await;
    client.say("break").await;

    assert_eq!(client.rest().await, b"");
    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamReset));
    assert_eq!(record.status, Some(101), "that is what the client got");
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_aborted_and_one_that_talks_is_not() {
    let upstream = echoing().await;
    let idle = Duration::from_millis(100);
    let mut sidecar = with(&upstream, |config| {
        config.upstream.timeouts.upgrade_idle = Some(idle);
        // Clocks of other shapes of exchange, which must not matter.
        config.upstream.timeouts.idle = Some(Duration::from_millis(1));
        config.upstream.timeouts.stream_idle = Some(Duration::from_millis(1));
    })
    .await;

    let began = tokio::time::Instant::now();
    let (mut client, _) = switched(&sidecar).await;
    for _ in 0..8 {
        tokio::time::sleep(idle / 4).await;
        client.say("x").await;
        client.until(b"x").await;
    }
    let talked = began.elapsed();
    assert_eq!(client.rest().await, b"");

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Aborted(Abort::StreamIdleTimeout));
    assert_eq!((record.bytes_in, record.bytes_out), (8, 8));
    assert!(talked > idle && record.duration >= talked, "{:?}", record.duration);
}

#[tokio::test]
async fn a_tunnel_that_lasts_too_long_is_aborted_however_much_it_talks() {
    let upstream = echoing().await;
    let mut sidecar = with(&upstream, |config| {
        config.upstream.timeouts.stream_max = Some(Duration::from_millis(100));
    })
    .await;

    let (mut client, _) = switched(&sidecar).await;
    let talking = async {
        loop {
            client.say("x").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let record = tokio::select! {
        record = sidecar.record() => record,
        () = talking => unreachable!("it talks for ever"),
    };

    assert_eq!(record.outcome, Outcome::Aborted(Abort::StreamMaxDuration));
}

#[tokio::test]
async fn the_drain_deadline_cuts_a_tunnel() {
    let upstream = echoing().await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let (mut client, _) = switched(&sidecar).await;

    sidecar.signals.stop.cancel();
    client.say("still here").await;
    client.until(b"still here").await;
    sidecar.proxy.cut();
    sidecar.signals.cut.cancel();

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Aborted(Abort::Drain));
    assert_eq!(record.bytes_out, 10);
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_slow_reader_slows_the_writer_down_and_loses_nothing() {
    // More than the kernel's buffers of two connections hold.
    const BLOCKS: usize = 1024;
    let block: Arc<[u8]> = (0..=250).cycle().take(64 * 1024).collect();
    let written = Arc::<AtomicUsize>::default();
    let (content, progress) = (Arc::clone(&block), Arc::clone(&written));
    let upstream = upstream::scripted(move |mut wire: Wire| {
        let (content, progress) = (Arc::clone(&content), Arc::clone(&progress));
        async move {
            wire.head().await;
            wire.say(SWITCH).await;
            for _ in 0..BLOCKS {
                wire.say(&content).await;
                progress.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (mut client, _) = switched(&sidecar).await;
    let (mut last, mut same) = (0, 0);
    eventually("the writer waits", || {
        let now = written.load(Ordering::SeqCst);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same > 50
    })
    .await;
    assert!(last < BLOCKS, "nobody reads, and yet all was written");
    let all = client.rest().await;

    assert_eq!(all.len(), BLOCKS * block.len());
    assert!(all.chunks(block.len()).all(|part| *part == *block));
    drop(client);
    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.bytes_out), (Outcome::Served, all.len() as u64));
}

const GATES: &str = r#"
[[routes]]
match = "GET /chat"
audit = "DATA_ACCESS"
rate_limits = ["one"]
[rate_limits.one]
key = ["ip"]
rate = "1/h"
burst = 1
"#;

#[tokio::test]
async fn a_tunnel_is_audited_from_before_its_request_to_its_end_and_counts_for_limits() {
    let upstream = echoing().await;
    let mut config = house::config(upstream.address, GATES);
    config.audit.deadline = PATIENCE;
    let disk = FakeDisk::default();
    let audit = Audit::open(&config.audit, disk.clone()).expect("an audit");
    let mut sidecar = sidecar::with_audit(&config, Some(audit.clone()));
    let written = || {
        let names = disk.names();
        let text = names.iter().filter_map(|name| disk.content(name)).flatten().collect::<Vec<_>>();
        lines(&text)
    };

    let (mut client, _) = switched(&sidecar).await;
    eventually("the beginning is written", || written().len() == 1).await;
    assert_eq!(written()[0]["stage"], "initiated");
    let mut another = sidecar.client().await;
    another.say(ASK).await;
    assert_eq!(another.answer().await.status, 429);
    assert_eq!(upstream.heads().len(), 1, "the refused one never reached the upstream");
    client.say("hello").await;
    client.until(b"hello").await;
    client.stream.shutdown().await.expect("a shutdown");
    client.rest().await;

    let outcomes = [sidecar.record().await.outcome, sidecar.record().await.outcome];
    assert_eq!(outcomes, [Outcome::Refused(Refusal::RateLimited), Outcome::Served]);
    eventually("both ends are written", || written().len() == 3).await;
    let end = written().pop().expect("the end");
    assert_eq!(
        (&end["stage"], &end["status"], &end["result"]),
        (&"completed".into(), &101.into(), &"success".into())
    );
    assert!(audit.stop(tokio::time::Instant::now() + PATIENCE).await.is_finished);
}

#[tokio::test]
async fn an_upgrade_reaches_an_upstream_that_would_rather_speak_http_2() {
    let certified =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let roots = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(roots.path(), certified.cert.pem()).expect("a written file");
    let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.expect("a private key"))
        .expect("a matching pair");
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("an address").port();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = acceptor.accept(stream).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut bytes).await.expect("a head");
        }
        stream.write_all(SWITCH.as_bytes()).await.expect("a switch");
        bytes.clear();
        stream.read_to_end(&mut bytes).await.expect("all that the client says");
        stream.write_all(&bytes).await.expect("an echo");
        stream.shutdown().await.expect("an end");
    });
    let (url, roots) = (format!("https://localhost:{port}"), roots.path().display());
    let config = Config::from_toml(&format!(
        "[upstream]\nurl = \"{url}\"\nca_file = \"{roots}\"\n[otlp]\nendpoint = \"\"\n"
    ));
    let mut sidecar = sidecar::with(&config.expect("a valid configuration")).await;

    let (mut client, _) = switched(&sidecar).await;
    client.say("hello").await;
    client.stream.shutdown().await.expect("a shutdown");

    assert_eq!(client.rest().await, b"hello");
    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.bytes_in, record.bytes_out), (Outcome::Served, 5, 5));
}
