//! Who called, as telemetry may show it.
//!
//! A caller is known only from a verified identity. What a token says goes no further than the audit;
//! here stand a pseudonym and the tenant.
//!
//! It verifies nothing.

/// Who called. Empty where there is no verified identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {}
