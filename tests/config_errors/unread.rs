//! A value that could not be read is told once: nobody is asked for it again, least of all by a hint that
//! would open a door.

use super::{assert_says, errors_of, errors_of_all};

#[test]
fn a_key_whose_variable_is_missing_is_not_called_missing() {
    let jwt = "identity.source = \"jwt\"\nidentity.jwt = { jwks_url = \"https://a/keys\", ";
    let cases = [
        format!("{jwt}issuer = \"${{NONE}}\", audience = \"a\" }}"),
        format!("{jwt}issuer = \"a\", audience = \"${{NONE}}\" }}"),
        jwt.replace("https://a/keys", "${NONE}") + "issuer = \"a\", audience = \"a\" }",
        jwt.replace("\"https://a/keys\"", "5") + "issuer = \"a\", audience = \"a\" }",
        format!("{jwt}issuer = [\"a\"], audience = \"a\" }}"),
        "identity.source = \"mtls\"\nserver.tls = { client_ca_file = \"${NONE}\" }".to_owned(),
        "identity.source = \"headers\"\nserver.trusted_proxies = [\"${NONE}\"]".to_owned(),
        "identity.source = \"${NONE}\"\nroute_defaults.identity = \"required\"".to_owned(),
        "admin = { listen = \"0.0.0.0:9901\", token_file = \"${NONE}\" }".to_owned(),
        "admin.listen = \"${NONE}\"\nmetrics.listen = \"127.0.0.1:9901\"".to_owned(),
        "log.datadog = { enabled = true, api_key_file = \"${NONE}\" }".to_owned(),
        "server.tls = { certificate_file = \"${NONE}\", key_file = \"${NONE:-}\" }".to_owned(),
        "rate_limits.a = { key = [\"ip\"], rate = \"1/s\", cost = \"${NONE}\", reserve = 2 }"
            .to_owned(),
        "captures.a = { from = \"path:id\", values = \"${NONE}\" }".to_owned(),
    ];
    for text in cases {
        let errors = errors_of(&text);
        assert_eq!(errors.count(), 1, "{text}:\n{errors}");
        assert!(!errors.to_string().contains("accept any"), "{errors}");
    }
    let absent = errors_of(&format!("{jwt}audience = \"a\" }}"));
    assert_says(&absent, &["`identity.jwt.issuer` is missing", "to accept any"]);
}

#[test]
fn an_upstream_that_could_not_be_read_says_nothing_of_its_tls() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let key = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
    std::fs::write(&file, key.cert.pem()).unwrap();
    for table in ["upstream = { url", "upstream.url = \"http://a\"\nrate_limit_store = { redis_url"]
    {
        let text = format!("{table} = \"${{NONE}}\", ca_file = \"{}\" }}", file.display());
        let errors = errors_of_all(&text);
        assert_eq!(errors.count(), 1, "{errors}");
        assert_says(&errors, &["the environment variable `NONE` is not set"]);
    }
}
