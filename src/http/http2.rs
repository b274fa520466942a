//! The head of an HTTP/2 request: what h2 lets through and two readers could still read differently,
//! and how it is told to an upstream that speaks HTTP/1.
//!
//! h2 refuses by itself what RFC 9113 calls malformed and it can see: upper case in names, fields of
//! the connection, unknown, doubled or late pseudo-header fields, CR, LF and NUL in values, a body that
//! is not as long as announced. Some of that is looked at again here, so that nothing hangs on it.

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Uri};

/// Fields that HTTP/1 has for a connection and HTTP/2 forbids (RFC 9113 §8.2.2).
const OF_THE_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Whether a head is malformed (RFC 9113 §8.1.1), or would become another request in HTTP/1.
pub fn is_malformed(head: &Parts) -> bool {
    has_odd_target(&head.method, &head.uri)
        || has_other_host(&head.uri, &head.headers)
        || OF_THE_CONNECTION.iter().any(|name| head.headers.contains_key(name))
        || head.headers.get_all(CONTENT_LENGTH).iter().count() > 1
        || head.headers.get_all(TE).iter().any(|value| value != "trailers")
        || head.headers.values().any(has_odd_edge)
}

/// What a head costs: the bytes of its fields and its target.
pub fn size(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = head.uri.authority().map_or(0, |authority| authority.as_str().len());
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    target + authority + fields.sum::<usize>()
}

/// Joins the crumbs of a cookie, which HTTP/2 may send apart and HTTP/1 may not (RFC 9113 §8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(_)) = (crumbs.next(), crumbs.next()) else { return };
    let mut cookie = first.as_bytes().to_vec();
    for crumb in headers.get_all(COOKIE).iter().skip(1) {
        cookie.extend_from_slice(b"; ");
        cookie.extend_from_slice(crumb.as_bytes());
    }
    // Values, joined by what a value may hold.
    if let Ok(cookie) = HeaderValue::from_bytes(&cookie) {
        headers.insert(COOKIE, cookie);
    }
}

/// `:path` is a path and a query, or `*` for OPTIONS; `:scheme` is one of HTTP's (RFC 9113 §8.3.1).
fn has_odd_target(method: &Method, uri: &Uri) -> bool {
    let is_http = |scheme| matches!(scheme, "http" | "https");
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let is_asterisk = target == "*" && *method == Method::OPTIONS;
    !(target.starts_with('/') || is_asterisk || *method == Method::CONNECT)
        || target.contains('#')
        || !uri.scheme_str().is_none_or(is_http)
}

/// `Host` beside `:authority` must say the same (RFC 9113 §8.3.1).
fn has_other_host(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    match (uri.authority(), hosts.next(), hosts.next()) {
        (_, Some(_), Some(_)) => true,
        (Some(authority), Some(host), None) => {
            !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes())
        }
        _ => false,
    }
}

/// Whether a value begins or ends with white space (RFC 9113 §8.2.1).
fn has_odd_edge(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(bytes.first()) || is_space(bytes.last())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn an_ordinary_head_passes() {
        let fields = [("host", "APP.example"), ("te", "trailers"), ("content-length", "3")];
        assert!(!is_malformed(&head("https://app.example/a?b", &fields)));
        assert!(!is_malformed(&head("/a", &[("host", "app.example")])));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_malformed() {
        let fields: [&[(&str, &str)]; 10] = [
            &[("host", "other.example")],
            &[("host", "app.example"), ("host", "app.example")],
            &[("connection", "close")],
            &[("transfer-encoding", "chunked")],
            &[("keep-alive", "1")],
            &[("upgrade", "h2c")],
            &[("te", "gzip")],
            &[("te", "trailers"), ("te", "chunked")],
            &[("content-length", "3"), ("content-length", "3")],
            &[("x-a", "b ")],
        ];
        for fields in fields {
            assert!(is_malformed(&head("https://app.example/", fields)), "{fields:?}");
        }
        for target in ["ftp://app.example/", "*"] {
            assert!(is_malformed(&head(target, &[])), "{target}");
        }
    }

    #[test]
    fn a_head_costs_all_that_it_holds() {
        assert_eq!(size(&head("https://a.example/b", &[("c", "de")])), 9 + 2 + 3);
    }

    #[test]
    fn the_crumbs_of_a_cookie_are_joined_in_their_order() {
        let mut fields = head("/", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]).headers;
        join_cookies(&mut fields);
        assert_eq!(fields.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        let mut whole = head("/", &[("cookie", "a=1; b=2")]).headers;
        join_cookies(&mut whole);
        assert_eq!(whole[COOKIE], "a=1; b=2");
    }
}
