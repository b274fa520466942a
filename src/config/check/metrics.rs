//! `[metrics]` and `[cache]`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::names;
use crate::config::error::Problem;
use crate::config::model::{Cache, Metrics};
use crate::config::section::{Section, lay};
use crate::config::value::Zero;

/// Fewer series would not hold what every sidecar has.
const SERIES: RangeInclusive<u64> = 100..=1_000_000;
/// Each is compared with every field of every answer.
const MAX_HEADERS: usize = 16;

/// `[metrics]`, but for `listen`.
pub(super) fn metrics(section: &Section<'_>, metrics: &mut Metrics) {
    lay(&mut metrics.push, section.flag("push"));
    lay(&mut metrics.interval, section.duration("interval", Zero::Refused));
    lay(&mut metrics.max_series, section.count("max_series", &SERIES));
}

/// `[cache]`.
pub(super) fn cache(section: &Section<'_>, cache: &mut Cache) {
    lay(&mut cache.headers, headers(section));
}

fn headers(section: &Section<'_>) -> Option<Vec<Arc<str>>> {
    let words = section.words("headers")?;
    if words.len() > MAX_HEADERS {
        section.refuse("headers", "holds too many names", "expected at most 16", None);
        return None;
    }
    let names = words.into_iter().filter_map(|word| {
        let name = names::header_name(&word.text);
        if let Err(label) = name {
            let path = section.path_of("headers");
            let title = format!("`{path}` holds something that is not a header");
            section.problems.push(Problem::at(&word.origin, title).label(label));
        }
        name.ok()
    });
    Some(names.collect())
}
