//! `[errors]`: what errors are called, ours and the upstream's.

use regex::bytes::{Regex, RegexBuilder};

use crate::config::error::Problem;
use crate::config::model::ErrorClass;
use crate::config::section::{Section, Word};
use crate::record::{ConfigName, ErrorType};

/// Statuses of errors of the upstream.
const STATUSES: std::ops::RangeInclusive<u64> = 500..=599;
/// Classes at most: each may be searched for in every error.
const MOST: usize = 32;
/// Bytes of a pattern.
const LONGEST: usize = 1024;
/// Bytes that a compiled pattern may take; and, where it is searched for, its cache.
const PROGRAM: usize = 1 << 16;
/// Brackets in brackets.
const DEEPEST: u32 = 32;

/// The prefix of a problem's `type`: empty, or the beginning of a URI.
pub(super) fn type_base(section: &Section<'_>) -> Option<String> {
    section.parsed("type_base", "the beginning of a URI", |text| {
        let is_uri = text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
                && rest.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b))
        });
        if text.is_empty() || is_uri {
            Ok(text.to_owned())
        } else {
            Err("expected \"\" or, for example, \"https://errors.example/\"")
        }
    })
}

/// `[[errors.classify]]`.
pub(super) fn classify(section: &Section<'_>) -> Vec<ErrorClass> {
    let mut names: Vec<Word> = Vec::new();
    let mut classes = Vec::new();
    for table in section.each("classify") {
        let name = name(&table, &mut names);
        let statuses = table.numbers("status", &STATUSES);
        if statuses.as_ref().is_some_and(Vec::is_empty) {
            let label = "no answer has one of no statuses";
            table.refuse("status", "is empty", label, Some("leave it out, and any 5xx may be it"));
        }
        let body = table.parsed("body", "a pattern", pattern);
        let statuses = statuses.map(|all| all.into_iter().filter_map(|s| s.try_into().ok()));
        classes.extend(name.map(|name| ErrorClass {
            name,
            statuses: statuses.map(Iterator::collect),
            is_named_only: !table.has("status") && !table.has("body"),
            body,
        }));
    }
    if let Some(place) = section.list_at("classify").filter(|_| classes.len() > MOST) {
        let title = format!("`{}` has too many classes", section.path_of("classify"));
        let label = format!("expected at most {MOST}");
        section.problems.push(Problem::at(&place, title).label(label));
    }
    classes
}

fn name(table: &Section<'_>, names: &mut Vec<Word>) -> Option<ConfigName> {
    if !table.has("type") {
        let title = format!("`{}` is missing", table.path_of("type"));
        let problem = Problem::at(&table.origin, title).label("this class has no name");
        table.problems.push(problem.help("add, for example, `type = \"db_pool_exhausted\"`"));
    }
    let text = table.parsed("type", "a usable name", word)?;
    let word = Word { text, origin: table.origin_of("type") };
    if let Some(first) = names.iter().find(|first| first.text == word.text) {
        let title = format!("`{}` is used twice", table.path_of("type"));
        let problem = Problem::at(&word.origin, title).label("another class has this name");
        let help = "give each class its own, or join their patterns by `|`";
        table.problems.push(problem.related(&first.origin, "first used here").help(help));
    }
    let name = ConfigName::configured(&word.text);
    names.push(word);
    Some(name)
}

fn word(text: &str) -> Result<String, &'static str> {
    let is_word = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !is_word || text.len() > 64 {
        Err("expected at most 64 of a-z, 0-9 and _, a letter first")
    } else if ErrorType::is_own(text) {
        Err("the sidecar has another error of this name")
    } else {
        Ok(text.to_owned())
    }
}

/// A pattern whose search takes time linear in what is searched: there are no look-arounds and no
/// back references.
fn pattern(text: &str) -> Result<Regex, String> {
    if text.is_empty() {
        return Err("an empty pattern is found in everything".to_owned());
    }
    if text.len() > LONGEST {
        return Err(format!("expected at most {LONGEST} bytes"));
    }
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(PROGRAM).dfa_size_limit(PROGRAM).nest_limit(DEEPEST);
    let pattern = builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            "it becomes too large; fewer or smaller repetitions make it smaller".to_owned()
        }
        regex::Error::Syntax(words) => fault(&words),
        _ => "it cannot be compiled".to_owned(),
    })?;
    if pattern.is_match(b"") {
        return Err("it is found in everything, also where there is nothing".to_owned());
    }
    Ok(pattern)
}

/// What is wrong with a pattern, and where, out of what the parser draws: the pattern, carets, and a
/// last line that begins with `error:`.
fn fault(words: &str) -> String {
    let what = words.lines().rev().find_map(|line| line.strip_prefix("error: "));
    let what = what.unwrap_or("it is no pattern");
    let is_caret = |line: &&str| line.contains('^') && line.chars().all(|c| c == ' ' || c == '^');
    // The parser indents what it draws by four.
    let at = words.lines().find(is_caret).and_then(|line| line.find('^')?.checked_sub(4));
    match at {
        Some(at) => format!("{what}, at its character {}", at + 1),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_pattern_is_told_by_its_fault_and_its_place() {
        for (text, expected) in [
            ("a(b", "unclosed group, at its character 2"),
            (
                "a{2,1}",
                "invalid repetition count range, the start must be <= the end, at its character 2",
            ),
            (
                "(?=a)",
                "look-around, including look-ahead and look-behind, is not supported, at its character 1",
            ),
            ("(a)\\1", "backreferences are not supported, at its character 4"),
            ("", "an empty pattern is found in everything"),
            ("a*", "it is found in everything, also where there is nothing"),
            (
                "(\\w{500}){500}",
                "it becomes too large; fewer or smaller repetitions make it smaller",
            ),
        ] {
            assert_eq!(pattern(text).unwrap_err(), expected, "{text}");
        }
        let deep = "(".repeat(100) + "a" + &")".repeat(100);
        assert!(pattern(&deep).unwrap_err().contains("nest"), "{:?}", pattern(&deep));
        assert!(pattern(&"a".repeat(LONGEST + 1)).is_err());
    }
}
