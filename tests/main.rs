//! One test binary; a file per behaviour. `support` holds the scenes: a scripted upstream, a sidecar
//! in front of it, a client that may misbehave.
#![cfg(test)]

mod support;

// How an exchange can end: one test per row of the table in docs/ARCHITECTURE.md.
mod endings;
// Methods, header fields, bodies: what reaches the upstream, and what comes back.
mod forwarding;
// The embedded orchestrator and the demo's traffic.
mod demo_orchestrator;
