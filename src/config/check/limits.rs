//! `[rate_limits.…]`, `[rate_limit_headers]` and `[overload]`.

use std::num::NonZeroU32;

use super::{SOME, doors};
use crate::config::defaults::{BURST, MAX_KEYS};
use crate::config::error::Problem;
use crate::config::model::{LimitKey, Mode, Overload, RateLimit, RateLimitHeaders};
use crate::config::section::{Section, Word, lay};
use crate::config::value::Zero;
use crate::record::ConfigName;
use crate::units;

/// The words of `rate_limit_headers.form`.
pub(super) const FORMS: [(&str, RateLimitHeaders); 2] =
    [("ietf", RateLimitHeaders::Ietf), ("off", RateLimitHeaders::Off)];
/// The modes of a gate.
pub(super) const MODES: [(&str, Mode); 3] =
    [("enforce", Mode::Enforce), ("shadow", Mode::Shadow), ("off", Mode::Off)];

/// Every limit, and the names of all that were written, also those with a mistake in them.
pub(super) fn rate_limits(root: &Section<'_>) -> (Vec<String>, Vec<RateLimit>) {
    let (mut names, mut limits) = (Vec::new(), Vec::new());
    for (name, section) in root.named("rate_limits") {
        check_name(&section, &name, "a limit");
        limits.extend(rate_limit(&section, &name));
        names.push(name.text);
    }
    (names, limits)
}

/// `[overload]`.
pub(super) fn overload(section: &Section<'_>, overload: &mut Overload) {
    lay(&mut overload.max_in_flight, section.count("max_in_flight", &SOME));
    lay(&mut overload.max_streams, section.count("max_streams", &(0..=*SOME.end())));
    lay(&mut overload.queue_timeout, section.duration("queue_timeout", Zero::Meaningful));
}

/// A name that is written into a header or a label.
pub(super) fn check_name(section: &Section<'_>, name: &Word, of: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.text.is_empty() || name.text.len() > 64 || !name.text.bytes().all(plain) {
        let problem = Problem::at(&name.origin, format!("this name cannot name {of}"));
        let label = "expected 1 to 64 letters, digits, `.`, `_` or `-`";
        section.problems.push(problem.label(label));
    }
}

fn rate_limit(section: &Section<'_>, name: &Word) -> Option<RateLimit> {
    for key in ["key", "rate"] {
        if !section.has(key) {
            let title = format!("`{}` is missing", section.path_of(key));
            let problem = Problem::at(&section.origin, title).label("this limit is incomplete");
            section.problems.push(problem.help(match key {
                "key" => "add, for example, `key = [\"ip\"]`",
                _ => "add, for example, `rate = \"60/min\"`",
            }));
        }
    }
    let key = keys(section);
    let rate = section.parsed("rate", "a rate", units::rate);
    let burst = section.number("burst", &(1..=u64::from(u32::MAX)));
    let burst = burst.and_then(|burst| NonZeroU32::new(u32::try_from(burst).ok()?));
    let mode = section.choice("mode", &MODES);
    let max_keys = section.count("max_keys", &(1..=100_000_000));
    Some(RateLimit {
        name: ConfigName::configured(&name.text),
        key: key?,
        rate: rate?,
        burst: burst.unwrap_or(BURST),
        mode: mode.unwrap_or(Mode::Enforce),
        max_keys: max_keys.unwrap_or(MAX_KEYS),
    })
}

fn keys(section: &Section<'_>) -> Option<Vec<LimitKey>> {
    let words = section.words("key")?;
    if words.is_empty() {
        section.refuse("key", "is empty", "expected at least one part", None);
    }
    let mut keys = Vec::new();
    for word in words {
        let refuse = |what: &str, label: &str| {
            let title = format!("`{}` {what}", section.path_of("key"));
            section.problems.push(Problem::at(&word.origin, title).label(label));
        };
        match part(&word.text) {
            Ok(part) if keys.contains(&part) => refuse("names a part twice", "named before"),
            Ok(part) => keys.push(part),
            Err(label) => refuse("holds an unknown part", label),
        }
    }
    Some(keys)
}

fn part(text: &str) -> Result<LimitKey, &'static str> {
    match text.split_once(':') {
        None if text == "ip" => Ok(LimitKey::Ip),
        None if text == "route" => Ok(LimitKey::Route),
        Some(("header", name)) => doors::header_name(name).map(LimitKey::Header),
        _ => Err("expected \"ip\", \"route\" or \"header:<name>\""),
    }
}
