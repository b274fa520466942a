//! What `${VAR}` says where the environment has nothing for it.

use vital_sidecar::config::{SourceFile, Sources, load};

const HOOK: &str =
    "[[alerts]]\nname = \"a\"\nwhen = \"errors > 1/min\"\nnotify = [\"webhook:${HOOK}\"]\n";

/// What is wrong with a text where `HOOK` is this, or is not set.
fn said(text: &str, hook: Option<&str>) -> Option<String> {
    let text = format!("upstream.url = \"http://127.0.0.1:3000\"\n{text}");
    let file = Some(SourceFile { path: "sidecar.toml".to_owned(), text });
    let env = hook.map(|value| ("HOOK".to_owned(), value.to_owned())).into_iter().collect();
    load(&Sources { file, env, flags: Vec::new() }).err().map(|errors| errors.to_string())
}

#[test]
fn a_variable_that_is_set_to_nothing_is_told_from_one_that_is_not_set() {
    for (text, place) in [(HOOK, "5:11"), ("log.directory = \"${HOOK}/a\"\n", "2:17")] {
        let empty = said(text, Some("")).expect("an error");
        for words in [
            "the environment variable `HOOK` is set, but empty",
            place,
            "give it a value, or give a default: `${HOOK:-…}`",
            "the configuration has 1 error",
        ] {
            assert!(empty.contains(words), "`{words}` is missing in:\n{empty}");
        }
        let unset = said(text, None).expect("an error");
        assert!(unset.contains("the environment variable `HOOK` is not set"), "{unset}");
    }
}

#[test]
fn a_default_takes_the_place_of_an_empty_variable() {
    assert_eq!(said("log.level = \"${HOOK:-warn}\"\n", Some("")), None);
    assert_eq!(said("log.level = \"${HOOK:-warn}\"\n", Some("info")), None);
}
