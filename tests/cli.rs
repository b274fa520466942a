//! The command line as a shell sees it: exit codes, and what is said on which stream.

use std::net::TcpListener;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::process::{Process, command, output};
use crate::support::{PATIENCE, upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn said(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    output(command(directory, arguments)).await
}

fn directory(file: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("sidecar.toml"), file).unwrap();
    directory
}

#[tokio::test]
async fn two_lines_are_a_whole_configuration() {
    let place = directory("[upstream]\nurl = \"http://127.0.0.1:3000\"\n");
    let (code, out, err) = said(place.path(), &["check", "--config", "sidecar.toml"]).await;
    assert_eq!((code, &*err), (0, ""));
    assert!(out.starts_with("The configuration is valid.\n"), "{out}");
    assert!(out.contains("127.0.0.1:8080 -> http://127.0.0.1:3000"), "{out}");
}

#[tokio::test]
async fn check_says_which_gates_are_on() {
    let place = directory(
        "upstream.url = \"http://127.0.0.1:3000\"\nopenapi.file = \"api.yaml\"\n\
         rate_limit_store.redis_url = \"redis://app:s3cret@127.0.0.1:6379\"\n\
         [identity]\nsource = \"jwt\"\n\
         [identity.jwt]\njwks_url = \"https://login.example/keys\"\nissuer = \"*\"\naudience = \"*\"\n",
    );
    let document =
        "openapi: 3.1.0\ninfo: { title: a, version: '1' }\npaths: { /a: { get: {} }, /b: {} }\n";
    std::fs::write(place.path().join("api.yaml"), document).unwrap();
    let (code, out, err) = said(place.path(), &["check", "--config", "sidecar.toml"]).await;
    assert_eq!(code, 0, "{out}{err}");
    for line in [
        "  identity  jwt (jwks_url)\n",
        "  openapi   2 paths\n",
        "  store     redis://127.0.0.1:6379/0\n",
    ] {
        assert!(out.contains(line), "{out}");
    }
    assert!(!(out + &err).contains("s3cret"));
}

#[tokio::test]
async fn a_random_key_of_pseudonyms_is_told_once_where_there_are_pseudonyms() {
    let place = directory("");
    let (secret, key) = (place.path().join("secret"), place.path().join("key"));
    std::fs::write(&secret, "s".repeat(32)).unwrap();
    std::fs::write(&key, "k".repeat(32)).unwrap();
    let tokens = "identity.source = \"jwt\"\nidentity.jwt = { secret_file = \"secret\", issuer = \"*\", audience = \"*\" }\n";
    let own = "identity.pseudonym_key_file = \"key\"\n";
    let none = "identity.telemetry_user = \"none\"\n";
    for (settings, times) in [
        (tokens.to_owned(), 1),
        (tokens.to_owned() + own, 0),
        (tokens.to_owned() + none, 0),
        (String::new(), 0),
    ] {
        let text =
            format!("upstream.url = \"http://127.0.0.1:3000\"\notlp.endpoint = \"\"\n{settings}");
        std::fs::write(place.path().join("sidecar.toml"), text).unwrap();
        let run = [
            "run",
            "--config",
            "sidecar.toml",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ];
        let mut child = command(place.path(), &run).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let starting = async {
            let mut told = 0;
            while let Some(line) = lines.next_line().await.unwrap() {
                told += usize::from(line.contains("Pseudonyms have a random key"));
                if line.contains("The doors are open.") {
                    return told;
                }
            }
            panic!("it never opened its doors");
        };
        let told = tokio::time::timeout(PATIENCE, starting).await.unwrap();
        assert_eq!(told, times, "{settings}");
        child.kill().await.unwrap();
    }
}

