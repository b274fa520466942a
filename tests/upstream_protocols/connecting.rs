//! How a connection comes about: TLS, ALPN, prior knowledge, Unix sockets; and how it does not.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use vital_sidecar::config::Config;
use vital_sidecar::record::{Failure, Outcome};

use super::before_raw;
use crate::support::PATIENCE;
use crate::support::authority::Authority;
use crate::support::http2::{self, Call};
use crate::support::sidecar::{self, config_for};
use crate::support::upstream;

fn https(port: u16, authority: &Authority) -> Config {
    let mut config = config_for(&format!("https://localhost:{port}"));
    config.upstream.ca_file = Some(authority.file());
    config
}

/// An HTTP/1.1 upstream behind TLS.
async fn http1_over_tls(tls: TlsAcceptor) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut running = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            running.spawn(async move {
                let Ok(mut stream) = tls.accept(stream).await else { return };
                let mut scratch = [0; 4096];
                while let Ok(1..) = stream.read(&mut scratch).await {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret";
                    stream.write_all(answer).await.expect("an open stream");
                }
            });
        }
    });
    (port, tasks)
}

#[tokio::test]
async fn alpn_decides_what_is_spoken_on_tls() {
    let authority = Authority::new();
    let both = authority.server("localhost", &["h2", "http/1.1"]);
    let upstream = http2::with(
        h2::server::Builder::new(),
        Some(TlsAcceptor::from(both)),
        async |call: Call| call.say("secret"),
    )
    .await;
    let sidecar = sidecar::with(&https(upstream.address.port(), &authority)).await;
    let mut client = sidecar.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.body, b"secret");
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(upstream.heads()[0].uri(), "https://app.example/");

    for protocols in [&["http/1.1"][..], &[]] {
        let tls = TlsAcceptor::from(authority.server("localhost", protocols));
        let (port, _tasks) = http1_over_tls(tls).await;
        let sidecar = sidecar::with(&https(port, &authority)).await;
        let mut clients = JoinSet::new();
        for _ in 0..8 {
            let mut client = sidecar.client().await;
            clients.spawn(async move { client.get("/").await.body });
        }
        assert!(clients.join_all().await.into_iter().all(|body| body == b"secret"));
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_is_502_upstream_tls() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    for (what, server) in [
        ("of another authority", theirs.server("localhost", &[])),
        ("for another name", ours.server("other.example", &[])),
        ("that has expired", ours.expired_server("localhost")),
    ] {
        let (port, _tasks) = http1_over_tls(TlsAcceptor::from(server)).await;
        let mut sidecar = sidecar::with(&https(port, &ours)).await;

        let answer = sidecar.client().await.get("/").await;

        assert_eq!(
            (answer.status, &answer.json()["error_type"]),
            (502, &"upstream_tls".into()),
            "{what}"
        );
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamTls), "{what}");
        let failed = sidecar.metric("errors_total{type=\"upstream_tls\"}");
        assert!((failed - 1.0).abs() < 0.5, "{what}");
        assert!(!sidecar.proxy.upstream().is_reachable());
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_or_hangs_is_502_upstream_tls() {
    let authority = Authority::new();
    let closing = upstream::scripted(async |mut wire| {
        wire.body(16).await;
    })
    .await;
    let garbling = upstream::scripted(async |mut wire| {
        wire.body(16).await;
        wire.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        wire.closed().await;
    })
    .await;
    let hanging = upstream::scripted(async |mut wire| wire.closed().await).await;
    for (what, upstream) in [("closes", closing), ("is plain", garbling), ("hangs", hanging)] {
        let mut config = https(upstream.address.port(), &authority);
        config.upstream.timeouts.connect = Duration::from_millis(300);
        let mut sidecar = sidecar::with(&config).await;
        assert_eq!(sidecar.client().await.get("/").await.status, 502, "{what}");
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamTls), "{what}");
    }
    let nobody = upstream::nobody().await;
    let mut sidecar = sidecar::with(&https(nobody.port(), &authority)).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 502);
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamConnect));
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_http2_is_502() {
    let plain = upstream::scripted(async |mut wire| {
        wire.body(24).await;
        wire.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
        wire.closed().await;
    })
    .await;
    let mut sidecar = before_raw(&plain).await;
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let mut client = sidecar.client().await;
        clients.spawn(async move { client.get("/").await.status });
    }
    assert_eq!(clients.join_all().await, [502; 4]);
    for _ in 0..4 {
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamProtocol));
    }

    let silent = upstream::scripted(async |mut wire| wire.closed().await).await;
    let mut config = config_for(&format!("h2c://{}", silent.address));
    config.upstream.timeouts.connect = Duration::from_millis(200);
    let mut sidecar = sidecar::with(&config).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 502);
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamConnect));
}

#[tokio::test]
async fn those_who_wait_for_a_connection_that_fails_fail_with_it() {
    let silent = upstream::scripted(async |mut wire| wire.closed().await).await;
    let mut config = config_for(&format!("h2c://{}", silent.address));
    config.upstream.timeouts.connect = Duration::from_millis(300);
    config.upstream.pool.queue_timeout = PATIENCE;
    let mut sidecar = sidecar::with(&config).await;

    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let mut client = sidecar.client().await;
        clients.spawn(async move { client.get("/").await.status });
    }
    let all = timeout(Duration::from_secs(3), clients.join_all()).await;

    assert_eq!(all.expect("not one after the other"), [502; 20]);
    for _ in 0..20 {
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamConnect));
    }
    assert!(silent.connections() <= 3, "{} attempts", silent.connections());
}

#[tokio::test]
async fn a_unix_socket_is_an_upstream() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let (heads, mut seen) = tokio::sync::mpsc::channel(4);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut running = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let heads = heads.clone();
            running.spawn(async move {
                let mut buffer = vec![0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    heads.send(head).await.expect("the test listens");
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nlocal";
                    stream.write_all(answer).await.expect("an open stream");
                }
            });
        }
    });
    let mut config = config_for(&format!("unix:{}", path.display()));
    let mut sidecar = sidecar::with(&config).await;
    let mut client = sidecar.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.body, b"local");
        assert_eq!(sidecar.record().await.outcome, Outcome::Served);
        assert!(seen.recv().await.expect("a head").contains("host: app.example\r\n"));
    }
    config.upstream.host_header = vital_sidecar::config::model::HostHeader::Rewrite;
    sidecar::with(&config).await.client().await.get("/").await;
    assert!(seen.recv().await.expect("a head").contains("host: localhost\r\n"));

    serving.shutdown().await;
    std::fs::remove_file(&path).expect("a socket");
    let mut sidecar = sidecar::with(&config).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 502);
    assert_eq!(sidecar.record().await.outcome, Outcome::Failed(Failure::UpstreamConnect));
}
