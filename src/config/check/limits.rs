//! `[rate_limits.…]`, `[rate_limit_headers]` and `[overload]`.
//!
//! Each limit by itself; whether the captures that it reads are there in time is judged by
//! `captured_limits`.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::SOME;
use super::gates::MODES;
use super::names::{self, check_name};
use crate::config::defaults::BURST;
use crate::config::error::Problem;
use crate::config::model::{Cost, LimitKey, Overload, RateLimit, RateLimitHeaders, Share};
use crate::config::section::{Section, Word, lay};
use crate::config::slips;
use crate::config::value::Zero;
use crate::record::ConfigName;
use crate::units::{self, Rate};

/// The words of `rate_limit_headers.form`.
pub(super) const FORMS: [(&str, RateLimitHeaders); 4] = [
    ("ietf", RateLimitHeaders::Ietf),
    ("legacy", RateLimitHeaders::Legacy),
    ("both", RateLimitHeaders::Both),
    ("off", RateLimitHeaders::Off),
];
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
    lay(&mut overload.tenant_share, section.ratio("tenant_share").and_then(share(section)));
}

fn share<'a>(section: &'a Section<'_>) -> impl FnOnce(f64) -> Option<Share> + 'a {
    |ratio| {
        // Three places of a number up to 1.0 have room.
        let text = format!("{:.0}", ratio * 1000.0);
        let share = text.parse().ok().filter(|thousandths| *thousandths > 0).map(Share);
        if share.is_none() {
            let label = "expected a number above 0.0, to 1.0";
            section.refuse("tenant_share", "leaves a tenant nothing", label, None);
        }
        share
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
    let rate = section.rate("rate");
    let burst = section.number("burst", &(1..=u64::from(u32::MAX)));
    let burst = burst.and_then(|burst| NonZeroU32::new(u32::try_from(burst).ok()?));
    let burst = burst.unwrap_or(BURST);
    let mode = section.choice("mode", &MODES);
    let max_keys = section.count("max_keys", &(1..=100_000_000));
    let cost = cost(section, burst);
    let tiers = tiers(section);
    let tier_claim = section.parsed("tier_claim", "a claim", claim);
    let mut limit = RateLimit::new(ConfigName::configured(&name.text), key?, rate?, burst);
    lay(&mut limit.mode, mode);
    lay(&mut limit.max_keys, max_keys);
    lay(&mut limit.cost, cost);
    (limit.tier_claim, limit.tiers) = (tier_claim, tiers);
    Some(limit)
}

/// What a request costs, and what is taken before that is known.
fn cost(section: &Section<'_>, burst: NonZeroU32) -> Option<Cost> {
    let name = section.parsed("cost", "a cost", |text| match text.split_once(':') {
        None if text == "request" => Ok(None),
        Some(("capture", name)) if !name.is_empty() => Ok(Some(ConfigName::configured(name))),
        _ => Err("expected \"request\" or \"capture:<name>\""),
    });
    // More than the burst could never be taken.
    let reserve = section.number("reserve", &(1..=u64::from(burst.get())));
    let reserve = reserve.and_then(|reserve| NonZeroU32::new(u32::try_from(reserve).ok()?));
    let is_more = reserve.is_some_and(|reserve| reserve > NonZeroU32::MIN);
    if is_more && (matches!(name, Some(None)) || section.is_silent("cost")) {
        let label = "every request costs one token, which is known at once";
        section.refuse(
            "reserve",
            "has no use here",
            label,
            Some("add `cost = \"capture:<name>\"`"),
        );
    }
    let name = name??;
    Some(Cost::Capture { name, reserve: reserve.unwrap_or(NonZeroU32::MIN) })
}

fn tiers(section: &Section<'_>) -> Vec<(ConfigName, Rate)> {
    for (key, partner) in [("tiers", "tier_claim"), ("tier_claim", "tiers")] {
        if section.has(key) && !section.has(partner) {
            let title = format!("`{}` has no use here", section.path_of(key));
            let label = format!("there is no `{partner}` beside it");
            section.problems.push(Problem::at(&section.origin_of(key), title).label(label));
        }
    }
    let mut tiers = Vec::new();
    for (name, rate) in section.pairs("tiers") {
        match units::rate(&rate.text) {
            Ok(rate) => tiers.push((ConfigName::configured(&name.text), rate)),
            Err(error) => {
                let title = format!("the tier `{}` is not a rate", name.text);
                let problem = Problem::at(&rate.origin, title).label(error);
                section.problems.push(match slips::rate(&rate.text) {
                    Some(help) => problem.help(help),
                    None => problem,
                });
            }
        }
    }
    tiers
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
        None if text == "user" => Ok(LimitKey::User),
        None if text == "tenant" => Ok(LimitKey::Tenant),
        Some(("header", name)) => names::header_name(name).map(LimitKey::Header),
        Some(("claim", place)) => claim(place).map(LimitKey::Claim),
        Some(("capture", name)) if !name.is_empty() => {
            Ok(LimitKey::Capture(ConfigName::configured(name)))
        }
        _ => Err("expected \"ip\", \"route\", \"user\", \"tenant\", \"header:<name>\", \
                  \"claim:<name or pointer>\" or \"capture:<name>\""),
    }
}

/// The name of a claim, or a JSON pointer to one.
fn claim(text: &str) -> Result<Arc<str>, &'static str> {
    if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
        return Err("expected the name of a claim, or a JSON pointer such as \"/realm/plan\"");
    }
    Ok(text.into())
}
