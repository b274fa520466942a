//! Cleaning of the two wire strings that may leave: the user agent and the path's shape.
//!
//! What comes out holds no control bytes, no quotes-breaking bytes beyond plain ASCII, no token that
//! looks like an address or a secret, and is bounded.

use std::net::IpAddr;

/// The longest user agent kept, in bytes.
const MAX_USER_AGENT: usize = 256;
/// A token longer than this may be a secret.
const MAX_TOKEN: usize = 40;
/// The longest path segment that is shown as it is.
const MAX_SEGMENT: usize = 32;
/// The longest shape kept, in segments.
const MAX_SEGMENTS: usize = 16;

/// Sanitises a user agent: control and non-ASCII bytes, and any token with `@` or over 40
/// characters, become `?`; at most 256 bytes stay.
pub fn user_agent(value: &[u8]) -> Box<str> {
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
    String::from_utf8(clean).unwrap_or_default().into_boxed_str()
}

/// The shape of a path: segments of letters, `-`, `_`, `.` up to 32 characters stay, any other
/// becomes `{}`. Never a query.
pub fn shape(path: &str) -> String {
    let plain = |s: &str| {
        s.len() <= MAX_SEGMENT
            && s.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_' | b'.'))
    };
    let mut shape = String::with_capacity(path.len().min(256));
    for (index, segment) in path.strip_prefix('/').unwrap_or(path).split('/').enumerate() {
        shape.push('/');
        if index == MAX_SEGMENTS {
            shape.push_str("{}");
            break;
        }
        shape.push_str(if plain(segment) { segment } else { "{}" });
    }
    shape
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
        assert_eq!(&*user_agent(b"curl/8.5.0"), "curl/8.5.0");
        assert_eq!(&*user_agent(b"bot\x1b[2J a@b.example x"), "bot?[2J ? x");
        assert_eq!(&*user_agent(&[b'x'; 41]), "?");
        assert!(user_agent(&[b' '; 999]).len() <= MAX_USER_AGENT);
        let late = |token: &str| user_agent(format!("{}{token}", "y ".repeat(120)).as_bytes());
        assert!(late("name.before.the.bound@host.example").ends_with(" ?"));
        assert!(late(&"s".repeat(60)).ends_with(" ?"));
    }

    #[test]
    fn shapes_keep_words_and_hide_everything_else() {
        assert_eq!(shape("/api/patients/4711/notes"), "/api/patients/{}/notes");
        assert_eq!(shape("/"), "/");
        assert_eq!(shape("/a%20b"), "/{}");
    }

    #[test]
    fn addresses_are_truncated() {
        assert_eq!(truncate_ip("192.0.2.77".parse().unwrap()).to_string(), "192.0.2.0");
        assert_eq!(truncate_ip("2001:db8:1:2::9".parse().unwrap()).to_string(), "2001:db8:1::");
        assert_eq!(truncate_ip("::ffff:192.0.2.77".parse().unwrap()).to_string(), "192.0.2.0");
    }
}
