//! The one path of a request, and the first judgement of its head.
//!
//! Policy, limits, metrics, audit and the upstream all use the same canonical path (RFC 3986 §6.2.2),
//! made once here; what is ambiguous is refused before any other stage. What only the raw bytes show
//! (bare line feeds, a `Content-Length` beside a `Transfer-Encoding`) is the guard's, below hyper.

use std::borrow::Cow;

use http::header::{EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};

use super::plan::Plan;
use crate::http::{http2, path};
use crate::record::Refusal;

/// The target of a request, canonical.
#[derive(Debug)]
pub struct Target {
    /// Path and query in origin form, as the upstream gets it.
    pub origin_form: PathAndQuery,
}

impl Target {
    /// The canonical path, without a query.
    pub fn path(&self) -> &str {
        self.origin_form.path()
    }
}

/// Makes the canonical target, or refuses the head.
pub fn canonical(plan: &Plan, head: &Parts) -> Result<Target, Refusal> {
    if head.method == Method::CONNECT {
        return Err(Refusal::NotImplemented);
    }
    screen(head)?;
    if head.version == Version::HTTP_2 {
        screen_http2(plan, head)?;
    }
    let sent = head.uri.path_and_query().ok_or(Refusal::BadRequest)?;
    if sent.as_str().len() > plan.limits.max_uri_bytes {
        return Err(Refusal::UriTooLong);
    }
    // An absolute-form target may leave its path out (RFC 9112 §3.2.2).
    let path =
        if head.uri.authority().is_some() && sent.path().is_empty() { "/" } else { sent.path() };
    let origin_form = match path::canonical(path).map_err(|_| Refusal::BadRequest)? {
        Cow::Borrowed(_) => sent.clone(),
        Cow::Owned(path) => {
            let target = match sent.query() {
                Some(query) => format!("{path}?{query}"),
                None => path,
            };
            PathAndQuery::try_from(target).map_err(|_| Refusal::BadRequest)?
        }
    };
    Ok(Target { origin_form })
}

/// Refuses heads that two parsers could read differently.
fn screen(head: &Parts) -> Result<(), Refusal> {
    let (mut hosts, mut codings) = (0, 0);
    let (mut has_other_coding, mut has_other_expectation) = (false, false);
    for (name, value) in &head.headers {
        let is_other_than = |known: &[u8]| !value.as_bytes().eq_ignore_ascii_case(known);
        match *name {
            HOST => hosts += 1,
            TRANSFER_ENCODING => {
                codings += 1;
                has_other_coding |= is_other_than(b"chunked");
            }
            EXPECT => has_other_expectation |= is_other_than(b"100-continue"),
            _ => {}
        }
    }
    let is_old = head.version == Version::HTTP_10;
    if hosts > 1 || (hosts == 0 && !is_old && head.uri.authority().is_none()) {
        return Err(Refusal::BadRequest);
    }
    // User information in a target is obsolete, and would end up in Host (RFC 9110 §4.2.4).
    if head.uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Refusal::BadRequest);
    }
    if codings > 1 || has_other_coding {
        return Err(Refusal::BadRequest);
    }
    if has_other_expectation {
        return Err(Refusal::ExpectationFailed);
    }
    Ok(())
}

/// Refuses what only HTTP/2 can say wrong, and heads over the bounds that HTTP/1 has on its socket.
fn screen_http2(plan: &Plan, head: &Parts) -> Result<(), Refusal> {
    let limits = &plan.limits;
    if head.headers.len() > limits.max_headers || http2::size(head) > limits.max_header_bytes {
        return Err(Refusal::HeaderTooLarge);
    }
    if http2::is_malformed(head) { Err(Refusal::BadRequest) } else { Ok(()) }
}

/// The host a request asks for: an absolute-form target rules over the Host field (RFC 9112 §3.2.2).
pub fn host(uri: &Uri) -> Option<http::HeaderValue> {
    uri.authority().and_then(|authority| http::HeaderValue::from_str(authority.as_str()).ok())
}
