//! What the fields of a line are called: one schema, one file, and the same facts in each.
//!
//! A schema promises that no key is twice in a line: the names of captured facts are none of
//! [`TAKEN_FIELDS`](crate::config::model::TAKEN_FIELDS), which a test holds against every schema.

mod alike;
pub(super) mod ecs;
pub(super) mod otel;
pub(super) mod pretty;
pub(super) mod winston;

#[cfg(test)]
mod tests;
