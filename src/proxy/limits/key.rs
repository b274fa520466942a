//! What a bucket belongs to, as 128 bits: no key is stored as text, and none is allocated.
//!
//! An address alone, the usual key, is its own: no two networks share a bucket. All other keys go
//! through two `SipHash`es with random secrets of the limit. Two clients then share a bucket by
//! chance with odds of about n²/2¹²⁹ for n clients (for ten million: 1 in 10²⁴), and without the
//! secrets nobody can aim for it. The bits mean nothing outside their limit and their process; what
//! other processes are to know is made by [`Recipe::shared`].
//!
//! Who has no user, tenant, claim or captured fact is known by his address instead, apart from all who
//! have one: coming without a name is no way around a limit.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;

use aws_lc_rs::digest;
use governor::Quota;
use hashbrown::DefaultHashBuilder;
use http::HeaderMap;
use http::header::HeaderName;
use serde_json::Value as Claim;

use super::store::SharedKey;
use crate::config::model::LimitKey;
use crate::proxy::identity::Identity;
use crate::record::{ConfigName, Fact, Value};

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
    /// Who sent it, once that is verified.
    pub identity: Option<&'a Identity>,
    /// What was captured so far.
    pub facts: &'a [Fact],
    /// The captures that should have given a fact, and could not.
    pub unfit: &'a [ConfigName],
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
    User,
    Tenant,
    Claim(Box<str>),
    Capture(ConfigName),
}

impl Recipe {
    /// A name that no header can have is left out: no client could send it, so all would share.
    pub(super) fn new(key: &[LimitKey], has_tiers: bool) -> Self {
        if key == [LimitKey::Ip] && !has_tiers {
            return Self::Address(DefaultHashBuilder::default());
        }
        let part = |key: &LimitKey| match key {
            LimitKey::Ip => Some(Part::Ip),
            LimitKey::Route => Some(Part::Route),
            LimitKey::Header(name) => {
                HeaderName::from_bytes(name.as_bytes()).ok().map(Part::Header)
            }
            LimitKey::User => Some(Part::User),
            LimitKey::Tenant => Some(Part::Tenant),
            LimitKey::Claim(place) => Some(Part::Claim((&**place).into())),
            LimitKey::Capture(name) => Some(Part::Capture(name.clone())),
        };
        let parts = key.iter().filter_map(part).collect();
        Self::Hashed { parts, secrets: [RandomState::new(), RandomState::new()] }
    }

    /// The key of a request's bucket. Where there are tiers, a bucket belongs to a key at a quota.
    pub(super) fn key(&self, request: &Keys<'_>, tier: Option<Quota>) -> Key {
        match self {
            Self::Address(spread) => {
                let high = network(request.ip);
                Key { low: spread.hash_one(high), high }
            }
            Self::Hashed { parts, secrets: [low, high] } => {
                let hash = |secret: &RandomState| {
                    let mut hasher = secret.build_hasher();
                    if let Some(quota) = tier {
                        write_quota(&mut hasher, quota);
                    }
                    parts.iter().for_each(|part| part.write(&mut hasher, request));
                    hasher.finish()
                };
                Key { low: hash(low), high: hash(high) }
            }
        }
    }

    /// The same key for every replica and for all time. With another quota it is another bucket.
    pub(super) fn shared(&self, limit: &str, quota: Quota, request: &Keys<'_>) -> SharedKey {
        let mut hasher = Sha256(digest::Context::new(&digest::SHA256));
        write(&mut hasher, b"vital-sidecar limit 1");
        write(&mut hasher, limit.as_bytes());
        write_quota(&mut hasher, quota);
        let parts = match self {
            Self::Address(_) => &[Part::Ip][..],
            Self::Hashed { parts, .. } => parts,
        };
        for part in parts {
            let (kind, name) = part.kind();
            write(&mut hasher, kind.as_bytes());
            write(&mut hasher, name.as_bytes());
            part.write(&mut hasher, request);
        }
        let mut half = [0; 16];
        // Of 32 bytes there are always 16.
        half.iter_mut().zip(hasher.0.finish().as_ref()).for_each(|(to, from)| *to = *from);
        SharedKey(u128::from_be_bytes(half))
    }
}

