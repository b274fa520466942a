//! From the raw tree to a [`Config`]: every value parsed, every problem collected.
//!
//! One function per table, in the order of the contract; what needs two tables at once comes last.
//! A wrong value leaves the default in its place, so that one mistake causes one error.

use std::net::SocketAddr;

use super::env::Outside;
use super::error::{Origin, Problems};
use super::model::{Capture, Config, LogLevel, Place};
use super::raw::Table;
use super::section::{Section, lay};
use super::value::Zero;

mod across;
mod alerts;
mod captured_limits;
mod captures;
mod datadog;
mod directories;
mod doors;
mod errors;
mod files;
mod floods;
mod gates;
mod identity;
mod identity_jwt;
mod idle;
mod limits;
mod literal;
mod log_files;
mod log_headers;
mod metrics;
mod names;
mod openapi;
mod otlp;
mod routes;
mod security;
mod store;
mod template;
mod template_slips;
mod tls;
mod tracing;
mod upstream;
mod url;
mod voices;

pub(crate) use alerts::defaults as usual_alerts;
pub(crate) use doors::reach;
pub(crate) use tracing::PROPAGATORS;

/// The levels of `log.level` and `LOG_LEVEL`.
pub(crate) const LEVELS: [(&str, LogLevel); 4] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
];

/// Whatever memory can hold, from one byte.
const SOME_BYTES: std::ops::RangeInclusive<u64> = 1..=u64::MAX;
/// Things of which a million is already more than one machine holds.
const SOME: std::ops::RangeInclusive<u64> = 1..=1_000_000;

/// Checks everything. The result is worth something only if no problem was added.
pub(crate) fn check(root: &Table, outside: &mut Outside, problems: &Problems) -> Config {
    literal::note(root, outside);
    let root = Section::root(root, problems);
    let mut config = Config::for_upstream(SocketAddr::from(([127, 0, 0, 1], 3000)));
    service(&root, &mut config, outside);
    doors::server(&root.section("server"), &mut config.server);
    doors::admin(&root.section("admin"), &mut config.admin);
    upstream::upstream(&root.section("upstream"), &mut config.upstream);
    lay(&mut config.request_id_header, doors::request_id(&root.section("request_id")));
    config.otlp = otlp::otlp(&root, outside);
    tracing::tracing(&root.section("tracing"), &config.service.environment, &mut config.tracing);
    config.metrics_listen = doors::optional_address(&root.section("metrics"), "listen");
    metrics::metrics(&root.section("metrics"), &mut config.metrics);
    config.metrics.has_exemplars = !outside.leaves_out_exemplars;
    metrics::cache(&root.section("cache"), &mut config.cache);
    voices::log(&root.section("log"), &mut config.log);
    voices::spool(&root.section("spool"), &mut config.spool);
    identity::identity(&root.section("identity"), &mut config.identity);
    config.pseudonym_key = identity::pseudonym_key(&root.section("identity"));
    security::security(&root.section("security"), &mut config.security);
    policy(&root, &mut config);
    config.openapi = openapi::openapi(&root.section("openapi"), outside);
    audit(&root.section("audit"), &mut config);
    let log = root.section("log");
    config.datadog = datadog::datadog(&log.section("datadog"), &config.service, outside);
    config.sentry = voices::sentry(&root.section("sentry"), &config.service, outside);
    lay(&mut config.errors_type_base, errors::type_base(&root.section("errors")));
    config.error_classes = errors::classify(&root.section("errors"));
    lay(&mut config.genai, root.section("genai").flag("enabled"));
    config.alerts = alerts::alerts(&root, outside);
    across::check(&root, &config);
    directories::check(&root, &config);
    identity::across(&root, &config);
    log_headers::across(&root, &config.log.headers, &config.identity);
    captured_limits::check(&root, &config);
    idle::note(&root, &config, outside);
    alerts::idle::note(&config, outside);
    if let Some(notice) = floods::notice(&config) {
        outside.note(notice);
    }
    config
}

fn service(root: &Section<'_>, config: &mut Config, outside: &mut Outside) {
    let section = root.section("service");
    let service = &mut config.service;
    lay(&mut service.name, section.parsed("name", "a usable name", names::label));
    lay(&mut service.version, section.parsed("version", "a usable version", names::label));
    let environment = section.parsed("environment", "a usable name", names::label);
    lay(&mut service.environment, environment);
    let said = &service.environment;
    if section.origin_of("environment") == Origin::Env("NODE_ENV".into())
        && let Some(whole) = names::abbreviated(said)
    {
        let other = format!("`{said}` is not `{whole}`, and has nothing of what is for that alone");
        outside.note(format!("NODE_ENV is taken as it is: {other}."));
    }
    service.attributes = std::mem::take(&mut outside.attributes);
}

fn policy(root: &Section<'_>, config: &mut Config) {
    let (limit_names, rate_limits) = limits::rate_limits(root);
    config.rate_limits = rate_limits;
    store::store(&root.section("rate_limit_store"), &mut config.rate_limit_store);
    let form = root.section("rate_limit_headers").choice("form", &limits::FORMS);
    lay(&mut config.rate_limit_headers, form);
    limits::overload(&root.section("overload"), &mut config.overload);
    let (capture_names, captures) = captures::captures(root);
    let parameter = |capture: &Capture| match &capture.place {
        Place::Path(parameter) => Some((capture.name.clone(), parameter.clone())),
        _ => None,
    };
    let parameters = captures.iter().filter_map(parameter).collect();
    config.captures = captures;
    let known = routes::Known { rate_limits: limit_names, captures: capture_names, parameters };
    let section = root.section("route_defaults");
    lay(&mut config.default_rate_limits, known.rate_limits_of(&section));
    config.default_gates = gates::gates(&section, config.default_gates);
    let defaults =
        routes::Defaults { rate_limits: &config.default_rate_limits, gates: config.default_gates };
    config.routes = routes::routes(root, &known, &defaults);
    let inspect = root.section("inspect");
    lay(&mut config.inspect.max_body, inspect.bytes("max_body", &SOME_BYTES));
    lay(&mut config.inspect.max_memory, inspect.bytes("max_memory", &SOME_BYTES));
}

fn audit(section: &Section<'_>, config: &mut Config) {
    lay(&mut config.audit.directory, files::directory(section, "directory"));
    lay(&mut config.audit.mode, section.choice("mode", &voices::AUDIT_MODES));
    lay(&mut config.audit.deadline, section.duration("deadline", Zero::Refused));
}
