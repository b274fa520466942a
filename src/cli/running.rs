//! Which running sidecar a command is meant for: its admin address and token.
//!
//! They come from the same places as the sidecar's own configuration, so that `health` beside `run`
//! needs no flags of its own. But the sidecar may run with an older configuration than the one that is
//! there now, so a mistake in that is in nobody's way: only `[admin]` is read, and `--admin` asks
//! whatever the file says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use super::say::complain;
use super::{check, source};
use crate::config;
use crate::config::model::Admin;
use crate::secret::Secret;

/// What the command line says of the sidecar.
#[derive(Clone, Copy, Debug)]
pub struct Whom<'a> {
    /// Its configuration file.
    pub config: Option<&'a Path>,
    /// Its admin address.
    pub admin: Option<SocketAddr>,
    /// The file with its token.
    pub token_file: Option<&'a Path>,
}

/// Runs an admin command against this sidecar: its exit code, or 78 where the configuration does not
/// say whom to ask.
pub fn at(
    whom: &Whom<'_>,
    env: BTreeMap<String, String>,
    command: impl Fn(SocketAddr, Option<&str>) -> u8,
) -> ExitCode {
    let ask = |admin: &Admin| {
        let token = admin.token.as_ref().map(Secret::reveal);
        ExitCode::from(command(admin.listen, token))
    };
    match (reach(whom, env), whom) {
        (Ok(admin), _) => ask(&admin),
        // Whoever names the address wants it asked. Where a token is needed, the answer will say so.
        (Err(complaint), Whom { admin: Some(listen), token_file: None, .. }) => {
            complain(&format!("{complaint}note: asking without a token\n"));
            ask(&Admin { listen: *listen, token: None })
        }
        (Err(complaint), _) => {
            let help = "`--admin IP:PORT --token-file FILE` ask without the configuration";
            complain(&format!("{complaint}help: {help}\n"));
            ExitCode::from(check::INVALID)
        }
    }
}

fn reach(whom: &Whom<'_>, env: BTreeMap<String, String>) -> Result<Admin, String> {
    let listen = whom.admin.map(|address| ("admin.listen".to_owned(), address.to_string()));
    let token = whom.token_file.map(|path| path.display().to_string());
    let token = token.map(|path| ("admin.token_file".to_owned(), path));
    // With both, a file has nothing more to say.
    let file = whom.config.filter(|_| listen.is_none() || token.is_none());
    let sources = source::gather(file, env, listen.into_iter().chain(token).collect())
        .map_err(|error| format!("error: {error}\n"))?;
    config::admin(&sources).map_err(|errors| format!("{errors}\n"))
}
