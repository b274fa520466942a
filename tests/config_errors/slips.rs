//! Values that are nearly right: the help line says how they are written.

use vital_sidecar::config::{SourceFile, Sources, load};

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
        ("rate_limits = [{ key = [\"ip\"], rate = \"1/s\" }]".to_owned(), "`[rate_limits.NAME]`"),
        ("server = [{ workers = 1 }]".to_owned(), "`[server]`"),
    ] {
        let errors = errors_of(&text);
        assert_eq!(errors.count(), 1, "{errors}");
        assert_says(&errors, &["= help: ", help]);
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
