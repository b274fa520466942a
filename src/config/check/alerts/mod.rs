//! `[[alerts]]`.

use super::{names, url};
use crate::config::defaults::ALERTS;
use crate::config::env::Outside;
use crate::config::error::{Origin, Problem};
use crate::config::keys::nearest;
use crate::config::model::{Alert, Notify, When};
use crate::config::section::{Section, Word};
use crate::record::ConfigName;
use crate::secret::Secret;

pub(super) mod idle;
mod when;

/// The webhook of whoever does not say whom to tell.
const WEBHOOK: &str = "ALERT_WEBHOOK";
/// Alerts at most: each is looked at every few seconds.
const MOST: usize = 64;

/// Those that are written, or else the usual ones.
pub(super) fn alerts(root: &Section<'_>, outside: &mut Outside) -> Vec<Alert> {
    let usual = Notify { log: true, sentry: true, webhook: webhook_of(outside) };
    let Some(place) = root.list_at("alerts") else { return defaults(&usual) };
    let mut names: Vec<Word> = Vec::new();
    let tables = root.each("alerts");
    if tables.len() > MOST {
        let label = format!("expected at most {MOST}");
        root.problems.push(Problem::at(&place, "`alerts` has too many alerts").label(label));
    }
    tables.iter().filter_map(|table| alert(table, &usual, &mut names)).collect()
}

/// The alerts of who names none.
pub(crate) fn defaults(notify: &Notify) -> Vec<Alert> {
    let make = |(name, text, environments): &(&'static str, &'static str, &[&str])| {
        Some(Alert {
            name: (*name).into(),
            when: When { shown: (*text).into(), condition: when::parse(text).ok()? },
            environments: environments.iter().map(|one| (*one).to_owned()).collect(),
            notify: notify.clone(),
        })
    };
    ALERTS.iter().filter_map(make).collect()
}

fn alert(table: &Section<'_>, usual: &Notify, names: &mut Vec<Word>) -> Option<Alert> {
    let name = name(table, names);
    let condition = condition(table);
    let environments = table.words("environments").unwrap_or_default();
    for word in &environments {
        if names::label(&word.text).is_err() {
            let title = format!("`{}` holds an unusable name", table.path_of("environments"));
            let label = "expected 1 to 255 bytes without control characters";
            table.problems.push(Problem::at(&word.origin, title).label(label));
        }
    }
    let notify = if table.has("notify") { notify(table) } else { Some(usual.clone()) };
    Some(Alert {
        name: name?,
        when: condition?,
        environments: environments.into_iter().map(|word| word.text).collect(),
        notify: notify?,
    })
}

fn name(table: &Section<'_>, names: &mut Vec<Word>) -> Option<ConfigName> {
    if !table.has("name") {
        let title = format!("`{}` is missing", table.path_of("name"));
        let problem = Problem::at(&table.origin, title).label("this alert has no name");
        table.problems.push(problem.help("add, for example, `name = \"high_error_rate\"`"));
    }
    let text = table.parsed("name", "a usable name", |text| {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(is_name) {
            return Err("expected 1 to 64 letters, digits, `_` or `-`");
        }
        Ok(text.to_owned())
    })?;
    let word = Word { text, origin: table.origin_of("name") };
    if let Some(first) = names.iter().find(|first| first.text == word.text) {
        let title = format!("`{}` is used twice", table.path_of("name"));
        let problem = Problem::at(&word.origin, title).label("another alert has this name");
        table.problems.push(problem.related(&first.origin, "first used here"));
    }
    let name = ConfigName::configured(&word.text);
    names.push(word);
    Some(name)
}

fn condition(table: &Section<'_>) -> Option<When> {
    if !table.has("when") {
        let title = format!("`{}` is missing", table.path_of("when"));
        let problem = Problem::at(&table.origin, title).label("this alert never fires");
        table.problems.push(problem.help("add, for example, `when = \"errors > 10/min\"`"));
    }
    let text = table.text("when")?;
    match when::parse(text) {
        Ok(condition) => Some(When { shown: ConfigName::configured(text), condition }),
        Err(fault) => {
            let title = format!("`{}` is not a condition", table.path_of("when"));
            let place = table.origin_of("when").within(text, &fault.place);
            let problem = Problem::at(&place, title).label(fault.label);
            table.problems.push(match fault.help {
                Some(help) => problem.help(help),
                None => problem,
            });
            None
        }
    }
}

