//! A declaration: what an instrument is called, what it measures and what tells its series apart.
//!
//! It is written once, in the terms of OpenTelemetry. The name that Prometheus knows it by follows from
//! it by the rules of OpenTelemetry's "Prometheus and OpenMetrics Compatibility".

use crate::record::name::spell;

/// One declared instrument.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Instrument {
    /// The OpenTelemetry name, e.g. `http.server.request.duration`.
    pub(super) name: &'static str,
    /// The unit in UCUM, e.g. `s`, `By`; `{request}` is an annotation and says only what is counted.
    pub(super) unit: &'static str,
    /// What it means, without a full stop.
    pub(super) help: &'static str,
    /// What its values are.
    pub(super) kind: Kind,
    /// Every attribute key that a series of it may have.
    pub(super) keys: &'static [&'static str],
}

/// What the values of an instrument are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A sum that only grows.
    Counter,
    /// A sum of things that come and go.
    UpDownCounter,
    /// A reading of which a sum would say nothing.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Instrument {
    /// The name of the family in Prometheus.
    pub(super) fn prometheus_name(&self) -> String {
        let mut name = spell(self.name);
        let unit = self.unit_word();
        if !unit.is_empty() && name != unit && !name.ends_with(&format!("_{unit}")) {
            name = format!("{name}_{unit}");
        }
        if self.kind == Kind::Counter {
            name.push_str("_total");
        }
        name
    }

    /// The unit that OpenMetrics states. It demands that the name ends with it.
    pub(super) fn prometheus_unit(&self) -> &'static str {
        let unit = self.unit_word();
        if spell(self.name) == unit { "" } else { unit }
    }

    /// The unit in words.
    fn unit_word(&self) -> &'static str {
        match self.unit {
            "s" => "seconds",
            "ms" => "milliseconds",
            "By" => "bytes",
            annotation if annotation.starts_with('{') => "",
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str, unit: &'static str, kind: Kind) -> String {
        Instrument { name, unit, help: "", kind, keys: &[] }.prometheus_name()
    }

    #[test]
    fn names_are_translated_as_opentelemetry_says() {
        for (name, unit, kind, expected) in [
            (
                "http.server.request.duration",
                "s",
                Kind::Histogram,
                "http_server_request_duration_seconds",
            ),
            (
                "orchestration.duration",
                "ms",
                Kind::Histogram,
                "orchestration_duration_milliseconds",
            ),
            (
                "http.server.request.body.size",
                "By",
                Kind::Histogram,
                "http_server_request_body_size_bytes",
            ),
            (
                "http.server.active_requests",
                "{request}",
                Kind::UpDownCounter,
                "http_server_active_requests",
            ),
            ("errors", "errors", Kind::Counter, "errors_total"),
            ("cache.hits", "", Kind::Counter, "cache_hits_total"),
            ("process.cpu", "s", Kind::Counter, "process_cpu_seconds_total"),
            ("stored.bytes", "By", Kind::Gauge, "stored_bytes"),
            ("odd--name..here", "", Kind::Gauge, "odd_name_here"),
        ] {
            assert_eq!(named(name, unit, kind), expected);
        }
    }

    #[test]
    fn a_unit_that_is_the_whole_name_is_not_stated() {
        let errors =
            Instrument { name: "errors", unit: "errors", help: "", kind: Kind::Counter, keys: &[] };
        assert_eq!(errors.prometheus_unit(), "");
    }
}
