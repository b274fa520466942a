//! The demo as a shell starts it: it touches nothing but its own, whatever the environment names.

use std::net::TcpListener;
use std::path::Path;

use tokio::process::Command;

use crate::support::process::{Process, command, output};
use crate::support::upstream;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nreal";
const DOORS: [&str; 5] = ["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

/// A demo whose temporary files are in this directory.
fn demo(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = command(directory, arguments);
    command.env("TMPDIR", directory);
    command
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_real_sidecars_environment_has_no_say() {
    let place = tempfile::tempdir().unwrap();
    let real = upstream::answering(OK).await;
    let url = format!("http://{}", real.address);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let audit = place.path().join("real-audit");
    let mut command = demo(place.path(), &DOORS);
    command
        .env("VITAL_SIDECAR__UPSTREAM__URL", &url)
        .env("VITAL_SIDECAR__SERVER__LISTEN", &port)
        .env("VITAL_SIDECAR__AUDIT__DIRECTORY", &audit)
        .env("VITAL_SIDECAR__NO__SUCH_KEY", "1")
        .env("SENTRY_DSN", format!("http://key@{}/1", real.address))
        .env("ALERT_WEBHOOK", &url)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &url)
        .env("OTEL_METRICS_EXPORTER", "otlp")
        .env("DATADOG_API_KEY", "key")
        .env("NODE_ENV", "production");
    let process = Process::open(command, place).await;
    let agents = process.client().await.get("/api/agents").await;
    assert_eq!(agents.status, 200);
    assert_ne!(agents.body, b"real");
    let status = process.ask("/status").await.json();
    assert_eq!(status["service"]["environment"], "development");
    process.signal("INT").await;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{remains:?}");
    assert_eq!(real.connections(), 0, "{:?}", real.heads());
    assert!(!audit.exists());
    // Nobody got spans, and no line says that somebody did.
    let lines = remains.stdout.lines().filter(|line| line.contains("Request completed"));
    let mut lines = lines.peekable();
    assert!(lines.peek().is_some(), "{remains:?}");
    assert!(lines.all(|line| line.contains("\"sampled\":false")), "{remains:?}");
    let kept = names(remains.directory.path());
    assert!(matches!(&kept[..], [it] if it.starts_with("vital-sidecar-demo-")), "{kept:?}");
}

#[tokio::test]
async fn a_collector_is_named_by_a_flag() {
    let place = tempfile::tempdir().unwrap();
    let collector = crate::support::collector::Collector::start().await;
    let url = collector.endpoint();
    let process =
        Process::open(demo(place.path(), &[&DOORS[..], &["--otlp", &url]].concat()), place).await;
    process.client().await.get("/api/agents").await;
    process.signal("INT").await;
    let remains = process.remains().await;
    assert!(remains.stdout.contains("\"sampled\":true"), "{remains:?}");
    assert!(!collector.requests().is_empty());
    let (code, _, err) = output(demo(&remains.path(""), &["demo", "--otlp", "nowhere"])).await;
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("set by the flag for `otlp.endpoint`"), "{err}");
}

#[tokio::test]
async fn a_taken_port_names_its_flag_and_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (busy, free) in [("--listen", "--admin"), ("--admin", "--listen")] {
        let arguments = ["demo", busy, &address, free, "127.0.0.1:0"];
        let (code, _, err) = output(demo(place.path(), &arguments)).await;
        assert_eq!(code, 1, "{err}");
        let hint = format!("choose another port with `{busy} IP:PORT`");
        for words in [&*address, "in use", &*hint] {
            assert!(err.contains(words), "{words}: {err}");
        }
        assert!(!err.contains("server.listen"), "{err}");
        assert_eq!(names(place.path()), [""; 0]);
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let place = tempfile::tempdir().unwrap();
    let nowhere = place.path().join("nowhere");
    let mut command = command(place.path(), &DOORS);
    command.env("TMPDIR", &nowhere);
    let (code, _, err) = output(command).await;
    assert_eq!(code, 1, "{err}");
    let path = format!("{}/vital-sidecar-demo-", nowhere.display());
    for words in [&*path, "No such file or directory", "TMPDIR"] {
        assert!(err.contains(words), "{words}: {err}");
    }
}