impl Part {
    fn kind(&self) -> (&'static str, &str) {
        match self {
            Self::Ip => ("ip", ""),
            Self::Route => ("route", ""),
            Self::Header(name) => ("header", name.as_str()),
            Self::User => ("user", ""),
            Self::Tenant => ("tenant", ""),
            Self::Claim(place) => ("claim", place),
            Self::Capture(name) => ("capture", name),
        }
    }

    fn write(&self, hasher: &mut impl Hasher, request: &Keys<'_>) {
        let is_known = match self {
            Self::Ip => {
                hasher.write_u64(network(request.ip));
                return;
            }
            Self::Route => {
                write(hasher, request.route.as_bytes());
                return;
            }
            Self::Header(name) => {
                let mut values = 0;
                let given = request.headers.get_all(name).iter();
                for value in given.filter(|value| !value.is_empty()) {
                    write(hasher, value.as_bytes());
                    values += 1;
                }
                hasher.write_u64(values);
                return;
            }
            Self::User => text(hasher, request.identity.and_then(Identity::user)),
            Self::Tenant => text(hasher, request.identity.and_then(Identity::tenant)),
            Self::Claim(place) => {
                claim(hasher, request.identity.and_then(|identity| identity.claim(place)))
            }
            Self::Capture(name) => {
                fact(hasher, request.facts.iter().find(|fact| fact.name == *name))
            }
        };
        if !is_known {
            hasher.write_u8(0);
            hasher.write_u64(network(request.ip));
        }
    }
}

/// Writes a text, if there is one.
fn text(hasher: &mut impl Hasher, text: Option<&str>) -> bool {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return false };
    hasher.write_u8(1);
    write(hasher, text.as_bytes());
    true
}

fn claim(hasher: &mut impl Hasher, claim: Option<&Claim>) -> bool {
    match claim {
        None | Some(Claim::Null) => false,
        Some(Claim::String(value)) => text(hasher, Some(value)),
        Some(value) => {
            // A number and its digits in a string are not the same claim.
            hasher.write_u8(2);
            write(hasher, value.to_string().as_bytes());
            true
        }
    }
}

fn fact(hasher: &mut impl Hasher, fact: Option<&Fact>) -> bool {
    match fact.map(|fact| &fact.value) {
        None => false,
        Some(Value::Member(name)) => text(hasher, Some(name)),
        Some(Value::Length(number) | Value::Number(number)) => {
            hasher.write_u8(2);
            hasher.write_u64(*number);
            true
        }
        Some(Value::Pseudonym(name)) => {
            hasher.write_u8(3);
            hasher.write(name.as_bytes());
            true
        }
    }
}

fn write_quota(hasher: &mut impl Hasher, quota: Quota) {
    let interval = quota.replenish_interval().as_nanos();
    hasher.write_u64(u64::try_from(interval).unwrap_or(u64::MAX));
    hasher.write_u64(quota.burst_size().get().into());
}

/// Writes bytes with their length, so that no two lists of parts look alike.
fn write(hasher: &mut impl Hasher, bytes: &[u8]) {
    hasher.write(bytes);
    hasher.write_u64(bytes.len() as u64);
}

/// SHA-256 that takes what a [`Hasher`] takes, in the same byte order everywhere.
struct Sha256(digest::Context);

impl Hasher for Sha256 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn write_u8(&mut self, number: u8) {
        self.0.update(&[number]);
    }

    fn write_u64(&mut self, number: u64) {
        self.0.update(&number.to_be_bytes());
    }

    // Half of it would not be a key: see `Recipe::shared`.
    fn finish(&self) -> u64 {
        0
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
pub(super) mod tests;
