//! The command line: one module per subcommand.
//!
//! `source` says where a configuration comes from, `running` which sidecar is meant, `admin_client` asks
//! it, and `say` prints: they serve several.

pub mod admin_client;
pub mod audit;
pub mod check;
pub mod demo;
pub mod drain;
pub mod explain;
pub mod health;
mod last_words;
pub mod reload;
pub mod run;
pub mod running;
pub mod say;
pub mod source;
pub mod status;
