//! Limits that read captures: whether what they read is there, and in time.
//!
//! A limit is asked before the request goes on, so nothing of the answer can be part of its key. What
//! a request costs may be in the answer: it is settled then.

use crate::config::error::Problem;
use crate::config::model::{Config, Cost, LimitKey, RateLimit, Take};
use crate::config::section::Section;

/// Looks at every limit, and at every route that names one.
pub(super) fn check(root: &Section<'_>, config: &Config) {
    if config.rate_limits.iter().all(|limit| limit.captures().next().is_none()) {
        return;
    }
    for (name, section) in root.named("rate_limits") {
        if let Some(limit) = config.rate_limits.iter().find(|limit| *limit.name == *name.text) {
            parts(&section, limit, root, config);
        }
    }
    let defaults = root.section("route_defaults");
    route(&defaults, config, &config.default_rate_limits, &[]);
    let sections = if config.routes.is_empty() { Vec::new() } else { root.each("routes") };
    // With a mistake in one of them, nobody knows which is which.
    if sections.len() == config.routes.len() {
        for (section, policy) in sections.iter().zip(&config.routes) {
            route(section, config, &policy.rate_limits, &policy.captures);
        }
    }
}

/// What one limit reads, by itself.
fn parts(section: &Section<'_>, limit: &RateLimit, root: &Section<'_>, config: &Config) {
    let find = |key: &str, name: &str| {
        let capture = config.captures.iter().find(|capture| &*capture.name == name);
        let is_written = || root.named("captures").iter().any(|(word, _)| word.text == name);
        if capture.is_none() && !is_written() {
            let label = format!("no `[captures.<name>]` is called `{name}`");
            section.refuse(key, "names an unknown capture", label, None);
        }
        capture
    };
    for part in &limit.key {
        let LimitKey::Capture(name) = part else { continue };
        if find("key", name).is_some_and(|capture| !capture.place.is_of_the_request()) {
            let label = format!("`{name}` is taken from the answer, which comes too late");
            section.refuse("key", "names a capture of the answer", label, None);
        }
    }
    if let Cost::Capture { name, .. } = &limit.cost
        && find("cost", name).is_some_and(|capture| !is_count(&capture.take))
    {
        let label = format!("`{name}` is not taken as a number or a length");
        let help = "take it as one: `take = \"number\"`";
        section.refuse("cost", "names a capture that cannot be counted", label, Some(help));
    }
}

fn is_count(take: &Take) -> bool {
    matches!(take, Take::Number | Take::Length)
}

/// Whether a route takes what its limits read.
fn route(
    section: &Section<'_>,
    config: &Config,
    limits: &[crate::record::ConfigName],
    captures: &[crate::record::ConfigName],
) {
    let named =
        limits.iter().filter_map(|name| config.rate_limits.iter().find(|l| l.name == *name));
    for limit in named {
        for missing in limit.captures().filter(|name| !captures.contains(name)) {
            let title = format!("the limit `{}` reads what this route does not take", &*limit.name);
            let problem = Problem::at(&section.origin_of("rate_limits"), title);
            let problem = problem.label(format!("`{missing}` is not among its captures"));
            section.problems.push(problem.help(format!("add `captures = [\"{missing}\"]`")));
        }
    }
}
