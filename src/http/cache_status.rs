//! Whether an answer came from a cache on its way: `Cache-Status` (RFC 9211), and the words of the
//! `X-Cache` family.
//!
//! Several caches may each have said something, the one nearest to the origin first. An answer that any
//! of them had is a hit: whatever the others say, the origin did not make it. Where none had it and at
//! least one looked, it is a miss. A cache that did not look (a bypass, a method that is never cached)
//! says nothing, and neither does a word that is not known here.

use http::header::{CACHE_STATUS, HeaderMap, HeaderName, HeaderValue};

/// What caches say of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// One of them had it; if stale, it was still the stored answer that went out.
    Hit,
    /// They looked, and the origin made it.
    Miss,
}

/// The header fields that are asked, in their order.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    names: Vec<HeaderName>,
    /// A bit for the length of each name: most fields of an answer are of another length than all.
    lengths: u64,
}

impl Fields {
    /// These fields; what is no field name is left out.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names =
            names.into_iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
        let names: Vec<_> = names.collect();
        let lengths = names.iter().fold(0, |bits, name| bits | bit(name));
        Self { names, lengths }
    }

    /// What the first of the fields that says anything says. One look at each field of an answer that
    /// has none of them.
    pub fn judge(&self, headers: &HeaderMap) -> Option<Cache> {
        let is_asked =
            |name: &HeaderName| self.lengths & bit(name) != 0 && self.names.contains(name);
        if !headers.keys().any(is_asked) {
            return None;
        }
        self.names.iter().find_map(|name| {
            let values = headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
            combine(values.flat_map(|value| members(value, b',')).map(|member| judge(name, member)))
        })
    }
}

fn bit(name: &HeaderName) -> u64 {
    1 << name.as_str().len().min(63)
}

fn combine(verdicts: impl Iterator<Item = Option<Cache>>) -> Option<Cache> {
    let mut whole = None;
    for verdict in verdicts.flatten() {
        if verdict == Cache::Hit {
            return Some(Cache::Hit);
        }
        whole = Some(verdict);
    }
    whole
}

/// What one cache says.
fn judge(name: &HeaderName, member: &[u8]) -> Option<Cache> {
    if *name == CACHE_STATUS { judge_status(member) } else { judge_word(name, member) }
}

/// A member of `Cache-Status`: the cache's name, then parameters (RFC 9211 §2).
fn judge_status(member: &[u8]) -> Option<Cache> {
    let (mut reason, mut is_not_modified) = (None, false);
    for parameter in members(member, b';').skip(1) {
        match parameter {
            b"hit" | b"hit=?1" => return Some(Cache::Hit),
            b"fwd-status=304" => is_not_modified = true,
            _ => reason = parameter.strip_prefix(b"fwd=").or(reason),
        }
    }
    match reason? {
        // It did not look (§2.2): told not to, or by the method.
        b"bypass" | b"method" => None,
        // The origin only said that what was stored is still right.
        b"stale" if is_not_modified => Some(Cache::Hit),
        _ => Some(Cache::Miss),
    }
}

/// A member of an `X-Cache`: the first word counts, as in `HIT`, `MISS from edge-1`,
/// `TCP_REFRESH_HIT from …` or `RefreshHit from cloudfront`.
fn judge_word(name: &HeaderName, member: &[u8]) -> Option<Cache> {
    let is_end = |byte: &u8| !byte.is_ascii_alphabetic() && *byte != b'_' && *byte != b'-';
    let word = member.split(is_end).next()?.to_ascii_uppercase();
    match word.as_slice() {
        // Vercel and Next.js use the word for a page that was made anew, everybody else for one whose
        // stored form the origin has confirmed.
        b"REVALIDATED" if matches!(name.as_str(), "x-vercel-cache" | "x-nextjs-cache") => {
            Some(Cache::Miss)
        }
        b"STALE" | b"UPDATING" | b"PRERENDER" | b"REVALIDATED" => Some(Cache::Hit),
        b"EXPIRED" => Some(Cache::Miss),
        word if word.ends_with(b"HIT") => Some(Cache::Hit),
        word if word.ends_with(b"MISS") => Some(Cache::Miss),
        _ => None,
    }
}

