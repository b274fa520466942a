//! `[tracing]`: which contexts are read, whose are believed, whose spans are kept.

use crate::config::model::{Propagators, Tracing, Trust};
use crate::config::section::{Section, lay};

const TRUSTS: [(&str, Trust); 3] = [
    ("never", Trust::Never),
    ("trusted_proxies", Trust::TrustedProxies),
    ("always", Trust::Always),
];
/// Adds one to a set.
type TurnOn = fn(&mut Propagators);

/// The words of `tracing.propagators` and of `OTEL_PROPAGATORS`, and what each turns on.
pub(crate) const PROPAGATORS: [(&str, TurnOn); 4] = [
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

#[cfg(test)]
mod tests {
    use crate::config::model::{Keep, Propagators};
    use crate::config::{Config, Loaded, SourceFile, Sources, load};

    fn loaded(text: &str, env: &[(&str, &str)]) -> Loaded {
        let text = format!("upstream.url = \"http://127.0.0.1:3000\"\n{text}");
        let file = SourceFile { path: "sidecar.toml".to_owned(), text };
        let env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let sources = Sources { file: Some(file), env: env.collect(), ..Sources::default() };
        load(&sources).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn config(text: &str, env: &[(&str, &str)]) -> Config {
        loaded(text, env).config
    }

    fn notices(env: &[(&str, &str)]) -> Vec<String> {
        loaded("", env).notices.into_iter().map(|notice| notice.0).collect()
    }

    #[test]
    fn samplers_become_a_ratio_and_off_is_off() {
        let kept = |sampler: &str| {
            let env = [("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", "0.25")];
            let tracing = config("", &env).tracing;
            (format!("{:?}", tracing.ratio), tracing.keep.per_second, notices(&env).len())
        };
        assert_eq!(kept("parentbased_always_on"), ("1.0".to_owned(), 50, 0));
        assert_eq!(kept("parentbased_always_off"), ("0.0".to_owned(), 0, 0));
        assert_eq!(kept("parentbased_traceidratio"), ("0.25".to_owned(), 50, 0));
        // What is not parent-based is told that it is taken so.
        assert_eq!(kept("always_on"), ("1.0".to_owned(), 50, 1));
        assert_eq!(kept("always_off"), ("0.0".to_owned(), 0, 1));
        assert_eq!(kept("traceidratio"), ("0.25".to_owned(), 50, 1));
        assert_eq!(kept("parentbased_jaeger_remote"), ("1.0".to_owned(), 50, 1));
    }

    #[test]
    fn propagators_come_from_the_file_or_from_open_telemetrys_variable() {
        let spoken = |text: &str, env: &[_]| {
            let Propagators { tracecontext, b3, b3multi, baggage } =
                config(text, env).tracing.propagators;
            [tracecontext, b3, b3multi, baggage]
        };
        let file = "[tracing]\npropagators = [\"b3\", \"baggage\"]\n";
        let named = |value| [("OTEL_PROPAGATORS", value)];
        assert_eq!(spoken("", &[]), [true, false, false, false]);
        assert_eq!(spoken(file, &[]), [false, true, false, true]);
        assert_eq!(spoken("[tracing]\npropagators = []\n", &[]), [false; 4]);
        assert_eq!(
            spoken(file, &named("tracecontext, b3multi,b3multi")),
            [true, false, true, false]
        );
        assert_eq!(spoken(file, &named("none")), [false; 4]);
        assert_eq!(spoken(file, &named("jaeger,baggage")), [false, false, false, true]);
        // Nothing that is known: as if it were not set.
        assert_eq!(spoken(file, &named("jaeger")), [false, true, false, true]);
        assert_eq!(notices(&named("jaeger,xray,b3")).len(), 1, "told once");
    }

    #[test]
    fn what_is_kept_at_the_end_is_configured() {
        let text =
            "[tracing.sampling]\nkeep_errors = false\nkeep_slow = \"0s\"\nkeep_per_second = 7\n";
        let statuses = [("VITAL_SIDECAR__TRACING__SAMPLING__KEEP_STATUS", "404, 429")];
        let keep = config(text, &statuses).tracing.keep;
        assert_eq!(
            keep,
            Keep { errors: false, slow: None, statuses: vec![404, 429], per_second: 7 }
        );
    }
}
