//! Alerts that are valid and can never fire, or that nobody hears of.
//!
//! Each is a notice. Only what is certain is said: where an `OpenAPI` document may name the route, nothing is.
//! The alerts that are there without being written are as they are meant to be, also where written down.

use crate::config::Config;
use crate::config::defaults::ALERTS;
use crate::config::env::Outside;
use crate::config::model::{Alert, Condition, Notify, Series};
use crate::record::{ErrorType, RouteNames};

/// Looks at every alert of the configuration.
pub(in crate::config::check) fn note(config: &Config, outside: &mut Outside) {
    for alert in &config.alerts {
        let usual = ALERTS.iter().any(|(_, when, _)| **when == *alert.when.shown);
        if let Some(why) = silence(config, alert).filter(|_| !usual) {
            outside.note(format!("The alert `{}` never fires: {why}.", alert.name));
        }
        if alert.notify == (Notify { log: false, sentry: false, webhook: None }) {
            outside.note(format!("The alert `{}` tells nobody: `notify` is empty.", alert.name));
        }
    }
}

/// Why it never fires.
fn silence(config: &Config, alert: &Alert) -> Option<String> {
    if let Condition::Ratio { of, to, above, .. } = &alert.when.condition
        && *above >= 100.0
        && is_part(of, to)
    {
        return Some("a part is at most 100% of the whole".to_owned());
    }
    let condition = &alert.when.condition;
    condition.series().iter().find_map(|of| nothing(config, of))
}

/// Whether whatever the first counts, the second counts, too.
fn is_part(of: &Series, to: &Series) -> bool {
    let covers = to.statuses.is_none() || to.statuses == of.statuses;
    of.book == to.book && covers && to.labels.iter().all(|label| of.labels.contains(label))
}

/// Why nothing is ever counted here.
fn nothing(config: &Config, of: &Series) -> Option<String> {
    of.labels.iter().find_map(|(label, value)| match *label {
        "type" if of.book.metric == "errors_total" => {
            let is_class = config.error_classes.iter().any(|class| class.name == *value);
            // What the service answers goes by its status.
            let is_status = value.parse::<u16>().is_ok();
            let is_known = is_class || is_status || ErrorType::is_own(value);
            (!is_known).then(|| format!("there is no error type or class `{value}`"))
        }
        "http_route" if config.openapi.is_none() => {
            let is_route = config.routes.iter().any(|route| route.template == *value);
            let ours = [RouteNames::UNMATCHED, RouteNames::INVALID];
            let is_known = is_route || ours.contains(&&**value);
            (!is_known).then(|| format!("no route is `{value}`"))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{SourceFile, Sources, load};

    fn notices(when: &str, more: &str) -> Vec<String> {
        let text = format!(
            "upstream.url = \"http://127.0.0.1:3000\"\n[[routes]]\nmatch = \"GET /a/{{id}}\"\n\
             [[errors.classify]]\ntype = \"pool\"\n[[alerts]]\nname = \"a\"\nwhen = '{when}'\n{more}"
        );
        let file = SourceFile { path: "sidecar.toml".to_owned(), text };
        let sources = Sources { file: Some(file), ..Sources::default() };
        let loaded = load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        loaded.notices.into_iter().map(|notice| notice.0).collect()
    }

    #[test]
    fn what_can_never_fire_is_told_and_what_can_is_not() {
        for (when, why) in [
            ("ratio(status_5xx, requests) > 100% over 5m", "a part is at most 100% of the whole"),
            ("errors{type=nosuch} > 0/min", "there is no error type or class `nosuch`"),
            ("requests{route=/nosuch} > 0/min", "no route is `/nosuch`"),
            ("p95(duration, route=/a/{x}) > 1s over 5m", "no route is `/a/{x}`"),
        ] {
            assert_eq!(notices(when, ""), [format!("The alert `a` never fires: {why}.")], "{when}");
        }
        for when in [
            "ratio(status_5xx, requests) > 99% over 5m",
            "ratio(requests, status_5xx) > 200% over 5m",
            "ratio(status_5xx, requests{method=GET}) > 100% over 5m",
            "errors{type=pool} > 0/min",
            "errors{type=503} > 0/min",
            "errors{type=panic} > 0/min",
            "errors{type=db_pool_exhausted} > 0/min",
            "requests{route=/a/{id}} > 0/min",
            "requests{route=_unmatched} > 0/min",
        ] {
            assert_eq!(notices(when, ""), [""; 0], "{when}");
        }
    }

    #[test]
    fn an_alert_that_tells_nobody_is_told_of() {
        let told = notices("errors > 0/min", "notify = []");
        assert_eq!(told, ["The alert `a` tells nobody: `notify` is empty."]);
    }
}
