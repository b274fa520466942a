//! Which running sidecar a command is meant for: its admin address and token.
//!
//! They come from the same places as the sidecar's own configuration, so that `health` beside `run`
//! needs no flags of its own.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use super::{check, source};
use crate::config;

/// Runs an admin command against the sidecar of this configuration, or at `address`.
pub fn at(
    path: Option<&Path>,
    address: Option<SocketAddr>,
    env: BTreeMap<String, String>,
    command: impl Fn(SocketAddr, Option<&str>) -> u8,
) -> ExitCode {
    if let (None, Some(address)) = (path, address) {
        return ExitCode::from(command(address, None));
    }
    // Without a file, an upstream that nobody asks keeps the configuration valid.
    let has_upstream = path.is_some() || env.contains_key("VITAL_SIDECAR__UPSTREAM__URL");
    let flags = if has_upstream {
        Vec::new()
    } else {
        vec![("upstream.url".to_owned(), "http://127.0.0.1:1".to_owned())]
    };
    let loaded = source::gather(path, env, flags)
        .map_err(|error| format!("error: {error}\n"))
        .and_then(|from| config::load(&from).map_err(|errors| format!("{errors}\n")));
    match loaded {
        Ok(loaded) => {
            let admin = &loaded.config.admin;
            let token = admin.token.as_ref().map(crate::secret::Secret::reveal);
            ExitCode::from(command(address.unwrap_or(admin.listen), token))
        }
        Err(complaint) => {
            // A closed stderr changes nothing about the verdict.
            drop(io::stderr().write_all(complaint.as_bytes()));
            ExitCode::from(check::INVALID)
        }
    }
}
