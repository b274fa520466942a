//! The fuzz targets over their corpus, and over the tables of the tests: every input is replayed here,
//! so that what a fuzzer found once stays fixed without one.

use std::fs;
use std::path::Path;

#[path = "fuzz/checks/answers.rs"]
pub(crate) mod answers;
#[path = "fuzz/checks/config.rs"]
mod config;
#[path = "fuzz/checks/forwarded.rs"]
mod forwarded;
#[path = "fuzz/checks/framing.rs"]
pub(crate) mod framing;
#[path = "fuzz/checks/propagation.rs"]
mod propagation;
#[path = "fuzz/checks/traceparent.rs"]
mod traceparent;

fn replay(target: &str, check: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&directory).expect("a corpus") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("an input");
        let passed = std::panic::catch_unwind(|| check(&bytes));
        assert!(passed.is_ok(), "{}", path.display());
        count += 1;
    }
    assert!(count >= 5, "{target} has {count} inputs");
}

#[test]
fn the_corpus_of_answers_holds() {
    replay("answers", answers::check);
}

#[test]
fn the_corpus_of_framing_holds() {
    replay("framing", framing::check);
}

#[test]
fn the_corpus_of_traceparent_holds() {
    replay("traceparent", traceparent::check);
}

#[test]
fn the_corpus_of_propagation_holds() {
    replay("propagation", propagation::check);
}

#[test]
fn the_corpus_of_forwarded_holds() {
    replay("forwarded", forwarded::check);
}

#[test]
fn the_corpus_of_config_holds() {
    replay("config", config::check);
}

/// A target that checks nothing would pass as well, so each must have its file for the fuzzer.
#[test]
fn every_check_has_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
    for target in ["answers", "config", "forwarded", "framing", "propagation", "traceparent"] {
        let path = format!("fuzz_targets/{target}.rs");
        let text = fs::read_to_string(root.join(&path)).expect("a target");
        assert!(text.contains(&format!("checks/{target}.rs")) && manifest.contains(&path));
    }
}
