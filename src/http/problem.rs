//! Answers the sidecar gives itself: problem documents (RFC 9457), or a small page for people.
//!
//! Everything printed is escaped for the form it is printed in. Which problem it is, its status and
//! its title are decided elsewhere (`record::outcome`).

use std::borrow::Cow;

use http::header;
use http::{HeaderMap, HeaderValue};
use serde::Serialize;

/// The media type of [`Problem::json`].
pub const JSON: &str = "application/problem+json";
/// The media type of [`Problem::html`].
pub const HTML: &str = "text/html; charset=utf-8";
/// The `type` of a problem that says no more than its status.
const ABOUT_BLANK: &str = "about:blank";
/// The `type` of a request over its limit (draft-ietf-httpapi-ratelimit-headers-10).
pub const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// A problem document.
#[derive(Clone, Debug, Serialize)]
pub struct Problem<'a> {
    /// What kind of problem (see [`type_uri`]).
    #[serde(rename = "type")]
    pub type_uri: Cow<'a, str>,
    /// The same for every problem of its kind.
    pub title: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// A sentence about this one; never a word of the upstream's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
    /// `urn:uuid:` and the request id, where that is a UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// The closed `error.type` value.
    pub error_type: &'a str,
    /// The id to tell support.
    pub request_id: &'a str,
    /// The limits that refused, by name.
    #[serde(rename = "violated-policies", skip_serializing_if = "<[_]>::is_empty")]
    pub violated_policies: &'a [&'a str],
    /// What of the request breaks which rule.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub errors: &'a [Pointed<'a>],
}

/// A place in a request, and the rule it breaks. It repeats nothing that only the client knows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pointed<'a> {
    /// The part of the request: `path`, `query`, `header` or `body`.
    #[serde(rename = "in")]
    pub place: &'static str,
    /// A JSON pointer (RFC 6901) within that part.
    pub pointer: &'a str,
    /// The rule.
    pub rule: &'static str,
}

/// The `type` of a problem: `base` and the error's type, or `about:blank` without a base.
pub fn type_uri<'a>(base: &str, error_type: &str) -> Cow<'a, str> {
    if base.is_empty() { ABOUT_BLANK.into() } else { format!("{base}{error_type}").into() }
}

impl<'a> Problem<'a> {
    /// A problem of type `about:blank` without detail.
    pub fn new(status: u16, title: &'a str, error_type: &'a str, request_id: &'a str) -> Self {
        // A trusted proxy's id need not be a UUID; then no URN can be made of it.
        let is_uuid = request_id.len() == 36 && uuid::Uuid::try_parse(request_id).is_ok();
        Self {
            type_uri: ABOUT_BLANK.into(),
            title,
            status,
            detail: None,
            instance: is_uuid.then(|| format!("urn:uuid:{request_id}")),
            error_type,
            request_id,
            violated_policies: &[],
            errors: &[],
        }
    }

    /// The document.
    pub fn json(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(320);
        // Strings and a number into a vector: there is nothing here that can fail.
        let _infallible = serde_json::to_writer(&mut body, self);
        body
    }

    /// The page. What broke on our side is said in one calm sentence; a refusal shows its title,
    /// because nobody is notified of it.
    pub fn html(&self) -> Vec<u8> {
        let message = if self.status >= 500 {
            "Something went wrong. We've been notified and are working on a fix.".into()
        } else {
            escape(self.title)
        };
        let id = escape(self.request_id);
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{status}</title>\n\
             <style>body{{font:1rem/1.5 system-ui;max-width:36rem;margin:15vh auto;padding:0 1rem}}\
             code{{user-select:all}}</style>\n<main>\n<h1>{message}</h1>\n\
             <p>Request id: <code>{id}</code></p>\n<p><a href=\"\">Try again</a></p>\n</main>\n</html>\n",
            status = self.status,
        )
        .into_bytes()
    }
}

fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped.into()
}

/// Whether a line of `Accept` can name HTML at all. Programs, the usual clients, never do.
pub fn may_name_html(line: &HeaderValue) -> bool {
    line.as_bytes().iter().any(|byte| byte.eq_ignore_ascii_case(&b'h'))
}

