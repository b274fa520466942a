//! Label sets: pairs of a fixed key and a value that is a closed enum, a number or a configured name.
//!
//! There is no way to put a `String` from a request into one: values are static or come from the
//! configuration as [`ConfigName`].

use std::fmt;

use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};

use crate::record::ConfigName;

/// A value of a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Value {
    /// A member of a closed enum.
    Closed(&'static str),
    /// A name from the configuration.
    Named(ConfigName),
    /// A status or a port.
    Number(u16),
}

/// The labels of one series, in the order they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Labels(Vec<(&'static str, Value)>);

impl Labels {
    /// Adds a member of a closed enum.
    pub(super) fn closed(mut self, key: &'static str, value: &'static str) -> Self {
        self.0.push((key, Value::Closed(value)));
        self
    }

    /// Adds a configured name.
    pub(super) fn named(mut self, key: &'static str, value: &ConfigName) -> Self {
        self.0.push((key, Value::Named(value.clone())));
        self
    }

    /// Adds a number.
    pub(super) fn number(mut self, key: &'static str, value: u16) -> Self {
        self.0.push((key, Value::Number(value)));
        self
    }

    /// Adds a status, if there is one. What is no HTTP status shares one series.
    pub(super) fn status(self, status: Option<u16>) -> Self {
        const KEY: &str = "http_response_status_code";
        match status {
            Some(status @ 100..=599) => self.number(KEY, status),
            Some(_) => self.closed(KEY, "_OTHER"),
            None => self,
        }
    }
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (key, value) in &self.0 {
            let label = encoder.encode_label();
            match value {
                Value::Closed(value) => (*key, *value).encode(label)?,
                Value::Named(value) => (*key, &**value).encode(label)?,
                Value::Number(value) => (*key, u32::from(*value)).encode(label)?,
            }
        }
        Ok(())
    }
}
