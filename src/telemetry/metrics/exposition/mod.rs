//! What a scraper reads: the books at one moment, in the form it asked for.
//!
//! Families and series come in a fixed order, so that two scrapes can be compared line by line.
//! Native histograms are not shown: nothing here makes any.

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use prost::Message;

mod accept;
mod families;
pub(super) mod target;
mod text;

pub use accept::Format;
use text::Flavour;

use super::reading::Reading;

/// A scrape's answer.
#[derive(Debug)]
pub struct Exposition {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The whole page.
    pub body: Vec<u8>,
}

/// Writes readings in `format`; `target` is who they are of. Fails only if a number cannot be written.
pub(super) fn encode(
    readings: &[Reading],
    target: &[(String, String)],
    format: Format,
) -> Result<Exposition, std::fmt::Error> {
    let families = families::of(readings, target);
    let body = match format {
        Format::Text => text::write(&families, Flavour::Prometheus)?.into_bytes(),
        Format::OpenMetrics => text::write(&families, Flavour::OpenMetrics)?.into_bytes(),
        Format::Protobuf => {
            families.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
        }
    };
    Ok(Exposition { content_type: format.content_type(), body })
}

fn labels(metric: &model::Metric) -> impl Iterator<Item = (&str, &str)> {
    metric.label.iter().map(|label| (label.name.as_str(), label.value.as_str()))
}
