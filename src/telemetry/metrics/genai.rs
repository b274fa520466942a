//! The client metrics of the OpenTelemetry `GenAI` conventions, from captured facts of their names.
//!
//! The sidecar stands where the client of the generating service stands. Token counts are what the
//! service reported; the times are those of streams of which at least one fact says that they are
//! about generated content. What no fact says is left out, attributes included: nothing is guessed,
//! and nothing is counted without facts.

use super::catalogue;
use super::family::{Bound, Family};
use super::histogram::Histogram;
use super::labels::{Labels, key};
use super::reading::Reading;
use super::scales;
use crate::record::{Record, Value};

/// What the name of every fact of the conventions begins with.
const PREFIX: &str = "gen_ai.";
/// The facts that count tokens, and what they count.
const USAGE: [(&str, &str); 2] =
    [("gen_ai.usage.input_tokens", "input"), ("gen_ai.usage.output_tokens", "output")];
/// The facts that become labels, under their own names.
const ATTRIBUTES: [&str; 4] =
    [key::OPERATION_NAME, key::PROVIDER_NAME, key::REQUEST_MODEL, key::RESPONSE_MODEL];

/// More tokens than any answer has. A service that reports more is not believed: a few such numbers
/// would turn the sum over, and a sum must never fall.
const MOST_TOKENS: u64 = u32::MAX as u64;

/// The families.
#[derive(Debug)]
pub(super) struct GenAi {
    token_usage: Family<Histogram>,
    first_chunk: Family<Histogram>,
    per_chunk: Family<Histogram>,
}

impl GenAi {
    /// Makes them, without series.
    pub(super) fn new(bound: &Bound) -> Self {
        let seconds = |of| Family::new(of, || Histogram::new(&scales::GAP), bound);
        let tokens = || Histogram::new(&scales::TOKENS);
        Self {
            token_usage: Family::new(&catalogue::TOKEN_USAGE, tokens, bound),
            first_chunk: seconds(&catalogue::FIRST_CHUNK),
            per_chunk: seconds(&catalogue::PER_CHUNK),
        }
    }

    /// What they say now.
    pub(super) fn read(&self) -> [Reading; 3] {
        [self.token_usage.read(), self.first_chunk.read(), self.per_chunk.read()]
    }

    /// Counts what a record's facts say.
    pub(super) fn observe(&self, record: &Record) {
        if !record.facts.iter().any(|fact| fact.name.starts_with(PREFIX)) {
            return;
        }
        let labels = labels(record);
        for (name, kind) in USAGE {
            if let Some(Value::Number(tokens @ ..=MOST_TOKENS)) = record.fact(name) {
                let labels = labels.clone().closed(key::TOKEN_TYPE, kind);
                self.token_usage.series(&labels).observe(*tokens);
            }
        }
        let (Some(stream), Some(leg)) = (&record.stream, record.upstream) else { return };
        if let Some(first) = stream.first_event {
            let waited = first.saturating_sub(leg.offset);
            self.first_chunk.series(&labels).observe_duration(waited);
        }
        if stream.gaps.count() > 0 {
            self.per_chunk.series(&labels).add_gaps(&stream.gaps);
        }
    }
}

/// The attributes that were captured. Their values are from configured lists.
fn labels(record: &Record) -> Labels {
    ATTRIBUTES.into_iter().fold(Labels::default(), |labels, name| match record.fact(name) {
        Some(Value::Member(value)) => labels.named(name, value),
        _ => labels,
    })
}

#[cfg(test)]
mod tests {
    #![expect(deprecated, reason = "the conventions moved to a repository of their own")]

    use opentelemetry_semantic_conventions::{attribute, metric};

    use super::*;

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
        assert_eq!(ATTRIBUTES, names);
        assert_eq!(key::TOKEN_TYPE, attribute::GEN_AI_TOKEN_TYPE);
    }

    #[test]
    fn the_metrics_have_the_names_of_the_conventions() {
        for (instrument, name) in [
            (&catalogue::TOKEN_USAGE, metric::GEN_AI_CLIENT_TOKEN_USAGE),
            (&catalogue::FIRST_CHUNK, metric::GEN_AI_CLIENT_OPERATION_TIME_TO_FIRST_CHUNK),
            (&catalogue::PER_CHUNK, metric::GEN_AI_CLIENT_OPERATION_TIME_PER_OUTPUT_CHUNK),
        ] {
            assert_eq!(instrument.name, name);
        }
    }
}
