//! One test binary; a file per behaviour. `support` holds the scenes: a scripted upstream, a sidecar
//! in front of it, a client that may misbehave.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail where it stands")]

mod support;

// The audit trail through a real directory.
mod audit_writer;
// What a wrong configuration says, word by word and column by column.
mod config_errors;
// The embedded orchestrator and the demo's traffic.
mod demo_orchestrator;
// How an exchange can end: one test per row of the table in docs/ARCHITECTURE.md.
mod endings;
// The rules of the house: imports, lengths, module docs.
mod floors;
// Methods, header fields, bodies: what reaches the upstream, and what comes back.
mod forwarding;
// Spans on the wire: their shape, and what becomes of them when the collector misbehaves.
mod otlp;
// The files under `config/`, and that they name every key at its default.
mod reference;
// Attacks that once worked.
mod regression;
