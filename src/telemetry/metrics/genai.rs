//! The client metrics of the OpenTelemetry `GenAI` conventions, from captured facts of their names.
//!
//! The sidecar stands where the client of the generating service stands. Token counts are what the
//! service reported; the times are those of streams of which at least one fact says that they are
//! about generated content. What no fact says is left out, attributes included: nothing is guessed,
//! and nothing is counted without facts.

use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::{Histogram, Scale};
use super::instruments::GAP;
use super::labels::Labels;
use crate::record::{Record, Value};

type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// What the name of every fact of the conventions begins with.
const PREFIX: &str = "gen_ai.";
/// The facts that count tokens, and what they count.
const USAGE: [(&str, &str); 2] =
    [("gen_ai.usage.input_tokens", "input"), ("gen_ai.usage.output_tokens", "output")];
/// The facts that become labels, and the labels.
const ATTRIBUTES: [(&str, &str); 4] = [
    ("gen_ai.operation.name", "gen_ai_operation_name"),
    ("gen_ai.provider.name", "gen_ai_provider_name"),
    ("gen_ai.request.model", "gen_ai_request_model"),
    ("gen_ai.response.model", "gen_ai_response_model"),
];

/// The families.
#[derive(Debug)]
pub(super) struct GenAi {
    token_usage: Histograms,
    first_chunk: Histograms,
    per_chunk: Histograms,
}

impl GenAi {
    /// Makes them and registers them.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let seconds =
            || Family::new_with_constructor((|| Histogram::new(&GAP)) as fn() -> Histogram);
        let it = Self {
            token_usage: Family::new_with_constructor(|| Histogram::new(&TOKENS)),
            first_chunk: seconds(),
            per_chunk: seconds(),
        };
        registry.register(
            "gen_ai_client_token_usage",
            "Number of input and output tokens used",
            it.token_usage.clone(),
        );
        registry.register_with_unit(
            "gen_ai_client_operation_time_to_first_chunk",
            "Time from the request to the upstream to the first chunk of its stream",
            Unit::Seconds,
            it.first_chunk.clone(),
        );
        registry.register_with_unit(
            "gen_ai_client_operation_time_per_output_chunk",
            "Time from one chunk of a stream to the next",
            Unit::Seconds,
            it.per_chunk.clone(),
        );
        it
    }

    /// Counts what a record's facts say.
    pub(super) fn observe(&self, record: &Record) {
        if !record.facts.iter().any(|fact| fact.name.starts_with(PREFIX)) {
            return;
        }
        let labels = labels(record);
        for (name, kind) in USAGE {
            if let Some(Value::Number(tokens)) = record.fact(name) {
                let labels = labels.clone().closed("gen_ai_token_type", kind);
                self.token_usage.get_or_create_owned(&labels).observe(*tokens);
            }
        }
        let (Some(stream), Some(leg)) = (&record.stream, record.upstream) else { return };
        if let Some(first) = stream.first_event {
            let waited = first.saturating_sub(leg.offset);
            self.first_chunk.get_or_create_owned(&labels).observe_duration(waited);
        }
        if stream.gaps.count() > 0 {
            self.per_chunk.get_or_create_owned(&labels).add_gaps(&stream.gaps);
        }
    }
}

/// The attributes that were captured. Their values are from configured lists.
fn labels(record: &Record) -> Labels {
    ATTRIBUTES.into_iter().fold(Labels::default(), |labels, (name, label)| {
        match record.fact(name) {
            Some(Value::Member(value)) => labels.named(label, value),
            _ => labels,
        }
    })
}

/// The bounds of the conventions: powers of four up to 67 million.
static TOKENS: Scale = Scale {
    ticks_per_unit: 1.0,
    bounds: &[
        1,
        1 << 2,
        1 << 4,
        1 << 6,
        1 << 8,
        1 << 10,
        1 << 12,
        1 << 14,
        1 << 16,
        1 << 18,
        1 << 20,
        1 << 22,
        1 << 24,
        1 << 26,
    ],
};

#[cfg(test)]
mod tests {
    #![expect(deprecated, reason = "the conventions moved to a repository of their own")]

    use opentelemetry_semantic_conventions::{attribute, metric};

    use super::*;

    /// A name as the Prometheus exposition writes it.
    fn exposed(name: &str) -> String {
        name.replace('.', "_")
    }

    #[test]
    fn facts_and_labels_have_the_names_of_the_conventions() {
        use attribute::{
            GEN_AI_OPERATION_NAME, GEN_AI_PROVIDER_NAME, GEN_AI_REQUEST_MODEL,
            GEN_AI_RESPONSE_MODEL, GEN_AI_USAGE_INPUT_TOKENS, GEN_AI_USAGE_OUTPUT_TOKENS,
        };
        let usage = [GEN_AI_USAGE_INPUT_TOKENS, GEN_AI_USAGE_OUTPUT_TOKENS];
        assert_eq!(USAGE.map(|(name, _)| name), usage);
        let names = [
            GEN_AI_OPERATION_NAME,
            GEN_AI_PROVIDER_NAME,
            GEN_AI_REQUEST_MODEL,
            GEN_AI_RESPONSE_MODEL,
        ];
        assert_eq!(ATTRIBUTES.map(|(name, _)| name), names);
        assert_eq!(ATTRIBUTES.map(|(_, label)| label.to_owned()), names.map(exposed));
        assert_eq!("gen_ai_token_type", exposed(attribute::GEN_AI_TOKEN_TYPE));
    }

    #[test]
    fn the_metrics_have_the_names_of_the_conventions() {
        let mut registry = Registry::default();
        let genai = GenAi::register(&mut registry);
        for family in [&genai.token_usage, &genai.first_chunk, &genai.per_chunk] {
            family.get_or_create_owned(&Labels::default()).observe(1);
        }
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        for (name, unit) in [
            (metric::GEN_AI_CLIENT_TOKEN_USAGE, ""),
            (metric::GEN_AI_CLIENT_OPERATION_TIME_TO_FIRST_CHUNK, "_seconds"),
            (metric::GEN_AI_CLIENT_OPERATION_TIME_PER_OUTPUT_CHUNK, "_seconds"),
        ] {
            let line = format!("# TYPE {}{unit} histogram\n", exposed(name));
            assert!(page.contains(&line), "no {line} in {page}");
        }
    }
}
