//! `[log.datadog]`: whether lines are shipped to Datadog, where to, and with whose key.
//!
//! The key is a secret: it is read from a file or from `DATADOG_API_KEY`, and no message shows it.
//! Nothing is resolved or tried here.

use super::names::label;
use super::otlp::is_near;
use super::{files, url};
use crate::config::env::Outside;
use crate::config::error::{Origin, Problem};
use crate::config::model::{Datadog, Scheme, Service};
use crate::config::raw::Value;
use crate::config::section::Section;
use crate::secret::Secret;

/// The variable that every one of Datadog's own agents reads.
const VARIABLE: &str = "DATADOG_API_KEY";
/// Where the intake takes the second version of its requests.
const PATH: &str = "/api/v2/logs";
const SITE: &str = "datadoghq.com";
const SOURCE: &str = "vital-sidecar";

/// `log.datadog.enabled`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Where there is a key, and the environment is `production`.
    Auto,
    On,
    Off,
}

/// `[log.datadog]`; `None` where nothing is shipped.
pub(super) fn datadog(
    section: &Section<'_>,
    service: &Service,
    outside: &mut Outside,
) -> Option<Datadog> {
    let wish = wish(section);
    let url = intake(section, outside, wish);
    let source = section.parsed("source", "a usable name", label);
    let source = source.unwrap_or_else(|| SOURCE.to_owned());
    let mut tags = tags(section);
    if wish == Wish::Off {
        return None;
    }
    let key = key(section, outside);
    if key.is_none() && wish == Wish::On && section.is_silent("api_key_file") {
        let help = "set `api_key_file`, or DATADOG_API_KEY";
        section.refuse("enabled", "needs a key", "there is none", Some(help));
    }
    let (key, url) = (key?, url?);
    let environment = &service.environment;
    if wish == Wish::Auto && environment != "production" {
        outside.note(format!(
            "Nothing is shipped to Datadog: the environment is `{environment}`, not `production`. \
             `{} = true` ships all the same.",
            section.path_of("enabled")
        ));
        return None;
    }
    tags.push(format!("env:{environment}"));
    Some(Datadog { url, key, source, tags })
}

fn wish(section: &Section<'_>) -> Wish {
    let Some(node) = section.node("enabled") else { return Wish::Auto };
    match &node.value {
        Value::Bool(true) => Wish::On,
        Value::Bool(false) => Wish::Off,
        Value::Text(text) if text == "auto" => Wish::Auto,
        Value::Text(text) if node.is_external() && text == "true" => Wish::On,
        Value::Text(text) if node.is_external() && text == "false" => Wish::Off,
        Value::Broken => Wish::Auto,
        _ => {
            let label = "expected \"auto\", `true` or `false`";
            section.refuse("enabled", "is not one of its values", label, None);
            Wish::Auto
        }
    }
}

/// The file wins over the variable, which is of the app beside us as often as of us.
fn key(section: &Section<'_>, outside: &Outside) -> Option<Secret> {
    if !section.is_silent("api_key_file") {
        return files::secret(section, "api_key_file");
    }
    let key = outside.datadog_key.as_ref()?;
    // A line end that a shell left there is not part of it.
    let text = key.reveal().trim();
    if text.is_empty() {
        return None;
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let title = format!("`{VARIABLE}` is not a key");
        let problem = Problem::at(&Origin::Env(VARIABLE.into()), title);
        section.problems.push(problem.label("expected visible ASCII characters"));
        return None;
    }
    Some(Secret::new(text))
}

fn intake(section: &Section<'_>, outside: &mut Outside, wish: Wish) -> Option<String> {
    let site = match section.text("site") {
        Some(_) => section.parsed("site", "a Datadog site", site)?,
        None => SITE.to_owned(),
    };
    if section.optional("url").is_none() {
        return Some(format!("https://http-intake.logs.{site}{PATH}"));
    }
    let url = section.parsed("url", "a usable URL", url::parse)?;
    if url.path.contains('?') {
        let label = "expected no query";
        section.refuse("url", "is not a base URL", label, None);
        return None;
    }
    let scheme = if url.scheme == Scheme::Https { "https" } else { "http" };
    if scheme == "http" && !is_near(&url) && wish != Wish::Off {
        outside.note(format!(
            "`{}` is http and not on this machine: the key travels in the clear.",
            section.path_of("url")
        ));
    }
    Some(format!("{scheme}://{}{}{PATH}", url.authority, url.path.trim_end_matches('/')))
}

fn site(text: &str) -> Result<String, &'static str> {
    let is_label = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if text.len() <= 100 && text.contains('.') && text.split('.').all(is_label) {
        Ok(text.to_owned())
    } else {
        Err("expected a name such as \"datadoghq.com\" or \"us5.datadoghq.com\"")
    }
}

