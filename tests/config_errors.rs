//! What a wrong configuration says: the words, the line and the column of each error.

use vital_sidecar::config::{Config, Errors};

/// The errors of a text to which an upstream is added at the end, so that lines count from 1.
fn errors_of(text: &str) -> Errors {
    errors_of_all(&format!("{text}\nupstream.url = \"http://127.0.0.1:3000\"\n"))
}

/// The errors of a text with its own upstream, or none.
fn errors_of_all(text: &str) -> Errors {
    match Config::from_toml(text) {
        Ok(_) => panic!("this is valid:\n{text}"),
        Err(errors) => errors,
    }
}

fn assert_says(errors: &Errors, words: &[&str]) {
    let text = errors.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in:\n{text}");
    }
}

/// One wrong value, one error, at this place and in these words.
macro_rules! refused {
    ($($name:ident: $text:expr, $place:literal, $($word:literal),+;)+) => {$(
        #[test]
        fn $name() {
            let errors = errors_of($text);
            assert_eq!(errors.count(), 1, "{errors}");
            assert_says(&errors, &[
                concat!("--> sidecar.toml:", $place, "\n"),
                $($word,)+
                "error: the configuration has 1 error",
            ]);
        }
    )+};
}

// Behind the macro, which they use.
mod directories;
mod limits;
mod routes;
mod secrets;
mod slips;
mod twice;
mod unknown;
mod unread;
mod values;
mod variables;
mod voices;

// What to do about an upstream that fails.
refused! {
    a_health_path_begins_with_a_slash:
        "upstream.health.path = \"healthz\"", "1:24",
        "`upstream.health.path` is not a usable path", "expected a path such as \"/healthz\"";
    a_health_path_fits_into_a_request_line:
        "upstream.health.path = \"/a b\"", "1:24", "`upstream.health.path` is not a usable path";
    a_breaker_has_three_modes:
        "upstream.breaker.mode = \"on\"", "1:25", "`upstream.breaker.mode`", "enforce";
    a_breaker_bears_at_least_one_failure:
        "upstream.breaker.failures = 0", "1:29", "`upstream.breaker.failures`";
    a_budget_is_a_share:
        "upstream.retry.budget = 1.5", "1:25", "`upstream.retry.budget`";
    retries_are_bounded:
        "upstream.retry.max_retries = 11", "1:30", "`upstream.retry.max_retries`";
}

// What takes two values to see.
refused! {
    an_admin_door_beyond_loopback_needs_a_token:
        "admin.listen = \"0.0.0.0:9901\"", "1:16",
        "`admin.listen` needs a token", "is not a loopback address", "set `admin.token_file`";
    two_doors_on_one_port_are_refused:
        "metrics.listen = \"0.0.0.0:8080\"", "1:18",
        "`metrics.listen` and `server.listen` use the same port", "give each its own port";
    an_upstream_that_is_the_sidecar_is_refused:
        "server.listen = \"0.0.0.0:3000\"", "2:16", "`upstream.url` is the sidecar itself";
    a_drain_that_is_all_delay_is_refused:
        "server.drain.delay = \"25s\"", "1:22",
        "`server.drain.delay` leaves no time to drain", "expected delay < timeout";
    a_body_larger_than_all_memory_is_refused:
        "inspect.max_body = \"1GiB\"", "1:20", "expected max_body <= max_memory";
}

// Variables and files.
refused! {
    an_unset_variable_is_named:
        "log.directory = \"${LOG_HOME}/a\"", "1:17",
        "the environment variable `LOG_HOME` is not set", "give a default: `${LOG_HOME:-…}`";
    an_unclosed_variable_is_refused:
        "log.directory = \"${LOG_HOME\"", "1:17", "expected `${NAME}` or `${NAME:-default}`";
    an_unreadable_token_file_is_named:
        "admin.token_file = \"/does/not/exist\"", "1:20", "`admin.token_file` cannot be read",
        "reading `/does/not/exist`: No such file or directory";
    an_unreadable_certificate_file_is_named:
        "otlp.ca_file = \"/does/not/exist\"", "1:16", "`otlp.ca_file` cannot be read";
    a_syntax_error_is_placed:
        "audit.directory = \"audit", "1:25", "invalid basic string";
}