/// The parts of a list or of a list's member, trimmed. A separator in a quoted string is none (RFC 9110
/// §5.6.4).
fn members(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(move |byte| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match *byte {
            _ if was_escaped => {}
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            byte => return byte == separator && !is_quoted,
        }
        false
    });
    parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HIT: Option<Cache> = Some(Cache::Hit);
    const MISS: Option<Cache> = Some(Cache::Miss);
    const FIELDS: [&str; 5] =
        ["cache-status", "x-cache", "x-nextjs-cache", "x-vercel-cache", "cf-cache-status"];

    fn verdict(fields: &[(&'static str, &str)]) -> Option<Cache> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "text/plain".parse().unwrap());
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        Fields::new(FIELDS).judge(&headers)
    }

    #[test]
    fn cache_status_is_read_as_rfc_9211_writes_it() {
        for (value, expected) in [
            // The examples of RFC 9211 §3.
            ("ExampleCache; hit; ttl=376", HIT),
            ("ExampleCache; fwd=uri-miss", MISS),
            ("ExampleCache; fwd=stale; fwd-status=304", HIT),
            ("ExampleCache; fwd=stale; fwd-status=200", MISS),
            ("ExampleCache; fwd=uri-miss; collapsed", MISS),
            ("ReverseProxyCache; hit, ForwardProxyCache; hit", HIT),
            ("Origin; hit; ttl=30, Edge; fwd=uri-miss", HIT),
            ("Origin; fwd=uri-miss, Edge; hit; ttl=545", HIT),
            // What a cache says that did not look.
            ("ExampleCache; fwd=bypass; detail=\"no-store\"", None),
            ("ExampleCache; fwd=method", None),
            ("Inner; fwd=vary-miss, Outer; fwd=bypass", MISS),
            ("ExampleCache; fwd=request", MISS),
            ("ExampleCache; hit=?1", HIT),
            ("ExampleCache; hit=?0; fwd=miss", MISS),
            // Names and details may hold anything.
            ("\"edge; hit\"; fwd=miss", MISS),
            ("\"a \\\"quoted\\\", name; hit\"; fwd=miss", MISS),
            ("edge; fwd=miss; detail=\"x, y; hit\"", MISS),
            ("hit", None),
            ("edge; hitman", None),
            ("", None),
            (";;,,;", None),
            ("\"unclosed; hit", None),
        ] {
            assert_eq!(verdict(&[("cache-status", value)]), expected, "{value}");
        }
    }

    #[test]
    fn the_words_of_every_vendor_are_known() {
        for (name, value, expected) in [
            ("x-cache", "HIT", HIT),
            ("x-cache", "hit (12)", HIT),
            ("x-cache", "MISS from proxy.example", MISS),
            // Squid and Fastly: one word for each cache.
            ("x-cache", "MISS from a, HIT from b", HIT),
            ("x-cache", "HIT, MISS", HIT),
            ("x-cache", "MISS, MISS", MISS),
            // CloudFront.
            ("x-cache", "Hit from cloudfront", HIT),
            ("x-cache", "RefreshHit from cloudfront", HIT),
            ("x-cache", "Miss from cloudfront", MISS),
            ("x-cache", "Error from cloudfront", None),
            // Akamai and Azure.
            ("x-cache", "TCP_MEM_HIT from a1.deploy (AkamaiGHost/9) (-)", HIT),
            ("x-cache", "TCP_REFRESH_MISS from a1.deploy", MISS),
            ("x-cache", "CONFIG_NOCACHE", None),
            // nginx, and whoever shows its $upstream_cache_status.
            ("x-cache", "EXPIRED", MISS),
            ("x-cache", "UPDATING", HIT),
            ("x-cache", "REVALIDATED", HIT),
            ("x-cache", "BYPASS", None),
            ("cf-cache-status", "DYNAMIC", None),
            ("cf-cache-status", "REVALIDATED", HIT),
            ("x-nextjs-cache", "STALE", HIT),
            ("x-nextjs-cache", "REVALIDATED", MISS),
            ("x-vercel-cache", "PRERENDER", HIT),
            ("x-vercel-cache", "REVALIDATED", MISS),
            ("x-cache", "Dismissed", None),
            ("x-cache", "", None),
            ("x-other-cache", "HIT", None),
        ] {
            assert_eq!(verdict(&[(name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn the_first_field_that_says_anything_decides() {
        assert_eq!(verdict(&[("x-cache", "HIT"), ("cache-status", "a; fwd=miss")]), MISS);
        assert_eq!(verdict(&[("x-cache", "HIT"), ("cache-status", "a; fwd=bypass")]), HIT);
        assert_eq!(verdict(&[("x-cache", "MISS"), ("x-cache", "HIT")]), HIT);
        assert_eq!(Fields::new([]).judge(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn no_value_makes_it_fall(value in "[ -~]{0,60}") {
            verdict(&[("cache-status", &value), ("x-cache", &value)]);
        }
    }
}
