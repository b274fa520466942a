//! `match = "POST /api/users/{id}"`: a method or `*`, and a path template.
//!
//! Paths are compared in their canonical form, so a template that no canonical path can meet is an
//! error here and not a route that silently never matches.

use thiserror::Error;

/// What a route matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    /// The method; `None` for `*`.
    pub(super) method: Option<http::Method>,
    /// The path as written.
    pub(super) path: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// `{name}`: one segment that is not empty.
    Parameter(String),
    /// `{*name}`: the rest of the path.
    Tail(String),
}

/// Why a template was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum TemplateError {
    /// Not a method, one space and a path.
    #[error("expected a method or `*`, a space and a path, as in \"GET /api/users/{{id}}\"")]
    Shape,
    /// A method in lower case, or not a token.
    #[error("expected a method in capitals, such as GET, or `*`")]
    Method,
    /// A query or a fragment.
    #[error("a template has no query and no fragment")]
    Query,
    /// `//`, `.` or `..`, which no canonical path holds.
    #[error("an empty segment, `.` or `..` never occurs in a canonical path")]
    Dots,
    /// A brace that does not enclose a whole segment.
    #[error("expected `{{name}}` or `{{*name}}` as a whole segment")]
    Parameter,
    /// `:name`, as other routers write a parameter; here it would match only itself.
    #[error("a parameter is written `{{id}}`, not `:id`")]
    Colon,
    /// `*`, as other routers write the rest of a path.
    #[error("the rest of a path is written `{{*rest}}`, one segment `{{name}}`, not `*`")]
    Star,
    /// Two parameters of one name.
    #[error("two parameters have the same name")]
    Twice,
    /// Something after `{*name}`.
    #[error("`{{*name}}` takes the rest of the path: nothing can follow it")]
    AfterTail,
    /// A character that a path cannot hold.
    #[error("this holds a character that must be percent-encoded in a path")]
    Character,
    /// An escape that the canonical form writes otherwise, or that is refused everywhere.
    #[error(
        "an escape must be `%XX` in capitals, of a character that needs it; %2F, %5C and %00 are refused"
    )]
    Escape,
}

impl Template {
    /// The names of its parameters.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }

    /// Whether every request that `other` matches is matched by this one, too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        if self.method.is_some() && self.method != other.method {
            return false;
        }
        let mut theirs = other.segments.iter();
        for ours in &self.segments {
            let (ours, their) = match (ours, theirs.next()) {
                // Whether a tail takes an empty rest is the router's affair: claim nothing.
                (Segment::Tail(_), their) => return !is_blank(their),
                (ours, Some(their)) => (ours, their),
                (_, None) => return false,
            };
            let is_covered = match (ours, their) {
                (Segment::Literal(ours), Segment::Literal(their)) => ours == their,
                (Segment::Parameter(_), Segment::Literal(their)) => !their.is_empty(),
                (Segment::Parameter(_), Segment::Parameter(_)) => true,
                _ => false,
            };
            if !is_covered {
                return false;
            }
        }
        theirs.next().is_none()
    }
}

/// Reads a `match`.
pub(super) fn parse(text: &str) -> Result<Template, TemplateError> {
    let (method, path) = text.split_once(' ').ok_or(TemplateError::Shape)?;
    let rest = path.strip_prefix('/').ok_or(TemplateError::Shape)?;
    let method = match method {
        "*" => None,
        method
            if !method.is_empty()
                && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') =>
        {
            Some(http::Method::from_bytes(method.as_bytes()).map_err(|_| TemplateError::Method)?)
        }
        _ => return Err(TemplateError::Method),
    };
    let count = rest.split('/').count();
    let mut segments = Vec::with_capacity(count);
    for (index, text) in rest.split('/').enumerate() {
        if matches!(segments.last(), Some(Segment::Tail(_))) {
            return Err(TemplateError::AfterTail);
        }
        // Only the last segment may be empty: a trailing slash.
        if (text.is_empty() && index + 1 < count) || matches!(text, "." | "..") {
            return Err(TemplateError::Dots);
        }
        let segment = segment(text)?;
        if segment.name().is_some() && segments.iter().any(|s: &Segment| s.name() == segment.name())
        {
            return Err(TemplateError::Twice);
        }
        segments.push(segment);
    }
    Ok(Template { method, path: path.to_owned(), segments })
}

impl Segment {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) | Self::Tail(name) => Some(name),
        }
    }
}

