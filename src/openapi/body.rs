//! The body that an operation asks for: its media types, and the schema of those that are JSON.
//!
//! Of several that fit, the most specific one counts (`OpenAPI` 3.1 §4.8.13.1). The schema of a range,
//! such as `*/*`, judges what says that it is JSON, and nothing else.

use std::sync::Arc;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::fault::{Fault, Findings};
use super::reference::Spot;
use super::schema::{Schema, Workshop};
use super::violation::{Place, Rule, Violation};
use crate::strict_json::{self, Unread};

/// Levels of a body. Deeper ones are refused before anything is built.
const MAX_DEPTH: usize = 64;

/// What an operation says of its body.
#[derive(Debug)]
pub struct Body {
    is_required: bool,
    /// Those named exactly before those with a `*`.
    media: Vec<(Range, Option<JsonBody>)>,
}

/// A media type of the document, without its parameters and in lower case.
#[derive(Debug)]
enum Range {
    Exact(Box<str>),
    /// `text/*`, up to and with the slash.
    Within(Box<str>),
    All,
}

/// A body that has to meet a schema.
#[derive(Clone, Debug)]
pub struct JsonBody(Arc<Schema>);

/// What a request's body is to its operation.
#[derive(Clone, Copy, Debug)]
pub enum Media<'b> {
    /// JSON that has to meet a schema.
    Json(&'b JsonBody),
    /// Something that is not looked into.
    Opaque,
    /// None of the media types of the operation.
    Unsupported,
}

impl Body {
    /// Reads the `requestBody` of the operation that `title` names.
    pub(super) fn read<'d>(
        spot: &Spot<'d>,
        title: &str,
        workshop: &mut Workshop<'d>,
        findings: &mut Findings,
    ) -> Result<Self, Fault> {
        let content = spot.member("content");
        let Some(content) = content.filter(|content| content.value.is_object()) else {
            return Err(spot.fault("the request body has no `content`"));
        };
        let mut media = Vec::new();
        for (name, spot) in content.members() {
            spot.object()?;
            let name = essence(name).to_ascii_lowercase();
            let range = match name.split_once('/') {
                Some(("*", "*")) => Range::All,
                Some((kind, "*")) => Range::Within(format!("{kind}/").into()),
                Some(_) => Range::Exact(name.as_str().into()),
                None => return Err(spot.fault("this is not a media type")),
            };
            let schema = spot.member("schema").filter(|schema| match range {
                Range::Exact(_) => is_json(&name),
                // A file is whatever its bytes are.
                _ => schema.text("format") != Some("binary"),
            });
            let schema = schema.map(|schema| workshop.schema(&schema)).transpose()?;
            if schema.is_some() && !matches!(range, Range::Exact(_)) {
                let what = "judges what says that it is JSON; other bodies are not checked";
                findings.notices.push(format!("{title}: the schema of `{name}` {what}"));
            }
            media.push((range, schema.map(JsonBody)));
        }
        media.sort_by_key(|(range, _)| match range {
            Range::Exact(_) => 0,
            Range::Within(_) => 1,
            Range::All => 2,
        });
        Ok(Self { is_required: spot.flag("required"), media })
    }

    /// Whether a request without a body is refused.
    pub fn is_required(&self) -> bool {
        self.is_required
    }

    /// What a request's body is, by its `Content-Type`. Two of these are none that anybody asked for.
    pub fn media(&self, headers: &HeaderMap) -> Media<'_> {
        let mut lines = headers.get_all(CONTENT_TYPE).iter();
        let (sent, is_unicode) = match (lines.next(), lines.next()) {
            (Some(line), None) => match line.to_str() {
                Ok(line) => (essence(line), is_utf_8(line)),
                Err(_) => return Media::Unsupported,
            },
            (None, _) => ("", true),
            (Some(_), Some(_)) => return Media::Unsupported,
        };
        let accepts = |range: &Range| match range {
            Range::Exact(name) => name.eq_ignore_ascii_case(sent),
            Range::Within(kind) => {
                sent.get(..kind.len()).is_some_and(|sent| sent.eq_ignore_ascii_case(kind))
            }
            Range::All => true,
        };
        match self.media.iter().find(|(range, _)| accepts(range)) {
            // Some take it for JSON, and find what was not judged.
            Some((_, Some(_))) if sent.is_empty() => Media::Unsupported,
            Some((Range::Within(_) | Range::All, Some(_))) if !is_json(sent) => Media::Opaque,
            // Frameworks read it as the charset says, in UTF-7 for one, and find what was not judged.
            Some((_, Some(_))) if !is_unicode => Media::Unsupported,
            Some((_, Some(body))) => Media::Json(body),
            Some((_, None)) => Media::Opaque,
            None => Media::Unsupported,
        }
    }

    /// What is wrong with a request that has no body.
    pub fn judge_absence(&self) -> Option<Violation> {
        self.is_required.then(|| violation(Rule::REQUIRED))
    }
}

impl JsonBody {
    /// What is wrong with a whole body.
    pub fn judge(&self, text: &[u8]) -> Vec<Violation> {
        match strict_json::read(text, MAX_DEPTH) {
            Ok(value) => self.0.judge(&value, Place::Body, ""),
            Err(Unread::Syntax { .. }) => vec![violation(Rule::JSON)],
            Err(Unread::Depth) => vec![violation(Rule::DEPTH)],
            Err(Unread::Twice { .. }) => vec![violation(Rule::UNIQUE)],
        }
    }
}

fn violation(rule: Rule) -> Violation {
    Violation { place: Place::Body, pointer: String::new(), rule }
}

/// A media type without its parameters (RFC 9110 §8.3.1).
fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}

/// Whether a media type names no charset but UTF-8, which is all that JSON is (RFC 8259 §8.1).
fn is_utf_8(media: &str) -> bool {
    let parameters = media.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charsets.all(|(_, value)| {
        let value = value.trim().trim_matches('"');
        value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
    })
}

/// Whether a media type is JSON (RFC 8259, RFC 6839).
pub(super) fn is_json(media: &str) -> bool {
    let essence = essence(media).to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json") || essence == "text/json"
}
