//! Fakes that the sidecar talks to, and samples of what it says.

pub(crate) mod collector;
pub(crate) mod records;
