//! Who may speak to the operators' door.
//!
//! A page in somebody's browser can reach loopback under a name of its own (DNS rebinding), and can
//! post without reading the answer. So the Host must be ours, a change must not come from another
//! origin, and a token, where one is set, comes with every request.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request};

use crate::secret::Secret;

/// Whether the request is addressed to us: by a loopback name or address, or by the address that
/// it arrived at. Exactly one `Host` is asked for (RFC 9112 §3.2).
pub(super) fn is_addressed_to_us<B>(request: &Request<B>, local: Option<IpAddr>) -> bool {
    let Some(host) = only(request.headers(), HOST.as_str()) else { return false };
    let target = request.uri().authority();
    names_us(host, local) && target.is_none_or(|authority| names_us(authority.as_str(), local))
}

/// Whether a change is asked for by a page of another origin. Clients that are no browsers send
/// neither header.
pub(super) fn is_cross_site<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    if headers.contains_key("sec-fetch-site")
        && !matches!(only(headers, "sec-fetch-site"), Some("same-origin" | "none"))
    {
        return true;
    }
    if !headers.contains_key(ORIGIN) {
        return false;
    }
    let origin = only(headers, ORIGIN.as_str()).and_then(|origin| origin.strip_prefix("http://"));
    let host = only(headers, HOST.as_str());
    !origin.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
}

/// Whether the request carries the token. Takes as long for a nearly right one as for a wrong one.
pub(super) fn carries<B>(request: &Request<B>, token: &Secret) -> bool {
    let Some(value) = only(request.headers(), AUTHORIZATION.as_str()) else { return false };
    let Some((scheme, sent)) = value.split_once(' ') else { return false };
    scheme.eq_ignore_ascii_case("bearer")
        && verify_slices_are_equal(sent.trim().as_bytes(), token.reveal().as_bytes()).is_ok()
}

fn names_us(authority: &str, local: Option<IpAddr>) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(address) => address.is_loopback() || Some(address) == local,
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap<HeaderValue>, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ours() {
        let local = Some("192.0.2.7".parse().unwrap());
        for ours in
            ["localhost", "LOCALHOST:9901", "127.0.0.1", "127.9.9.9:1", "[::1]:9901", "192.0.2.7"]
        {
            assert!(names_us(ours, local), "{ours}");
        }
        for theirs in [
            "",
            "evil.example",
            "localhost.evil.example",
            "192.0.2.8",
            "u@localhost",
            "[::2]",
            "a b",
        ] {
            assert!(!names_us(theirs, local), "{theirs}");
        }
    }

    #[test]
    fn only_the_same_origin_or_no_browser_may_post() {
        let rows = [
            (&[][..], false),
            (&[("origin", "http://localhost:9901")], false),
            (&[("origin", "http://localhost:9902")], true),
            (&[("origin", "null")], true),
            (&[("origin", "https://evil.example")], true),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
        ];
        for (headers, expected) in rows {
            let mut request = Request::post("/drain").header("host", "localhost:9901");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            assert_eq!(is_cross_site(&request.body(()).unwrap()), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_token_is_compared_whole() {
        let token = Secret::new("s3cret");
        let rows = [
            ("Bearer s3cret", true),
            ("bearer s3cret", true),
            ("Bearer s3cre", false),
            ("Bearer s3cret2", false),
            ("Basic s3cret", false),
            ("s3cret", false),
            ("Bearer ", false),
        ];
        for (value, expected) in rows {
            let request = Request::get("/").header("authorization", value).body(()).unwrap();
            assert_eq!(carries(&request, &token), expected, "{value}");
        }
    }
}
