//! `X-Forwarded-*`: who the client is behind trusted proxies, and what the upstream is told.
//!
//! The chain is read from its right end, because only that end was written by someone we know; the
//! answer is the first address that is not a trusted proxy. What an untrusted peer says about others
//! is neither believed nor passed on.
//!
//! `Forwarded` (RFC 7239) says the same in another form. It is read where a trusted peer speaks that
//! one only, and continued where it is there; it is never begun.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::{hop, rfc7239};

/// The chain of addresses.
pub const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme the client used.
pub const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host the client asked for.
pub const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether an address belongs to one of the networks. An IPv4 address in IPv6 clothes counts as
/// IPv4.
pub fn is_trusted(ip: IpAddr, trusted: &[IpNet]) -> bool {
    let ip = ip.to_canonical();
    trusted.iter().any(|net| net.contains(&ip))
}

/// The client's address: the peer, or the rightmost address of `X-Forwarded-For` that is not a
/// trusted proxy's. An entry that is no address ends the search: then it is the proxy that passed it
/// on. Where all are trusted, it is the leftmost.
pub fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut nearest = peer.to_canonical();
    if !is_trusted(nearest, trusted) {
        return nearest;
    }
    if !headers.contains_key(FOR) {
        for element in rfc7239::elements(headers).into_iter().rev() {
            let Some(ip) = element.client else { return nearest };
            nearest = ip;
            if !is_trusted(ip, trusted) {
                return nearest;
            }
        }
    }
    for line in headers.get_all(FOR).iter().rev() {
        for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
            let Some(ip) = address(entry) else { return nearest };
            nearest = ip;
            if !is_trusted(ip, trusted) {
                return nearest;
            }
        }
    }
    nearest
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse().ok().map(|at: SocketAddr| at.ip()))?;
    Some(ip.to_canonical())
}

/// What this hop knows of its client.
#[derive(Clone, Debug)]
pub struct Hop<'a> {
    /// The address that connected, as [`address_value`] writes it; none over a Unix socket.
    pub peer: Option<&'a HeaderValue>,
    /// Whether the peer is believed (see [`is_trusted`]).
    pub is_trusted: bool,
    /// `http` or `https`, as the peer connected.
    pub scheme: &'static str,
    /// The host the request asked for.
    pub host: Option<HeaderValue>,
}

/// An address as a chain shows it. Made once per connection: writing it costs more than all else
/// here.
pub fn address_value(peer: IpAddr) -> HeaderValue {
    // The text of an address is plain ASCII, so the fallback is never taken.
    HeaderValue::try_from(peer.to_canonical().to_string())
        .unwrap_or(HeaderValue::from_static("unknown"))
}

/// Makes a head say what this hop knows. A trusted peer's chain is kept and the peer appended, and
/// its scheme and host stay; of an untrusted peer the peer itself is the chain.
///
/// What an untrusted peer claims has to be gone from the head already ([`is_forwarding`] knows it):
/// whoever forwards a head sweeps it once, for this and for other reasons.
pub fn append(headers: &mut HeaderMap, hop: Hop<'_>) {
    // Who comes over a Unix socket adds no address: a trusted one's chain stays as it is.
    if let Some(peer) = hop.peer {
        let chain = if hop.is_trusted { continued(headers, peer) } else { None };
        headers.insert(FOR, chain.unwrap_or_else(|| peer.clone()));
    }
    // What a trusted peer says of scheme and host stays; an untrusted one's word is overwritten.
    let is_said = |name| hop.is_trusted && headers.contains_key(name);
    let (says_proto, says_host) = (is_said(PROTO), is_said(HOST));
    let (mut scheme, mut host) = (hop.scheme, hop.host);
    if is_said(header::FORWARDED) {
        let nearest = rfc7239::elements(headers).pop().unwrap_or_default();
        if let Some(peer) = hop.peer {
            rfc7239::append(headers, peer, scheme, host.as_ref());
        }
        scheme = match nearest.is_https {
            Some(true) => "https",
            Some(false) => "http",
            None => scheme,
        };
        host = nearest.host.or(host);
    }
    if !says_proto {
        headers.insert(PROTO, HeaderValue::from_static(scheme));
    }
    if let Some(host) = host.filter(|_| !says_host) {
        headers.insert(HOST, host);
    }
}

/// The chain so far and the peer, where there is one so far.
fn continued(headers: &HeaderMap, peer: &HeaderValue) -> Option<HeaderValue> {
    let mut chain = String::new();
    for line in headers.get_all(FOR).iter().filter_map(|line| line.to_str().ok()) {
        let line = line.trim_matches([' ', '\t', ',']);
        if !line.is_empty() {
            chain.push_str(line);
            chain.push_str(", ");
        }
    }
    if chain.is_empty() {
        return None;
    }
    chain.push_str(peer.to_str().ok()?);
    HeaderValue::try_from(chain).ok()
}

