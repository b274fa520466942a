//! What makes a sidecar load again by itself: a changed file, a swapped directory, a signal, the command.

use serde_json::Value;

use super::{OK, Place, write};
use crate::support::house::{self, House};
use crate::support::process::{Process, command, output};
use crate::support::until;
use crate::support::upstream;

/// Asks until answers carry this field.
async fn until_answers_carry(house: &House, field: &str) {
    let carries = async || house.client().await.get("/").await.field(field).map(drop);
    until("the new configuration is in force", carries).await;
}

#[tokio::test]
async fn a_changed_file_is_put_in_force_unless_it_is_wrong() {
    let upstream = upstream::answering(OK).await;
    let place = Place::new(&upstream);
    place.write("request_id.header = \"x-one\"\n");
    let house = place.open_watching().await;
    assert!(house.client().await.get("/").await.field("x-one").is_some());
    // As editors save: written beside it, then renamed over it.
    let beside = place.directory.path().join("sidecar.toml.new");
    write(&beside, &place.text("request_id.header = \"x-two\"\n"));
    std::fs::rename(&beside, place.file()).expect("a rename");
    until_answers_carry(&house, "x-two").await;

    place.write("request_id.header = \"x-three\"\nnonsense\n");
    house.until_metric("sidecar_config_last_reload_successful", 0.0).await;
    assert!(house.client().await.get("/").await.field("x-two").is_some());
    place.write("request_id.header = \"x-three\"\n");
    until_answers_carry(&house, "x-three").await;
    house.close().await;
}

#[tokio::test]
async fn a_config_map_that_is_swapped_is_followed() {
    let upstream = upstream::answering(OK).await;
    let place = Place::new(&upstream);
    let root = place.directory.path();
    let version = |name: &str, header: &str| {
        std::fs::create_dir(root.join(name)).expect("a directory");
        let text = place.text(&format!("request_id.header = \"{header}\"\n"));
        write(&root.join(name).join("sidecar.toml"), &text);
    };
    // What a kubelet lays out: file -> ..data/file, ..data -> ..version.
    version("..1", "x-one");
    std::os::unix::fs::symlink("..1", root.join("..data")).expect("a link");
    std::os::unix::fs::symlink("..data/sidecar.toml", place.file()).expect("a link");
    let house = place.open_watching().await;
    assert!(house.client().await.get("/").await.field("x-one").is_some());

    version("..2", "x-two");
    std::os::unix::fs::symlink("..2", root.join("..data_tmp")).expect("a link");
    std::fs::rename(root.join("..data_tmp"), root.join("..data")).expect("a rename");
    std::fs::remove_dir_all(root.join("..1")).expect("a directory");
    until_answers_carry(&house, "x-two").await;
    house.close().await;
}

#[tokio::test]
async fn sighup_and_the_command_reload_a_real_process() {
    let upstream = upstream::answering(OK).await;
    let file = |more: &str| {
        format!(
            "[upstream]\nurl = \"http://{}\"\n[otlp]\nendpoint = \"\"\n{more}",
            upstream.address
        )
    };
    let process = Process::start(&file("")).await;
    let path = process.path("sidecar.toml");
    let admin = process.admin.to_string();
    let reload =
        async || output(command(process.directory.path(), &["reload", "--admin", &admin])).await;
    assert_eq!(reload().await, (0, "reloaded; nothing has changed\n".to_owned(), String::new()));

    // Whether the command or the watch of the file comes first is open.
    let started_with = |text: &str, words: &str| assert!(text.starts_with(words), "{text}");
    write(&path, &file("[request_id]\nheader = \"x-two\"\n"));
    let (code, out, err) = reload().await;
    assert_eq!((code, &*err), (0, ""));
    started_with(&out, "reloaded; ");
    assert!(process.client().await.get("/").await.field("x-two").is_some());

    write(&path, &file("[request_id]\nheader = \"x-three\"\n[server]\nworkers = 9\n"));
    let (code, out, err) = reload().await;
    assert_eq!((code, &*out), (1, ""));
    for words in ["`server.workers` cannot change", "--> sidecar.toml:8:11", "stays in force\n"] {
        assert!(err.contains(words), "`{words}` is missing in:\n{err}");
    }

    write(&path, &file(""));
    assert_eq!(reload().await.0, 0);
    // From here on the file does not change, so only the signal can make it load again.
    let since = "sidecar_config_last_reload_success_timestamp_seconds";
    let loaded = async || {
        let page = process.ask("/metrics").await.body;
        house::sum(&String::from_utf8(page).expect("UTF-8"), since)
    };
    let before = loaded().await;
    process.signal("HUP").await;
    until("the signal is heard", async || (loaded().await > before).then_some(())).await;
    process.signal("INT").await;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{remains:?}");
    for words in [
        "The configuration was reloaded.",
        "The configuration was not reloaded; the old one stays in force.",
        "`server.workers` cannot change while the sidecar runs",
        "\"cause\":\"admin\"",
        "\"cause\":\"signal\"",
    ] {
        assert!(remains.stderr.contains(words), "`{words}` is missing in:\n{}", remains.stderr);
    }
    let refused =
        |line: &Value| line["message"].as_str().is_some_and(|said| said.contains("not reloaded"));
    let mut said = remains.stderr.lines().filter_map(|line| serde_json::from_str(line).ok());
    let refused = said.find(refused).expect("the refusal");
    assert_eq!(refused["error.type"], "invalid_configuration", "{refused}");
    assert_eq!(refused["level"], "error");
}