#[tokio::test]
async fn every_shipped_configuration_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["minimal", "sidecar", "production"] {
        let path = format!("config/{file}.toml");
        let (code, out, err) = said(root, &["check", "--config", &path]).await;
        assert_eq!(code, 0, "{file}: {out}");
        // production.toml audits, and says that it does not know whom until an identity is configured.
        let may_note = |line: &str| file == "production" && line.contains("`identity.source`");
        assert!(err.lines().all(may_note), "{file}: {err}");
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_78_with_every_error_at_its_place() {
    let place = directory("[upstream]\nurl = \"http://a\"\n[server]\nlisen = 1\nworkers = \"x\"\n");
    for verb in ["check", "run"] {
        let (code, out, err) = said(place.path(), &[verb, "--config", "sidecar.toml"]).await;
        assert_eq!((code, &*out), (78, ""), "{verb}: {err}");
        for words in ["sidecar.toml:4:1", "listen", "sidecar.toml:5:11"] {
            assert!(err.contains(words), "{verb}, {words}: {err}");
        }
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_78_and_named() {
    let place = tempfile::tempdir().unwrap();
    for verb in ["check", "run"] {
        let (code, _, err) = said(place.path(), &[verb, "--config", "nowhere.toml"]).await;
        assert_eq!(code, 78);
        assert!(err.contains("`nowhere.toml` cannot be read: No such file"), "{err}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_text_is_told_where() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("sidecar.toml"), b"a = 1\n\xc3\xa9 = \"\xff\"\n").unwrap();
    let (code, _, err) = said(place.path(), &["check", "--config", "sidecar.toml"]).await;
    assert_eq!(code, 78);
    assert!(
        err.contains("`sidecar.toml` cannot be read: it is not UTF-8 at line 2, column 6"),
        "{err}"
    );
}

#[tokio::test]
async fn a_file_behind_the_command_is_shown_its_flag() {
    let place = directory("");
    for verb in ["check", "run"] {
        let (code, _, err) = said(place.path(), &[verb, "sidecar.toml"]).await;
        assert_eq!(code, 2, "{err}");
        assert!(
            err.contains("tip: the configuration is named by `--config sidecar.toml`"),
            "{err}"
        );
    }
}

#[tokio::test]
async fn no_upstream_is_78_and_says_how_to_name_one() {
    let place = tempfile::tempdir().unwrap();
    let (code, _, err) = said(place.path(), &["run"]).await;
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("upstream.url"), "{err}");
}

#[tokio::test]
async fn wrong_usage_is_2() {
    let place = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["fly"], &["run", "--wings"], &["audit"], &["audit", "verify"]] {
        let (code, _, err) = said(place.path(), arguments).await;
        assert_eq!(code, 2, "{arguments:?}");
        assert!(err.contains("Usage:"), "{err}");
    }
    assert_eq!(said(place.path(), &["--version"]).await.0, 0);
}

#[tokio::test]
async fn a_port_in_use_is_1_and_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = tempfile::tempdir().unwrap();
    for (busy, free, key) in
        [("--listen", "--admin", "server.listen"), ("--admin", "--listen", "admin.listen")]
    {
        let arguments =
            ["run", "--upstream", "http://127.0.0.1:1", busy, &address, free, "127.0.0.1:0"];
        let (code, _, err) = said(place.path(), &arguments).await;
        assert_eq!(code, 1, "{err}");
        assert!(err.contains(&address) && err.contains(key), "{err}");
        assert!(err.contains("in use"), "{err}");
    }
    let text =
        format!("[upstream]\nurl = \"http://127.0.0.1:1\"\n[metrics]\nlisten = \"{address}\"\n");
    let place = directory(&text);
    let doors = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let arguments = [&["run", "--config", "sidecar.toml"][..], &doors].concat();
    let (code, _, err) = said(place.path(), &arguments).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains(&address) && err.contains("metrics.listen"), "{err}");
}

#[tokio::test]
async fn run_needs_no_file_and_no_collector() {
    let upstream = upstream::answering(OK).await;
    let place = tempfile::tempdir().unwrap();
    let url = format!("http://{}", upstream.address);
    let arguments =
        ["run", "--upstream", &url, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let process = Process::open(command(place.path(), &arguments), place).await;
    assert_eq!(process.client().await.get("/").await.body, b"ok");
    process.signal("INT").await;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{remains:?}");
    remains.assert_balanced();
    assert_eq!(remains.stdout.lines().count(), 1, "the access log, and nothing else");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_refuses_to_start() {
    let place = directory(
        "[upstream]\nurl = \"http://127.0.0.1:1\"\n[server]\nlisten = \"127.0.0.1:0\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[log]\ndirectory = \"/proc/logs\"\n",
    );
    let (code, _, err) = said(place.path(), &["run", "--config", "sidecar.toml"]).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("opening `/proc/logs` for the log"), "{err}");
}

#[tokio::test]
async fn health_status_and_drain_speak_with_a_running_sidecar() {
    let upstream = upstream::answering(OK).await;
    let process = Process::start(&format!(
        "[upstream]\nurl = \"http://{}\"\n[otlp]\nendpoint = \"\"\n[server.drain]\ndelay = \"0s\"\n",
        upstream.address
    ))
    .await;
    process.until("/readyz", 200).await;
    let admin = process.admin.to_string();
    let place = process.path("");
    let (code, out, err) = said(&place, &["health", "--admin", &admin]).await;
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, err) = said(&place, &["status", "--admin", &admin]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("vital-orchestrator"), "{out}");
    let (code, out, err) = said(&place, &["drain", "--admin", &admin]).await;
    assert_eq!((code, &*out), (0, "draining\n"), "{err}");
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{remains:?}");

    let nowhere = tempfile::tempdir().unwrap();
    for verb in ["health", "status", "drain"] {
        let (code, _, err) = said(nowhere.path(), &[verb, "--admin", &admin]).await;
        assert_eq!(code, 1, "{verb}: nobody is there");
        assert!(err.contains(&admin), "{verb}: {err}");
    }
}

