//! The house keeps its floors: this module reads `src/` and fails on what the architecture forbids.
//!
//! - A file imports only from its own floor and those below; sinks and stages do not know each other.
//! - A file says what it is for before anything else, and stays short enough to be one idea.
//! - No `unwrap()` outside tests, nothing unbounded, nothing left to do.
//!
//! It reads text, not types: a path that a macro builds, or an alias, escapes it. Test code inside
//! `src/` may import and unwrap what it likes.

mod code;
mod redaction;

use std::fs;
use std::io;
use std::path::Path;

/// From the ground up. `lib.rs` is on no floor: it only declares the modules.
const FLOORS: [&[&str]; 7] = [
    &["base64", "http", "jwt", "named_file", "secret", "strict_json", "units"],
    &["audit", "record"],
    &["config", "openapi"],
    &["telemetry"],
    &["proxy"],
    &["server"],
    &["app", "cli", "main"],
];

/// Rooms whose members do not know each other.
const ROOMS: [Room; 2] = [
    Room {
        path: &["telemetry", "sinks"],
        // The file that rotates may be any sink's last stretch.
        shared: &["file"],
        callers: &[],
    },
    Room {
        path: &["proxy"],
        // What travels along the pipeline, and the engines that stages put to use.
        shared: &[
            "breaker",
            "claims",
            "classify",
            "clock",
            "error_classes",
            "exchange",
            "identity",
            "inspect",
            "limits",
            "operations",
            "patience",
            "peer",
            "plan",
            "reply",
            "request_body",
            "roots",
            "security_headers",
            "survey",
            "target",
            "trace",
            "tunnel",
            "upstream",
        ],
        // The pipeline runs the stages, the plan compiles them, the exchange begins and ends with some.
        // What would be decided is asked of the same stages.
        callers: &["exchange", "explain", "pipeline", "plan"],
    },
];

/// A module whose children may import only those that are `shared`, except for the `callers`.
struct Room {
    path: &'static [&'static str],
    shared: &'static [&'static str],
    callers: &'static [&'static str],
}

const LONGEST_FILE: usize = 400;

#[test]
fn every_file_keeps_the_rules_of_the_house() {
    let house = House::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    assert!(house.files.len() > 10, "src/ was not found");

    let broken = house.broken_rules();

    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// All files below `src/`.
struct House {
    files: Vec<Source>,
}

/// One file, its path below `src/` written with slashes.
struct Source {
    path: String,
    text: String,
    /// `proxy/upstream/pool.rs` is `proxy::upstream::pool`; `proxy/mod.rs` is `proxy`.
    module: Vec<String>,
    /// The text without comments, literals and test items.
    code: String,
}

/// A path inside the crate, counted from its root.
#[derive(Debug, PartialEq, Eq)]
struct Reference {
    line: usize,
    path: Vec<String>,
}

impl House {
    fn read(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        let mut directories = vec![root.to_path_buf()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
                    files.push((below.replace('\\', "/"), fs::read_to_string(&path)?));
                }
            }
        }
        files.sort();
        Ok(Self::of(files))
    }

    fn of(files: Vec<(String, String)>) -> Self {
        let mut files: Vec<Source> =
            files.into_iter().map(|(path, text)| Source::new(path, text)).collect();
        let for_tests: Vec<Vec<String>> = files.iter().flat_map(Source::test_modules).collect();
        for file in &mut files {
            if for_tests.iter().any(|module| file.module.starts_with(module)) {
                file.code.clear();
            }
        }
        Self { files }
    }

    fn broken_rules(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for file in &self.files {
            for reference in file.references() {
                if let Some(why) = self.forbidden(&file.module, &reference.path) {
                    broken.push(format!("src/{}:{}: {why}", file.path, reference.line));
                }
            }
            broken.extend(file.broken_manners());
        }
        broken
    }

    /// Says why a module may not import that path, or nothing if it may.
    fn forbidden(&self, module: &[String], path: &[String]) -> Option<String> {
        let (here, there) = (floor_of(module.first()?)?, floor_of(path.first()?)?);
        let written = path.join("::");
        if there > here {
            return Some(format!("imports `{written}` of floor {there}, but is on floor {here}"));
        }
        ROOMS.iter().find_map(|room| {
            let (own, other) = (room.member(module)?, room.member(path)?);
            let is_open = own == other
                || room.shared.contains(&other)
                || room.callers.contains(&own)
                || !self.has_member(room, other);
            (!is_open).then(|| format!("imports its neighbour `{written}`"))
        })
    }

    /// A function or a type of the room itself is not a member, but may look like one.
    fn has_member(&self, room: &Room, name: &str) -> bool {
        self.files.iter().any(|file| room.member(&file.module) == Some(name))
    }
}