fn segment(text: &str) -> Result<Segment, TemplateError> {
    if text.starts_with(':') {
        return Err(TemplateError::Colon);
    }
    if text.starts_with('*') {
        return Err(TemplateError::Star);
    }
    if !text.contains(['{', '}']) {
        return literal(text).map(|()| Segment::Literal(text.to_owned()));
    }
    let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let name = name.ok_or(TemplateError::Parameter)?;
    let (name, is_tail) = name.strip_prefix('*').map_or((name, false), |name| (name, true));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(TemplateError::Parameter);
    }
    let name = name.to_owned();
    Ok(if is_tail { Segment::Tail(name) } else { Segment::Parameter(name) })
}

/// RFC 3986 §3.3, with escapes as the canonical path writes them (§6.2.2).
fn literal(text: &str) -> Result<(), TemplateError> {
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'?' | b'#' => return Err(TemplateError::Query),
            b'%' => {
                let digit = |b: u8| char::from(b).to_digit(16).filter(|_| !b.is_ascii_lowercase());
                let high = rest.next().and_then(digit).ok_or(TemplateError::Escape)?;
                let low = rest.next().and_then(digit).ok_or(TemplateError::Escape)?;
                let byte = u8::try_from(high * 16 + low).map_err(|_| TemplateError::Escape)?;
                if is_unreserved(byte) || matches!(byte, b'/' | b'\\' | 0) {
                    return Err(TemplateError::Escape);
                }
            }
            byte if is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte) => {}
            _ => return Err(TemplateError::Character),
        }
    }
    Ok(())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_blank(segment: Option<&Segment>) -> bool {
    match segment {
        None => true,
        Some(Segment::Literal(text)) => text.is_empty(),
        Some(Segment::Parameter(_) | Segment::Tail(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read() {
        let template = parse("POST /api/users/{id}").unwrap();
        assert_eq!(template.method, Some(http::Method::POST));
        assert_eq!(template.path, "/api/users/{id}");
        assert_eq!(parse("* /").unwrap().method, None);
        for text in ["GET /static/{*rest}", "GET /a/", "GET /a%20b", "GET /a:b@c", "M-SEARCH /"] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn templates_that_never_match_are_refused() {
        let cases = [
            ("/api", TemplateError::Shape),
            ("GET api", TemplateError::Shape),
            ("GET  /api", TemplateError::Shape),
            ("get /api", TemplateError::Method),
            (" /api", TemplateError::Method),
            ("GET /a?b", TemplateError::Query),
            ("GET //a", TemplateError::Dots),
            ("GET /api/:id", TemplateError::Colon),
            ("GET /:tenant/{id}", TemplateError::Colon),
            ("* /api/*", TemplateError::Star),
            ("* /**", TemplateError::Star),
            ("* /api/*rest", TemplateError::Star),
            ("GET /a/../b", TemplateError::Dots),
            ("GET /{}", TemplateError::Parameter),
            ("GET /a{id}", TemplateError::Parameter),
            ("GET /{id", TemplateError::Parameter),
            ("GET /{id}/{id}", TemplateError::Twice),
            ("GET /{*rest}/a", TemplateError::AfterTail),
            ("GET /a b", TemplateError::Character),
            ("GET /ä", TemplateError::Character),
            ("GET /%41", TemplateError::Escape),
            ("GET /%2F", TemplateError::Escape),
            ("GET /%e4", TemplateError::Escape),
            ("GET /%", TemplateError::Escape),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_template_covers_what_it_would_have_matched_first() {
        let covers = |a: &str, b: &str| parse(a).unwrap().covers(&parse(b).unwrap());
        assert!(covers("GET /a", "GET /a"));
        assert!(covers("* /a", "GET /a"));
        assert!(covers("GET /{x}", "GET /{y}"));
        assert!(covers("GET /{x}", "GET /a"));
        assert!(covers("* /api/{*rest}", "GET /api/users/{id}"));
        assert!(!covers("GET /a", "* /a"));
        assert!(!covers("GET /a", "GET /{x}"));
        assert!(!covers("GET /a", "GET /a/"));
        assert!(!covers("GET /{x}", "GET /"));
        assert!(!covers("* /api/{*rest}", "GET /api"));
        assert!(!covers("* /api/{*rest}", "GET /api/"));
        assert!(!covers("GET /a/{x}", "GET /a/{*rest}"));
    }
}
