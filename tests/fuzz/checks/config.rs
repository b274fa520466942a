//! Any text is a configuration or a list of errors that can be shown.

use vital_sidecar::config::Config;

/// Checks any bytes as a file.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(errors) = Config::from_toml(text) {
        assert!(errors.count() > 0, "refused without a reason");
        assert!(!errors.render(false).is_empty());
    }
}
