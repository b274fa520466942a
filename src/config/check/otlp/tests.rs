//! What file and environment together make of each signal's collector.

use std::time::Duration;

use crate::config::model::{OtlpProtocol, OtlpTarget};
use crate::config::{Loaded, SourceFile, Sources, load};

const UPSTREAM: &str = "upstream.url = \"http://127.0.0.1:3000\"\n";

fn sources(text: &str, env: &[(&str, &str)]) -> Sources {
    let file = SourceFile { path: "sidecar.toml".to_owned(), text: format!("{UPSTREAM}{text}") };
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Sources { file: Some(file), env: env.iter().map(owned).collect(), flags: Vec::new() }
}

fn loaded(text: &str, env: &[(&str, &str)]) -> Loaded {
    load(&sources(text, env)).unwrap_or_else(|errors| panic!("{errors}"))
}

fn targets(text: &str, env: &[(&str, &str)]) -> (Option<OtlpTarget>, Option<OtlpTarget>) {
    let otlp = loaded(text, env).config.otlp;
    (otlp.traces, otlp.metrics)
}

/// The two URLs, `-` for none.
fn urls(text: &str, env: &[(&str, &str)]) -> [String; 2] {
    let (traces, metrics) = targets(text, env);
    [traces, metrics].map(|target| target.map_or("-".to_owned(), |target| target.url))
}

fn notices(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    loaded(text, env).notices.into_iter().map(|notice| notice.0).collect()
}

#[test]
fn a_base_gets_the_path_of_each_signal() {
    let cases = [
        ("http://c:4318", "http://c:4318/v1/traces", "http://c:4318/v1/metrics"),
        ("http://c:4318/", "http://c:4318/v1/traces", "http://c:4318/v1/metrics"),
        ("https://c/otlp//", "https://c/otlp/v1/traces", "https://c/otlp/v1/metrics"),
        ("http://c/a?key=b", "http://c/a/v1/traces?key=b", "http://c/a/v1/metrics?key=b"),
        // A path that names a signal already.
        ("http://c/v1/traces", "http://c/v1/traces", "http://c/v1/metrics"),
        ("http://c/x/v1/metrics/", "http://c/x/v1/traces", "http://c/x/v1/metrics"),
    ];
    for (base, traces, metrics) in cases {
        let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", base)];
        assert_eq!(urls("", &env), [traces, metrics], "{base}");
        assert_eq!(urls(&format!("otlp.endpoint = \"{base}\""), &[]), [traces, metrics]);
    }
}

#[test]
fn a_signals_own_endpoint_is_used_as_it_is() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://base:4318");
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/otlp/");
    let metrics = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics/?a=b");
    let expected = ["http://traces:4318/otlp/", "http://base:4318/v1/metrics"];
    assert_eq!(urls("", &[base, traces]), expected);
    assert_eq!(urls("", &[base, metrics])[1], "http://metrics/?a=b");
    // The environment over the file, a signal's own table over the general one.
    let file = "[otlp]\nendpoint = \"http://file\"\n[tracing.otlp]\nendpoint = \"http://own\"";
    assert_eq!(urls(file, &[]), ["http://own", "http://file/v1/metrics"]);
    assert_eq!(urls(file, &[base]), ["http://own", "http://base:4318/v1/metrics"]);
    assert_eq!(urls(file, &[traces])[0], "http://traces:4318/otlp/");
}

#[test]
fn an_empty_endpoint_means_nowhere_for_whom_it_is_written() {
    assert_eq!(urls("otlp.endpoint = \"\"", &[]), ["-", "-"]);
    let [traces, metrics] = urls("tracing.otlp.endpoint = \"\"", &[]);
    assert_eq!((&*traces, &*metrics), ("-", "http://localhost:4318/v1/metrics"));
    let own = "otlp.endpoint = \"\"\nmetrics.otlp.endpoint = \"http://c/m\"";
    assert_eq!(urls(own, &[]), ["-", "http://c/m"]);
}

