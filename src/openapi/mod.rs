//! The API's own document as intent: templates, operation ids, and what a request has to look like.
//!
//! A [`Document`] is read from an `OpenAPI` 3.0 or 3.1 file, JSON or YAML, within bounds, and without
//! ever following a reference out of it. Everything that is wrong with it is found here, with a
//! place ([`Fault`]); what is right but not supported is said ([`Document::notices`]) and not checked.
//! A request is then judged by its [`Operation`], first by its head, later by its body; what is wrong
//! with it is a [`Violation`], which names the rule and never repeats a value.
//!
//! It reads no file and no connection, and knows nothing of policies: what becomes of a violation is
//! decided by those who ask.

mod body;
mod document;
mod fault;
mod operation;
mod parameter;
mod reference;
mod schema;
mod servers;
#[cfg(test)]
mod tests;
mod text;
mod violation;

pub use body::{Body, Media};
pub use document::{Document, Found, Path};
pub use fault::Fault;
pub use operation::Operation;
pub use text::MAX_FILE;
pub use violation::{MAX_VIOLATIONS, Place, Rule, Violation};
