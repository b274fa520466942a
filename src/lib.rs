//! `vital-sidecar`: an observability sidecar for one HTTP service.
//!
//! Every request that passes gets an id, a trace context and a token-bucket verdict; where its route
//! says so, an audit record that is durable *before* the upstream sees the request. When the last
//! byte of the response has left (or has failed to), exactly one [`record::Record`] of what happened
//! becomes a span, a log line, metrics, an audit entry and, if something broke, an error event.
//!
//! The modules are declared floor by floor; a file imports only from floors below its own
//! (`tests/floors.rs` checks it). To read the code as a story, start at [`proxy::pipeline`]: what happens to a
//! request. It goes on at [`telemetry::Telemetry::emit`]: what happens to its record, through a
//! [`telemetry::lane`] and a [`telemetry::worker`] to a sink; what a collector gets goes on through a
//! [`telemetry::export::outbox`], or waits in the [`telemetry::export::spool`] until it is back. How a
//! process begins and ends is in [`app`]; `docs/ARCHITECTURE.md` has the picture and the words.

// Floor 0, ground: knows HTTP and tokens, knows nothing of us.
pub mod base64;
pub mod http;
pub mod jwt;
pub mod named_file;
pub mod secret;
pub mod strict_json;
pub mod units;

// Floor 1, facts: plain data about what happened.
pub mod audit;
pub mod record;

// Floor 2, intent: what the operator asked for. No hyper, no tokio.
pub mod config;
pub mod openapi;

// Floor 3, voices: how facts leave the process.
pub mod telemetry;

// Floor 4, hall: what happens to a request.
pub mod proxy;

// Floor 5, doors: who may enter, and how the house closes.
pub mod server;

// Floor 6, roof: the program.
pub mod app;
pub mod cli;
