//! `[[routes]]`, `[route_defaults]` and `[captures."…"]`.

use super::limits::check_name;
use super::template::{self, Template};
use super::{SOME_BYTES, gates, voices};
use crate::config::error::{Origin, Problem};
use crate::config::keys::nearest;
use crate::config::model::{Action, Capture, Gates, Route, Side, Take};
use crate::config::section::{Section, Word};
use crate::config::value::{Zero, one_of};
use crate::record::ConfigName;

const ACTIONS: [(&str, Action); 2] = [("forward", Action::Forward), ("deny", Action::Deny)];
/// `captures.take`, but for its values.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Value,
    Length,
    Number,
}

const TAKES: [(&str, Kind); 3] =
    [("value", Kind::Value), ("length", Kind::Length), ("number", Kind::Number)];
/// The audit events of the contract; auditors count on there being no others.
const EVENTS: [&str; 8] = [
    "USER_LOGIN",
    "USER_LOGOUT",
    "DATA_ACCESS",
    "DATA_MODIFICATION",
    "PERMISSION_CHANGE",
    "ORCHESTRATION_REQUEST",
    "ADMIN_ACTION",
    "TENANT_MISMATCH",
];

/// The names a route may refer to.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) rate_limits: Vec<String>,
    pub(super) captures: Vec<String>,
}

/// What a route has that names nothing else.
#[derive(Debug)]
pub(super) struct Defaults<'a> {
    pub(super) rate_limits: &'a [ConfigName],
    pub(super) gates: Gates,
}

impl Known {
    /// The `rate_limits` of a table.
    pub(super) fn rate_limits_of(&self, section: &Section<'_>) -> Option<Vec<ConfigName>> {
        references(section, "rate_limits", "limit", &self.rate_limits)
    }
}

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

/// Every route, in order.
pub(super) fn routes(root: &Section<'_>, known: &Known, defaults: &Defaults<'_>) -> Vec<Route> {
    let mut routes = Vec::new();
    let mut seen: Vec<(Template, Origin)> = Vec::new();
    let mut names: Vec<Word> = Vec::new();
    for section in root.each("routes") {
        let template = matched(&section, &mut seen);
        let name = name(&section, &mut names);
        routes.extend(route(&section, known, defaults, template, name));
    }
    routes
}

fn route(
    section: &Section<'_>,
    known: &Known,
    defaults: &Defaults<'_>,
    template: Option<Template>,
    name: Option<String>,
) -> Option<Route> {
    let timeouts = section.section("timeouts");
    let action = section.choice("action", &ACTIONS);
    let span = section.parsed("span", "a usable name", voices::label);
    let audit = section.parsed("audit", "an audit event", event);
    let rate_limits = known.rate_limits_of(section);
    let captures = references(section, "captures", "capture", &known.captures);
    let gates = gates::gates(section, defaults.gates);
    let max_request_body = section.size("max_request_body", &SOME_BYTES);
    let response_header = timeouts.duration("response_header", Zero::Refused);
    let template = template?;
    // A route without a name is called what it matches.
    let name = name.or_else(|| section.text("match").map(str::to_owned))?;
    Some(Route {
        name: ConfigName::configured(&name),
        method: template.method,
        template: ConfigName::configured(&template.path),
        action: action.unwrap_or(Action::Forward),
        span: span.as_deref().map(ConfigName::configured),
        audit,
        rate_limits: rate_limits.unwrap_or_else(|| defaults.rate_limits.to_vec()),
        gates,
        captures: captures.unwrap_or_default(),
        max_request_body,
        response_header,
    })
}

/// What a route matches, unless an earlier one has taken it all.
fn matched(section: &Section<'_>, seen: &mut Vec<(Template, Origin)>) -> Option<Template> {
    if !section.has("match") {
        let problem = Problem::at(&section.origin, "`routes.match` is missing");
        let problem = problem.label("this route matches nothing");
        section.problems.push(problem.help("add, for example, `match = \"GET /api/users/{id}\"`"));
    }
    let template = section.parsed("match", "a route template", template::parse)?;
    let origin = section.origin_of("match");
    if let Some((_, earlier)) = seen.iter().find(|(earlier, _)| earlier.covers(&template)) {
        let problem =
            Problem::at(&origin, "this route can never match").label("nothing is left for it");
        let problem = problem.related(earlier, "this earlier route takes all of its requests");
        section.problems.push(problem.help("the first match wins: put the narrower route first"));
    }
    seen.push((template.clone(), origin));
    Some(template)
}

fn name(section: &Section<'_>, names: &mut Vec<Word>) -> Option<String> {
    let text = section.text("name")?.to_owned();
    let word = Word { text: text.clone(), origin: section.origin_of("name") };
    check_name(section, &word, "a route");
    if let Some(first) = names.iter().find(|name| name.text == text) {
        let problem =
            Problem::at(&word.origin, "two routes have the same name").label("used again");
        section.problems.push(problem.related(&first.origin, "used here first"));
    }
    names.push(word);
    Some(text)
}

fn event(text: &str) -> Result<ConfigName, String> {
    if EVENTS.contains(&text) {
        return Ok(ConfigName::configured(text));
    }
    let near = nearest(text, EVENTS.into_iter()).map(|near| format!("; did you mean \"{near}\"?"));
    Err(format!("expected {}{}", one_of(EVENTS.into_iter()), near.unwrap_or_default()))
}

/// A list of names that must have a table of their own.
fn references(
    section: &Section<'_>,
    key: &str,
    of: &str,
    known: &[String],
) -> Option<Vec<ConfigName>> {
    let mut names: Vec<ConfigName> = Vec::new();
    for word in section.words(key)? {
        let path = section.path_of(key);
        let problem = if !known.contains(&word.text) {
            let help = match nearest(&word.text, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None if known.is_empty() => {
                    format!("there is no `[{of_table}.<name>]` at all", of_table = table(of))
                }
                None => format!("there are {}", one_of(known.iter().map(String::as_str))),
            };
            let problem = Problem::at(&word.origin, format!("`{path}` names an unknown {of}"));
            problem.label(format!("no `[{}.<name>]` has this name", table(of))).help(help)
        } else if names.iter().any(|name| **name == *word.text) {
            Problem::at(&word.origin, format!("`{path}` names a {of} twice")).label("named before")
        } else {
            names.push(ConfigName::configured(&word.text));
            continue;
        };
        section.problems.push(problem);
    }
    Some(names)
}

fn table(of: &str) -> &'static str {
    if of == "limit" { "rate_limits" } else { "captures" }
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
