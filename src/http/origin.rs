//! Web origins (RFC 6454): scheme, host and port of the page that made a browser ask.
//!
//! Two origins are the same where all three parts are; schemes and hosts are compared without case,
//! and a port that the scheme implies may be left out. Nothing is resolved or decoded: browsers write
//! hosts in lower case and Punycode, addresses in their shortest form, and what is written otherwise
//! is another origin.
//!
//! It trusts nobody; which origins are friends is `proxy::csrf`'s to say.

use std::fmt;

use thiserror::Error;

/// An origin, borrowed from what names it.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    scheme: &'a str,
    /// Host and port, without a port that the scheme implies.
    authority: &'a str,
}

/// Why a text is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OriginError {
    /// `null`: what browsers say for a page that has no origin, or keeps it to itself.
    #[error("`null` is no origin: any page can send it")]
    Null,
    /// Not `scheme://host`, or with a path, a query or spaces.
    #[error(
        "expected SCHEME://HOST[:PORT] and nothing behind it, as in \"https://app.example.com\""
    )]
    Malformed,
    /// `user@host`.
    #[error("an origin has no user information")]
    Credentials,
    /// A port that is not from 1 to 65535.
    #[error("expected a port from 1 to 65535")]
    Port,
}

impl<'a> Origin<'a> {
    /// Reads an origin as the `Origin` field has it (RFC 6454 §7).
    pub fn parse(text: &'a str) -> Result<Self, OriginError> {
        if text == "null" {
            return Err(OriginError::Null);
        }
        let (scheme, authority) = text.split_once("://").ok_or(OriginError::Malformed)?;
        if !is_scheme(scheme) {
            return Err(OriginError::Malformed);
        }
        if authority.contains('@') {
            return Err(OriginError::Credentials);
        }
        let (host, port) = split(authority).ok_or(OriginError::Malformed)?;
        if let Some(port) = port {
            let is_decimal = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            let number = port.parse::<u16>().ok().filter(|port| is_decimal && *port > 0);
            let number = number.ok_or(OriginError::Port)?;
            if Some(number) == implied_port(scheme) {
                return Ok(Self { scheme, authority: host });
            }
        }
        Ok(Self { scheme, authority })
    }

    /// Whether a request for this authority (of `Host`, or `:authority`) goes to the host and port of
    /// this origin. The scheme of the request is not asked: whoever ends TLS in front of us knows it,
    /// we may not.
    pub fn is_at(&self, authority: &str) -> bool {
        let plain = match split(authority) {
            Some((host, Some(port))) if is_number(port, implied_port(self.scheme)) => host,
            Some(_) => authority,
            None => return false,
        };
        self.authority.eq_ignore_ascii_case(plain)
    }

    /// Whether both are one origin.
    pub fn is_same(&self, other: &Origin<'_>) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.authority.eq_ignore_ascii_case(other.authority)
    }
}

impl fmt::Display for Origin<'_> {
    /// As browsers write it: in lower case, and without a port that goes without saying.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.scheme, self.authority);
        write!(f, "{}://{}", scheme.to_ascii_lowercase(), authority.to_ascii_lowercase())
    }
}

/// RFC 3986 §3.1.
fn is_scheme(scheme: &str) -> bool {
    let rest = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    scheme.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && scheme.bytes().all(rest)
}

/// Takes an authority apart into host and port; `None` where it has no host, or holds what no host
/// of an origin has (only ASCII: browsers write Punycode).
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    let end_of_host = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(end_of_host);
    let is_good = match host.strip_prefix('[') {
        Some(address) => {
            let address = address.strip_suffix(']')?;
            !address.is_empty()
                && address.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b))
        }
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        }
    };
    match rest.strip_prefix(':') {
        _ if !is_good => None,
        None if rest.is_empty() => Some((host, None)),
        None => None,
        Some(port) => Some((host, Some(port))),
    }
}

fn is_number(port: &str, number: Option<u16>) -> bool {
    number.is_some_and(|number| port.parse() == Ok(number))
}

