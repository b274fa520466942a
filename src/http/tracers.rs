//! The fields by which tracers that we do not speak carry a trace, and decide whether it is kept.
//!
//! Services read them beside `traceparent`, so a stranger's must not reach one: a `sentry-trace` that ends
//! in `-0` or an `x-datadog-sampling-priority` of 2 would decide there. An underscore counts as a dash:
//! CGI-like servers take both for the same.
//!
//! It knows names alone, and reads no value.

use super::hop::is_twin;

/// Whether a lower-case field name is one of theirs. The first bytes sort out every usual field.
pub fn is_field(name: &str) -> bool {
    let is = |of: &str| is_twin(name, of);
    let begins = |with: &str| name.get(..with.len()).is_some_and(|head| is_twin(head, with));
    match name.as_bytes() {
        [b'x', _, b'a', ..] => is("x-amzn-trace-id"),
        [b'x', _, b'c', ..] => is("x-cloud-trace-context"),
        [b'x', _, b'd', ..] => begins("x-datadog-"),
        [b'x', _, b'i', ..] => begins("x-instana-"),
        [b's', b'e', ..] => is("sentry-trace"),
        // SkyWalking.
        [b's', b'w', ..] => name == "sw8" || begins("sw8-"),
        [b'g', b'r', ..] => is("grpc-trace-bin"),
        [b't', b'r', ..] => is("traceparent-bin") || is("tracestate-bin"),
        // Jaeger.
        [b'u', b'b', ..] => is("uber-trace-id") || begins("uberctx-"),
        [b'j', b'a', ..] => is("jaeger-debug-id") || is("jaeger-baggage"),
        // OpenTracing's own.
        [b'o', b't', ..] => begins("ot-tracer-") || begins("ot-baggage-"),
        [b'e', b'l', ..] => is("elastic-apm-traceparent"),
        [b'n', b'e', ..] => name == "newrelic",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_other_tracers_are_known_in_every_spelling() {
        for field in [
            "sentry-trace",
            "sentry_trace",
            "x-datadog-trace-id",
            "x-datadog-parent-id",
            "x-datadog-sampling-priority",
            "x_datadog_tags",
            "x-datadog_origin",
            "grpc-trace-bin",
            "traceparent-bin",
            "tracestate-bin",
            "uber-trace-id",
            "uberctx-user",
            "jaeger-debug-id",
            "jaeger-baggage",
            "x-cloud-trace-context",
            "x_cloud_trace_context",
            "x-amzn-trace-id",
            "x-instana-l",
            "ot-tracer-sampled",
            "ot-baggage-a",
            "elastic-apm-traceparent",
            "newrelic",
            "sw8",
            "sw8-correlation",
        ] {
            assert!(is_field(field), "{field}");
        }
    }

    #[test]
    fn other_fields_are_not_theirs() {
        for other in [
            "",
            "x",
            "sentry",
            "sentry-tracer",
            "sec-fetch-site",
            "x-datadog",
            "x-amzn-requestid",
            "x-cloud-trace",
            "x-forwarded-for",
            "x-request-id",
            "grpc-timeout",
            "trailer",
            "traceparent",
            "uber",
            "newrelic-id",
            "sw80",
            "other",
        ] {
            assert!(!is_field(other), "{other}");
        }
    }
}
