//! `[log]`, `[spool]`, `[sentry]` and the words of `[audit]`: how facts leave.

use std::path::PathBuf;

use super::names::label;
use super::{LEVELS, files, log_files, log_headers, url};
use crate::config::env::Outside;
use crate::config::model::{AuditMode, Console, Log, Schema, Sentry, Service, Spool};
use crate::config::section::{Section, lay};
use crate::secret::Secret;

/// Less than 1 MiB would hold a few parcels only.
const SPOOL_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 50;
/// The words of `audit.mode`.
pub(super) const AUDIT_MODES: [(&str, AuditMode); 2] =
    [("strict", AuditMode::Strict), ("best_effort", AuditMode::BestEffort)];
const SCHEMAS: [(&str, Schema); 3] =
    [("winston", Schema::Winston), ("otel", Schema::Otel), ("ecs", Schema::Ecs)];
const CONSOLES: [(&str, Console); 4] = [
    ("auto", Console::Auto),
    ("pretty", Console::Pretty),
    ("json", Console::Json),
    ("off", Console::Off),
];

/// `[log]`.
pub(super) fn log(section: &Section<'_>, log: &mut Log) {
    lay(&mut log.level, section.choice("level", &LEVELS));
    lay(&mut log.schema, section.choice("schema", &SCHEMAS));
    lay(&mut log.console, section.choice("console", &CONSOLES));
    log.directory = section.optional("directory").map(PathBuf::from);
    lay(&mut log.request_start, section.flag("request_start"));
    lay(&mut log.headers, log_headers::log_headers(section));
    log_files::log_files(section, &mut log.files);
}

/// `[spool]`. Whether the directory can be used is found out when it is opened.
pub(super) fn spool(section: &Section<'_>, spool: &mut Spool) {
    spool.directory = match section.optional("directory") {
        Some(_) => files::directory(section, "directory"),
        None => None,
    };
    lay(&mut spool.max_size, section.size("max_size", &SPOOL_BYTES));
}

/// `[sentry]`; `None` without a DSN, or where its environment is a disabled one.
pub(super) fn sentry(
    section: &Section<'_>,
    service: &Service,
    outside: &mut Outside,
) -> Option<Sentry> {
    let dsn = section.optional("dsn").and_then(|_| section.parsed("dsn", "a Sentry DSN", dsn));
    let environment = match section.optional("environment") {
        Some(_) => section.parsed("environment", "a usable name", label),
        None => None,
    };
    let environment = environment.unwrap_or_else(|| service.environment.clone());
    #[expect(clippy::cast_possible_truncation, reason = "a share needs no more precision")]
    let sample_rate = section.ratio("sample_rate").map_or(1.0, |ratio| ratio as f32);
    let disabled = match section.words("disabled_environments") {
        Some(words) => words.into_iter().map(|word| word.text).collect(),
        None => vec!["development".to_owned()],
    };
    let dsn = dsn?;
    if disabled.contains(&environment) {
        outside.note(format!(
            "Sentry is off: its environment `{environment}` is in sentry.disabled_environments."
        ));
        return None;
    }
    let release = format!("{}@{}", service.name, service.version);
    Some(Sentry { dsn, environment, release, sample_rate })
}

/// `https://KEY@HOST/PROJECT`, with or without a port and a path before the project.
fn dsn(text: &str) -> Result<Secret, &'static str> {
    const EXPECTED: &str = "expected \"https://KEY@HOST/PROJECT\"";
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let (key, rest) = rest.and_then(|rest| rest.split_once('@')).ok_or(EXPECTED)?;
    let key = key.split(':').next().unwrap_or(key);
    let (_, project) = rest.rsplit_once('/').ok_or(EXPECTED)?;
    let whole = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    // The address is read by the same rules as any other.
    let address = url::parse(&format!("http://{rest}"));
    if whole(key) && whole(project) && address.is_ok() {
        Ok(Secret::new(text))
    } else {
        Err(EXPECTED)
    }
}
