//! Who the numbers are of, as the labels of `target_info` (OpenTelemetry, "Prometheus and OpenMetrics
//! Compatibility").

/// What a scraper knows by itself, as `instance`; and the older of two names for the same.
const LEFT_OUT: [&str; 2] = ["service.instance.id", "deployment.environment"];

/// The resource attributes as labels: characters that no label may have become `_`, and of two that
/// would then be the same the first stays.
pub(in super::super) fn labels(resource: &[(String, String)]) -> Vec<(String, String)> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for (key, value) in resource.iter().filter(|(key, _)| !LEFT_OUT.contains(&key.as_str())) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_one_label_but_for_what_a_scraper_knows() {
        let resource = [
            ("service.name", "shop"),
            ("service.instance.id", "018f"),
            ("deployment.environment.name", "test"),
            ("deployment.environment", "test"),
            ("1st", "a"),
            ("team-x", "b"),
            ("team.x", "c"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let labels = labels(&resource);
        let labels: Vec<_> = labels.iter().map(|(key, value)| (&**key, &**value)).collect();
        let expected = [
            ("service_name", "shop"),
            ("deployment_environment_name", "test"),
            ("key_1st", "a"),
            ("team_x", "b"),
        ];
        assert_eq!(labels, expected);
    }
}
