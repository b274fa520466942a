//! `[captures."…"]`.

use super::limits::check_name;
use super::voices;
use crate::config::error::Problem;
use crate::config::model::{Capture, Side, Take};
use crate::config::section::{Section, Word};
use crate::record::ConfigName;

/// `captures.take`, but for its values.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Value,
    Length,
    Number,
}

const TAKES: [(&str, Kind); 3] =
    [("value", Kind::Value), ("length", Kind::Length), ("number", Kind::Number)];

/// Every capture, and the names of all that were written, also those with a mistake in them.
pub(super) fn captures(root: &Section<'_>) -> (Vec<String>, Vec<Capture>) {
    let (mut names, mut captures) = (Vec::new(), Vec::new());
    for (name, section) in root.named("captures") {
        check_name(&section, &name, "a capture");
        captures.extend(capture(&section, &name));
        names.push(name.text);
    }
    (names, captures)
}

fn capture(section: &Section<'_>, name: &Word) -> Option<Capture> {
    if !section.has("from") {
        let title = format!("`{}` is missing", section.path_of("from"));
        let problem = Problem::at(&section.origin, title).label("this capture takes nothing");
        section.problems.push(problem.help("add, for example, `from = \"request.body:/mode\"`"));
    }
    let place = section.parsed("from", "a place to capture from", place);
    let kind = section.choice("take", &TAKES);
    let metric = section.flag("metric").unwrap_or(false);
    let values = section.words("values");
    // With a wrong word nobody knows whether there should be values.
    let kind = if section.has("take") { kind? } else { Kind::Value };
    let count = match kind {
        Kind::Value => None,
        Kind::Length => Some((Take::Length, "a length")),
        Kind::Number => Some((Take::Number, "a number")),
    };
    let take = if let Some((take, what)) = count {
        if values.is_some() {
            let label = format!("{what} has no list of values");
            section.refuse("values", "has no use here", label, None);
        }
        if metric {
            section.refuse("metric", "cannot be true", format!("{what} is no metric label"), None);
        }
        take
    } else {
        Take::Value(members(section, values))
    };
    let (side, pointer) = place?;
    Some(Capture { name: ConfigName::configured(&name.text), side, pointer, take, metric })
}

/// The closed list of a capture: without one, free text could leave.
fn members(section: &Section<'_>, values: Option<Vec<Word>>) -> Vec<ConfigName> {
    if !section.has("values") {
        let title = format!("`{}` is missing", section.path_of("values"));
        let problem = Problem::at(&section.origin, title).label("any text could leave");
        let help = "list the values that may leave, or take the length: `take = \"length\"`";
        section.problems.push(problem.help(help));
    }
    let values = values.unwrap_or_default();
    if section.has("values") && !(1..=100).contains(&values.len()) {
        section.refuse("values", "has the wrong length", "expected 1 to 100 values", None);
    }
    values
        .into_iter()
        .map(|word| {
            if voices::label(&word.text).is_err() {
                let title = format!("`{}` holds an unusable value", section.path_of("values"));
                let label = "expected 1 to 255 bytes without control characters";
                section.problems.push(Problem::at(&word.origin, title).label(label));
            }
            ConfigName::configured(&word.text)
        })
        .collect()
}

/// `request.body:` or `response.body:`, and a JSON pointer (RFC 6901) that is not the whole document.
fn place(text: &str) -> Result<(Side, String), &'static str> {
    const EXPECTED: &str = "expected \"request.body:\" or \"response.body:\" and a JSON pointer, as in \
                            \"request.body:/mode\"";
    let (side, pointer) = match text.split_once(':') {
        Some(("request.body", pointer)) => (Side::Request, pointer),
        Some(("response.body", pointer)) => (Side::Response, pointer),
        _ => return Err(EXPECTED),
    };
    if !pointer.starts_with('/') {
        return Err("expected a JSON pointer that begins with `/`");
    }
    // §3: a tilde is written `~0`, a slash `~1`, and nothing else follows a tilde.
    let is_escaped = |rest: &str| rest.starts_with(['0', '1']);
    if !pointer.split('~').skip(1).all(is_escaped) {
        return Err("in a JSON pointer `~` must be `~0` or `~1`");
    }
    Ok((side, pointer.to_owned()))
}
