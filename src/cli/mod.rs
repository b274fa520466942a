//! The command line: one file per subcommand.

pub mod admin_client;
pub mod demo;
pub mod drain;
pub mod health;
pub mod status;
