//! Parameters: text in the path, behind the `?` or in a header field, read as what its schema is
//! about.
//!
//! The styles are the defaults of `OpenAPI`: `simple` in paths and headers, `form` behind the `?`,
//! there also `spaceDelimited` and `pipeDelimited`; single values and lists, and JSON where the
//! parameter has a `content`. What else a document can ask for is told as not checked.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::fault::{Fault, Findings, below};
use super::reference::Spot;
use super::schema::{Kinds, Schema, Workshop};
use super::violation::{Place, Rule, Violation};
use crate::strict_json;

mod text;

pub(super) use text::decode;

/// Levels of a parameter that is JSON.
const MAX_DEPTH: usize = 16;
/// Header fields that `OpenAPI` describes elsewhere (3.1 §4.8.12.1).
const ELSEWHERE: [&str; 3] = ["accept", "authorization", "content-type"];

/// A parameter of an operation.
#[derive(Debug)]
pub(super) struct Parameter {
    name: Box<str>,
    source: Source,
    is_required: bool,
    may_be_empty: bool,
    style: Style,
    schema: Arc<Schema>,
}

/// Where its text is.
#[derive(Debug)]
enum Source {
    Path,
    Query,
    Header(HeaderName),
}

/// How its text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// One value.
    Single,
    /// A list in one text, separated by this.
    List(char),
    /// A list as the same name several times.
    Repeated,
    /// JSON.
    Json,
}

/// What a parameter is known by: its place and its name.
pub(super) type Name<'d> = (&'d str, &'d str);

/// The place and the name of a parameter.
pub(super) fn name<'d>(spot: &Spot<'d>) -> Result<Name<'d>, Fault> {
    match (spot.text("in"), spot.text("name")) {
        (Some(place @ ("path" | "query" | "header" | "cookie")), Some(name)) => Ok((place, name)),
        (Some("path" | "query" | "header" | "cookie"), None) => {
            Err(spot.fault("the parameter has no `name`"))
        }
        _ => Err(spot.fault("expected `in` to be \"path\", \"query\", \"header\" or \"cookie\"")),
    }
}

