//! Why the upstream cannot be reached, as readiness, `status` and the log say it.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value as Json;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use vital_sidecar::config::Config;

use crate::support::authority::Authority;
use crate::support::house::{self, House, config};
use crate::support::process::Process;
use crate::support::sidecar::config_for;
use crate::support::{until, upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A whole sidecar in front of this URL.
fn before(url: &str) -> Config {
    let mut config = config(([127, 0, 0, 1], 1).into(), "");
    config.upstream = config_for(url).upstream;
    config
}

/// What readiness says of the upstream once it has found out.
async fn reason(house: &House) -> String {
    until("a reason", async || {
        let page = house.ask("/readyz").await.json();
        let reasons = page["reasons"].as_array().expect("reasons").clone();
        let found = reasons.into_iter().find(|reason| reason["check"] == "upstream")?;
        let reason = found["reason"].as_str().expect("words").to_owned();
        (!reason.contains("not been connected to")).then_some(reason)
    })
    .await
}

/// Asserts that readiness and `status` begin so, and go on with the detail.
async fn assert_said(config: &Config, words: &str, detail: &str) {
    let house = house::open(config).await;
    let reason = reason(&house).await;
    assert!(reason.starts_with(words) && reason.contains(detail), "{words}, {detail}: {reason}");
    let status = house.ask("/status").await.json();
    assert_eq!(status["upstream"]["reason"], reason);
    assert!(status["upstream"]["away_seconds"].is_u64(), "{status}");
}

#[tokio::test]
async fn a_name_without_address_a_refusal_and_a_missing_socket_are_told_apart() {
    assert_said(&before("http://nope.invalid:3000"), "has a name that", "nope.invalid: ").await;
    let nobody = upstream::nobody().await;
    let detail = format!("({nobody}: Connection refused (os error 111))");
    assert_said(&before(&format!("http://{nobody}")), "refuses connections", &detail).await;
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("app.sock").display().to_string();
    let detail = format!("({path}: No such file or directory");
    assert_said(&before(&format!("unix:{path}")), "has no socket there", &detail).await;
}

/// A door that shakes hands as this server does, and does nothing else.
async fn shaking(server: Arc<ServerConfig>) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            TlsAcceptor::from(Arc::clone(&server)).accept(stream).await.ok();
        }
    });
    (port, tasks)
}

/// A server whose certificate is that of an authority, and the file with it.
fn authority_as_server() -> (Arc<ServerConfig>, NamedTempFile) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), certificate.pem()).expect("a written file");
    let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a private key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .expect("a matching pair");
    (server.into(), file)
}

#[tokio::test]
async fn a_handshake_that_fails_says_what_is_wrong_with_the_certificate_of_which_host() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (authority, file) = authority_as_server();
    let words = "accepts connections, but the TLS handshake fails";
    for (server, ca_file, detail) in [
        (theirs.server("localhost", &[]), ours.file(), "is not signed "),
        (ours.server("other.example", &[]), ours.file(), "is for another name"),
        (ours.expired_server("localhost"), ours.file(), "has expired"),
        (authority, file.path().to_owned(), "is that of an authority"),
    ] {
        let (port, _tasks) = shaking(server).await;
        let mut config = before(&format!("https://localhost:{port}"));
        config.upstream.ca_file = Some(ca_file);
        assert_said(&config, words, &format!("(the certificate of localhost {detail}")).await;
    }
    let plain = upstream::answering(OK).await;
    let mut config = before(&format!("https://localhost:{}", plain.address.port()));
    config.upstream.ca_file = Some(ours.file());
    config.upstream.timeouts.connect = Duration::from_millis(300);
    assert_said(&config, words, "(localhost: ").await;
}

#[tokio::test]
async fn an_http1_service_behind_h2c_is_not_called_one_that_refuses_connections() {
    let plain = upstream::scripted(async |mut wire| {
        wire.body(24).await;
        wire.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
        wire.closed().await;
    })
    .await;
    let config = before(&format!("h2c://{}", plain.address));
    let words = "accepts connections, but does not speak HTTP/2";
    assert_said(&config, words, "is it `http://`, not `h2c://`?").await;

    let silent = upstream::scripted(async |mut wire| {
        wire.body(24).await;
    })
    .await;
    let config = before(&format!("h2c://{}", silent.address));
    let words = "accepts connections, but says nothing in HTTP/2";
    assert_said(&config, words, "it closed the connection").await;
}

#[tokio::test]
async fn an_outage_is_logged_once_with_address_and_error_and_so_is_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let text = format!(
        "upstream.url = \"http://{address}\"\nupstream.breaker.mode = \"off\"\n\
         otlp.endpoint = \"\"\nlog.console = \"json\"\nserver.drain.delay = \"0s\"\n"
    );
    let process = Process::start(&text).await;
    process.until("/readyz", 200).await;
    drop(listener);
    let mut client = process.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.status, 502);
    }
    let listener = TcpListener::bind(address).await.expect("the same port again");
    process.until("/readyz", 200).await;
    drop(listener);
    process.signal("TERM").await;
    let remains = process.remains().await;
    let lines = remains.stderr.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let of_it: Vec<_> =
        lines.filter(|line| line["upstream"] == format!("http://{address}")).collect();
    let said: Vec<_> = of_it.iter().map(|line| (&line["level"], &line["message"])).collect();
    let expected =
        [("warn", "The upstream refuses connections."), ("info", "The upstream is there.")];
    assert_eq!(said.len(), 2, "{said:?}");
    for ((level, message), expected) in said.into_iter().zip(expected) {
        assert_eq!((level.as_str(), message.as_str()), (Some(expected.0), Some(expected.1)));
    }
    assert_eq!(of_it[0]["error.type"], "upstream_connect");
    let error = format!("{address}: Connection refused (os error 111)");
    assert_eq!(of_it[0]["error.message"], error);
}
