//! Switching a connection to another protocol (RFC 9110 §7.8): what of an offer may go on, and
//! whether an answer takes it up.
//!
//! Behind a switch nobody judges what is said. So HTTP itself, in whatever form, is never offered:
//! requests would pass every gate unseen (`h2c`), or encrypted (`TLS`). Leaving an offer out is
//! always allowed; the request is then an ordinary one.
//!
//! Nothing is switched here.

use http::HeaderMap;
use http::header::{CONNECTION, HeaderValue, UPGRADE};

use super::framing::is_token;

/// Names of protocols that carry HTTP requests.
const HTTP_ITSELF: [&[u8]; 4] = [b"h2c", b"h2", b"http", b"tls"];

/// The protocols of a head's `Upgrade` that may be offered to the next hop; `None` where that is
/// none, or where `Connection` does not list `upgrade` and so the field was meant for somebody else.
pub fn offer(headers: &HeaderMap) -> Option<HeaderValue> {
    if !is_listed(headers) {
        return None;
    }
    let mut offer = Vec::new();
    for protocol in protocols(headers).filter(|protocol| may_pass(protocol)) {
        if !offer.is_empty() {
            offer.extend_from_slice(b", ");
        }
        offer.extend_from_slice(protocol);
    }
    if offer.is_empty() { None } else { HeaderValue::from_bytes(&offer).ok() }
}

/// What a 101 switches to, where that was offered and nothing else is. Protocol names are compared
/// without case.
pub fn accepted(offer: &HeaderValue, answer: &HeaderMap) -> Option<HeaderValue> {
    let is_offered = |protocol: &[u8]| {
        list(offer.as_bytes()).any(|offered| offered.eq_ignore_ascii_case(protocol))
    };
    let is_taken_up = is_listed(answer) && protocols(answer).all(is_offered);
    answer.get(UPGRADE).filter(|_| is_taken_up && protocols(answer).count() == 1).cloned()
}

fn is_listed(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONNECTION).iter();
    lines
        .flat_map(|line| list(line.as_bytes()))
        .any(|option| option.eq_ignore_ascii_case(b"upgrade"))
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(UPGRADE).iter().flat_map(|line| list(line.as_bytes()))
}

fn list(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// Whether it is a protocol (`name` or `name/version`) other than HTTP itself.
fn may_pass(protocol: &[u8]) -> bool {
    let mut parts = protocol.splitn(2, |byte| *byte == b'/');
    let name = parts.next().unwrap_or_default();
    let is_token = |part: &[u8]| !part.is_empty() && part.iter().all(|byte| is_token(*byte));
    is_token(name)
        && parts.next().is_none_or(is_token)
        && !HTTP_ITSELF.iter().any(|http| name.eq_ignore_ascii_case(http))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[track_caller]
    fn offered(connection: &str, upgrade: &[&str], expected: Option<&str>) {
        let mut headers = head(&[("connection", connection)]);
        for line in upgrade {
            headers.append(UPGRADE, line.parse().unwrap());
        }
        let offer = offer(&headers);
        assert_eq!(offer.as_ref().map(|offer| offer.to_str().unwrap()), expected, "{upgrade:?}");
    }

    #[test]
    fn an_offer_goes_on_without_http_itself() {
        offered("Upgrade", &["websocket"], Some("websocket"));
        offered(
            "keep-alive, upgrade",
            &["h2c, WebSocket", "custom/1.2"],
            Some("WebSocket, custom/1.2"),
        );
        for none in [
            "h2c",
            "H2C",
            "HTTP/2.0",
            "TLS/1.2, http/1.1",
            "h2",
            "",
            ",",
            "a b",
            "/1",
            "x/",
            "x/y/z",
        ] {
            offered("upgrade", &[none], None);
        }
    }

    #[test]
    fn a_field_that_connection_does_not_list_offers_nothing() {
        offered("keep-alive", &["websocket"], None);
        offered("x-upgrade", &["websocket"], None);
    }

    #[test]
    fn an_answer_must_take_up_exactly_one_thing_that_was_offered() {
        let offer = HeaderValue::from_static("websocket, custom/1.2");
        let takes = |connection: &str, upgrade: &str| {
            accepted(&offer, &head(&[("connection", connection), ("upgrade", upgrade)])).is_some()
        };
        assert!(takes("Upgrade", "WebSocket"));
        assert!(takes("upgrade", "custom/1.2"));
        assert!(!takes("upgrade", "custom/1.3"));
        assert!(!takes("upgrade", "h2c"));
        assert!(!takes("upgrade", "websocket, h2c"));
        assert!(!takes("upgrade", "websocket, custom/1.2"));
        assert!(!takes("keep-alive", "websocket"));
        assert!(accepted(&offer, &head(&[("connection", "upgrade")])).is_none());
    }
}
