//! Values that are nearly right: the help line says how they are written.

use vital_sidecar::config::{Config, SourceFile, Sources, load};

use super::{assert_says, errors_of, errors_of_all};

#[test]
fn a_value_that_is_nearly_right_is_written_out() {
    let limit = |rate: &str| format!("rate_limits.a = {{ key = [\"ip\"], rate = {rate} }}");
    let route = |template: &str| format!("routes = [{{ match = \"{template}\" }}]");
    for (text, help) in [
        ("upstream.timeouts.connect = \"2 seconds\"".to_owned(), "write \"2s\""),
        ("upstream.timeouts.connect = \"1.5s\"".to_owned(), "write \"1500ms\""),
        ("log.max_size = \"1M\"".to_owned(), "write \"1MiB\""),
        ("log.max_size = \"10mb\"".to_owned(), "write \"10MB\""),
        (limit("\"60/minute\""), "write \"60/min\""),
        (limit("60"), "\"60/min\""),
        (limit("\"1/s\", tier_claim = \"t\", tiers = { a = \"2/hour\" }"), "write \"2/h\""),
        ("server.limits.min_body_rate = \"1KiB\"".to_owned(), "write \"1KiB/s\""),
        ("tracing.sampling.ratio = \"10%\"".to_owned(), "write it without quotes: 0.1"),
        ("server.workers = \"2\"".to_owned(), "write it without quotes: 2"),
        ("server.workers = \"${W:-2}\"".to_owned(), "`VITAL_SIDECAR__SERVER__WORKERS`"),
        ("genai.enabled = \"yes\"".to_owned(), "write it without quotes: true"),
        (route("GET,POST /a"), "\"* /a\""),
        (route("get /a"), "write \"GET /a\""),
        (route("GET /users/:id"), "write \"GET /users/{id}\""),
        (route("GET, POST /api/x"), "take them all: \"* /api/x\""),
        (route("/api/*"), "write \"* /api/{*rest}\""),
        ("upstream.timeouts.response_header = \"30000\"".to_owned(), "\"30000s\" or \"30000ms\""),
        ("log.max_size = 10".to_owned(), "say in which unit: \"10KiB\" or \"10MiB\""),
        ("rate_limit_store.redis_url = \"$REDIS_URL\"".to_owned(), "`${NAME}`, with braces"),
        ("server.listen = \"$LISTEN\"".to_owned(), "`${NAME}`, with braces"),
        ("server.workers = \"$WORKERS\"".to_owned(), "`${NAME}`, with braces"),
        ("log.level = \"$LOG_LEVEL\"".to_owned(), "`${NAME}`, with braces"),
        ("upstream.timeouts.connect = \"$WAIT\"".to_owned(), "`${NAME}`, with braces"),
        ("admin.token_file = \"~/token\"".to_owned(), "`~` is not expanded: write `${HOME}`"),
        ("genai = true".to_owned(), "write `genai.enabled = …`"),
        ("rate_limits = [{ key = [\"ip\"], rate = \"1/s\" }]".to_owned(), "`[rate_limits.NAME]`"),
        ("server = [{ workers = 1 }]".to_owned(), "`[server]`"),
    ] {
        let errors = errors_of(&text);
        assert_eq!(errors.count(), 1, "{errors}");
        assert_says(&errors, &["= help: ", help]);
    }
}

#[test]
fn a_hint_is_never_the_mistake_again() {
    for template in [
        "GET /api/users/:id",
        "GET /api/*",
        "GET api/x",
        "GET /users/[id]",
        "GET /a?x=1",
        "GET /a/{rest*}",
        "GET, POST /api/x",
        "/api/*",
        "GET /a/{id}.json",
        "/a b",
        "GET /%2F",
    ] {
        let errors = errors_of(&format!("routes = [{{ match = \"{template}\" }}]")).to_string();
        let help = errors.lines().find(|line| line.contains("= help: "));
        if let Some(proposed) = help.and_then(|help| help.split('"').nth(1)) {
            let text = format!(
                "upstream.url = \"http://127.0.0.1:1\"\nroutes = [{{ match = \"{proposed}\" }}]"
            );
            assert_ne!(proposed, template);
            Config::from_toml(&text).unwrap_or_else(|errors| panic!("{template}: {errors}"));
        }
    }
}

