//! `[[routes]]` and `[route_defaults]`.
//!
//! A route whose requests an earlier one takes is an error, and so is the name of a limit or a capture
//! that is not there.

use super::names::{self, check_name};
use super::template::{self, Template};
use super::{SOME_BYTES, gates, template_slips};
use crate::config::error::{Origin, Problem};
use crate::config::keys::nearest;
use crate::config::model::{Action, Gates, Route};
use crate::config::section::{Section, Word};
use crate::config::value::{Zero, one_of};
use crate::record::ConfigName;

const ACTIONS: [(&str, Action); 2] = [("forward", Action::Forward), ("deny", Action::Deny)];
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
    /// Captures of a path's parameter, and its name.
    pub(super) parameters: Vec<(ConfigName, Box<str>)>,
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
    let span = section.parsed("span", "a usable name", names::label);
    let audit = section.parsed("audit", "an audit event", event);
    let rate_limits = known.rate_limits_of(section);
    let captures = references(section, "captures", "capture", &known.captures);
    let gates = gates::gates(section, defaults.gates);
    let max_request_body = section.size("max_request_body", &SOME_BYTES);
    let response_header = timeouts.duration("response_header", Zero::Refused);
    let template = template?;
    if captures.is_some() {
        check_parameters(section, known, &template);
    }
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

/// A capture of a parameter needs a template that has it.
fn check_parameters(section: &Section<'_>, known: &Known, template: &Template) {
    for word in section.words("captures").unwrap_or_default() {
        let capture = known.parameters.iter().find(|(capture, _)| **capture == *word.text);
        let Some((_, parameter)) = capture else { continue };
        if !template.names().any(|name| name == &**parameter) {
            let title = "`routes.captures` names a parameter that the route does not have";
            let label = format!("this takes `{{{parameter}}}` of the path");
            let problem = Problem::at(&word.origin, title).label(label);
            section.problems.push(problem.related(&section.origin_of("match"), "not in here"));
        }
    }
}

/// What a route matches, unless an earlier one has taken it all.
fn matched(section: &Section<'_>, seen: &mut Vec<(Template, Origin)>) -> Option<Template> {
    if !section.has("match") {
        let problem = Problem::at(&section.origin, "`routes.match` is missing");
        let problem = problem.label("this route matches nothing");
        section.problems.push(problem.help("add, for example, `match = \"GET /api/users/{id}\"`"));
    }
    let template =
        section.read("match", "a route template", template::parse, template_slips::meant)?;
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