/// `command | :` as a shell runs it: nobody reads what it prints.
#[tokio::test]
async fn a_reader_that_has_gone_is_no_panic() {
    let upstream = upstream::answering(OK).await;
    let process =
        Process::start(&format!("upstream.url = \"http://{}\"\n", upstream.address)).await;
    let admin = process.admin.to_string();
    process.client().await.get("/").await;
    let place = process.path("");
    for verb in ["health", "status", "reload", "drain"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut verb_alone = command(&place, &[verb, "--admin", &admin, "-c", "sidecar.toml"]);
        verb_alone.stdout(writer);
        let ended = verb_alone.spawn().expect("a start").wait_with_output().await.expect("an end");
        let err = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), &*err), (Some(0), ""), "{verb}");
    }
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut alone = command(&place, &["health", "--admin", "127.0.0.1:1"]);
    alone.stderr(writer);
    let status = alone.spawn().expect("a start").wait().await.expect("an end");
    assert_eq!(status.code(), Some(1), "nobody is there, and nobody hears it");
    assert_eq!(process.remains().await.code, Some(0));
}

#[tokio::test]
async fn the_trail_of_a_run_verifies_and_a_second_run_is_refused_its_directory() {
    let upstream = upstream::answering(OK).await;
    let text = format!(
        "[upstream]\nurl = \"http://{}\"\n[otlp]\nendpoint = \"\"\n[audit]\ndeadline = \"10s\"\n\
         [[routes]]\nmatch = \"* /api/{{*rest}}\"\naudit = \"DATA_ACCESS\"\n\
         [server.drain]\ndelay = \"0s\"\n",
        upstream.address
    );
    let process = Process::start(&text).await;
    let mut client = process.client().await;
    for _ in 0..5 {
        assert_eq!(client.get("/api/a/b").await.status, 200);
    }
    let place = process.path("");
    let second = ["run", "-c", "sidecar.toml", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let (code, _, err) = said(&place, &second).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("audit"), "{err}");
    let (code, out, _) = said(&place, &["audit", "verify", "audit"]).await;
    assert_eq!(code, 0, "beside the running sidecar: {out}");

    process.signal("TERM").await;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{remains:?}");
    assert!(remains.stderr.contains("\"audit\":\"closed at seq 10\""), "{}", remains.stderr);
    let (code, out, _) = said(&remains.path(""), &["audit", "verify", "audit"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.starts_with("10 records in 1 segment, last seq 10\n"), "{out}");

    let segment = remains.path("audit").join(vital_sidecar::audit::segment_name(1));
    let changed = std::fs::read_to_string(&segment).unwrap().replacen("GET", "PUT", 1);
    std::fs::write(&segment, changed).unwrap();
    let (code, out, _) = said(&remains.path(""), &["audit", "verify", "audit"]).await;
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("integrity    BROKEN"), "{out}");
}

#[tokio::test]
async fn a_closed_stdout_stops_no_traffic_and_the_lost_lines_are_counted() {
    let upstream = upstream::answering(OK).await;
    let text =
        format!("[upstream]\nurl = \"http://{}\"\n[otlp]\nendpoint = \"\"\n", upstream.address);
    let mut process = Process::start(&text).await;
    process.stop_listening();
    let mut client = process.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 200);
    }
    process.signal("INT").await;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{remains:?}");
    remains.assert_balanced();
    let account = "logs to console: 20 accepted = 0 exported + 20 dropped (io 20)";
    assert!(remains.stderr.contains(account), "{}", remains.stderr);
}