impl Room {
    /// The part of the path right below the room, if it lies in it.
    fn member<'a>(&self, path: &'a [String]) -> Option<&'a str> {
        let (start, rest) = path.split_at_checked(self.path.len())?;
        (start == self.path).then(|| rest.first().map(String::as_str)).flatten()
    }
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
        let module = stem.split('/').map(str::to_owned).collect();
        let code = code::without_words(&text);
        Self { path, text, module, code }
    }

    fn test_modules(&self) -> Vec<Vec<String>> {
        let names = code::test_modules(&self.code).into_iter();
        names.map(|name| [self.module.clone(), vec![name]].concat()).collect()
    }

    /// Finds `crate::…` and `super::…`, with every branch of a `{…}` group.
    fn references(&self) -> Vec<Reference> {
        let code = code::without_test_items(&self.code);
        let mut found = Vec::new();
        for (start, _) in code.match_indices("crate::").chain(code.match_indices("super::")) {
            let before = code[..start].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || "_$:".contains(c)) {
                continue; // The tail of a longer path.
            }
            let line = 1 + code[..start].matches('\n').count();
            let (base, rest) = self.base_of(&code[start..]);
            let mut paths = Vec::new();
            code::walk_tree(rest, &base, &mut paths);
            found.extend(paths.into_iter().map(|path| Reference { line, path }));
        }
        found
    }

    /// Where `crate::` or `super::super::` points, and what follows it.
    fn base_of<'a>(&self, path: &'a str) -> (Vec<String>, &'a str) {
        if let Some(rest) = path.strip_prefix("crate::") {
            return (Vec::new(), rest);
        }
        let (mut base, mut rest) = (self.module.clone(), path);
        while let Some(tail) = rest.strip_prefix("super::") {
            base.pop();
            rest = tail;
        }
        (base, rest)
    }

    fn broken_manners(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for (number, line) in (1..).zip(code::without_test_items(&self.code).lines()) {
            if line.contains(".unwrap()") {
                broken.push(format!("{number}: unwraps outside a test"));
            }
            if line.contains("unbounded") {
                broken.push(format!("{number}: every queue has a bound"));
            }
        }
        for (number, line) in (1..).zip(self.text.lines()) {
            if ["TODO", "FIXME"].iter().any(|mark| line.contains(mark)) {
                broken.push(format!("{number}: leaves work undone"));
            }
        }
        if !self.text.starts_with("//!") {
            broken.push("1: does not say what it is for (`//!` comes first)".to_owned());
        }
        let lines = self.text.lines().count();
        if lines > LONGEST_FILE {
            broken.push(format!("{lines}: longer than {LONGEST_FILE} lines, more than one idea"));
        }
        broken.into_iter().map(|why| format!("src/{}:{why}", self.path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_broken_by(files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), format!("//! x\n{text}")));
        House::of(files.collect()).broken_rules()
    }

    #[test]
    fn an_upward_import_is_found_with_its_line() {
        let broken = rules_broken_by(&[("record/mod.rs", "\nuse crate::proxy::Proxy;")]);
        assert_eq!(
            broken,
            ["src/record/mod.rs:3: imports `proxy::Proxy` of floor 4, but is on floor 1"]
        );
    }

    #[test]
    fn a_downward_import_is_fine() {
        let text = "use crate::{units::Rate, config::Config, proxy::plan};\nuse super::exchange;";
        assert!(rules_broken_by(&[("proxy/pipeline.rs", text)]).is_empty());
    }

    #[test]
    fn an_upward_path_in_a_group_or_an_expression_is_found() {
        let text = "use crate::{units, server::{admin}};\nfn f() { crate::app::run() }";
        assert_eq!(rules_broken_by(&[("telemetry/lane.rs", text)]).len(), 2);
    }

    #[test]
    fn stages_do_not_import_each_other_but_the_pipeline_imports_all() {
        let stages = [("proxy/screen.rs", ""), ("proxy/forward.rs", "use super::screen;")];
        assert_eq!(
            rules_broken_by(&stages),
            ["src/proxy/forward.rs:2: imports its neighbour `proxy::screen`"]
        );
        let story = [("proxy/screen.rs", ""), ("proxy/pipeline.rs", "use super::screen;")];
        assert!(rules_broken_by(&story).is_empty());
    }

    #[test]
    fn sinks_share_the_rotating_file_only() {
        let sinks = [
            ("telemetry/sinks/file.rs", ""),
            ("telemetry/sinks/sentry/mod.rs", "use super::file;"),
            ("telemetry/sinks/otlp.rs", "use super::{file, sentry::Event};"),
        ];
        assert_eq!(
            rules_broken_by(&sinks),
            [
                "src/telemetry/sinks/otlp.rs:2: imports its neighbour `telemetry::sinks::sentry::Event`"
            ]
        );
    }

    #[test]
    fn tests_may_do_what_code_may_not() {
        let text = "#[cfg(test)]\nmod fake;\n#[cfg(test)]\nmod tests {\n use crate::app;\n f().unwrap();\n}";
        let fake = ("units/fake.rs", "fn f() { crate::app::run().unwrap() }");
        assert!(rules_broken_by(&[("units.rs", text), fake]).is_empty());
    }

    #[test]
    fn manners_are_checked_where_code_is_meant() {
        let text = "fn f() { g().unwrap(); }\nlet q = unbounded_channel();\n// TODO: more";
        assert_eq!(rules_broken_by(&[("units.rs", text)]).len(), 3);
        let said = "/// Never calls `.unwrap()`, has no unbounded queue.\nfn f() {}";
        assert!(rules_broken_by(&[("units.rs", said)]).is_empty());
    }

    #[test]
    fn a_file_without_a_purpose_or_with_too_many_lines_is_found() {
        let silent = House::of(vec![("units.rs".to_owned(), "fn f() {}".to_owned())]);
        assert_eq!(silent.broken_rules().len(), 1);
        assert_eq!(rules_broken_by(&[("units.rs", &"\n".repeat(LONGEST_FILE))]).len(), 1);
    }
}