impl Parameter {
    /// Reads a parameter. `None` for one that is not checked.
    pub(super) fn read<'d>(
        spot: &Spot<'d>,
        operation: &str,
        workshop: &mut Workshop<'d>,
        findings: &mut Findings,
    ) -> Result<Option<Self>, Fault> {
        let (place, name) = name(spot)?;
        let source = match place {
            "path" => Source::Path,
            "query" => Source::Query,
            "header" if ELSEWHERE.iter().any(|other| name.eq_ignore_ascii_case(other)) => {
                return Ok(None);
            }
            "header" => Source::Header(
                HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| spot.fault("this cannot be the name of a header field"))?,
            ),
            _ => {
                findings.notices.push(format!("{operation}: the cookie `{name}` is not checked"));
                return Ok(None);
            }
        };
        let content = spot.member("content");
        let media = content.as_ref().and_then(|content| content.members().next());
        let (schema, is_json) = match (spot.member("schema"), media) {
            (Some(schema), _) => (Some(schema), false),
            (None, Some((media, spot))) if super::body::is_json(media) => {
                (spot.member("schema"), true)
            }
            _ => (None, false),
        };
        let Some(schema) = schema else {
            findings
                .notices
                .push(format!("{operation}: `{name}` has no schema; it is not checked"));
            return Ok(None);
        };
        let schema = workshop.schema(&schema)?;
        let style = if is_json { Some(Style::Json) } else { style(spot, place, schema.kinds) };
        let Some(style) = style else {
            let what = "is of a style or kind that is not checked";
            findings.notices.push(format!("{operation}: `{name}` {what}"));
            return Ok(None);
        };
        Ok(Some(Self {
            name: name.into(),
            is_required: spot.flag("required") || matches!(source, Source::Path),
            may_be_empty: spot.flag("allowEmptyValue"),
            source,
            style,
            schema,
        }))
    }

    /// What is wrong with this parameter of a request. `path` are those of the template.
    pub(super) fn judge(
        &self,
        path: &[(&str, &str)],
        query: &str,
        headers: &HeaderMap,
        violations: &mut Vec<Violation>,
    ) {
        match self.find(path, query, headers) {
            Err(rule) => violations.push(self.violation(rule)),
            Ok(texts) if texts.is_empty() => {
                if self.is_required {
                    violations.push(self.violation(Rule::REQUIRED));
                }
            }
            Ok(texts) if self.may_be_empty && texts.iter().all(|text| text.is_empty()) => {}
            Ok(texts) => violations.extend(self.judge_texts(&texts)),
        }
    }

    fn judge_texts(&self, texts: &[Cow<'_, str>]) -> Vec<Violation> {
        let pointer = self.pointer();
        let judge = |value: &Value| self.schema.judge(value, self.place(), &pointer);
        let kinds = match self.style {
            Style::Single => self.schema.kinds,
            Style::List(_) | Style::Repeated => self.schema.items,
            Style::Json => {
                let text = texts.first().map_or("", |text| text);
                return match strict_json::read(text.as_bytes(), MAX_DEPTH) {
                    Ok(value) => judge(&value),
                    Err(_) => vec![self.violation(Rule::JSON)],
                };
            }
        };
        let value = |is_typed: bool| {
            let read = |text: &Cow<'_, str>| {
                if is_typed { typed(text, kinds) } else { Value::String(text.to_string()) }
            };
            match (self.style, texts) {
                (Style::Single, [text]) => read(text),
                _ => Value::Array(texts.iter().map(read).collect()),
            }
        };
        let violations = judge(&value(true));
        // `7` may be the number or the text, where both are asked for.
        let is_text_too = kinds.has_string() && (kinds.has_number() || kinds.has_boolean());
        if !violations.is_empty() && is_text_too && judge(&value(false)).is_empty() {
            return Vec::new();
        }
        violations
    }

    /// The texts of the parameter: none where it is missing, several only for a list.
    fn find<'r>(
        &self,
        path: &[(&str, &'r str)],
        query: &'r str,
        headers: &'r HeaderMap,
    ) -> Result<Vec<Cow<'r, str>>, Rule> {
        let found = match &self.source {
            Source::Path => {
                let found = path.iter().find(|(name, _)| **name == *self.name);
                let raw: Vec<_> = found.into_iter().map(|(_, raw)| *raw).collect();
                return self.split(raw, |raw| decode(raw, false));
            }
            Source::Query => text::pairs(query)
                .filter(|(name, _)| decode(name, true).as_deref() == Some(&*self.name))
                .map(|(_, value)| value)
                .collect(),
            Source::Header(name) => return self.find_header(name, headers),
        };
        self.split(found, |raw| decode(raw, true))
    }

    fn find_header<'r>(
        &self,
        name: &HeaderName,
        headers: &'r HeaderMap,
    ) -> Result<Vec<Cow<'r, str>>, Rule> {
        let mut lines = Vec::new();
        for line in headers.get_all(name) {
            let line = std::str::from_utf8(line.as_bytes()).map_err(|_| Rule::ENCODING)?;
            lines.push(line.trim());
        }
        if let (Style::List(_), [_, _, ..]) = (self.style, &*lines) {
            // Lines of one name are one list (RFC 9110 §5.3).
            let items = lines.iter().flat_map(|line| line.split(','));
            return Ok(items.map(|item| Cow::Borrowed(item.trim())).collect());
        }
        self.split(lines, |item| Some(Cow::Borrowed(item.trim())))
    }

    /// Takes a list apart before its items are decoded; refuses what is there twice and is no list.
    fn split<'r>(
        &self,
        found: Vec<&'r str>,
        decode: impl Fn(&'r str) -> Option<Cow<'r, str>>,
    ) -> Result<Vec<Cow<'r, str>>, Rule> {
        let decoded: Option<Vec<_>> = match (self.style, &*found) {
            (Style::Repeated, _) | (_, []) => found.into_iter().map(decode).collect(),
            (_, [_, _, ..]) => return Err(Rule::UNIQUE),
            (Style::Single | Style::Json, [one]) => decode(one).map(|text| vec![text]),
            (Style::List(separator), [one]) => {
                text::items(one, separator).into_iter().map(decode).collect()
            }
        };
        decoded.ok_or(Rule::ENCODING)
    }

    fn place(&self) -> Place {
        match self.source {
            Source::Path => Place::Path,
            Source::Query => Place::Query,
            Source::Header(_) => Place::Header,
        }
    }

    fn pointer(&self) -> String {
        below("", &self.name)
    }

    fn violation(&self, rule: Rule) -> Violation {
        Violation { place: self.place(), pointer: self.pointer(), rule }
    }
}

/// The style, where it is one of those that are read.
fn style(spot: &Spot<'_>, place: &str, kinds: Kinds) -> Option<Style> {
    let default = if place == "query" { "form" } else { "simple" };
    let written = spot.text("style").unwrap_or(default);
    let explodes = spot.value.get("explode").and_then(Value::as_bool);
    if kinds.is_object() {
        return None;
    }
    match (written, kinds.is_list()) {
        ("simple" | "form", false) if written == default => Some(Style::Single),
        ("simple", true) if default == "simple" => Some(Style::List(',')),
        ("form", true) if default == "form" => {
            Some(if explodes.unwrap_or(true) { Style::Repeated } else { Style::List(',') })
        }
        ("spaceDelimited" | "pipeDelimited", true) if default == "form" => {
            let separator = if written == "spaceDelimited" { ' ' } else { '|' };
            Some(if explodes == Some(true) { Style::Repeated } else { Style::List(separator) })
        }
        _ => None,
    }
}

/// A text as the kind of value that is asked for, as far as it can be read as one.
fn typed(text: &str, kinds: Kinds) -> Value {
    match text {
        "true" if kinds.has_boolean() => return Value::Bool(true),
        "false" if kinds.has_boolean() => return Value::Bool(false),
        _ => {}
    }
    let is_number = kinds.has_number() && text::is_number(text);
    let number = is_number.then(|| serde_json::from_str(text).ok()).flatten();
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}
