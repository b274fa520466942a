//! How an exchange can end: one test per row of the endings table, one file per outcome.
//!
//! Each test asserts what the client got, and that exactly one record says how it ended.

mod aborted;
mod failed;
mod gone;
mod http2;
pub(crate) mod panicked;
mod refused;
mod served;

const GET: &str = "GET / HTTP/1.1\r\nhost: app.example\r\n\r\n";
