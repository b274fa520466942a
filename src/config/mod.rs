//! Intent: what the operator asked for, in three shapes: raw, checked, and (above us) compiled.
//!
//! `raw` is a tree of values that remember where they were written; `check` reads it, table by table,
//! and collects everything that is wrong; [`model`] is what comes out, valid by its types.
//!
//! [`load`] lays file, environment and flags over the defaults of [`defaults`], in the order
//! flag > `VITAL_SIDECAR__TABLE__KEY` and `OTEL_*` > file > `NODE_ENV`, `APP_VERSION`, `LOG_LEVEL`,
//! `SENTRY_DSN` > default, and returns either a [`Config`] or everything that is wrong.
//!
//! It does not read the process's environment or the file itself (the files that a configuration
//! names for its secrets and certificates, it does), and knows nothing of hyper or tokio.

use std::collections::BTreeMap;
use std::fmt;

pub mod certificate;
mod change;
mod check;
pub mod defaults;
mod dialect;
mod discretion;
mod dotted;
mod env;
mod error;
mod expand;
mod keys;
pub mod model;
mod quotes;
mod raw;
mod reach;
mod secrecy;
mod section;
mod slips;
#[cfg(test)]
mod tests;
mod twice;
mod unknown;
mod value;

pub use change::Written;
pub use error::Errors;
pub use model::Config;
pub use reach::admin;

use error::{Origin, Problem, Problems};
use raw::{Node, Table};

/// Everything a configuration is made from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file, if there is one.
    pub file: Option<SourceFile>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// Flags as dotted keys with their values, e.g. `("upstream.url", "http://127.0.0.1:3000")`.
    pub flags: Vec<(String, String)>,
}

/// A configuration file.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path, as errors shall show it.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What was set aside, and why. Nothing here stops the sidecar.
    pub notices: Vec<Notice>,
    /// What it was made from, for comparing it with the next one.
    pub written: Written,
}

/// One sentence about a setting that was set aside. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(pub String);

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes a configuration, or says everything that is wrong with it.
///
/// Reads the files that the configuration names for secrets and certificates, and looks at its directories.
pub fn load(sources: &Sources) -> Result<Loaded, Errors> {
    load_over(sources, None)
}

/// Makes the next configuration of a sidecar that runs since `start`. A change that must wait for a
/// restart is one more thing that can be wrong with it.
pub fn reload(sources: &Sources, start: &Written) -> Result<Loaded, Errors> {
    load_over(sources, Some(start))
}

fn load_over(sources: &Sources, start: Option<&Written>) -> Result<Loaded, Errors> {
    let problems = Problems::default();
    let env = set(&sources.env);
    let mut root = Table::default();
    let mut outside = env::Outside::read(&env, &problems);
    outside.lay_under(&mut root);
    if let Some(file) = &sources.file {
        // `${VAR}` tells an empty variable from none, if only to say so.
        match Table::parse(file, &sources.env, &problems) {
            Some(tree) => root.lay(tree),
            None => return Err(problems.errors(Some(file))),
        }
    }
    outside.lay_over(&mut root, &env, &problems);
    lay_flags(&mut root, &sources.flags, &problems);

    dotted::mend(&mut root, &problems);
    keys::refuse_unknown(&root, &problems);
    let config = check::check(&root, &mut outside, &problems);
    if let Some(start) = start
        && problems.is_empty()
    {
        change::refuse_unless_live(&root, start, &problems);
    }
    if problems.is_empty() {
        Ok(Loaded { config, notices: outside.notices, written: Written::new(root) })
    } else {
        Err(problems.errors(sources.file.as_ref()))
    }
}

/// The variables that count: an empty one is as good as none, as OpenTelemetry asks.
fn set(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let set = env.iter().filter(|(_, value)| !value.is_empty());
    set.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn lay_flags(root: &mut Table, flags: &[(String, String)], problems: &Problems) {
    for (key, value) in flags {
        let path: Vec<_> = key.split('.').map(str::to_owned).collect();
        let origin = Origin::Flag(key.as_str().into());
        if !root.set(&path, Node::text(origin.clone(), value.as_str())) {
            let title = format!("`{key}` cannot be set by a flag");
            problems.push(Problem::at(&origin, title).help("write it in the file"));
        }
    }
}

/// Every key that exists, by its path; `*` stands for a name of the operator's, `[]` for each of a
/// list.
pub fn keys() -> &'static [&'static str] {
    keys::KEYS
}

/// The keys and tables that can change while the sidecar runs.
pub fn live_keys() -> &'static [&'static str] {
    change::LIVE
}

impl Config {
    /// Makes a configuration from a file's text alone, as if the environment were empty.
    pub fn from_toml(text: &str) -> Result<Self, Errors> {
        let file = SourceFile { path: "sidecar.toml".to_owned(), text: text.to_owned() };
        let sources = Sources { file: Some(file), ..Sources::default() };
        load(&sources).map(|loaded| loaded.config)
    }
}