#[test]
fn switches_of_the_environment_turn_signals_off() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/x");
    let both = ["http://c/x", "http://c/v1/metrics"];
    let cases = [
        (("OTEL_TRACES_EXPORTER", "none"), ["-", both[1]]),
        (("OTEL_TRACES_EXPORTER", "otlp"), both),
        (("OTEL_TRACES_EXPORTER", "console,otlp"), both),
        (("OTEL_METRICS_EXPORTER", "none"), [both[0], "-"]),
        (("OTEL_METRICS_EXPORTER", "prometheus"), [both[0], "-"]),
        (("OTEL_METRICS_EXPORTER", "prometheus, otlp"), both),
        (("OTEL_SDK_DISABLED", "TRUE"), ["-", "-"]),
        (("OTEL_SDK_DISABLED", "false"), both),
    ];
    for (switch, expected) in cases {
        assert_eq!(urls("", &[base, own, switch]), expected, "{switch:?}");
    }
    let temporality = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    assert_eq!(notices("", &[(temporality, "Cumulative")]), [""; 0]);
    let said = notices("", &[(temporality, "delta")]);
    assert!(said.len() == 1 && said[0].starts_with(temporality), "{said:?}");
    let said = notices("", &[("OTEL_SDK_DISABLED", "true")]);
    assert_eq!(said, ["OTEL_SDK_DISABLED is set: traces, metrics and logs are pushed nowhere."]);
}

/// The URL of the logs, `-` for none.
fn logs_url(text: &str, env: &[(&str, &str)]) -> String {
    loaded(text, env).config.otlp.logs.map_or("-".to_owned(), |target| target.url)
}

#[test]
fn logs_are_pushed_only_where_somebody_asked_for_it() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
    let own = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c/x");
    let word = |word| ("OTEL_LOGS_EXPORTER", word);
    let (default, of_base) = ("http://localhost:4318/v1/logs", "http://c/v1/logs");
    let cases: [(&str, &[_], &str); 13] = [
        ("", &[], "-"),
        ("log.otlp.timeout = \"1s\"", &[], "-"),
        ("otlp.endpoint = \"\"", &[], "-"),
        ("otlp.endpoint = \"http://c\"", &[], of_base),
        ("otlp.endpoint = \"http://c/v1/traces\"", &[], of_base),
        ("otlp.endpoint = \"http://c\"\nlog.otlp.endpoint = \"\"", &[], "-"),
        ("log.otlp.endpoint = \"http://c/x\"", &[], "http://c/x"),
        ("", &[base], of_base),
        ("", &[base, own], "http://c/x"),
        ("", &[base, own, word("none")], "-"),
        ("", &[base, word("console")], "-"),
        ("", &[word("console, otlp")], default),
        ("", &[base, ("OTEL_SDK_DISABLED", "true")], "-"),
    ];
    for (text, env, expected) in cases {
        assert_eq!(logs_url(text, env), expected, "{text} {env:?}");
    }
    let asked = loaded("log.otlp.protocol = \"grpc\"", &[word("otlp")]).config.otlp.logs.unwrap();
    assert_eq!((&*asked.url, asked.is_configured), ("http://localhost:4317", true));
}

#[test]
fn what_a_signal_does_not_say_for_itself_is_that_of_all() {
    let file = "[otlp]\ntimeout = \"3s\"\ncompression = \"gzip\"\n[otlp.headers]\na = \"1\"\n\
                [metrics.otlp]\ntimeout = \"4s\"\nprotocol = \"grpc\"\n\
                [metrics.otlp.headers]\nb = \"2\"\n";
    let (traces, metrics) = targets(file, &[]);
    let (traces, metrics) = (traces.unwrap(), metrics.unwrap());
    assert_eq!((traces.protocol, metrics.protocol), (OtlpProtocol::Http, OtlpProtocol::Grpc));
    assert_eq!((traces.timeout, metrics.timeout), (Duration::from_secs(3), Duration::from_secs(4)));
    assert!(traces.compress && metrics.compress);
    assert_eq!((&*traces.headers[0].0, &*metrics.headers[0].0), ("a", "b"));
    assert_eq!(metrics.headers.len(), 1, "the tables of headers are not mixed");
    assert!(!traces.is_configured && !metrics.is_configured, "nobody named a collector");
    assert_eq!(metrics.url, "http://localhost:4317");

    let env = [
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "500"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "c=%41%2C"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
    ];
    let (traces, metrics) = targets(file, &env);
    let (traces, metrics) = (traces.unwrap(), metrics.unwrap());
    assert_eq!(metrics.timeout, Duration::from_millis(500));
    assert_eq!(traces.headers[0].1.reveal(), "A,");
    assert_eq!(metrics.protocol, OtlpProtocol::Http);
    assert_eq!((traces.compress, metrics.compress), (false, true));
}