#[test]
fn every_way_to_a_port_of_our_own_is_seen() {
    let listen = |at: &str| format!("server.listen = \"{at}\"\n");
    for (doors, url, door) in [
        (listen("127.0.0.1:27080"), "http://localhost:27080", "`server.listen` has"),
        (listen("127.0.0.1:27080"), "http://LOCALHOST.:27080", "`server.listen` has"),
        (listen("[::1]:27080"), "http://app.localhost:27080", "`server.listen` has"),
        (listen("0.0.0.0:27080"), "http://localhost:27080", "`server.listen` has"),
        (listen("0.0.0.0:27080"), "http://127.0.0.2:27080", "`server.listen` has"),
        (listen("[::]:27080"), "http://127.0.0.1:27080", "`server.listen` has"),
        (listen("127.0.0.1:27080"), "http://0.0.0.0:27080", "`server.listen` has"),
        (String::new(), "http://127.0.0.1:9901", "`admin.listen` has"),
        (String::new(), "http://localhost:8080", "`server.listen` has"),
        (
            "metrics.listen = \"0.0.0.0:9090\"\n".to_owned(),
            "http://[::1]:9090",
            "`metrics.listen` has",
        ),
    ] {
        let errors = errors_of_all(&format!("{doors}upstream.url = \"{url}\"\n"));
        assert_eq!(errors.count(), 1, "{errors}");
        assert_says(&errors, &["`upstream.url` is the sidecar itself", door]);
    }
    for (doors, url) in [
        (listen("127.0.0.1:27080"), "http://localhost:27081"),
        (listen("127.0.0.1:27080"), "http://127.0.0.2:27080"),
        (listen("10.0.0.1:27080"), "http://localhost:27080"),
        (listen("0.0.0.0:27080"), "http://app:27080"),
    ] {
        let text = format!("{doors}upstream.url = \"{url}\"\n");
        Config::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}"));
    }
}

#[test]
fn a_wrong_upstream_is_refused() {
    let cases = [
        ("localhost:3000", "expected a URL such as \"http://127.0.0.1:3000\""),
        ("ftp://a", "expected a URL that begins with http://, https://, h2c:// or unix:/"),
        ("https://127.0.0.1:3000/api", "`upstream.url` has a path"),
        ("https://a..b", "`upstream.url` has a host that no certificate can name"),
        ("h2c://127.0.0.1:99999", "expected a port from 1 to 65535"),
        ("unix:app.sock", "as in \"unix:/run/app.sock\""),
        ("unix:/run/", "as in \"unix:/run/app.sock\""),
        ("unix://host/run/app.sock", "as in \"unix:/run/app.sock\""),
        ("http://127.0.0.1:3000/api", "`upstream.url` has a path"),
        ("http://127.0.0.1:0", "expected a port from 1 to 65535"),
    ];
    for (url, words) in cases {
        let errors = errors_of_all(&format!("[upstream]\nurl = \"{url}\"\n"));
        assert_eq!(errors.count(), 1, "{errors}");
        assert_says(&errors, &["--> sidecar.toml:2:7\n", words]);
    }
}

#[test]
fn an_upstream_socket_has_a_bounded_path() {
    let url = format!("unix:/{}", "a".repeat(107));
    let errors = errors_of_all(&format!("[upstream]\nurl = \"{url}\"\n"));
    assert_says(&errors, &["a socket's path has at most 107 bytes"]);
}

#[test]
fn a_file_of_roots_must_be_usable_and_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let key = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
    let good = path("good.pem", &key.cert.pem());
    let broken =
        path("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (url, file, words) in [
        ("http://a", good.as_str(), "`upstream.url` has no TLS"),
        ("https://a", broken.as_str(), "holds a certificate that cannot be used"),
        ("https://a", "/does/not/exist", "`upstream.ca_file` cannot be read"),
    ] {
        let text = format!("[upstream]\nurl = \"{url}\"\nca_file = \"{file}\"\n");
        let errors = errors_of_all(&text);
        assert_eq!(errors.count(), 1, "{errors}");
        assert_says(&errors, &["--> sidecar.toml:3:11\n", words]);
    }
    let text = format!("[upstream]\nurl = \"https://a\"\nca_file = \"{good}\"\n");
    Config::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn a_table_that_was_opened_by_a_dotted_key_says_how_to_go_on() {
    let text = "upstream.url = \"http://127.0.0.1:3000\"\n[upstream]\nhost = \"rewrite\"\n";
    let errors = errors_of_all(text);
    assert_says(
        &errors,
        &[
            "duplicate table `[upstream]`",
            "--> sidecar.toml:2:2",
            "written here before",
            "`upstream.KEY = …`",
        ],
    );
}