/// Whether a client would rather have the page: it names HTML, at a higher weight than JSON (RFC
/// 9110 §12.5.1). `*/*` alone, or no `Accept`, means a program.
pub fn prefers_html(headers: &HeaderMap) -> bool {
    let (mut html, mut json) = (0, Weight::default());
    for line in headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok()) {
        for range in line.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or("");
            let weight = parts.find_map(quality).unwrap_or(1000);
            let is = |name: &str| media.eq_ignore_ascii_case(name);
            if is("text/html") || is("application/xhtml+xml") {
                html = html.max(weight);
            } else if is("application/json") || is("application/problem+json") {
                json.take(3, weight);
            } else if is("application/*") {
                json.take(2, weight);
            } else if is("*/*") {
                json.take(1, weight);
            }
        }
    }
    html > json.weight
}

/// The weight given by the most specific range so far.
#[derive(Default)]
struct Weight {
    specificity: u8,
    weight: u16,
}

impl Weight {
    fn take(&mut self, specificity: u8, weight: u16) {
        if specificity > self.specificity {
            (self.specificity, self.weight) = (specificity, weight);
        } else if specificity == self.specificity {
            self.weight = self.weight.max(weight);
        }
    }
}

/// A weight in thousandths. What is no weight counts as none.
fn quality(parameter: &str) -> Option<u16> {
    let value = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let valid = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "0" if valid => format!("{fraction:0<3}").parse().ok(),
        "1" if valid => Some(1000),
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0199f0c2-7b1e-7e55-8c3c-2f3d5a1b9c01";

    #[test]
    fn the_document_holds_the_members_of_the_contract() {
        let mut problem = Problem::new(429, "Rate limit exceeded", "rate_limited", ID);
        problem.type_uri = QUOTA_EXCEEDED.into();
        problem.violated_policies = &["per-user"];
        let document: serde_json::Value = serde_json::from_slice(&problem.json()).unwrap();
        let expected = serde_json::json!({
            "type": QUOTA_EXCEEDED,
            "title": "Rate limit exceeded",
            "status": 429,
            "instance": format!("urn:uuid:{ID}"),
            "error_type": "rate_limited",
            "request_id": ID,
            "violated-policies": ["per-user"],
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn an_id_that_is_no_uuid_makes_no_urn() {
        let problem = Problem::new(502, "Upstream unreachable", "upstream_connect", "lb-17");
        let document: serde_json::Value = serde_json::from_slice(&problem.json()).unwrap();
        assert_eq!(document.get("instance"), None);
        assert_eq!(document["request_id"], "lb-17");
    }

    #[test]
    fn types_have_the_configured_base() {
        assert_eq!(type_uri("", "x"), "about:blank");
        assert_eq!(type_uri("https://e.example/p#", "x"), "https://e.example/p#x");
    }

    #[test]
    fn people_get_the_page_and_programs_the_document() {
        let prefers = |accept: &str| {
            prefers_html(&[(header::ACCEPT, accept.parse().unwrap())].into_iter().collect())
        };
        assert!(prefers("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(prefers("application/json;q=0.5, text/html"));
        for program in ["*/*", "application/json, text/plain, */*", "text/html;q=0, */*", ""] {
            assert!(!prefers(program), "{program}");
        }
        assert!(!prefers("text/html, application/problem+json"));
        assert!(!prefers_html(&HeaderMap::new()));
    }

    #[test]
    fn the_page_says_what_the_contract_says() {
        let page = Problem::new(502, "Upstream unreachable", "upstream_connect", ID).html();
        let page = String::from_utf8(page).unwrap();
        assert!(
            page.contains("Something went wrong. We've been notified and are working on a fix.")
        );
        assert!(page.contains(ID) && page.contains("Try again"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_either_form(text in "\\PC{0,40}", accept in "[ -~]{0,60}") {
            let problem = Problem::new(403, &text, &text, &text);
            let document: serde_json::Value = serde_json::from_slice(&problem.json()).unwrap();
            prop_assert_eq!(document["title"].as_str(), Some(&*text));
            let page = String::from_utf8(problem.html()).unwrap();
            let tags = |page: &str| page.matches('<').count();
            prop_assert_eq!(tags(&page), tags(&String::from_utf8(Problem::new(403, "", "", "").html()).unwrap()));
            let _judged = prefers_html(&[(header::ACCEPT, accept.parse().unwrap())].into_iter().collect());
        }
    }
}
