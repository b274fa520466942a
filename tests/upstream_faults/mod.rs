//! What becomes of a request when the service behind fails.
//!
//! `matrix` has one test per fault and protocol: the right status, a problem document with the request
//! id, one record with the right `error.type`, and a next request that succeeds on another connection.
//! `property` has random mutations of good answers.

mod breaker;
mod health;
mod http1;
mod http2;
mod malformed;
mod matrix;
mod once;
mod property;
mod retry;