#[test]
fn one_value_in_the_place_of_a_table_is_told_its_key_and_once() {
    for (text, help) in [
        ("upstream = \"http://127.0.0.1:3000\"", "write `upstream.url = \"…\"`"),
        ("upstream = 3000", "write `upstream.url = …`"),
    ] {
        let errors = errors_of_all(text);
        assert_eq!(errors.count(), 1, "{errors}");
        assert_says(&errors, &["`upstream` has the wrong type", help]);
    }
    let errors = errors_of("sentry = \"https://hidden@sentry.example/1\"");
    assert_says(&errors, &["write `sentry.dsn = \"…\"`"]);
    assert!(!errors.to_string().contains("hidden"), "{errors}");
}

#[test]
fn an_upstream_without_its_scheme_or_braces_is_written_out() {
    for (url, help) in [
        ("\"localhost:3000\"", "write \"http://localhost:3000\""),
        ("\":3000\"", "write \"http://127.0.0.1:3000\""),
        ("\"$UPSTREAM_URL\"", "a variable is written `${NAME}`, with braces"),
        ("$UPSTREAM_URL", "write a variable in quotes and with braces: `\"${NAME}\"`"),
        ("${UPSTREAM_URL}", "write a variable in quotes and with braces: `\"${NAME}\"`"),
    ] {
        let errors = errors_of_all(&format!("upstream.url = {url}\n"));
        // The parser goes on behind an open brace.
        assert_eq!(errors.count(), if url.starts_with("${") { 2 } else { 1 }, "{errors}");
        assert_says(&errors, &["--> sidecar.toml:1:16\n", help]);
    }
    let errors = errors_of_all("upstream.url = \"user:hidden@app:3000\"\n").to_string();
    assert!(!errors.contains("hidden") && !errors.contains("write"), "{errors}");
}

#[test]
fn typographic_quotes_are_told_for_what_they_are() {
    for text in [
        "upstream.url = \u{201c}http://127.0.0.1:3000\u{201d}\n",
        "upstream.url = \u{201d}http://127.0.0.1:3000\u{201d}\n",
        "upstream.url = \"http://127.0.0.1:3000\u{201d}\n",
        "upstream.url = \u{2018}http://127.0.0.1:3000\u{2019}\n",
        "upstream.url = `http://127.0.0.1:3000`\n",
        "[tracing]\npropagators = [\u{201c}b3\u{201d}]\n",
    ] {
        let errors = errors_of_all(text);
        assert_says(&errors, &["typographic quotes do not make a string", "write straight quotes"]);
    }
}

#[test]
fn a_value_of_the_environment_is_shown_unless_it_may_be_a_secret() {
    let said = |name: &str, value: &str| {
        let text = "upstream.url = \"http://127.0.0.1:3000\"\n".to_owned();
        let file = Some(SourceFile { path: "sidecar.toml".to_owned(), text });
        let env = [(name.to_owned(), value.to_owned())].into();
        load(&Sources { file, env, flags: Vec::new() }).unwrap_err().to_string()
    };
    let errors = said("VITAL_SIDECAR__SERVER__WORKERS", "many");
    assert!(errors.contains("expected a whole number, found \"many\""), "{errors}");
    assert!(errors.contains("set by the environment variable"), "{errors}");
    let errors = said("VITAL_SIDECAR__GENAI__ENABLED", "yes");
    assert!(errors.contains("found \"yes\"") && errors.contains("write \"true\""), "{errors}");
    for (name, value) in [
        ("VITAL_SIDECAR__OTLP__HEADERS", "hidden"),
        ("VITAL_SIDECAR__SENTRY", "https://hidden@sentry/1"),
        ("VITAL_SIDECAR__SERVER__WORKERS", "hidden-0123456789-0123456789"),
    ] {
        let errors = said(name, value);
        assert!(errors.contains("found a string") && !errors.contains("hidden"), "{errors}");
    }
}

#[test]
fn another_language_is_recognised_and_told_once() {
    for (text, language, place) in [
        ("upstream:\n  url: http://hidden\n", "YAML", "1:1"),
        ("# a\n\n---\nupstream:\n  url: a\n", "YAML", "3:1"),
        ("token: hidden\nurl: a\n", "YAML", "1:1"),
        ("{ \"token\": \"hidden\" }\n", "JSON", "1:1"),
    ] {
        let errors = errors_of_all(text);
        assert_eq!(errors.count(), 1, "{errors}");
        let words = format!("looks like {language}");
        assert_says(&errors, &[&words, &format!("--> sidecar.toml:{place}\n"), "expected TOML"]);
        assert!(!errors.to_string().contains("hidden"), "{errors}");
    }
    assert_says(&errors_of_all("[a\nb: c\n"), &["sidecar.toml:1:"]);
}
