//! What may stand in a `Host` field, and in the authority of a target (RFC 9112 §3.2).

use std::net::Ipv6Addr;

use super::fields::is_host;

/// Whether these bytes are a host with or without a port. No user information, no escapes, no zone:
/// readers disagree about each of them.
pub(super) fn is_valid(authority: &[u8]) -> bool {
    let (is_named, port) = if let [b'[', literal @ ..] = authority {
        let Some(end) = memchr::memchr(b']', literal) else { return false };
        let address = std::str::from_utf8(&literal[..end]).unwrap_or_default();
        (address.parse::<Ipv6Addr>().is_ok(), &literal[end + 1..])
    } else {
        let end = authority.iter().position(|byte| !is_host(*byte)).unwrap_or(authority.len());
        (end > 0, &authority[end..])
    };
    is_named
        && match port {
            [] | [b':'] => true,
            [b':', digits @ ..] => digits.len() <= 5 && is_port(digits),
            _ => false,
        }
}

fn is_port(digits: &[u8]) -> bool {
    let number = digits.iter().try_fold(0_u32, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    });
    number.is_some_and(|port| port <= 65_535)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_a_name_or_an_address_and_perhaps_a_port() {
        for host in [
            "a",
            "app.example",
            "my_service:8080",
            "127.0.0.1:80",
            "[::1]",
            "[2001:db8::1]:443",
            "a:",
            "a:0",
            "a:65535",
            "xn--e1afmkfd.example.",
            "UPPER.Example",
            "~",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
        for odd in [
            "",
            ":80",
            "a:65536",
            "a:-1",
            "a:+1",
            "a:8o",
            "a:000080",
            "a b",
            "a,b",
            "a/b",
            "a?",
            "a#",
            "u@a",
            "a%41",
            "a\\b",
            "[::1",
            "::1",
            "[a]",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "a;b",
            "a:80:80",
            "(a)",
            "é.example",
        ] {
            assert!(!is_valid(odd.as_bytes()), "{odd}");
        }
    }
}