fn tags(section: &Section<'_>) -> Vec<String> {
    let mut tags = Vec::new();
    for word in section.words("tags").unwrap_or_default() {
        let text = word.text.trim();
        let is_tag = !text.is_empty()
            && text.len() <= 200
            && !text.contains(|c: char| c == ',' || c.is_whitespace() || c.is_control());
        if is_tag && text.to_ascii_lowercase().starts_with("env:") {
            let title = format!("`{}` has the environment twice", section.path_of("tags"));
            let problem = Problem::at(&word.origin, title);
            let problem = problem.label("`env:` is added to every entry");
            section.problems.push(problem.help("leave it out; `service.environment` says it"));
        } else if is_tag {
            tags.push(text.to_owned());
        } else {
            let title = format!("`{}` has an entry that is not a tag", section.path_of("tags"));
            let problem = Problem::at(&word.origin, title).label("expected, say, \"team:shop\"");
            section.problems.push(problem.help("1 to 200 bytes without commas and spaces"));
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use crate::config::model::Datadog;
    use crate::config::{Loaded, SourceFile, Sources, load};

    const KEY: (&str, &str) = ("DATADOG_API_KEY", "hidden-key\n");
    const PRODUCTION: (&str, &str) = ("NODE_ENV", "production");

    fn sources(text: &str, env: &[(&str, &str)]) -> Sources {
        let text = format!("upstream.url = \"http://127.0.0.1:3000\"\n[log.datadog]\n{text}");
        let file = SourceFile { path: "sidecar.toml".to_owned(), text };
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Sources { file: Some(file), env: env.iter().map(owned).collect(), flags: Vec::new() }
    }

    fn loaded(text: &str, env: &[(&str, &str)]) -> Loaded {
        load(&sources(text, env)).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn datadog(text: &str, env: &[(&str, &str)]) -> Option<Datadog> {
        loaded(text, env).config.datadog
    }

    #[test]
    fn lines_are_shipped_where_there_is_a_key_and_it_is_production() {
        let cases: [(&str, &[_], bool); 8] = [
            ("", &[], false),
            ("", &[PRODUCTION], false),
            ("", &[KEY], false),
            ("", &[KEY, PRODUCTION], true),
            ("enabled = \"auto\"", &[KEY, PRODUCTION], true),
            ("enabled = true", &[KEY], true),
            ("enabled = false", &[KEY, PRODUCTION], false),
            ("", &[KEY, ("VITAL_SIDECAR__LOG__DATADOG__ENABLED", "true")], true),
        ];
        for (text, env, is_on) in cases {
            assert_eq!(datadog(text, env).is_some(), is_on, "{text} {env:?}");
        }
        let notices = loaded("", &[KEY]).notices;
        assert!(notices.iter().any(|notice| notice.0.contains("not `production`")), "{notices:?}");
        let found = datadog("", &[KEY, PRODUCTION]).unwrap();
        assert_eq!(found.key.reveal(), "hidden-key", "without its line end");
        assert_eq!(found.url, "https://http-intake.logs.datadoghq.com/api/v2/logs");
        assert_eq!(
            (&*found.source, &*found.tags),
            ("vital-sidecar", &["env:production".into()][..])
        );
    }

    #[test]
    fn a_file_of_the_key_wins_and_url_and_tags_are_as_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from-a-file\r\n").unwrap();
        let text = format!(
            "enabled = true\napi_key_file = \"{}\"\nurl = \"http://127.0.0.1:9/proxy/\"\n\
             tags = [\"team:shop\"]\nsource = \"shop\"",
            file.path().display()
        );
        let found = datadog(&text, &[KEY]).unwrap();
        assert_eq!(found.key.reveal(), "from-a-file");
        assert_eq!(found.url, "http://127.0.0.1:9/proxy/api/v2/logs");
        assert_eq!(found.tags, ["team:shop", "env:development"]);
        let us5 = datadog("enabled = true\nsite = \"us5.datadoghq.com\"", &[KEY]).unwrap();
        assert_eq!(us5.url, "https://http-intake.logs.us5.datadoghq.com/api/v2/logs");
    }

    #[test]
    fn what_cannot_work_is_refused_where_it_stands_and_no_key_is_shown() {
        let cases: [(&str, &[_], &str); 8] = [
            ("enabled = true", &[], "`log.datadog.enabled` needs a key"),
            ("enabled = \"yes\"", &[], "`log.datadog.enabled` is not one of its values"),
            ("api_key_file = \"/none\"", &[], "`log.datadog.api_key_file` cannot be read"),
            (
                "enabled = true",
                &[("DATADOG_API_KEY", "hidden key")],
                "`DATADOG_API_KEY` is not a key",
            ),
            ("site = \"https://datadoghq.com\"", &[], "`log.datadog.site` is not a Datadog site"),
            ("url = \"ftp://hidden@a\"", &[], "`log.datadog.url` is not a usable URL"),
            ("url = \"http://a/?key=hidden\"", &[], "`log.datadog.url` is not a base URL"),
            ("tags = [\"a b\"]", &[], "`log.datadog.tags` has an entry that is not a tag"),
        ];
        for (text, env, expected) in cases {
            let text = load(&sources(text, env)).unwrap_err().to_string();
            assert!(text.contains(expected) && !text.contains("hidden"), "{text}");
        }
    }
}
