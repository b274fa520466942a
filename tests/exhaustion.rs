//! What is left when a machine runs out: of file descriptors, and of patience with huge heads.

use std::process::Stdio;

use tokio::process::Command;

use crate::support::process::Process;
use crate::support::{PATIENCE, sidecar, upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// Enough for the doors, the runtime and a few connections.
const DESCRIPTORS: usize = 64;

/// A sidecar that may have only so many file descriptors.
async fn confined(file: &str) -> Process {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("sidecar.toml"), file).expect("a file");
    let mut command = Command::new("sh");
    let confine = format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"");
    command.args(["-c", &confine, env!("CARGO_BIN_EXE_vital-sidecar"), "run"]);
    command.args(["--config", "sidecar.toml", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.current_dir(directory.path()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Process::open(command, directory).await
}

#[tokio::test]
async fn a_sidecar_without_file_descriptors_waits_for_some_and_goes_on() {
    let upstream = upstream::answering(OK).await;
    let file = format!(
        "[upstream]\nurl = \"http://{}\"\n[otlp]\nendpoint = \"\"\n[server.drain]\ndelay = \"0s\"\n",
        upstream.address
    );
    let process = confined(&file).await;

    let mut crowd = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        crowd.push(process.client().await);
    }
    // The kernel completes their handshakes; whoever is in the backlog hears nothing for now.
    let mut late = process.client().await;
    late.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let heard = tokio::time::timeout(PATIENCE / 20, late.stream.readable()).await;
    assert!(heard.is_err(), "there was no descriptor for it");

    drop(crowd);
    assert_eq!(late.answer().await.status, 200, "it is served once there is room");
    let mut next = process.client().await;
    assert_eq!(next.get("/").await.status, 200);
    drop((late, next));
    process.signal("TERM").await;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0));
    let complaints = remains.stderr.matches("Accepting a connection failed").count();
    assert!((1..50).contains(&complaints), "it backs off: {complaints} complaints");
    remains.assert_balanced();
}

#[tokio::test]
async fn a_head_without_end_is_refused_at_its_bound() {
    const PIECE: usize = 8 * 1024;
    let upstream = upstream::answering(OK).await;
    let sidecar = sidecar::in_front_of(&upstream).await;
    // One field that grows, and many small ones.
    for piece in ["x".repeat(PIECE), "a: b\r\n".repeat(PIECE / 6)] {
        let mut client = sidecar.client().await;
        client.say("GET / HTTP/1.1\r\nhost: a\r\nbomb: x").await;
        for _ in 0..512 {
            client.say(&piece).await;
        }
        assert_eq!(client.answer().await.status, 431);
        client.rest().await;
    }
    assert!(upstream.heads().is_empty());
    let mut client = sidecar.client().await;
    assert_eq!(client.get("/").await.status, 200);
}
