//! `[captures."…"]`.
//!
//! What may leave is closed: a value needs the list of its values, and a capture no name that a line, a
//! span or a label has already.

use http::HeaderName;

use super::names::{self, check_name};
use crate::config::error::Problem;
use crate::config::model::{Capture, Place, TAKEN_BEGINNINGS, TAKEN_FIELDS, TAKEN_LABELS, Take};
use crate::config::section::{Section, Word};
use crate::record::ConfigName;
use crate::record::name::spell;

/// `captures.take`, but for its values.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Value,
    Length,
    Number,
    Hmac,
}

const TAKES: [(&str, Kind); 4] = [
    ("value", Kind::Value),
    ("length", Kind::Length),
    ("number", Kind::Number),
    ("hmac", Kind::Hmac),
];

/// Every capture, and the names of all that were written, also those with a mistake in them.
pub(super) fn captures(root: &Section<'_>) -> (Vec<String>, Vec<Capture>) {
    let (mut names, mut captures, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for (name, section) in root.named("captures") {
        check_name(&section, &name, "a capture");
        check_field(&section, &name, &names);
        let capture = capture(&section, &name);
        if capture.as_ref().is_some_and(|capture| capture.metric) {
            check_label(&section, &name, &mut labels);
        }
        captures.extend(capture);
        names.push(name.text);
    }
    (names, captures)
}

/// A capture is a field of the log and an attribute of spans, so its name is no other's there.
fn check_field(section: &Section<'_>, name: &Word, names: &[String]) {
    let text = &*name.text;
    let flat = text.replace('.', "_");
    let is_taken = TAKEN_FIELDS.contains(&text)
        || TAKEN_BEGINNINGS.iter().any(|beginning| text.starts_with(beginning));
    let why = if is_taken {
        "the log or the spans have such a field of their own".to_owned()
    } else if names.iter().any(|other| other.replace('.', "_") == flat) {
        format!("in the schema `ecs` another capture would be `labels.{flat}`, too")
    } else {
        return;
    };
    let problem = Problem::at(&name.origin, "this name cannot name a capture").label(why);
    let help = format!("give it a beginning of its own, for example `captured.{text}`");
    section.problems.push(problem.help(help));
}

/// A capture that is a label needs a name that is no other label's.
fn check_label(section: &Section<'_>, name: &Word, labels: &mut Vec<String>) {
    let label = spell(&name.text);
    let why = if TAKEN_LABELS.contains(&&*label) || label.starts_with("__") {
        format!("as a label it would be `{label}`, which is taken")
    } else if !label.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        format!("as a label it would be `{label}`, and no label begins with a digit")
    } else if labels.contains(&label) {
        format!("another capture is the label `{label}` already")
    } else {
        labels.push(label);
        return;
    };
    section.refuse("metric", "cannot be true", why, Some("give the capture another name"));
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
    let other = match kind {
        Kind::Value => None,
        Kind::Length => Some((Take::Length, "a length")),
        Kind::Number => Some((Take::Number, "a number")),
        Kind::Hmac => Some((Take::Hmac, "a pseudonym")),
    };
    let take = if let Some((take, what)) = other {
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
    Some(Capture { name: ConfigName::configured(&name.text), place: place?, take, metric })
}

/// The closed list of a capture: without one, free text could leave.
fn members(section: &Section<'_>, values: Option<Vec<Word>>) -> Vec<ConfigName> {
    if !section.has("values") {
        let title = format!("`{}` is missing", section.path_of("values"));
        let problem = Problem::at(&section.origin, title).label("any text could leave");
        let help = "list the values that may leave, or take its length or pseudonym: \
                    `take = \"length\"`, `take = \"hmac\"`";
        section.problems.push(problem.help(help));
    }
    let values = values.unwrap_or_default();
    if section.has("values") && !(1..=100).contains(&values.len()) {
        section.refuse("values", "has the wrong length", "expected 1 to 100 values", None);
    }
    values
        .into_iter()
        .map(|word| {
            if names::label(&word.text).is_err() {
                let title = format!("`{}` holds an unusable value", section.path_of("values"));
                let label = "expected 1 to 255 bytes without control characters";
                section.problems.push(Problem::at(&word.origin, title).label(label));
            }
            ConfigName::configured(&word.text)
        })
        .collect()
}

/// Where a fact is. A body's place is a JSON pointer (RFC 6901) that is not the whole document.
fn place(text: &str) -> Result<Place, &'static str> {
    const EXPECTED: &str = "expected \"request.body:\" or \"response.body:\" and a JSON pointer, \
                            \"response.header:\" and a name, or \"path:\" and a parameter, as in \
                            \"request.body:/mode\"";
    let (side, rest) = text.split_once(':').ok_or(EXPECTED)?;
    match side {
        "path" if rest.is_empty() => Err("expected the name of a parameter, as in \"path:id\""),
        "path" => Ok(Place::Path(rest.into())),
        "request.body" => Ok(Place::RequestBody(pointer(rest)?)),
        "response.body" => Ok(Place::ResponseBody(pointer(rest)?)),
        "response.header" => match HeaderName::from_bytes(rest.as_bytes()) {
            Ok(name) => Ok(Place::ResponseHeader(name.as_str().into())),
            Err(_) => Err("expected the name of a header field, as in \"response.header:x-model\""),
        },
        _ => Err(EXPECTED),
    }
}

fn pointer(text: &str) -> Result<Box<str>, &'static str> {
    if !text.starts_with('/') {
        return Err("expected a JSON pointer that begins with `/`");
    }
    // §3: a tilde is written `~0`, a slash `~1`, and nothing else follows a tilde.
    let is_escaped = |rest: &str| rest.starts_with(['0', '1']);
    if !text.split('~').skip(1).all(is_escaped) {
        return Err("in a JSON pointer `~` must be `~0` or `~1`");
    }
    Ok(text.into())
}
