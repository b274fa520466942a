//! Who the numbers are of, as the labels of `target_info` (OpenTelemetry, "Prometheus and OpenMetrics
//! Compatibility").

use crate::config::model::Service;

/// The resource attributes as labels: characters that no label may have become `_`, and of two that
/// would then be the same the first stays.
pub(in super::super) fn labels(service: &Service) -> Vec<(String, String)> {
    let own = [
        ("service.name", &service.name),
        ("service.version", &service.version),
        ("deployment.environment.name", &service.environment),
    ];
    let further = service.attributes.iter().map(|(key, value)| (key.as_str(), value));
    let mut labels: Vec<(String, String)> = Vec::new();
    for (key, value) in own.into_iter().chain(further) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut label: String = key.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        if !label.starts_with(|c: char| c.is_ascii_alphabetic()) {
            label.insert_str(0, "key_");
        }
        if labels.iter().all(|(taken, _)| *taken != label) {
            labels.push((label, value.clone()));
        }
    }
    labels
}