/// The port that goes without saying (RFC 9110 §4.2).
fn implied_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_same(one: &str, other: &str) -> bool {
        Origin::parse(one).unwrap().is_same(&Origin::parse(other).unwrap())
    }

    fn is_at(origin: &str, authority: &str) -> bool {
        Origin::parse(origin).unwrap().is_at(authority)
    }

    #[test]
    fn an_origin_is_its_scheme_its_host_and_its_port() {
        assert!(is_same("https://app.example", "HTTPS://App.Example:443"));
        assert!(is_same("http://[::1]:8080", "http://[::1]:8080"));
        assert!(is_same("chrome-extension://abcdef", "chrome-extension://abcdef"));
        for other in ["http://app.example", "https://app.example:8443", "https://www.app.example"] {
            assert!(!is_same("https://app.example", other), "{other}");
        }
        assert!(!is_same("http://app.example:443", "https://app.example"));
        assert!(!is_same("https://app.example.", "https://app.example"), "another name in DNS");
    }

    #[test]
    fn an_authority_may_say_the_port_that_the_scheme_implies() {
        for (origin, authority) in [
            ("https://app.example", "app.example"),
            ("https://app.example", "APP.example:443"),
            ("http://app.example", "app.example:80"),
            ("http://127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://[::1]", "[::1]:80"),
            ("https://xn--bcher-kva.example", "XN--BCHER-KVA.example"),
        ] {
            assert!(is_at(origin, authority), "{origin} {authority}");
        }
        for (origin, authority) in [
            ("https://app.example", "app.example:80"),
            ("http://app.example", "app.example:443"),
            ("https://app.example:8443", "app.example"),
            ("https://app.example", "app.example:8443"),
            ("https://app.example", "app.example."),
            ("https://app.example", "app.example:"),
            ("https://app.example", "evil@app.example"),
            ("https://app.example", "app.example/x"),
            ("https://app.example", ""),
            ("http://[::1]", "[::1"),
            ("http://[::1]", "::1"),
            ("x://a", "a:443"),
        ] {
            assert!(!is_at(origin, authority), "{origin} {authority}");
        }
    }

    #[test]
    fn what_no_browser_writes_is_no_origin() {
        use OriginError::{Credentials, Malformed, Null, Port};
        for (text, error) in [
            ("null", Null),
            ("", Malformed),
            ("*", Malformed),
            ("app.example", Malformed),
            ("://app.example", Malformed),
            ("https:", Malformed),
            ("https:app.example", Malformed),
            ("https://", Malformed),
            ("https:///", Malformed),
            ("https://:443", Malformed),
            ("https://app.example/", Malformed),
            ("https://app.example?q", Malformed),
            ("https://app.example#f", Malformed),
            ("https://app.example\\x", Malformed),
            ("https://app.example, https://evil.example", Malformed),
            ("https://app.example https://evil.example", Malformed),
            ("https://*.example", Malformed),
            ("https://bücher.example", Malformed),
            ("https://%61pp.example", Malformed),
            ("https://[::1", Malformed),
            ("https://[]", Malformed),
            ("https://[::1]x", Malformed),
            ("https://[v1.a]", Malformed),
            ("1https://a", Malformed),
            ("ht tps://a", Malformed),
            ("https://evil.example@app.example", Credentials),
            ("https://app.example:", Port),
            ("https://app.example:0", Port),
            ("https://app.example:+443", Port),
            ("https://app.example:65536", Port),
            ("https://app.example:443:443", Port),
        ] {
            assert_eq!(Origin::parse(text).map(drop), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_fails_and_writing_is_a_fixed_point(text in "\\PC{0,40}", good in
            "(http|https|HTTP|app)://([a-zA-Z0-9.-]{1,12}|\\[[0-9a-f:]{1,9}\\])(:(80|443|[1-9][0-9]{0,3}))?",
        ) {
            let _read = Origin::parse(&text).map(|origin| origin.is_at(&text));
            let origin = Origin::parse(&good).unwrap();
            let written = origin.to_string();
            prop_assert!(Origin::parse(&written).unwrap().is_same(&origin), "{}", written);
            prop_assert_eq!(Origin::parse(&written).unwrap().to_string(), written);
        }

        #[test]
        fn an_origin_is_at_its_own_authority_and_at_no_longer_one(
            host in "[a-z][a-z0-9.-]{0,11}", more in "[a-z0-9.:@/-]{1,6}",
        ) {
            let text = format!("https://{host}");
            let origin = Origin::parse(&text).unwrap();
            prop_assert!(origin.is_at(&host));
            let longer = format!("{host}{more}");
            prop_assert_eq!(origin.is_at(&longer), is_number(more.strip_prefix(':').unwrap_or(""), Some(443)));
            let prefixed = format!("{more}{host}");
            prop_assert!(!origin.is_at(&prefixed));
        }
    }
}