#[test]
fn bodies_are_compressed_where_they_leave_the_machine() {
    let cases = [
        ("http://localhost:4318", false),
        ("http://LOCALHOST", false),
        ("http://otel.localhost", false),
        ("http://127.0.0.53:4318", false),
        ("http://[::1]:4318", false),
        ("http://[::ffff:127.0.0.1]:4318", false),
        ("http://localhost.example", true),
        ("http://collector:4318", true),
        ("https://192.0.2.1", true),
        ("http://0.0.0.0", true),
    ];
    for (endpoint, is_compressed) in cases {
        for protocol in ["http/protobuf", "grpc"] {
            let text = format!("otlp.endpoint = \"{endpoint}\"\notlp.protocol = \"{protocol}\"");
            let (traces, _) = targets(&text, &[]);
            assert_eq!(traces.unwrap().compress, is_compressed, "{endpoint}");
        }
    }
    for (word, is_compressed) in [("gzip", true), ("none", false)] {
        for endpoint in ["http://localhost", "http://collector"] {
            let text = format!("otlp.endpoint = \"{endpoint}\"\notlp.compression = \"{word}\"");
            assert_eq!(targets(&text, &[]).0.unwrap().compress, is_compressed);
        }
    }
}

#[test]
fn grpc_takes_scheme_host_and_port() {
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let clear = ("OTEL_EXPORTER_OTLP_INSECURE", "True");
    let own_tls = ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "false");
    let of = |endpoint, more: &[_]| {
        let mut env = vec![grpc, ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)];
        env.extend(more);
        urls("", &env)
    };
    assert_eq!(urls("", &[grpc]), ["http://localhost:4317", "http://localhost:4317"]);
    assert_eq!(of("https://c:4317", &[]), ["https://c:4317", "https://c:4317"]);
    assert_eq!(of("http://c:4317/v1/traces", &[])[0], "http://c:4317");
    assert_eq!(of("c:4317", &[])[0], "https://c:4317");
    assert_eq!(of("c:4317", &[clear])[0], "http://c:4317");
    assert_eq!(of("c:4317", &[clear, own_tls]), ["https://c:4317", "http://c:4317"]);
    assert_eq!(of("[::1]:4317", &[clear])[0], "http://[::1]:4317");
    assert_eq!(of("https://c:4317", &[clear])[0], "https://c:4317", "a scheme says more");
}

#[test]
fn what_looks_like_a_mistake_is_noted_once() {
    let cases = [
        ("http://c:4317", "http/protobuf", "has port 4317, by custom that of gRPC"),
        ("http://c:4318", "grpc", "has port 4318, by custom that of http/protobuf"),
        ("http://c:4317/v1/traces", "grpc", "has a path, which gRPC does not use"),
        ("c:4317", "grpc", "has no scheme: https is used"),
    ];
    for (endpoint, protocol, what) in cases {
        let text = format!("otlp.endpoint = \"{endpoint}\"\notlp.protocol = \"{protocol}\"");
        let said = notices(&text, &[]);
        assert!(said.len() == 1 && said[0].starts_with("`otlp.endpoint` "), "{said:?}");
        assert!(said[0].contains(what), "{said:?}");
    }
    let text = "otlp.endpoint = \"http://c:4317\"\notlp.protocol = \"grpc\"";
    assert_eq!(notices(text, &[]), [""; 0]);
    let said = notices(text, &[("OTEL_EXPORTER_OTLP_INSECURE", "true")]);
    assert!(said.len() == 1 && said[0].contains("is ignored: `otlp.endpoint` has a scheme"));
}

#[test]
fn a_key_in_the_query_of_an_endpoint_is_quoted_nowhere() {
    let texts = [
        "otlp.endpoint = \"ftp://c/?key=hidden\"",
        "otlp.endpoint = \"c:4318?key=hidden\"",
        "tracing.otlp.endpoint = \"http://c:0/v1/traces?key=hidden\"",
        "otlp = { endpoint = \"http://c/?key=hidden\", timeout = \"never\" }",
    ];
    for text in texts {
        let text = load(&sources(text, &[])).unwrap_err().to_string();
        assert!(text.contains("otlp.") && !text.contains("hidden"), "{text}");
    }
}

#[test]
fn what_cannot_work_is_refused_where_it_stands() {
    let cases = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "is not spoken here: http/json"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "`tracing.otlp.protocol` is not"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4318", "only with protocol = \"grpc\""),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "ftp://c", "`metrics.otlp.endpoint` is not"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Content-Type=a", "is not for you to set"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "grpc-timeout=1S", "is not for you to set"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/none", "`tracing.otlp.ca_file` cannot be read"),
    ];
    for (name, value, expected) in cases {
        let errors = load(&sources("", &[(name, value)])).unwrap_err();
        let text = errors.to_string();
        assert_eq!(errors.count(), 1, "{text}");
        assert!(text.contains(expected) && text.contains(name), "{text}");
    }
}
