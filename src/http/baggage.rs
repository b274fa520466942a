//! W3C Baggage: whether a header may be passed on.
//!
//! What it says is never read: members belong to the applications on either side.

use super::framing::is_token;

/// Bytes of the whole header, lines joined by commas (W3C Baggage §3.3.2).
pub const MAX_BYTES: usize = 8192;
/// Members of the whole header (§3.3.2).
pub const MAX_MEMBERS: usize = 64;

/// Whether these lines are baggage within its limits: at least one member, each a key, a value and
/// perhaps properties (§3.3.1). Empty members are passed over, as in every list of HTTP.
pub fn is_valid<'a>(lines: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut bytes, mut members) = (0, 0);
    for (at, line) in lines.enumerate() {
        bytes += line.len() + usize::from(at > 0);
        if bytes > MAX_BYTES {
            return false;
        }
        for member in line.split(|byte| *byte == b',') {
            if member.trim_ascii().is_empty() {
                continue;
            }
            members += 1;
            if members > MAX_MEMBERS || !is_member(member) {
                return false;
            }
        }
    }
    members > 0
}

fn is_member(member: &[u8]) -> bool {
    let mut parts = member.split(|byte| *byte == b';');
    let is_pair = parts.next().and_then(pair).is_some_and(|(_, value)| value.is_some());
    is_pair && parts.all(|property| pair(property).is_some())
}

/// A key, and the value behind it if there is one.
fn pair(part: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (key, value) = match part.iter().position(|byte| *byte == b'=') {
        Some(at) => (&part[..at], Some(part[at + 1..].trim_ascii())),
        None => (part, None),
    };
    let key = key.trim_ascii();
    let is_key = !key.is_empty() && key.iter().all(|byte| is_token(*byte));
    let is_value = value.is_none_or(|value| value.iter().all(|byte| is_octet(*byte)));
    (is_key && is_value).then_some((key, value))
}

/// `baggage-octet`: visible ASCII without the double quote, comma, semicolon and backslash.
fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn valid(lines: &[&str]) -> bool {
        is_valid(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn members_with_values_and_properties_are_baggage() {
        for good in [
            "k=v",
            "k=",
            "userId=alice, serverNode=DF%2028,isProduction=false",
            "k1 = v1 ; p1 ; p2 = x=y , k2=v2",
            "k=a=b",
            "k=v,,",
        ] {
            assert!(valid(&[good]), "{good}");
        }
        assert!(valid(&["a=1", "b=2"]));
    }

    #[test]
    fn anything_else_is_not() {
        for bad in [
            "", ",", "k", "=v", "k k=v", "k=v v", "k=\"v\"", "k=v\\", "k=\u{e9}", "k=v;", "k=v;=1",
            "k=v;p p", "ok=1,k",
        ] {
            assert!(!valid(&[bad]), "{bad}");
        }
        assert!(!valid(&["ok=1", "k"]));
    }

    #[test]
    fn the_limits_hold_for_all_lines_together() {
        let line = |length: usize| format!("k={}", "v".repeat(length - 2));
        assert!(valid(&[&line(8192)]) && !valid(&[&line(8193)]));
        assert!(valid(&[&line(4000), &line(4191)]) && !valid(&[&line(4000), &line(4192)]));
        let of = |count: usize| vec!["k=v"; count].join(",");
        assert!(valid(&[&of(64)]) && !valid(&[&of(65)]) && !valid(&[&of(40), &of(25)]));
    }

    proptest! {
        #[test]
        fn what_is_valid_can_be_a_header_again(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if is_valid(bytes.split(|byte| *byte == b'\n')) {
                let printable = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
                prop_assert!(bytes.iter().all(printable));
            }
        }

        #[test]
        fn pairs_of_tokens_are_baggage(pairs in proptest::collection::vec("[a-z!#]{1,9}=[!#-+:<>-Z]{0,20}", 1..60)) {
            prop_assert!(valid(&[&pairs.join(",")]));
        }
    }
}
