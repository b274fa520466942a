//! What a scraper reads: the registry, walked once, in the form it asked for.
//!
//! Families and series come in a fixed order, so that two scrapes can be compared line by line.
//! Native histograms and exemplars are not shown: nothing here makes any.

use prometheus_client::encoding::prometheus_protobuf::{self, prometheus_data_model as model};
use prometheus_client::registry::Registry;
use prost::Message;

mod accept;
mod text;

pub use accept::Format;
pub(super) use text::Flavour;

/// A scrape's answer.
#[derive(Debug)]
pub struct Exposition {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The whole page.
    pub body: Vec<u8>,
}

/// Writes the registry in `format`. Fails only if a collector does.
pub(super) fn encode(registry: &Registry, format: Format) -> Result<Exposition, std::fmt::Error> {
    let families = families(registry)?;
    let body = match format {
        Format::Text => text::write(&families, Flavour::Prometheus)?.into_bytes(),
        Format::OpenMetrics => text::write(&families, Flavour::OpenMetrics)?.into_bytes(),
        Format::Protobuf => {
            families.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
        }
    };
    Ok(Exposition { content_type: format.content_type(), body })
}

/// The families by name, their series by labels.
fn families(registry: &Registry) -> Result<Vec<model::MetricFamily>, std::fmt::Error> {
    let mut families: Vec<model::MetricFamily> = Vec::new();
    let mut encoded = prometheus_protobuf::encode(registry)?;
    encoded.sort_by(|a, b| a.name.cmp(&b.name));
    for mut family in encoded {
        // The registry ends every help text with a full stop that its author did not write.
        if family.help.ends_with('.') {
            family.help.pop();
        }
        match families.last_mut() {
            Some(last) if last.name == family.name => last.metric.append(&mut family.metric),
            _ => families.push(family),
        }
    }
    for family in &mut families {
        family.metric.sort_by(|a, b| labels(a).cmp(labels(b)));
    }
    Ok(families)
}

fn labels(metric: &model::Metric) -> impl Iterator<Item = (&str, &str)> {
    metric.label.iter().map(|label| (label.name.as_str(), label.value.as_str()))
}
