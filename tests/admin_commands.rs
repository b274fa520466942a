//! The commands that speak with a running sidecar, while its configuration is not what it was.

use std::fs;

use crate::support::process::{Process, command, output};
use crate::support::upstream::{self, Upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A sidecar whose admin port asks for a token.
async fn guarded(upstream: &Upstream) -> Process {
    let text = format!(
        "upstream.url = \"http://{}\"\notlp.endpoint = \"\"\nserver.drain.delay = \"0s\"\n\
         [admin]\ntoken_file = \"token\"\n",
        upstream.address
    );
    Process::start_with(&text, &[("token", "t0ken\n")]).await
}

async fn said(process: &Process, arguments: &[&str]) -> (i32, String, String) {
    output(command(&process.path(""), arguments)).await
}

/// What the file says now, with the port that the sidecar really has.
fn write(process: &Process, text: &str) {
    let text = format!("[admin]\nlisten = \"{}\"\ntoken_file = \"token\"\n{text}", process.admin);
    fs::write(process.path("sidecar.toml"), text).expect("a file");
}

#[tokio::test]
async fn a_file_that_has_become_invalid_keeps_no_command_from_its_sidecar() {
    let upstream = upstream::answering(OK).await;
    let process = guarded(&upstream).await;
    process.client().await.get("/").await;
    for wrong in [
        "[oops]\n",
        "[service]\nname = \"${TEAM}\"\n",
        "[server.tls]\ncertificate_file = \"/nowhere\"\nkey_file = \"/nowhere\"\n",
        "[server]\nlisten = \"127.0.0.1:1\n",
    ] {
        write(&process, wrong);
        for (verb, code, words) in [
            ("health", 0, "ready"),
            ("status", 0, "vital-orchestrator"),
            ("reload", 1, "the old configuration stays in force"),
        ] {
            let (ended, out, err) = said(&process, &[verb, "-c", "sidecar.toml"]).await;
            assert_eq!(ended, code, "{verb} beside {wrong}: {out}{err}");
            assert!((out + &err).contains(words), "{verb} beside {wrong}");
        }
        let (code, _, err) = said(&process, &["explain", "no-such-id", "-c", "sidecar.toml"]).await;
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("404"), "it was asked: {err}");
    }
    let (code, out, err) = said(&process, &["drain", "-c", "sidecar.toml"]).await;
    assert_eq!((code, &*out), (0, "draining\n"), "{err}");
    assert_eq!(process.remains().await.code, Some(0));
}

#[tokio::test]
async fn without_its_file_a_sidecar_is_asked_with_an_address_and_a_token() {
    let upstream = upstream::answering(OK).await;
    let process = guarded(&upstream).await;
    process.client().await.get("/").await;
    let admin = process.admin.to_string();
    let asked = ["health", "--admin", &admin];
    let (code, _, err) = said(&process, &asked).await;
    assert_eq!(code, 1);
    assert!(err.contains("asks for its token (`--token-file FILE`"), "{err}");
    let with = |more: &[&'static str]| [&asked[..], more].concat();
    let (code, out, err) = said(&process, &with(&["--token-file", "token"])).await;
    assert_eq!((code, &*out), (0, "ready\n"), "{err}");

    let mut by_variable = command(&process.path(""), &asked);
    by_variable.env("VITAL_SIDECAR__ADMIN__TOKEN_FILE", "token");
    let (code, out, err) = output(by_variable).await;
    assert_eq!((code, &*out), (0, "ready\n"), "{err}");

    fs::write(process.path("sidecar.toml"), "kind: ConfigMap\n").expect("a file");
    let (code, _, err) = said(&process, &["health", "-c", "sidecar.toml"]).await;
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("sidecar.toml:1:") && err.contains("--admin IP:PORT"), "{err}");
    let (code, _, err) = said(&process, &with(&["-c", "sidecar.toml"])).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("note: asking without a token\n") && err.contains("its token"), "{err}");
    let whole = with(&["-c", "sidecar.toml", "--token-file", "token"]);
    let (code, out, err) = said(&process, &whole).await;
    assert_eq!((code, &*out, &*err), (0, "ready\n", ""));
}

#[tokio::test]
async fn an_admin_table_that_is_wrong_says_what_and_the_way_round() {
    let place = tempfile::tempdir().expect("a directory");
    let write = |text: &str| fs::write(place.path().join("sidecar.toml"), text).expect("a file");
    for (text, words) in [
        ("[admin]\nlisten = \"${HERE}\"\n", "the environment variable `HERE` is not set"),
        ("[admin]\nlisten = \"here\"\n[oops]\n", "`admin.listen` is not an address"),
        ("[admin]\ntoken_file = \"gone\"\n", "reading `gone`: No such file"),
    ] {
        write(text);
        let (code, _, err) = output(command(place.path(), &["health", "-c", "sidecar.toml"])).await;
        assert_eq!(code, 78, "{err}");
        assert!(err.contains(words) && err.contains("--token-file FILE"), "{err}");
        assert!(err.contains("the configuration has 1 error\n"), "{err}");
    }
    let nowhere = ["health", "-c", "nowhere.toml"];
    let (code, _, err) = output(command(place.path(), &nowhere)).await;
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("`nowhere.toml` cannot be read"), "{err}");
}
