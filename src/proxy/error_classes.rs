//! Names for the errors that an upstream answers with.
//!
//! A class is told by the status, by a pattern over the beginning of the body, or by the upstream itself
//! (`x-error-type`, which its client never sees). What is kept of an answer is the name that the
//! configuration gives; nothing of the text.
//!
//! It reads no body: that is the part of `reply`.

use http::{HeaderMap, HeaderName};

use crate::config::Config;
use crate::config::model::ErrorClass;
use crate::record::ConfigName;
use crate::telemetry::metrics::Metrics;

/// The field in which an upstream names its error.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-error-type");

/// The classes, in the order in which they are asked.
#[derive(Clone, Debug)]
pub struct ErrorClasses(Box<[ErrorClass]>);

impl ErrorClasses {
    /// The classes of a configuration, each counted from now on; `None` where there are none.
    pub fn compile(config: &Config, metrics: &Metrics) -> Option<Self> {
        config.error_classes.iter().for_each(|class| metrics.expect_error(&class.name));
        (!config.error_classes.is_empty()).then(|| Self(config.error_classes.clone().into()))
    }

    /// The class that the upstream itself names. What is no class of the configuration says nothing.
    pub fn named(&self, headers: &HeaderMap) -> Option<&ConfigName> {
        let value = headers.get(&ERROR_TYPE)?.as_bytes();
        let named = |class: &&ErrorClass| class.name.as_bytes() == value;
        self.0.iter().find(named).map(|class| &class.name)
    }

    /// The first class that the status alone tells.
    pub fn of_status(&self, status: u16) -> Option<&ConfigName> {
        self.judging(status).find(|class| class.body.is_none()).map(|class| &class.name)
    }

    /// Whether the class of an answer of this status may depend on its body.
    pub fn ask_for_body(&self, status: u16) -> bool {
        self.judging(status).next().is_some_and(|class| class.body.is_some())
    }

    /// The first class that the status, and this beginning of the body, tell.
    pub fn of_body(&self, status: u16, text: &[u8]) -> Option<&ConfigName> {
        let tells =
            |class: &&ErrorClass| class.body.as_ref().is_none_or(|body| body.is_match(text));
        self.judging(status).find(tells).map(|class| &class.name)
    }

    fn judging(&self, status: u16) -> impl Iterator<Item = &ErrorClass> {
        self.0.iter().filter(move |class| !class.is_named_only && class.may_have(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(text: &str) -> ErrorClasses {
        let config = Config::from_toml(&format!("upstream.url = \"http://127.0.0.1:1\"\n{text}"));
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        ErrorClasses::compile(&config, &Metrics::new(&config.service)).expect("classes")
    }

    #[test]
    fn the_first_class_that_tells_of_an_answer_names_it() {
        let classes = classes(
            "[[errors.classify]]\ntype = \"pool\"\nstatus = [500, 503]\nbody = \"(?i)pool exhausted\"\n\
             [[errors.classify]]\ntype = \"unavailable\"\nstatus = [503]\n\
             [[errors.classify]]\ntype = \"never\"\nbody = \"pool\"\n\
             [[errors.classify]]\ntype = \"said\"\n",
        );
        let of = |status, text: &str| classes.of_body(status, text.as_bytes()).map(|n| &**n);
        assert_eq!(of(500, "The Pool Exhausted."), Some("pool"));
        assert_eq!(of(503, "the pool"), Some("unavailable"));
        assert_eq!(of(500, "the pool"), Some("never"));
        assert_eq!(of(502, "pool exhausted"), Some("never"));
        assert_eq!(of(502, "nothing"), None);
        assert_eq!(classes.of_status(503).map(|n| &**n), Some("unavailable"));
        assert_eq!(classes.of_status(500), None);
        assert!(classes.ask_for_body(502));
        let said = |name: &'static str| {
            let headers = [(ERROR_TYPE, http::HeaderValue::from_static(name))];
            classes.named(&headers.into_iter().collect()).map(ToString::to_string)
        };
        assert_eq!(said("said").as_deref(), Some("said"));
        assert_eq!(said("Said"), None);
        assert_eq!(said("secret text"), None);
    }

    #[test]
    fn a_class_that_the_status_tells_before_any_pattern_needs_no_body() {
        let classes = classes(
            "[[errors.classify]]\ntype = \"gateway\"\nstatus = [502]\n\
             [[errors.classify]]\ntype = \"pool\"\nbody = \"pool\"\n",
        );
        assert!(!classes.ask_for_body(502) && classes.ask_for_body(500));
    }
}
