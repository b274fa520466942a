//! What a bucket belongs to, as 128 bits: no key is stored as text, and none is allocated.
//!
//! An address alone, the usual key, is its own: no two networks share a bucket. All other keys go
//! through two `SipHash`es with random secrets of the limit. Two clients then share a bucket by
//! chance with odds of about n²/2¹²⁹ for n clients (for ten million: 1 in 10²⁴), and without the
//! secrets nobody can aim for it. The bits mean nothing outside their limit and their process.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;

use hashbrown::DefaultHashBuilder;
use http::HeaderMap;
use http::header::HeaderName;

use crate::config::model::LimitKey;

/// What a request offers to make keys of.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// The client's address. IPv6 counts by /64, the smallest network that one client gets.
    pub ip: IpAddr,
    /// The route's template.
    pub route: &'a str,
    /// The client's header fields. One that is not there counts as empty: all clients without it
    /// share a bucket.
    pub headers: &'a HeaderMap,
}

/// The key of a bucket. Its lower half is spread by a secret, so it serves as its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    low: u64,
    high: u64,
}

impl Key {
    /// A number to choose a shard by. A map takes its place from the ends of the hash, so this comes
    /// from the middle.
    pub(super) fn shard(self) -> usize {
        usize::from(self.low.to_be_bytes()[3])
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

/// How the keys of one limit are made.
#[derive(Debug)]
pub(super) enum Recipe {
    /// Of the address alone.
    Address(DefaultHashBuilder),
    /// Of several parts, or of text.
    Hashed { parts: Box<[Part]>, secrets: [RandomState; 2] },
}

#[derive(Debug)]
pub(super) enum Part {
    Ip,
    Route,
    Header(HeaderName),
}

impl Recipe {
    /// A name that no header can have is left out: no client could send it, so all would share.
    pub(super) fn new(key: &[LimitKey]) -> Self {
        if key == [LimitKey::Ip] {
            return Self::Address(DefaultHashBuilder::default());
        }
        let part = |key: &LimitKey| match key {
            LimitKey::Ip => Some(Part::Ip),
            LimitKey::Route => Some(Part::Route),
            LimitKey::Header(name) => {
                HeaderName::from_bytes(name.as_bytes()).ok().map(Part::Header)
            }
        };
        let parts = key.iter().filter_map(part).collect();
        Self::Hashed { parts, secrets: [RandomState::new(), RandomState::new()] }
    }

    pub(super) fn key(&self, request: &Keys<'_>) -> Key {
        match self {
            Self::Address(spread) => {
                let high = network(request.ip);
                Key { low: spread.hash_one(high), high }
            }
            Self::Hashed { parts, secrets: [low, high] } => {
                Key { low: hash(parts, low, request), high: hash(parts, high, request) }
            }
        }
    }
}

fn hash(parts: &[Part], secret: &RandomState, request: &Keys<'_>) -> u64 {
    let mut hasher = secret.build_hasher();
    for part in parts {
        match part {
            Part::Ip => hasher.write_u64(network(request.ip)),
            Part::Route => write(&mut hasher, request.route.as_bytes()),
            Part::Header(name) => {
                let mut values = 0;
                for value in request.headers.get_all(name) {
                    write(&mut hasher, value.as_bytes());
                    values += usize::from(!value.is_empty());
                }
                hasher.write_usize(values);
            }
        }
    }
    hasher.finish()
}

/// Writes bytes with their length, so that no two lists of parts look alike.
fn write(hasher: &mut impl Hasher, bytes: &[u8]) {
    if !bytes.is_empty() {
        hasher.write(bytes);
        hasher.write_usize(bytes.len());
    }
}

/// An IPv4 address, or the upper half of an IPv6 one. Clients do not meet there: of the IPv6 addresses
/// with an upper half below 2³² only `::1` is in use, and it meets 0.0.0.0, which is nobody's.
fn network(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => u64::try_from(ip.to_bits() >> 64).unwrap_or(0),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn numbered(n: u64) -> Key {
        // Any spread will do here; the real keys are spread by their hashes.
        let spread = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Key { low: spread, high: n }
    }

    fn request<'a>(ip: &str, route: &'a str, headers: &'a HeaderMap) -> Keys<'a> {
        Keys { ip: ip.parse().unwrap(), route, headers }
    }

    #[test]
    fn ipv6_counts_by_its_network_and_mapped_ipv4_as_ipv4() {
        let recipe = Recipe::new(&[LimitKey::Ip]);
        let headers = HeaderMap::new();
        let key = |ip| recipe.key(&request(ip, "/", &headers));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn every_named_part_counts_and_no_other() {
        let recipe = Recipe::new(&[LimitKey::Route, LimitKey::Header("x-key".into())]);
        let head = |value: &str| {
            [("x-key".parse().unwrap(), value.parse().unwrap())].into_iter().collect()
        };
        let (a, b, empty): (HeaderMap, HeaderMap, HeaderMap) = (head("a"), head("b"), head(""));
        let key = |ip, route, headers| recipe.key(&request(ip, route, headers));
        assert_eq!(key("::1", "/x", &a), key("::2", "/x", &a));
        assert_ne!(key("::1", "/x", &a), key("::1", "/y", &a));
        assert_ne!(key("::1", "/x", &a), key("::1", "/x", &b));
        assert_eq!(key("::1", "/x", &empty), key("::1", "/x", &HeaderMap::new()));
    }

    #[test]
    fn two_limits_hash_the_same_request_differently() {
        let headers = HeaderMap::new();
        let request = request("192.0.2.1", "/", &headers);
        for parts in [&[LimitKey::Ip][..], &[LimitKey::Route]] {
            assert_ne!(Recipe::new(parts).key(&request), Recipe::new(parts).key(&request));
        }
    }
}
