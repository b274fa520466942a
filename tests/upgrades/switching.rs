//! What is asked for, what is granted, and what either side says around it.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vital_sidecar::config::Config;
use vital_sidecar::record::{Failure, Outcome};

use super::{ASK, PLAIN, SWITCH, echoing, switched};
use crate::support::client::Answer;
use crate::support::sidecar;
use crate::support::upstream;

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

#[tokio::test]
async fn a_switch_that_announces_a_body_is_502() {
    for field in ["content-length: 5", "transfer-encoding: chunked"] {
        let upstream = upstream::answering(format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n{field}\r\n\r\n"
        ))
        .await;
        let sidecar = sidecar::in_front_of(&upstream).await;

        let mut client = sidecar.client().await;
        client.say(ASK).await;

        assert_eq!(client.answer().await.status, 502, "{field}");
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
