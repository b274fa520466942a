//! No error shows a secret: whatever its type, wherever it stands, and whatever else is wrong with its line.

use proptest::prelude::*;
use vital_sidecar::config::Config;

use super::{assert_says, errors_of, errors_of_all};

/// What no error may hold: all digits, so that a value of any type can hold it.
const MARK: &str = "867530986753";
const SECRETS: [&str; 7] = [
    "otlp.headers",
    "tracing.otlp.headers",
    "metrics.otlp.headers",
    "log.otlp.headers",
    "rate_limit_store.redis_url",
    "sentry.dsn",
    "alerts.notify",
];
const PLACES: [&str; 8] = [
    "upstream.url",
    "otlp.endpoint",
    "tracing.otlp.endpoint",
    "metrics.otlp.endpoint",
    "log.otlp.endpoint",
    "log.datadog.url",
    "identity.jwt.jwks_url",
    "errors.type_base",
];

/// A value of any of TOML's types that holds one of these texts, or one of these numbers.
fn value(
    texts: &'static [&'static str],
    numbers: &'static [&'static str],
) -> BoxedStrategy<String> {
    let marked = |text: &&str| text.replace("MARK", MARK);
    let texts: Vec<_> = texts.iter().map(marked).collect();
    let numbers: Vec<_> = numbers.iter().map(marked).collect();
    let quotes = prop_oneof![Just("\""), Just("'"), Just("\"\"\""), Just("'''"), Just("\"\"\"\n")];
    let text = (proptest::sample::select(texts), quotes)
        .prop_map(|(text, quote)| format!("{quote}{text}{}", quote.trim_end()));
    let leaf = if numbers.is_empty() {
        text.boxed()
    } else {
        prop_oneof![3 => text, 1 => proptest::sample::select(numbers)].boxed()
    };
    let nested = leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|value| format!("[{value}]")),
            inner.clone().prop_map(|value| format!("[\"log\",\n  {value}, 1]")),
            inner.clone().prop_map(|value| format!("{{ a = {value} }}")),
            inner.prop_map(|value| format!("{{ x-b = {value}, c = 1 }}")),
        ]
    });
    nested.boxed()
}

/// A file that is wrong in this key's line, and beside it.
fn files(path: &str, value: &str) -> Vec<String> {
    let (table, key) = path.rsplit_once('.').expect("all of them stand in a table");
    let (top, rest) = path.split_once('.').expect("all of them stand in a table");
    vec![
        format!("{path} = {value}\nserver.workers = \"x\"\n"),
        format!("[server]\nworkers = \"x\"\n[{table}]\n{key} = {value}\nnothing = 1\n"),
        format!("[server]\nworkers = \"x\"\n[[{table}]]\n{key} = {value}\nnothing = 1\n"),
        format!("{top} = {{ {rest} = {value}, nothing = 1 }}\n"),
        format!("{top} = [{{ {rest} = {value}, nothing = 1 }}]\n"),
        format!("[{table}]\n{key} = {value}\n{key} = {value}\n"),
        format!("[{table}]\n{key} = {value} x\n"),
        format!("[{table}]\n{key} {value}\n"),
        format!("{top} = {{ {rest} = {value} x }}\n"),
    ]
}

fn assert_hidden(text: &str) -> Result<(), TestCaseError> {
    let Err(errors) = Config::from_toml(text) else {
        return Err(TestCaseError::fail(format!("this is valid:\n{text}")));
    };
    let shown = errors.to_string();
    prop_assert!(!shown.contains(MARK), "{}\n\nof:\n{}", shown, text);
    Ok(())
}

proptest! {
    #[test]
    fn no_error_shows_the_value_of_a_secret_key_of_whatever_type(
        path in proptest::sample::select(&SECRETS[..]),
        value in value(
            &[
                "MARK",
                "Bearer MARK",
                "webhook:https://hooks.example/services/MARK",
                "webhook:MARK",
                "redis://:MARK@cache:99999",
                "unix:/run/redis.sock?password=MARK",
                "https://MARK@sentry.example/x/",
                "authorization=MARK",
                "${NOBODY_HAS_THIS}MARK",
                "${MARK",
            ],
            &["MARK", "MARK.5", "-MARK"],
        ),
        where_a_table_belongs in any::<bool>(),
    ) {
        for text in files(path, &value) {
            assert_hidden(&text)?;
        }
        let table = path.rsplit_once('.').map_or("", |(table, _)| table);
        if where_a_table_belongs && !value.contains('{') && !table.contains('.') {
            assert_hidden(&format!("{table} = {value}\n"))?;
        }
    }

    #[test]
    fn no_error_shows_what_a_place_says_more_than_where(
        path in proptest::sample::select(&PLACES[..]),
        value in value(
            &[
                "http://u:MARK@h:1",
                "ftp://MARK@h",
                "u:MARK@h:4318",
                "http://h:1/?k=MARK",
                "h:4318?MARK",
                "http://h:1/a#MARK",
                "https://hooks.example/T0/B0/MARK0123456789abcdef",
                "webhook:https://hooks.example/MARK",
                "${NOBODY_HAS_THIS:-http://u:MARK@h}",
                "http://u:MARK\u{e9}@h",
            ],
            &[],
        ),
    ) {
        for text in files(path, &value) {
            assert_hidden(&text)?;
        }
    }
}

#[test]
fn an_alert_that_is_told_by_a_text_hides_its_webhook() {
    let text = "[[alerts]]\nname = \"a\"\nwhen = \"errors > 1/min\"\n\
                notify = \"webhook:https://hooks.example/services/hidden\"\n";
    let errors = errors_of_all(&format!("upstream.url = \"http://127.0.0.1:3000\"\n{text}"));
    assert_says(
        &errors,
        &["`alerts.notify` has the wrong type", "write it in brackets", "5 | notify = ***"],
    );
    assert!(!errors.to_string().contains("hidden"), "{errors}");
}

#[test]
fn a_place_is_quoted_where_it_is_only_a_place() {
    for (text, shown) in [
        (
            "otlp.endpoint = \"ftp://collector:4318/v1/traces\"",
            "= \"ftp://collector:4318/v1/traces\"",
        ),
        (
            "identity.jwt.jwks_url = \"http://idp.example/keys.json\"",
            "= \"http://idp.example/keys.json\"",
        ),
        ("log.datadog.url = [\"http://agent\"]", "= [\"http://agent\"]"),
        (
            "alerts = [{ name = \"a\", when = \"errors > 1/min\", notify = [\"log\", 7] }]",
            "[\"log\", *]",
        ),
        ("sentry = true", "sentry = true"),
    ] {
        assert_says(&errors_of(text), &[shown]);
    }
    let errors = errors_of_all("upstream.url = \"http://app:3000/api\"");
    assert_says(&errors, &["= \"http://app:3000/api\""]);
}

#[test]
fn a_whole_header_in_the_place_of_its_name_is_hidden() {
    let errors = errors_of("[otlp.headers]\n\"authorization: Bearer hidden\" = \"\"");
    assert_says(&errors, &["`otlp.headers` has a name that is not a header"]);
    assert!(!errors.to_string().contains("hidden"), "{errors}");
}

#[test]
fn a_list_within_a_list_is_not_taken_for_a_table() {
    let list = "headers = [\"log\",\n  [hidden], 1,\n[hidden]\n]\n";
    for text in
        [format!("[otlp]\n{list}{list}"), "[sentry]\ndsn = [\n[hidden]\nhidden]\n".to_owned()]
    {
        let errors = errors_of_all(&text);
        assert!(!errors.to_string().contains("hidden"), "{errors}");
    }
}
