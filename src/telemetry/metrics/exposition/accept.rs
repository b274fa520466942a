//! Which form a scraper wants, by its `Accept` (RFC 9110 §12.5.1).
//!
//! A scraper that accepts none of ours gets text: a page it did not ask for tells an operator more
//! than a 406.

/// A form of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The Prometheus text format 0.0.4: what curl and promtool read.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Length-delimited `io.prometheus.client.MetricFamily` messages.
    Protobuf,
}

impl Format {
    /// Chooses by quality; among equals, the one named first. `None` is a request without `Accept`.
    pub fn negotiate(accept: Option<&str>) -> Self {
        let mut best = (Self::Text, 0);
        for range in accept.unwrap_or_default().split(',') {
            if let Some((format, quality)) = read(range)
                && quality > best.1
            {
                best = (format, quality);
            }
        }
        best.0
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; \
                 proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// One media range: the form it means, if it is one of ours, and its quality in thousandths.
fn read(range: &str) -> Option<(Format, u32)> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    let (mut quality, mut version, mut proto, mut encoding) = (1000, None, None, None);
    for parameter in parts {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => quality = thousandths(value)?,
            "version" => version = Some(value),
            "proto" => proto = Some(value),
            "encoding" => encoding = Some(value),
            _ => {}
        }
    }
    let format = match media_type.as_str() {
        "*/*" | "text/*" => Format::Text,
        "text/plain" if matches!(version, None | Some("0.0.4")) => Format::Text,
        "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
            Format::OpenMetrics
        }
        "application/vnd.google.protobuf"
            if proto == Some("io.prometheus.client.MetricFamily")
                && encoding == Some("delimited") =>
        {
            Format::Protobuf
        }
        _ => return None,
    };
    Some((format, quality))
}

fn thousandths(quality: &str) -> Option<u32> {
    let quality: f32 = quality.parse().ok()?;
    if !(0.0..=1.0).contains(&quality) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000 by the check above"
    )]
    Some((quality * 1000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_what_it_likes_best() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";
        let rows = [
            (None, Format::Text),
            (Some(""), Format::Text),
            (Some("*/*"), Format::Text),
            (Some("text/html"), Format::Text),
            (Some(prometheus), Format::OpenMetrics),
            (Some(native), Format::Protobuf),
            (Some("text/plain;q=0.1, Application/OpenMetrics-Text; q=0.9"), Format::OpenMetrics),
            (Some("application/openmetrics-text;q=0, text/plain;q=0.1"), Format::Text),
            (Some("application/openmetrics-text, text/plain"), Format::OpenMetrics),
            (Some("text/plain, application/openmetrics-text"), Format::Text),
            (Some("application/openmetrics-text;version=2.0.0"), Format::Text),
            (Some("application/openmetrics-text;q=nan"), Format::Text),
            (Some("application/vnd.google.protobuf"), Format::Text),
        ];
        for (accept, expected) in rows {
            assert_eq!(Format::negotiate(accept), expected, "{accept:?}");
        }
    }
}
