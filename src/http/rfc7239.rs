//! `Forwarded` (RFC 7239): reading the elements that trusted proxies wrote, and writing one.
//!
//! An element that cannot be read is kept as one that says nothing, so that it ends a search from the
//! right instead of being stepped over. Who is trusted is decided elsewhere.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderValue};

/// What one proxy said of the connection it got its request on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// The address that connected, where it is one.
    pub client: Option<IpAddr>,
    /// The scheme it connected with.
    pub is_https: Option<bool>,
    /// The host it asked for.
    pub host: Option<HeaderValue>,
}

/// Every element, the nearest hop last.
pub fn elements(headers: &HeaderMap) -> Vec<Element> {
    let lines = headers.get_all(FORWARDED).iter();
    lines.flat_map(|line| split(line.as_bytes(), b',')).map(element).collect()
}

/// Adds an element of our own behind those that are there.
pub fn append(
    headers: &mut HeaderMap,
    client: &HeaderValue,
    scheme: &str,
    host: Option<&HeaderValue>,
) {
    let mut list = Vec::new();
    for line in headers.get_all(FORWARDED) {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(b"for=");
    if client.as_bytes().contains(&b':') {
        list.extend([&b"\"["[..], client.as_bytes(), b"]\""].concat());
    } else {
        list.extend_from_slice(client.as_bytes());
    }
    list.extend([b";proto=", scheme.as_bytes()].concat());
    let is_plain =
        |host: &&HeaderValue| !host.as_bytes().iter().any(|byte| matches!(byte, b'"' | b'\\'));
    if let Some(host) = host.filter(is_plain) {
        list.extend([&b";host=\""[..], host.as_bytes(), b"\""].concat());
    }
    if let Ok(list) = HeaderValue::from_bytes(&list) {
        headers.insert(FORWARDED, list);
    }
}

fn element(text: &[u8]) -> Element {
    let mut element = Element::default();
    for pair in split(text, b';') {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let value = unquoted(parts.next().unwrap_or_default().trim_ascii());
        if name.eq_ignore_ascii_case(b"for") {
            element.client = address(&value);
        } else if name.eq_ignore_ascii_case(b"proto") {
            let is = |scheme: &[u8]| value.eq_ignore_ascii_case(scheme);
            element.is_https = if is(b"https") { Some(true) } else { is(b"http").then_some(false) };
        } else if name.eq_ignore_ascii_case(b"host") {
            element.host = HeaderValue::from_bytes(&value).ok();
        }
    }
    element
}

/// Splits at a mark outside of quotes.
fn split(text: &[u8], mark: u8) -> Vec<&[u8]> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            byte if *byte == mark && !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")) else {
        return value.to_vec();
    };
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        plain.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    plain
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]` or `[2001:db8::1]:80`. Hidden and unknown nodes
/// are none.
fn address(node: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(node).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse().ok().map(|at: SocketAddr| at.ip()))?;
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (FORWARDED, line.parse().unwrap())).collect()
    }

    #[test]
    fn elements_of_every_form_are_read() {
        let found = elements(&head(&[
            "for=192.0.2.43, FOR=\"[2001:db8::1]:4711\";Proto=HTTPS;host=\"a.example:8080\"",
            "for=_hidden;proto=gopher, for=\"192.0.2.1:80\" ; by=203.0.113.43",
            "proto=http;by=\"a,b;for=192.0.2.9\\\"\"",
        ]));
        let ips: Vec<_> =
            found.iter().map(|element| element.client.map(|ip| ip.to_string())).collect();
        let expected = [Some("192.0.2.43"), Some("2001:db8::1"), None, Some("192.0.2.1"), None];
        assert_eq!(ips, expected.map(|ip| ip.map(str::to_owned)));
        let https: Vec<_> = found.iter().map(|element| element.is_https).collect();
        assert_eq!(https, [None, Some(true), None, None, Some(false)]);
        assert_eq!(found[1].host.as_ref().unwrap(), "a.example:8080");
    }

    #[test]
    fn our_element_comes_last_and_reads_as_it_was_meant() {
        let mut headers = head(&["for=192.0.2.43", "for=_x"]);
        let host = HeaderValue::from_static("app.example:81");
        append(&mut headers, &HeaderValue::from_static("2001:db8::1"), "http", Some(&host));
        assert_eq!(
            headers[FORWARDED],
            "for=192.0.2.43, for=_x, for=\"[2001:db8::1]\";proto=http;host=\"app.example:81\""
        );
        let last = elements(&headers).pop().unwrap();
        assert_eq!(last.client, "2001:db8::1".parse().ok());
        assert_eq!((last.is_https, last.host), (Some(false), Some(host)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_ours_can_still_be_found(
            lines in proptest::collection::vec("[ -~]{0,40}", 0..4)
        ) {
            let mut headers: HeaderMap = lines
                .iter()
                .filter_map(|line| Some((FORWARDED, HeaderValue::from_str(line).ok()?)))
                .collect();
            let _read = elements(&headers);
            append(&mut headers, &HeaderValue::from_static("192.0.2.1"), "https", None);
            prop_assert!(headers[FORWARDED].to_str().unwrap().ends_with("for=192.0.2.1;proto=https"));
        }
    }
}
