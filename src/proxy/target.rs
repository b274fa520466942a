//! The one path of a request, and the first judgement of its head.
//!
//! Policy, limits, metrics, audit and the upstream all use the same canonical path (RFC 3986 §6.2.2),
//! made once here; what is ambiguous is refused before any other stage. What only the raw bytes show
//! (bare line feeds, a `Content-Length` beside a `Transfer-Encoding`) is the guard's, below hyper.

use std::borrow::Cow;

use http::header::{EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Uri, Version};

use super::plan::Plan;
use crate::config::model::PathForm;
use crate::http::http2;
use crate::http::path::{self, PathError};
use crate::record::Refusal;

/// The target of a request, canonical.
#[derive(Debug)]
pub struct Target {
    /// Path and query in origin form, as the upstream gets it; or `*`.
    pub origin_form: PathAndQuery,
    /// Where another path than the canonical one is forwarded: how else it could be read.
    readings: Option<Box<Readings>>,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What the client is told.
    pub refusal: Refusal,
    /// One of our own sentences: the rule.
    pub rule: &'static str,
}

/// The ways to read a path that is not canonical.
#[derive(Debug)]
struct Readings {
    /// By which the request is counted and told of.
    path: String,
    /// By which it is judged, too.
    other: String,
}

impl Target {
    /// The canonical path, without a query.
    pub fn path(&self) -> &str {
        self.readings.as_ref().map_or_else(|| self.origin_form.path(), |readings| &readings.path)
    }

    /// Refuses a path that is not canonical where any reading of it meets a route with a policy: the
    /// policy could be for another resource than the one that the upstream finds.
    pub fn judge(&self, plan: &Plan, method: &Method) -> Result<(), Broken> {
        let Some(readings) = &self.readings else { return Ok(()) };
        let paths = [&*readings.path, &*readings.other, self.origin_form.path()];
        // What nobody knows has one policy, whatever its path.
        if !paths.iter().any(|path| plan.knows(method, path)) {
            return Ok(());
        }
        let is_free = |path: &str| !plan.has_policy(method, path);
        let is_fine = paths.into_iter().all(is_free);
        is_fine.then_some(()).ok_or(bad("the path is not canonical, and its route has a policy"))
    }
}

/// Makes the canonical target, or refuses the head.
pub fn canonical(plan: &Plan, head: &Parts) -> Result<Target, Broken> {
    if head.method == Method::CONNECT {
        let rule = "CONNECT is for forward proxies";
        return Err(Broken { refusal: Refusal::NotImplemented, rule });
    }
    screen(head)?;
    if head.version == Version::HTTP_2 {
        screen_http2(plan, head)?;
    }
    let sent = head.uri.path_and_query().ok_or(bad("a target in no known form"))?;
    if sent.as_str().len() > plan.limits.max_uri_bytes {
        return Err(Broken { refusal: Refusal::UriTooLong, rule: "the target is too long" });
    }
    // An absolute-form target may leave its path out (RFC 9112 §3.2.2).
    let path =
        if head.uri.authority().is_some() && sent.path().is_empty() { "/" } else { sent.path() };
    let is_strict = plan.path == PathForm::Strict;
    let path = match path::canonical(path) {
        Ok(Cow::Borrowed(_)) => return Ok(sent.clone().into()),
        Ok(Cow::Owned(path)) => path,
        // The server as a whole (RFC 9112 §3.2.4).
        Err(PathError::NotAbsolute) if head.method == Method::OPTIONS && sent.as_str() == "*" => {
            return Ok(sent.clone().into());
        }
        Err(why @ PathError::NotAbsolute) => return Err(bad(why.words())),
        Err(why) if is_strict => return Err(bad(why.words())),
        Err(_) => sent.path().to_owned(),
    };
    if !is_strict {
        let readings = Box::new(Readings { path, other: path::loosest(sent.path()) });
        return Ok(Target { origin_form: sent.clone(), readings: Some(readings) });
    }
    let target = match sent.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    PathAndQuery::try_from(target).map(Target::from).map_err(|_| bad("a target in no known form"))
}

const fn bad(rule: &'static str) -> Broken {
    Broken { refusal: Refusal::BadRequest, rule }
}

impl From<PathAndQuery> for Target {
    fn from(origin_form: PathAndQuery) -> Self {
        Self { origin_form, readings: None }
    }
}

/// Refuses heads that two parsers could read differently.
fn screen(head: &Parts) -> Result<(), Broken> {
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
    if hosts > 1 {
        return Err(bad("more than one Host field"));
    }
    if hosts == 0 && !is_old && head.uri.authority().is_none() {
        return Err(bad("no Host field"));
    }
    // Nothing but HTTP can be asked for here (RFC 9110 §4.2).
    let is_http = |scheme: &Scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
    if head.uri.scheme().is_some_and(|scheme| !is_http(scheme)) {
        return Err(bad("a scheme that is not HTTP"));
    }
    // User information in a target is obsolete, and would end up in Host (RFC 9110 §4.2.4).
    if head.uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(bad("user information in the target"));
    }
    if codings > 1 || has_other_coding {
        return Err(bad("an odd Transfer-Encoding"));
    }
    if has_other_expectation {
        let rule = "an unknown expectation";
        return Err(Broken { refusal: Refusal::ExpectationFailed, rule });
    }
    Ok(())
}

/// Refuses what only HTTP/2 can say wrong, and heads over the bounds that HTTP/1 has on its socket.
fn screen_http2(plan: &Plan, head: &Parts) -> Result<(), Broken> {
    let limits = &plan.limits;
    if head.headers.len() > limits.max_headers || http2::size(head) > limits.max_header_bytes {
        return Err(Broken { refusal: Refusal::HeaderTooLarge, rule: "the head is too large" });
    }
    let is_fine = !http2::is_malformed(head);
    is_fine.then_some(()).ok_or(bad("malformed HTTP/2, or another request once it is HTTP/1"))
}

/// The host a request asks for: an absolute-form target rules over the Host field (RFC 9112 §3.2.2).
pub fn host(uri: &Uri) -> Option<http::HeaderValue> {
    uri.authority().and_then(|authority| http::HeaderValue::from_str(authority.as_str()).ok())
}
