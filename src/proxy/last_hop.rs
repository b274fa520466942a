//! `Max-Forwards` (RFC 9110 §7.6.2): counting down, and noticing that this is as far as it goes.
//!
//! Only OPTIONS and TRACE are counted. At zero the request is not forwarded: OPTIONS gets an empty
//! answer of ours, TRACE is refused. A TRACE answer would show scripts what they may not see
//! (cookies, credentials), and reflecting is only a SHOULD.

use http::header::{HeaderValue, MAX_FORWARDS};
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::record::Refusal;

/// Whether this sidecar is the last to get the request. If it is not, the count goes down by one.
pub fn is_here(head: &mut Parts) -> Result<bool, Refusal> {
    if !matches!(head.method, Method::OPTIONS | Method::TRACE) {
        return Ok(false);
    }
    match count(&head.headers)? {
        None => Ok(false),
        Some(0) if head.method == Method::TRACE => Err(Refusal::NotImplemented),
        Some(0) => Ok(true),
        Some(left) => {
            head.headers.insert(MAX_FORWARDS, HeaderValue::from(left - 1));
            Ok(false)
        }
    }
}

/// The count, where there is one. More than fits means more than there are hops.
fn count(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut lines = headers.get_all(MAX_FORWARDS).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let digits = line.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if lines.next().is_some() || !is_number {
        return Err(Refusal::BadRequest);
    }
    Ok(Some(line.to_str().ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)))
}