/// Whether a field speaks about earlier hops: `x-forwarded-*`, `forwarded`, `x-real-ip` and their
/// underscore twins.
pub fn is_forwarding(name: &HeaderName) -> bool {
    let text = name.as_str();
    *name == header::FORWARDED
        || text.as_bytes().first() == Some(&b'x')
            && (text.get(..12).is_some_and(|start| hop::is_twin(start, "x-forwarded-"))
                || hop::is_twin(text, "x-real-ip"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROXY: &str = "10.0.0.9";

    fn trusted() -> Vec<IpNet> {
        vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]
    }

    fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[track_caller]
    fn client_is(peer: &str, chain: &[&str], expected: &str) {
        let fields: Vec<_> = chain.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let ip = client_ip(peer.parse().unwrap(), &head(&fields), &trusted());
        assert_eq!(ip.to_string(), expected, "{peer} {chain:?}");
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        client_is("192.0.2.1", &["198.51.100.7"], "192.0.2.1");
        client_is("::ffff:192.0.2.1", &["198.51.100.7"], "192.0.2.1");
    }

    #[test]
    fn behind_trusted_proxies_the_rightmost_stranger_is_the_client() {
        client_is(PROXY, &["203.0.113.1, 198.51.100.7, 10.1.1.1"], "198.51.100.7");
        client_is(PROXY, &["203.0.113.1", "198.51.100.7:4711", "[fd00::1]:80"], "198.51.100.7");
        client_is(PROXY, &["2001:db8::1"], "2001:db8::1");
        client_is("::ffff:10.0.0.9", &["198.51.100.7"], "198.51.100.7");
    }

    #[test]
    fn the_search_ends_at_what_is_no_address_and_at_the_left_end() {
        client_is(PROXY, &["198.51.100.7, unknown, 10.1.1.1"], "10.1.1.1");
        client_is(PROXY, &["10.1.1.1, 10.2.2.2"], "10.1.1.1");
        client_is(PROXY, &[], PROXY);
        client_is(PROXY, &[""], PROXY);
    }

    #[test]
    fn a_trusted_chain_is_continued_and_its_scheme_and_host_stay() {
        let mut headers = head(&[
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-for", "10.1.1.1"),
            ("x-forwarded-proto", "https"),
        ]);
        let host = HeaderValue::from_static("app.example");
        let hop = Hop {
            peer: Some(&address_value(PROXY.parse().unwrap())),
            is_trusted: true,
            scheme: "http",
            host: Some(host),
        };
        append(&mut headers, hop);
        assert_eq!(headers[FOR], "198.51.100.7, 10.1.1.1, 10.0.0.9");
        assert_eq!(headers[PROTO], "https");
        assert_eq!(headers[HOST], "app.example");
    }

    #[test]
    fn all_that_an_untrusted_peer_claims_is_known_and_the_peer_is_the_chain() {
        let mut headers = head(&[
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("x_forwarded_prefix", "/x"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("accept", "*/*"),
        ]);
        for name in headers.keys().filter(|name| is_forwarding(name)).cloned().collect::<Vec<_>>() {
            headers.remove(name);
        }
        let peer = &address_value("192.0.2.1".parse().unwrap());
        append(
            &mut headers,
            Hop { peer: Some(peer), is_trusted: false, scheme: "http", host: None },
        );
        let expected = head(&[
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "http"),
            ("accept", "*/*"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_trusted_peer_may_speak_the_standard_form_alone() {
        let mut headers = head(&[(
            "forwarded",
            "for=203.0.113.9, for=198.51.100.7;proto=https;host=shop.example, for=10.1.1.1;proto=https;host=shop.example",
        )]);
        assert_eq!(
            client_ip(PROXY.parse().unwrap(), &headers, &trusted()).to_string(),
            "198.51.100.7"
        );
        let peer = &address_value(PROXY.parse().unwrap());
        let host = Some(HeaderValue::from_static("inner.example"));
        append(&mut headers, Hop { peer: Some(peer), is_trusted: true, scheme: "http", host });
        assert_eq!(
            (&headers[PROTO], &headers[HOST]),
            (&"https".parse().unwrap(), &"shop.example".parse().unwrap())
        );
        let chain = headers["forwarded"].to_str().unwrap();
        assert!(chain.ends_with(", for=10.0.0.9;proto=http;host=\"inner.example\""), "{chain}");
    }

    #[test]
    fn the_usual_form_rules_where_both_are_there() {
        let headers = head(&[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.2")]);
        assert_eq!(
            client_ip(PROXY.parse().unwrap(), &headers, &trusted()).to_string(),
            "192.0.2.1"
        );
    }

    proptest! {
        #[test]
        fn any_chain_is_read_and_continued_without_panic(
            lines in proptest::collection::vec(proptest::collection::vec(0x20u8..=0xff, 0..40), 0..4)
        ) {
            let mut headers = HeaderMap::new();
            for value in lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
                headers.append(FOR, value);
            }
            let peer = PROXY.parse().unwrap();
            let _ip = client_ip(peer, &headers, &trusted());
            let peer = &address_value(peer);
            append(&mut headers, Hop { peer: Some(peer), is_trusted: true, scheme: "http", host: None });
            prop_assert!(headers[FOR].to_str().unwrap().ends_with(PROXY));
        }
    }
}
