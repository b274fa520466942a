//! What shares a bucket, and what does not.

use serde_json::json;

use super::*;

pub(in super::super) fn numbered(n: u64) -> Key {
    // Any spread will do here; the real keys are spread by their hashes.
    let spread = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Key { low: spread, high: n }
}

fn request<'a>(ip: &str, route: &'a str, headers: &'a HeaderMap) -> Keys<'a> {
    Keys { ip: ip.parse().unwrap(), route, headers, identity: None, facts: &[], unfit: &[] }
}

fn identity(claims: &serde_json::Value, user: Option<&str>, tenant: Option<&str>) -> Identity {
    let claims = claims.as_object().cloned().unwrap();
    Identity::new(claims, user.map(Into::into), tenant.map(Into::into))
}

#[test]
fn ipv6_counts_by_its_network_and_mapped_ipv4_as_ipv4() {
    let recipe = Recipe::new(&[LimitKey::Ip], false);
    let headers = HeaderMap::new();
    let key = |ip| recipe.key(&request(ip, "/", &headers), None);
    assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
    assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
}

#[test]
fn every_named_part_counts_and_no_other() {
    let recipe = Recipe::new(&[LimitKey::Route, LimitKey::Header("x-key".into())], false);
    let head =
        |value: &str| [("x-key".parse().unwrap(), value.parse().unwrap())].into_iter().collect();
    let (a, b, empty): (HeaderMap, HeaderMap, HeaderMap) = (head("a"), head("b"), head(""));
    let key = |ip, route, headers| recipe.key(&request(ip, route, headers), None);
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
        let key = || Recipe::new(parts, false).key(&request, None);
        assert_ne!(key(), key());
    }
}

#[test]
fn who_has_no_name_is_known_by_his_address_and_meets_nobody_who_has_one() {
    let headers = HeaderMap::new();
    let named = identity(&json!({"plan": "free", "n": 1, "m": "1", "none": null}), Some("u"), None);
    let parts = [LimitKey::User, LimitKey::Tenant, LimitKey::Claim("plan".into())];
    for part in parts.iter().chain([&LimitKey::Capture("c".into())]) {
        let recipe = Recipe::new(std::slice::from_ref(part), false);
        let key = |ip| recipe.key(&request(ip, "/", &headers), None);
        assert_eq!(key("192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"), "{part:?}");
    }
    let key = |part: &LimitKey, ip, who| {
        let recipe = Recipe::Hashed {
            parts: match Recipe::new(std::slice::from_ref(part), false) {
                Recipe::Hashed { parts, .. } => parts,
                Recipe::Address(_) => unreachable!("not an address"),
            },
            secrets: SECRETS.with(Clone::clone),
        };
        recipe.key(&Keys { identity: who, ..request(ip, "/", &headers) }, None)
    };
    let user = &LimitKey::User;
    assert_eq!(key(user, "192.0.2.1", Some(&named)), key(user, "192.0.2.2", Some(&named)));
    assert_ne!(key(user, "192.0.2.1", Some(&named)), key(user, "192.0.2.1", None));
    // No tenant, and a claim that is null: by address, as without an identity at all.
    for part in [LimitKey::Tenant, LimitKey::Claim("none".into())] {
        assert_eq!(key(&part, "192.0.2.1", Some(&named)), key(&part, "192.0.2.1", None));
    }
    let claim = |name: &str| LimitKey::Claim(name.into());
    assert_ne!(
        key(&claim("n"), "192.0.2.1", Some(&named)),
        key(&claim("m"), "192.0.2.1", Some(&named)),
        "a number is not its digits"
    );
    assert_eq!(
        key(&claim("plan"), "192.0.2.1", Some(&named)),
        key(&claim("/plan"), "192.0.2.9", Some(&named)),
    );
}

thread_local! {
    static SECRETS: [RandomState; 2] = [RandomState::new(), RandomState::new()];
}

#[test]
fn captured_facts_make_keys() {
    let headers = HeaderMap::new();
    let recipe = Recipe::new(&[LimitKey::Capture("mode".into())], false);
    let key = |name: &'static str, value, ip| {
        let facts = [Fact { name: name.into(), value }];
        recipe.key(&Keys { facts: &facts, ..request(ip, "/", &headers) }, None)
    };
    let member = |text: &'static str| Value::Member(text.into());
    assert_eq!(key("mode", member("a"), "::1"), key("mode", member("a"), "192.0.2.1"));
    assert_ne!(key("mode", member("a"), "::1"), key("mode", member("b"), "::1"));
    assert_ne!(key("mode", Value::Number(1), "::1"), key("mode", Value::Number(2), "::1"));
    assert_ne!(key("other", member("a"), "::1"), key("other", member("a"), "192.0.2.1"));
}

#[test]
fn a_tier_has_buckets_of_its_own() {
    let headers = HeaderMap::new();
    let recipe = Recipe::new(&[LimitKey::Ip], true);
    let of = |n| Quota::per_second(std::num::NonZeroU32::new(n).unwrap());
    let key = |quota| recipe.key(&request("192.0.2.1", "/", &headers), Some(quota));
    assert_eq!(key(of(1)), key(of(1)));
    assert_ne!(key(of(1)), key(of(2)));
}

#[test]
fn a_shared_key_is_the_same_for_every_replica_and_shows_nothing() {
    let headers = HeaderMap::new();
    let quota = Quota::per_second(std::num::NonZeroU32::MIN);
    let shared = |limit: &str, key: &[LimitKey], ip| {
        Recipe::new(key, false).shared(limit, quota, &request(ip, "/", &headers))
    };
    let (ip, route) = ([LimitKey::Ip], [LimitKey::Route]);
    assert_eq!(shared("a", &ip, "192.0.2.1"), shared("a", &ip, "192.0.2.1"));
    assert_ne!(shared("a", &ip, "192.0.2.1"), shared("a", &ip, "192.0.2.2"));
    assert_ne!(shared("a", &ip, "192.0.2.1"), shared("b", &ip, "192.0.2.1"));
    assert_ne!(shared("a", &ip, "192.0.2.1"), shared("a", &route, "192.0.2.1"));
    // Every release must make the same key, or an upgrade in parts would give everybody two buckets.
    let bytes: &[&[u8]] = &[
        b"vital-sidecar limit 1",
        &21u64.to_be_bytes(),
        b"a",
        &1u64.to_be_bytes(),
        &1_000_000_000u64.to_be_bytes(),
        &1u64.to_be_bytes(),
        b"ip",
        &2u64.to_be_bytes(),
        &0u64.to_be_bytes(),
        &0xc000_0201_u64.to_be_bytes(),
    ];
    let whole = digest::digest(&digest::SHA256, &bytes.concat());
    let half: [u8; 16] = whole.as_ref()[..16].try_into().unwrap();
    assert_eq!(shared("a", &ip, "192.0.2.1").0, u128::from_be_bytes(half));
}
