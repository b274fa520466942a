//! What OpenTelemetry's variables set, and what is said of those that set nothing.

use std::time::Duration;

use crate::config::model::OtlpProtocol;
use crate::config::{Config, Loaded, Sources, load};

fn loaded(env: &[(&str, &str)]) -> Loaded {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let upstream = ("upstream.url", "http://127.0.0.1:3000");
    let flags = [upstream].iter().map(owned).collect();
    let sources = Sources { env: env.iter().map(owned).collect(), flags, ..Sources::default() };
    load(&sources).unwrap_or_else(|errors| panic!("{errors}"))
}

fn config(env: &[(&str, &str)]) -> Config {
    loaded(env).config
}

fn notices(env: &[(&str, &str)]) -> Vec<String> {
    loaded(env).notices.into_iter().map(|notice| notice.0).collect()
}

#[test]
fn open_telemetrys_words_are_known_in_any_letter_case_and_between_blanks() {
    let env = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", " GRPC"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "GZIP "),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
        ("OTEL_TRACES_SAMPLER", "ParentBased_TraceIdRatio"),
        ("OTEL_TRACES_SAMPLER_ARG", " 0.5 "),
        ("OTEL_PROPAGATORS", "B3, Baggage"),
        ("OTEL_METRICS_EXPORTER", "OTLP"),
        ("OTEL_LOGS_EXPORTER", "None"),
        ("OTEL_SDK_DISABLED", " False"),
    ];
    assert_eq!(notices(&env), [""; 0]);
    let set = config(&env);
    let traces = set.otlp.traces.as_ref().unwrap();
    assert!(traces.protocol == OtlpProtocol::Grpc && traces.compress);
    assert!((set.tracing.ratio - 0.5).abs() < f64::EPSILON);
    let spoken = set.tracing.propagators;
    assert!(spoken.b3 && spoken.baggage && !spoken.tracecontext);
    assert!(set.metrics.push && set.otlp.logs.is_none());
    let off = |name, value| config(&[(name, value)]);
    assert!(off("OTEL_TRACES_EXPORTER", "None").otlp.traces.is_none());
    assert!(off("OTEL_SDK_DISABLED", "TRUE ").otlp.traces.is_none());
    assert_eq!(off("OTEL_TRACES_SAMPLER", "ALWAYS_OFF").tracing.keep.per_second, 0);
}

#[test]
fn what_is_not_known_of_others_variables_is_noted() {
    let cases = [
        ("LOG_LEVEL", "silly"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "perhaps"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "key.pem"),
        ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE", "certificate.pem"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2048"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "always_on"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "5000"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "5"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "5"),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "5"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5"),
        ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "5"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "9999"),
        ("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "http://zipkin:9411"),
        ("OTEL_LOG_LEVEL", "debug"),
        ("OTEL_CONFIG_FILE", "otel.yaml"),
        ("OTEL_METRICS_EXPORTER", "statsd"),
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
    ];
    for (name, value) in cases {
        let notices = notices(&[(name, value)]);
        assert!(notices.len() == 1 && notices[0].starts_with(name), "{notices:?}");
    }
    assert_eq!(notices(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]), [""; 0]);
}

#[test]
fn exemplars_are_left_out_where_opentelemetry_says_so() {
    let filtered = |word| [("OTEL_METRICS_EXEMPLAR_FILTER", word)];
    assert!(config(&[]).metrics.has_exemplars);
    assert!(config(&filtered("Trace_Based")).metrics.has_exemplars);
    assert!(!config(&filtered("ALWAYS_OFF")).metrics.has_exemplars);
    assert_eq!(notices(&filtered("always_off")), [""; 0]);
}

#[test]
fn opentelemetry_says_how_often_metrics_are_pushed() {
    let pushed =
        config(&[("OTEL_METRICS_EXPORTER", "otlp"), ("OTEL_METRIC_EXPORT_INTERVAL", "1500")]);
    assert!(pushed.metrics.push);
    assert_eq!(pushed.metrics.interval, Duration::from_millis(1500));
    for several in ["prometheus,otlp", " otlp , console"] {
        assert!(config(&[("OTEL_METRICS_EXPORTER", several)]).metrics.push, "{several}");
    }
    assert!(!config(&[]).metrics.push, "pushing is asked for");
    let said = notices(&[("OTEL_METRIC_EXPORT_INTERVAL", "often")]);
    assert_eq!(said, ["OTEL_METRIC_EXPORT_INTERVAL is ignored: not a number of milliseconds."]);
}
