//! What can be a configuration file, and what cannot.

use std::fs;
use std::path::Path;

use tokio::process::Command;

use crate::support::process::{command, output};

const TWO_LINES: &str = "[upstream]\nurl = \"http://127.0.0.1:3000\"\n";

async fn refused(directory: &Path, path: &str) -> String {
    let mut said = Vec::new();
    for verb in ["check", "run", "health"] {
        let (code, out, err) = output(command(directory, &[verb, "-c", path])).await;
        assert_eq!((code, &*out), (78, ""), "{verb}: {err}");
        said.push(err.lines().next().expect("a line").to_owned());
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    said.remove(0)
}

#[tokio::test]
async fn only_a_regular_file_is_read() {
    let place = tempfile::tempdir().expect("a directory");
    let made = Command::new("mkfifo").arg(place.path().join("pipe")).status().await;
    assert!(made.expect("mkfifo").success());
    for (path, what) in [("pipe", "a pipe"), (".", "a directory"), ("/dev/zero", "a device")] {
        let said = refused(place.path(), path).await;
        let why = format!("`{path}` cannot be read: it is {what}, and must be a regular file");
        assert!(said.contains(&why), "{said}");
    }
}

#[tokio::test]
async fn a_file_has_at_most_a_mebibyte() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("sidecar.toml");
    let text = format!("{TWO_LINES}#{}", " ".repeat(1024 * 1024 - TWO_LINES.len() - 1));
    fs::write(&path, &text).expect("a file");
    let (code, out, err) = output(command(place.path(), &["check", "-c", "sidecar.toml"])).await;
    assert_eq!(code, 0, "{out}{err}");
    fs::write(&path, text + " ").expect("a file");
    let said = refused(place.path(), "sidecar.toml").await;
    assert!(said.ends_with("it has more than 1 MiB"), "{said}");
}

/// One way to read them all: `check` ends, whatever has the name, and says what is wrong with it.
#[tokio::test]
async fn a_file_that_a_configuration_names_is_as_regular_and_as_small_as_the_configuration() {
    const NAMING: &str = r#"
        [admin]
        token_file = "FILE"
        [log.datadog]
        api_key_file = "FILE"
        [openapi]
        file = "FILE"
        [otlp]
        ca_file = "FILE"
        [rate_limit_store]
        redis_url = "rediss://localhost"
        ca_file = "FILE"
        [server.tls]
        certificate_file = "FILE"
        key_file = "FILE"
        client_ca_file = "FILE"
        [upstream]
        url = "https://localhost:3000"
        ca_file = "FILE"
        [identity]
        source = "jwt"
        pseudonym_key_file = "FILE"
        signing_key_file = "FILE"
        [identity.jwt]
        public_key_file = "FILE"
        issuer = "*"
        audience = "*"
    "#;
    let place = tempfile::tempdir().expect("a directory");
    let made = Command::new("mkfifo").arg(place.path().join("pipe")).status().await;
    assert!(made.expect("mkfifo").success());
    fs::write(place.path().join("large"), " ".repeat(1024 * 1024 + 1)).expect("a file");
    for (name, why) in [
        ("pipe", "it is a pipe, and must be a regular file"),
        ("/dev/zero", "it is a device, and must be a regular file"),
        ("large", "it has more than 1 MiB"),
    ] {
        fs::write(place.path().join("sidecar.toml"), NAMING.replace("FILE", name)).expect("a file");
        let (code, _, err) = output(command(place.path(), &["check", "-c", "sidecar.toml"])).await;
        assert_eq!(code, 78, "{err}");
        let told = err.matches(&format!("reading `{name}`: {why}")).count();
        assert_eq!(told, NAMING.matches("FILE").count(), "{err}");
    }
}

/// A shell's `<` gives a regular file, its `|` does not.
#[tokio::test]
async fn standard_input_counts_where_it_can_be_read_again() {
    let place = tempfile::tempdir().expect("a directory");
    fs::write(place.path().join("sidecar.toml"), TWO_LINES).expect("a file");
    let checked = ["check", "-c", "/dev/stdin"];
    let mut redirected = command(place.path(), &checked);
    redirected.stdin(fs::File::open(place.path().join("sidecar.toml")).expect("a file"));
    let (code, out, err) = output(redirected).await;
    assert_eq!(code, 0, "{out}{err}");
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let mut piped = command(place.path(), &checked);
    piped.stdin(reader);
    let (code, _, err) = output(piped).await;
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("`/dev/stdin` cannot be read: it is a pipe"), "{err}");
}

#[tokio::test]
async fn thousands_of_mistakes_are_counted_and_twenty_shown() {
    let place = tempfile::tempdir().expect("a directory");
    let line = |n| format!("wrong{n} = \"${{WRONG}}\"\n");
    let text: String = (0..1500).map(line).collect();
    fs::write(place.path().join("sidecar.toml"), text + TWO_LINES).expect("a file");
    let (code, _, err) = output(command(place.path(), &["check", "-c", "sidecar.toml"])).await;
    assert_eq!(code, 78);
    let end = "error: the configuration has 3000 errors: these 20 and 2980 more\n";
    assert!(err.ends_with(end), "{}", &err[err.len() - 300..]);
    assert_eq!(err.matches("--> sidecar.toml:").count(), 20);
    assert!(err.contains("sidecar.toml:10:") && !err.contains("sidecar.toml:11:"), "in order");
}
