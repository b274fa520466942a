//! A file where a directory should be, which is seen before anything is started or made.

use std::fs;
use std::path::Path;

use vital_sidecar::config::Config;

use super::{assert_says, errors_of};

const AUDITED: &str = "[[routes]]\nmatch = \"GET /a\"\naudit = \"DATA_ACCESS\"\n";

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_in_the_place_of_a_directory_is_refused_and_nothing_is_made() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("app.log");
    fs::write(&file, "").unwrap();
    for (table, column) in [("log", 17), ("spool", 19), ("audit", 19)] {
        for below in ["", "/logs", "/logs/today"] {
            let named = format!("{}{below}", file.display());
            // The upstream comes before the routes, so it is not one of them.
            let text = format!(
                "{table}.directory = \"{named}\"\nupstream.url = \"http://127.0.0.1:3000\"\n{AUDITED}"
            );
            let errors = super::errors_of_all(&text);
            assert_eq!(errors.count(), 1, "{errors}");
            assert_says(
                &errors,
                &[
                    &format!("`{table}.directory` is not a directory"),
                    &format!("--> sidecar.toml:1:{column}\n"),
                    &format!("`{}` is a file", file.display()),
                    "help: name a directory; one that is missing is made",
                ],
            );
        }
    }
    assert_eq!(names(place.path()), ["app.log"]);
    // A device is no directory either.
    assert_says(&errors_of("log.directory = \"/dev/null\""), &["`/dev/null` is a file"]);
}

#[test]
fn a_directory_that_is_there_or_missing_or_that_nobody_opens_is_fine() {
    let place = tempfile::tempdir().unwrap();
    let (here, file) = (place.path().display(), place.path().join("file"));
    fs::write(&file, "").unwrap();
    for text in [
        format!("log.directory = \"{here}\"\n"),
        format!("log.directory = \"{here}/a/b\"\nspool.directory = \"{here}/c\"\n"),
        format!("audit.directory = \"{}\"\n", file.display()),
    ] {
        let text = format!("upstream.url = \"http://127.0.0.1:3000\"\n{text}");
        Config::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}"));
    }
    assert_eq!(names(place.path()), ["file"]);
}
