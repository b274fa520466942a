//! What lies under `examples/` does what its comments say, as far as a test can tell.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::process::{command, output};

/// The defaults of `server.drain`, in seconds.
const DELAY: u64 = 5;
const TIMEOUT: u64 = 25;

fn example(path: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path);
    fs::read_to_string(&path).expect("an example")
}

/// The documents of the Kubernetes example, by their kind.
fn kubernetes(kind: &str) -> Value {
    let text = example("kubernetes/pod.yaml");
    let documents =
        text.split("\n---\n").map(|document| serde_saphyr::from_str(document).expect("YAML"));
    documents.into_iter().find(|document: &Value| document["kind"] == kind).expect("that kind")
}

async fn assert_valid(text: &str) {
    let place = tempfile::tempdir().expect("a directory");
    fs::write(place.path().join("sidecar.toml"), text).expect("a file");
    let (code, out, err) = output(command(place.path(), &["check", "-c", "sidecar.toml"])).await;
    assert_eq!(code, 0, "{out}{err}");
}

#[tokio::test]
async fn the_configuration_of_the_pod_is_valid_also_with_its_comments_taken_at_their_word() {
    let config = kubernetes("ConfigMap");
    let text = config["data"]["sidecar.toml"].as_str().expect("a configuration");
    assert_valid(text).await;
    let whole: Vec<_> = text.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).collect();
    assert_valid(&whole.join("\n")).await;
}

#[test]
fn the_pod_has_time_for_the_drain_and_its_app_outlives_the_delay() {
    let spec = &kubernetes("Pod")["spec"];
    let (sidecar, app) = (&spec["initContainers"][0], &spec["containers"][0]);
    assert_eq!(sidecar["restartPolicy"], "Always");
    let hook = sidecar["lifecycle"]["preStop"]["exec"]["command"].as_array().expect("a command");
    assert_eq!(hook[1], "drain");
    let sleep = app["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().expect("seconds");
    assert!(sleep > DELAY, "{sleep}");
    let grace = spec["terminationGracePeriodSeconds"].as_u64().expect("seconds");
    assert!(grace > TIMEOUT && grace > sleep, "{grace}");
}

/// systemd heeds `RestartPreventExitStatus=` only for the main process.
#[test]
fn a_wrong_configuration_ends_the_main_process_of_the_unit_for_good() {
    let unit = example("systemd/vital-sidecar.service");
    let settings: Vec<_> = unit.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(!settings.iter().any(|line| line.starts_with("ExecStartPre")), "{unit}");
    assert!(settings.contains(&"RestartPreventExitStatus=2 78"), "{unit}");
    let stop =
        settings.iter().find_map(|line| line.strip_prefix("TimeoutStopSec=")?.strip_suffix('s'));
    let stop: u64 = stop.expect("a time").parse().expect("seconds");
    assert!(stop > TIMEOUT, "{stop}");
}

#[test]
fn the_image_ends_without_root_and_asks_after_its_own_health() {
    let file = example("container/Dockerfile");
    let last = file.split("\nFROM ").last().expect("a stage");
    let has = |line: &str| last.lines().any(|found| found.trim() == line);
    assert!(has("USER 65532:65532"), "{last}");
    assert!(has(r#"CMD ["/usr/local/bin/vital-sidecar", "health"]"#), "{last}");
    assert!(has(r#"ENTRYPOINT ["/usr/local/bin/vital-sidecar"]"#), "{last}");
    assert!(!last.contains("\nRUN "), "there is no shell for it: {last}");
}
