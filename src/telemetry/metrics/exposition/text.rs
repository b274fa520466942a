//! The two text formats, from one model.
//!
//! They differ in five places: how a counter's family is called, whether there are units and info
//! families, how a bound is spelt, exemplars, and the `# EOF`.

use std::fmt::{Result, Write};

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// The text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// Writes a page. Fails only if the model holds a kind of metric that we do not make.
pub(super) fn write(
    families: &[model::MetricFamily],
    flavour: Flavour,
) -> std::result::Result<String, std::fmt::Error> {
    let mut page = String::with_capacity(16 * 1024);
    for family in families {
        write_head(&mut page, family, flavour)?;
        for metric in &family.metric {
            write_metric(&mut page, &family.name, metric, flavour)?;
        }
    }
    if flavour == Flavour::OpenMetrics {
        page.push_str("# EOF\n");
    }
    Ok(page)
}

fn write_head(page: &mut String, family: &model::MetricFamily, flavour: Flavour) -> Result {
    let is_info = family.name.ends_with("_info");
    let kind = match family.r#type() {
        model::MetricType::Counter => "counter",
        model::MetricType::Histogram => "histogram",
        model::MetricType::Gauge if is_info && flavour == Flavour::OpenMetrics => "info",
        model::MetricType::Gauge => "gauge",
        _ => return Err(std::fmt::Error),
    };
    // OpenMetrics names the family, Prometheus the series.
    let name = match (flavour, kind) {
        (Flavour::OpenMetrics, "counter") => family.name.trim_end_matches("_total"),
        (Flavour::OpenMetrics, "info") => family.name.trim_end_matches("_info"),
        _ => &family.name,
    };
    write!(page, "# HELP {name} ")?;
    write_escaped(page, &family.help, flavour == Flavour::OpenMetrics);
    writeln!(page, "\n# TYPE {name} {kind}")?;
    if flavour == Flavour::OpenMetrics && !family.unit.is_empty() {
        writeln!(page, "# UNIT {name} {}", family.unit)?;
    }
    Ok(())
}

fn write_metric(page: &mut String, name: &str, metric: &model::Metric, flavour: Flavour) -> Result {
    if let Some(counter) = &metric.counter {
        write_series(page, name, "", &metric.label, None)?;
        return write_value(page, counter.value);
    }
    if let Some(gauge) = &metric.gauge {
        write_series(page, name, "", &metric.label, None)?;
        return write_value(page, gauge.value);
    }
    let histogram = metric.histogram.as_ref().ok_or(std::fmt::Error)?;
    for bucket in &histogram.bucket {
        let bound = spell_bound(bucket.upper_bound, flavour);
        write_series(page, name, "_bucket", &metric.label, Some(&bound))?;
        write!(page, "{}", bucket.cumulative_count)?;
        match &bucket.exemplar {
            Some(exemplar) if flavour == Flavour::OpenMetrics => write_exemplar(page, exemplar)?,
            _ => {}
        }
        page.push('\n');
    }
    write_series(page, name, "_sum", &metric.label, None)?;
    write_value(page, histogram.sample_sum)?;
    write_series(page, name, "_count", &metric.label, None)?;
    writeln!(page, "{}", histogram.sample_count)
}

/// ` # {labels} value timestamp` (OpenMetrics 1.0, "Exemplars").
fn write_exemplar(page: &mut String, exemplar: &model::Exemplar) -> Result {
    page.push_str(" # ");
    write_series(page, "", "", &exemplar.label, None)?;
    write!(page, "{}", spell(exemplar.value))?;
    match &exemplar.timestamp {
        Some(at) => write!(page, " {}.{:03}", at.seconds, at.nanos / 1_000_000),
        None => Ok(()),
    }
}

/// The name and labels, up to the space before the value.
fn write_series(
    page: &mut String,
    name: &str,
    suffix: &str,
    labels: &[model::LabelPair],
    bound: Option<&str>,
) -> Result {
    write!(page, "{name}{suffix}")?;
    let mut separator = '{';
    let pairs = labels.iter().map(|label| (label.name.as_str(), label.value.as_str()));
    for (key, value) in pairs.chain(bound.map(|bound| ("le", bound))) {
        write!(page, "{separator}{key}=\"")?;
        write_escaped(page, value, true);
        page.push('"');
        separator = ',';
    }
    if separator == ',' {
        page.push('}');
    }
    page.push(' ');
    Ok(())
}

fn write_escaped(page: &mut String, text: &str, escape_quotes: bool) {
    for character in text.chars() {
        match character {
            '\\' => page.push_str("\\\\"),
            '\n' => page.push_str("\\n"),
            '"' if escape_quotes => page.push_str("\\\""),
            other => page.push(other),
        }
    }
}

fn write_value(page: &mut String, value: f64) -> Result {
    writeln!(page, "{}", spell(value))
}

/// Bounds are labels, so their spelling is part of a series' name: Prometheus shows `1`,
/// OpenMetrics demands `1.0`.
fn spell_bound(bound: f64, flavour: Flavour) -> String {
    let spelt = spell(bound);
    let is_whole = spelt.bytes().all(|byte| byte.is_ascii_digit());
    if flavour == Flavour::OpenMetrics && is_whole { spelt + ".0" } else { spelt }
}

fn spell(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_quotes_and_newlines_stays_one_line() {
        let label = model::LabelPair { name: "a".into(), value: "x\"\\\ny".into() };
        let mut page = String::new();
        write_series(&mut page, "m", "", &[label], None).unwrap();
        assert_eq!(page, "m{a=\"x\\\"\\\\\\ny\"} ");
    }

    #[test]
    fn bounds_are_spelt_as_each_format_wants() {
        assert_eq!(spell_bound(1.0, Flavour::Prometheus), "1");
        assert_eq!(spell_bound(1.0, Flavour::OpenMetrics), "1.0");
        assert_eq!(spell_bound(0.005, Flavour::OpenMetrics), "0.005");
        assert_eq!(spell_bound(f64::INFINITY, Flavour::OpenMetrics), "+Inf");
    }
}
