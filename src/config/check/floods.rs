//! Routes that look at tokens and limit nobody before: a flood of bad ones would meet no limit.
//!
//! A limit of a route replaces those of `[route_defaults]`, which is easily forgotten where the new one
//! counts by who calls: a request whose token is refused never comes that far. It is a notice, for a
//! proxy in front may limit by address. A route that says `rate_limits = []` has said so.

use crate::config::Config;
use crate::config::model::{Cost, IdentitySource, LimitKey, Mode, Need, RateLimit};
use crate::record::ConfigName;

/// One sentence, where there are such routes.
pub(super) fn notice(config: &Config) -> Option<String> {
    let is_door = |name: &ConfigName| {
        let limit = config.rate_limits.iter().find(|limit| limit.name == *name);
        limit.is_some_and(|limit| limit.mode != Mode::Off && is_asked_at_the_door(limit, config))
    };
    let lost = config.default_rate_limits.iter().find(|name| is_door(name))?;
    if matches!(config.identity.source, IdentitySource::None) {
        return None;
    }
    let mut open = config.routes.iter().filter(|route| {
        let has_some = !route.rate_limits.is_empty();
        route.gates.identity != Need::None && has_some && !route.rate_limits.iter().any(is_door)
    });
    let first = &open.next()?.name;
    let others = match open.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "The route `{first}`{others} limits nobody before tokens are looked at, as `{lost}` of \
         `[route_defaults]` would: name it there, too."
    ))
}

/// Whether the head alone decides. What an answer costs is settled later.
fn is_asked_at_the_door(limit: &RateLimit, config: &Config) -> bool {
    let is_of_the_request = |wanted: &ConfigName| {
        let mut captures = config.captures.iter();
        captures.any(|capture| capture.name == *wanted && capture.place.is_of_the_request())
    };
    let waits_for_body = match &limit.cost {
        Cost::Request => false,
        Cost::Capture { name, .. } => is_of_the_request(name),
    };
    let is_captured = |part: &LimitKey| matches!(part, LimitKey::Capture(_));
    !limit.needs_caller() && !waits_for_body && !limit.key.iter().any(is_captured)
}

#[cfg(test)]
mod tests {
    use super::notice;
    use crate::config::Config;

    /// What is said of one route that has these settings.
    fn said(route: &str, source: &str) -> Option<String> {
        let text = format!(
            "upstream.url = \"http://127.0.0.1:1\"\n{source}\n\
             [route_defaults]\nrate_limits = [\"per-ip\"]\n\
             [rate_limits.per-ip]\nkey = [\"ip\"]\nrate = \"1/s\"\n\
             [rate_limits.off]\nkey = [\"ip\"]\nrate = \"1/s\"\nmode = \"off\"\n\
             [rate_limits.per-user]\nkey = [\"user\"]\nrate = \"1/s\"\n\
             [[routes]]\nname = \"orders\"\nmatch = \"* /orders\"\n{route}\n"
        );
        notice(&Config::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}")))
    }

    const HEADERS: &str = "identity.source = \"headers\"\nserver.trusted_proxies = [\"192.0.2.1\"]";

    #[test]
    fn a_limit_by_user_that_replaces_the_one_by_address_is_told() {
        let user = "identity = \"required\"\nrate_limits = [\"per-user\"]";
        let told = said(user, HEADERS).expect("a notice");
        assert!(told.starts_with("The route `orders` limits nobody before"), "{told}");
        assert!(told.contains("as `per-ip` of"), "{told}");
        let off = "identity = \"optional\"\nrate_limits = [\"off\", \"per-user\"]";
        assert!(said(off, HEADERS).is_some(), "a limit that is off limits nobody");
    }

    #[test]
    fn a_route_that_limits_at_the_door_or_asks_nobody_is_not_told_of() {
        for fine in [
            "identity = \"required\"",
            "identity = \"required\"\nrate_limits = [\"per-ip\", \"per-user\"]",
            "identity = \"required\"\nrate_limits = []",
            "identity = \"none\"\nrate_limits = [\"per-user\"]",
        ] {
            assert_eq!(said(fine, HEADERS), None, "{fine}");
        }
        let user = "rate_limits = [\"per-user\"]";
        assert_eq!(said(user, ""), None, "without a source nobody looks at tokens");
    }
}