fn notify(table: &Section<'_>) -> Option<Notify> {
    let mut notify = Notify { log: false, sentry: false, webhook: None };
    let mut is_right = true;
    for word in table.words("notify")? {
        let fault = match &*word.text {
            "log" => {
                notify.log = true;
                continue;
            }
            "sentry" => {
                notify.sentry = true;
                continue;
            }
            text => match text.strip_prefix("webhook:") {
                Some(_) if notify.webhook.is_some() => Err("one webhook is told already"),
                Some("") => Err("it has no URL; is its variable empty?"),
                Some(url) => read(url).map(|url| notify.webhook = Some(url)),
                None => Err("expected \"log\", \"sentry\" or \"webhook:URL\""),
            },
        };
        let Err(label) = fault else { continue };
        is_right = false;
        refuse(table, &word, label);
    }
    is_right.then_some(notify)
}

fn refuse(table: &Section<'_>, word: &Word, label: &str) {
    let title = format!("`{}` cannot be told", table.path_of("notify"));
    let problem = Problem::at(&word.origin, title).label(label);
    table.problems.push(match nearest(&word.text, ["log", "sentry"].into_iter()) {
        Some(near) => problem.help(format!("did you mean \"{near}\"?")),
        None => problem,
    });
}

fn read(text: &str) -> Result<Secret, &'static str> {
    match url::parse(text) {
        Ok(_) => Ok(Secret::new(text)),
        Err(url::UrlError::Credentials) => Err("a webhook's URL cannot hold credentials"),
        Err(_) => Err("expected a URL that begins with https:// or http://"),
    }
}

/// The webhook that the environment names. One that is none stops nobody from starting.
fn webhook_of(outside: &mut Outside) -> Option<Secret> {
    let text = outside.alert_webhook.take()?;
    let url = read(text.reveal()).ok();
    if url.is_none() {
        outside.note(format!("{WEBHOOK} is ignored: not a URL."));
    }
    url
}

impl Origin {
    /// The place of these bytes of a text, where it was written as it is.
    fn within(&self, text: &str, bytes: &std::ops::Range<usize>) -> Self {
        match self {
            // One quote on each side, and no escape or variable between them.
            Self::File(span) if span.len() == text.len() + 2 => {
                let end = bytes.end.max(bytes.start + 1).min(text.len() + 1);
                Self::File(span.start + 1 + bytes.start..span.start + 1 + end)
            }
            _ => self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str, webhook: &str) -> crate::config::Loaded {
        let text = format!("upstream.url = \"http://127.0.0.1:1\"\n{text}");
        let file = crate::config::SourceFile { path: "a.toml".to_owned(), text };
        let env = [("ALERT_WEBHOOK".to_owned(), webhook.to_owned())].into();
        let sources = crate::config::Sources { file: Some(file), env, flags: Vec::new() };
        crate::config::load(&sources).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn webhooks(text: &str, webhook: &str) -> Vec<Option<String>> {
        let alerts = loaded(text, webhook).config.alerts;
        let url = |alert: Alert| alert.notify.webhook.map(|url| url.reveal().to_owned());
        alerts.into_iter().map(url).collect()
    }

    #[test]
    fn who_does_not_say_whom_to_tell_tells_the_webhook_of_the_environment() {
        const ONE: &str = "[[alerts]]\nname = \"a\"\nwhen = \"errors > 1/min\"\n";
        let url = Some("https://hooks.example/x".to_owned());
        assert_eq!(webhooks("", "https://hooks.example/x"), vec![url.clone(); 5]);
        assert_eq!(webhooks("", ""), vec![None; 5]);
        assert_eq!(webhooks(ONE, "https://hooks.example/x"), vec![url.clone()]);
        let told = format!("{ONE}notify = [\"log\"]");
        assert_eq!(webhooks(&told, "https://hooks.example/x"), [None]);
        let told = format!("{ONE}notify = [\"webhook:${{ALERT_WEBHOOK}}\"]");
        assert_eq!(webhooks(&told, "https://hooks.example/x"), [url]);
        assert_eq!(webhooks("alerts = []", ""), []);
        let loaded = loaded("", "hooks.example");
        assert_eq!(loaded.notices[0].0, "ALERT_WEBHOOK is ignored: not a URL.");
        assert_eq!(loaded.config.alerts[0].notify.webhook, None);
    }

    #[test]
    fn each_of_the_usual_alerts_can_be_read() {
        let notify = Notify { log: true, sentry: true, webhook: None };
        let names: Vec<_> = defaults(&notify).iter().map(|alert| alert.name.to_string()).collect();
        let expected = [
            "high_error_rate",
            "critical_errors",
            "performance_degradation",
            "security_rate_limited",
            "database_errors",
        ];
        assert_eq!(names, expected);
    }
}
