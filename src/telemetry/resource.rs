//! Who the facts are from: the resource attributes, the same on every signal that leaves by OTLP; and the
//! machine.

use std::fs;
use std::sync::LazyLock;

use uuid::Uuid;

use crate::config::model::Service;

/// Of this process, for as long as it runs: `service.instance.id`.
static INSTANCE: LazyLock<String> = LazyLock::new(|| Uuid::now_v7().to_string());

/// The attributes of this service. Our own win over those of `OTEL_RESOURCE_ATTRIBUTES`, and none is
/// there twice.
pub fn attributes(service: &Service) -> Vec<(String, String)> {
    let mut attributes: Vec<(String, String)> = Vec::new();
    let own = [
        ("service.name", &service.name),
        ("service.version", &service.version),
        ("service.instance.id", &INSTANCE),
        ("deployment.environment.name", &service.environment),
        // The older name, which is what many dashboards still ask for.
        ("deployment.environment", &service.environment),
    ];
    let further = service.attributes.iter().map(|(key, value)| (key.as_str(), value));
    for (key, value) in own.into_iter().chain(further) {
        if attributes.iter().all(|(taken, _)| taken != key) {
            attributes.push((key.to_owned(), value.clone()));
        }
    }
    attributes
}

/// This process among its replicas: `service.instance.id` of all that leaves by OTLP.
pub fn instance() -> &'static str {
    &INSTANCE
}

/// What this machine calls itself; `None` where it does not say.
pub fn host() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    let is_name = !name.is_empty() && name.len() <= 255;
    is_name.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_attributes_win_and_none_comes_twice() {
        let service = Service {
            name: "shop".to_owned(),
            version: "2".to_owned(),
            environment: "test".to_owned(),
            attributes: [("service.name", "other"), ("team", "a"), ("team", "b")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        };
        let found = attributes(&service);
        let of = |key: &str| -> Vec<_> {
            found.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str()).collect()
        };
        assert_eq!((of("service.name"), of("team")), (vec!["shop"], vec!["a"]));
        assert_eq!(of("deployment.environment.name"), of("deployment.environment"));
        assert_eq!(attributes(&service), found, "one process is one instance");
    }
}
