//! Keys that do not exist: what was probably meant, and what is shown of their values.

use super::{assert_says, errors_of, errors_of_all};

#[test]
fn a_key_is_sent_to_another_table_only_where_it_means_the_same_there() {
    for (text, help) in [
        ("tracing.sample_rate = 0.1", "did you mean `sampling.ratio`?"),
        ("tracing.enabled = true", "`tracing.otlp.endpoint = \"\"` sends none"),
        ("metrics.enabled = true", "`push = true` pushes metrics as well"),
        ("metrics.path = \"/prom\"", "the path is `/metrics`"),
        ("metrics.port = 9090", "did you mean `listen = \"IP:PORT\"`?"),
        ("audit.signing_key_file = \"key\"", "it is not signed"),
        ("server.host = \"0.0.0.0\"", "did you mean `listen = \"IP:PORT\"`?"),
        ("server.port = 8080", "did you mean `listen = \"IP:PORT\"`?"),
        ("server.drain_timeout = \"9s\"", "did you mean `drain.timeout`?"),
        ("server.tls.ca_file = \"ca.pem\"", "did you mean `client_ca_file`?"),
        ("server.max_headers = 7", "`max_headers` belongs in `[server.limits]`"),
        ("log_level = \"warn\"", "did you mean `log.level`?"),
        ("workers = 3", "`workers` belongs in `[server]`"),
        ("sentry.jwks_url = \"a\"", "the keys here are "),
        ("headers = { x-frame-options = \"DENY\" }", "`[security.override]`"),
        ("security.csp = \"default-src\"", "`[security.override]`"),
        ("security.x-frame-options = \"DENY\"", "`[security.override]`"),
        ("service.log = { level = \"warn\" }", "above the first `[table]`, or as `[log]`"),
        ("errors.page = \"page.html\"", "this is not built yet"),
        ("browser.vitals = true", "this is not built yet"),
        ("sentry.tunnel = { enabled = true }", "this is not built yet"),
    ] {
        let errors = errors_of(text);
        assert_eq!(errors.count(), 1, "{errors}");
        assert_says(&errors, &["unknown key", help]);
    }
}

#[test]
fn a_table_of_fields_in_the_place_of_a_preset_is_told_its_table() {
    let errors = errors_of("security.headers = { x-frame-options = \"DENY\" }");
    assert_eq!(errors.count(), 1, "{errors}");
    assert_says(&errors, &["found a table", "single fields stand in `[security.override]`"]);
}

#[test]
fn what_is_not_built_is_told_in_the_readme_too() {
    let readme = include_str!("../../README.md");
    for name in ["`[browser]`", "`[sentry.tunnel]`", "`sentry.traces_sample_rate`", "`errors.page`"]
    {
        assert!(readme.contains(name), "{name}");
    }
    assert!(readme.contains("not built yet"));
}

#[test]
fn a_value_is_shown_unless_it_may_be_a_secret() {
    for (text, shown) in [
        ("server.lisen = \"127.0.0.1:8080\"", "= \"127.0.0.1:8080\""),
        ("log.levle = \"warn\"", "= \"warn\""),
        ("server.wrkers = 3", "= 3"),
        ("[logs]\nlevel = \"warn\"", "logs"),
    ] {
        assert_says(&errors_of(text), &[shown]);
    }
    for text in [
        "admin.token = \"hidden\"",
        "admin.tokn = \"hidden\"",
        "server.pasword = \"hidden\"",
        "alerts_webhook = \"hidden\"",
        "server.url = \"https://example/hidden/path\"",
        "server.redis = \"redis://:hidden@cache\"",
        "server.magic = \"hidden-0123456789-0123456789\"",
        "headers = { x-a = \"hidden\", x-b = [\"hidden\"] }",
    ] {
        let errors = errors_of(text);
        assert!(!errors.to_string().contains("hidden"), "{errors}");
    }
}

#[test]
fn of_two_values_both_are_shown_unless_they_may_be_secret() {
    let errors = errors_of_all("[server]\nlisten = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\n");
    assert_says(&errors, &["listen = \"127.0.0.1:1\"", "listen = \"127.0.0.1:2\""]);
    for text in [
        "[sentry]\ndsn = \"hidden\"\ndsn = \"hidden\"\n",
        "[upstream]\nurl = \"http://a\"\nurl = \"http://u:hidden@a\"\n",
        "[log]\nlevel = \"hidden-0123456789-0123456789\"\nlevel = \"info\"\n",
    ] {
        let errors = errors_of_all(text);
        assert_says(&errors, &["duplicate key"]);
        assert!(!errors.to_string().contains("hidden"), "{errors}");
    }
}

#[test]
fn a_name_with_a_dot_is_told_to_be_quoted_and_nothing_else() {
    let text = "[captures.gen_ai.model]\nfrom = \"request.body:/model\"\ntake = \"length\"\n\
                [[routes]]\nname = \"a\"\nmatch = \"GET /a\"\ncaptures = [\"gen_ai.model\"]\n\
                [upstream]\nurl = \"http://127.0.0.1:3000\"\n";
    let errors = errors_of_all(text);
    assert_eq!(errors.count(), 1, "{errors}");
    let said = [
        "the name `gen_ai.model` needs quotes",
        "sidecar.toml:1:18\n",
        "`[captures.\"gen_ai.model\"]`",
    ];
    assert_says(&errors, &said);

    let text = "[rate_limits.a.b.c]\nkey = [\"ip\"]\nrate = \"1/s\"\n\
                [rate_limits.a]\nkey = [\"ip\"]\nrate = \"1/s\"\ntiers = { gold = \"2/s\" }\ntier_claim = \"t\"\n\
                [upstream]\nurl = \"http://127.0.0.1:3000\"\n";
    let errors = errors_of_all(text);
    assert_eq!(errors.count(), 1, "{errors}");
    assert_says(&errors, &["`[rate_limits.\"a.b.c\"]`"]);

    // What else is wrong with it is told, too.
    let errors = errors_of("captures.a.b = { from = \"body\", take = \"length\" }");
    assert_eq!(errors.count(), 2, "{errors}");
    assert_says(&errors, &["`captures.\"a.b\".from` is not a place to capture from"]);
}
