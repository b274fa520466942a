//! `[tracing]`: which contexts are read, whose are believed, whose spans are kept.

use crate::config::model::{Propagators, Tracing, Trust};
use crate::config::section::{Section, lay};

const TRUSTS: [(&str, Trust); 3] = [
    ("never", Trust::Never),
    ("trusted_proxies", Trust::TrustedProxies),
    ("always", Trust::Always),
];
/// The words of `tracing.propagators` and of `OTEL_PROPAGATORS`, and what each turns on.
pub(crate) const PROPAGATORS: [(&str, fn(&mut Propagators)); 4] = [
    ("tracecontext", |spoken| spoken.tracecontext = true),
    ("b3", |spoken| spoken.b3 = true),
    ("b3multi", |spoken| spoken.b3multi = true),
    ("baggage", |spoken| spoken.baggage = true),
];
/// The share of traces kept in production, where nothing else is said.
const PRODUCTION_RATIO: f64 = 0.1;
/// More exchanges per second than one sidecar serves.
const MOST_KEPT: u64 = 1_000_000;

/// `[tracing]`.
pub(super) fn tracing(section: &Section<'_>, environment: &str, tracing: &mut Tracing) {
    lay(&mut tracing.propagators, propagators(section));
    lay(&mut tracing.trust, section.choice("trust", &TRUSTS));
    if environment == "production" {
        tracing.ratio = PRODUCTION_RATIO;
    }
    let (section, keep) = (section.section("sampling"), &mut tracing.keep);
    lay(&mut tracing.ratio, section.ratio("ratio"));
    lay(&mut keep.errors, section.flag("keep_errors"));
    lay(&mut keep.slow, section.deadline("keep_slow"));
    lay(&mut keep.statuses, statuses(&section));
    let per_second = section.number("keep_per_second", &(0..=MOST_KEPT));
    lay(&mut keep.per_second, per_second.and_then(|number| u32::try_from(number).ok()));
}

fn propagators(section: &Section<'_>) -> Option<Propagators> {
    let mut spoken = Propagators::default();
    for turn_on in section.choices("propagators", &PROPAGATORS)? {
        turn_on(&mut spoken);
    }
    Some(spoken)
}

fn statuses(section: &Section<'_>) -> Option<Vec<u16>> {
    let numbers = section.numbers("keep_status", &(100..=599))?;
    Some(numbers.into_iter().filter_map(|number| u16::try_from(number).ok()).collect())
}