#[test]
fn a_missing_upstream_is_asked_for() {
    let errors = errors_of_all("");
    assert_says(
        &errors,
        &["`upstream.url` is missing", "--> sidecar.toml", "run with `--upstream URL`"],
    );
    let errors = errors_of_all("[upstream]\nhost = \"rewrite\"\n");
    assert_says(&errors, &["--> sidecar.toml:1:1\n", "the service behind must be named"]);
}

#[test]
fn what_has_no_place_is_told_without_an_empty_line() {
    use vital_sidecar::config::{Sources, load};
    let missing = load(&Sources::default()).unwrap_err();
    let expected = "\
error: `upstream.url` is missing
 = help: add `url = \"http://127.0.0.1:3000\"` under `[upstream]`, or run with `--upstream URL`

error: the configuration has 1 error";
    assert_eq!(missing.to_string(), expected);
    let coloured = missing.render(true);
    assert_eq!(coloured.lines().count(), 4, "{coloured}");
    let flags = vec![("upstream.url".to_owned(), "nowhere".to_owned())];
    let wrong = load(&Sources { flags, ..Sources::default() }).unwrap_err().to_string();
    let lines: Vec<_> = wrong.lines().collect();
    assert_eq!(lines[0], "error: `upstream.url` is not a usable URL", "{wrong}");
    assert!(lines[1].starts_with(" = note: ") && lines[1].ends_with("flag for `upstream.url`"));
}

#[test]
fn five_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = r#"[server]
lisetn = "0.0.0.0:8080"
workers = "many"

[log]
level = "loud"

[upstream]
url = "gopher://127.0.0.1:3000"

[[routes]]
match = "GET /a"
rate_limits = ["per-ip"]
"#;
    let errors = errors_of_all(text);
    assert_eq!(errors.count(), 5, "{errors}");
    let text = errors.to_string();
    let places: Vec<_> =
        text.lines().filter_map(|line| line.split("sidecar.toml:").nth(1)).collect();
    assert_eq!(places, ["2:1", "3:11", "6:9", "9:7", "13:16"]);
    assert!(text.ends_with("error: the configuration has 5 errors"), "{text}");
}

#[test]
fn every_wrong_word_of_a_list_is_told() {
    let errors = errors_of("tracing.propagators = [\"jaeger\", \"b3\", \"xray\"]");
    assert_eq!(errors.count(), 2, "{errors}");
}

#[test]
fn an_error_is_rendered_with_its_line_a_caret_a_label_and_help() {
    let expected = "\
error: `log.level` is not one of its values
 --> sidecar.toml:1:13
  |
1 | log.level = \"inof\"
  |             ^^^^^^ expected \"error\", \"warn\", \"info\" or \"debug\"
  |
  = help: did you mean \"info\"?

error: the configuration has 1 error";
    let errors = errors_of("log.level = \"inof\"");
    assert_eq!(errors.to_string(), expected);
    assert!(errors.render(true).contains("\u{1b}["));
}

#[test]
fn a_token_file_must_hold_one_line_of_visible_text() {
    let directory = tempfile::tempdir().unwrap();
    for (content, words) in [("\n", "is empty"), ("a\nb", "more than one line")] {
        let path = directory.path().join("token");
        std::fs::write(&path, content).unwrap();
        let errors = errors_of(&format!("admin.token_file = \"{}\"", path.display()));
        assert_says(&errors, &["sidecar.toml:1:20", words]);
    }
}

#[test]
fn an_upstream_that_is_the_sidecars_own_socket_is_refused() {
    let errors = errors_of_all(
        "server.listen = \"unix:/run/a.sock\"\nupstream.url = \"unix:///run/a.sock\"\n",
    );
    assert_eq!(errors.count(), 1, "{errors}");
    assert_says(&errors, &["--> sidecar.toml:2:16", "`upstream.url` is the sidecar itself"]);
}
