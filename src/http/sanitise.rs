//! Cleaning of what a client says about itself: its user agent, its address, and the headers that may be
//! logged.
//!
//! What comes out holds no control bytes, nothing but plain ASCII, no token that looks like an
//! address or a secret, and is bounded. What becomes of a path is in [`super::shape`].

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

/// The longest user agent kept, in bytes.
const MAX_USER_AGENT: usize = 256;
/// A token longer than this may be a secret.
const MAX_TOKEN: usize = 40;

/// A sanitised user agent. Clones share one text. It may leave in the log and in the audit, nowhere
/// else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(Arc<str>);

impl UserAgent {
    /// Sanitises a user agent: control and non-ASCII bytes, and any token with `@` or over 40
    /// characters, become `?`; at most 256 bytes stay.
    pub fn sanitised(value: &[u8]) -> Self {
        Self(clean(value))
    }
}

/// The sanitised value of a request header that the configuration lets into the log, and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderText(Arc<str>);

impl HeaderText {
    /// Sanitises the values of a field like a user agent; several are joined as a list.
    pub fn sanitised<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let values: Vec<_> = values.collect();
        match &values[..] {
            [value] => Self(clean(value)),
            values => Self(clean(&values.join(&b", "[..]))),
        }
    }
}

impl Deref for HeaderText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for HeaderText {
    /// One that stands in the program itself, sanitised all the same.
    fn from(text: &'static str) -> Self {
        Self(clean(text.as_bytes()))
    }
}

fn clean(value: &[u8]) -> Arc<str> {
    let mut clean = Vec::with_capacity(value.len().min(MAX_USER_AGENT));
    // Judged whole, cut afterwards: half of a secret is shorter, and half of an address has no `@`.
    for (index, token) in value.split(|b| *b == b' ').enumerate() {
        if clean.len() >= MAX_USER_AGENT {
            break;
        }
        if index > 0 {
            clean.push(b' ');
        }
        if token.len() > MAX_TOKEN || token.contains(&b'@') {
            clean.push(b'?');
            continue;
        }
        clean.extend(token.iter().map(|b| if b.is_ascii_graphic() { *b } else { b'?' }));
    }
    clean.truncate(MAX_USER_AGENT);
    // Only ASCII is in it.
    String::from_utf8(clean).unwrap_or_default().into()
}

impl From<&'static str> for UserAgent {
    /// One that stands in the program itself, sanitised all the same.
    fn from(text: &'static str) -> Self {
        Self::sanitised(text.as_bytes())
    }
}

impl Deref for UserAgent {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Truncates an address for telemetry: IPv4 to /24, IPv6 to /48.
pub fn truncate_ip(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            IpAddr::from([a, b, c, 0, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_agents_lose_control_bytes_addresses_and_long_tokens() {
        let clean = |sent: &[u8]| UserAgent::sanitised(sent).to_string();
        assert_eq!(clean(b"curl/8.5.0"), "curl/8.5.0");
        assert_eq!(clean(b"bot\x1b[2J a@b.example x"), "bot?[2J ? x");
        assert_eq!(clean(&[b'x'; 41]), "?");
        assert!(clean(&[b' '; 999]).len() <= MAX_USER_AGENT);
        let late = |token: &str| clean(format!("{}{token}", "y ".repeat(120)).as_bytes());
        assert!(late("name.before.the.bound@host.example").ends_with(" ?"));
        assert!(late(&"s".repeat(60)).ends_with(" ?"));
    }

    #[test]
    fn logged_headers_are_cleaned_alike_and_several_values_are_a_list() {
        let text =
            |values: &[&'static [u8]]| HeaderText::sanitised(values.iter().copied()).to_string();
        assert_eq!(text(&[b"a b@c.example \x1b"]), "a ? ?");
        assert_eq!(text(&[b"one", b"two"]), "one, two");
        assert!(text(&[&[b' '; 300]]).len() == MAX_USER_AGENT);
    }

    #[test]
    fn addresses_are_truncated() {
        assert_eq!(truncate_ip("192.0.2.77".parse().unwrap()).to_string(), "192.0.2.0");
        assert_eq!(truncate_ip("2001:db8:1:2::9".parse().unwrap()).to_string(), "2001:db8:1::");
        assert_eq!(truncate_ip("::ffff:192.0.2.77".parse().unwrap()).to_string(), "192.0.2.0");
    }
}
