//! Chooses a command and the exit code, and nothing else.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};
use vital_sidecar::cli;

/// Every record is made by one thread and freed by another, which is what the system's allocator does
/// worst (docs/decisions/0006-allocator.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// An observability sidecar for one HTTP service.
#[derive(Debug, Parser)]
#[command(name = "vital-sidecar", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the sidecar until a signal ends it.
    Run(Configured),
    /// Show it at work: a demo service, the sidecar in front, light traffic.
    Demo(Demo),
    /// Say whether a configuration is valid, with every error at once.
    Check(Configured),
    /// Say which route, limits and gates a request would meet, and what they would decide; or, by its
    /// id, what those of a running sidecar decided.
    Explain(Explain),
    /// Ask a running sidecar whether it is ready.
    Health(Running),
    /// Show the state and the ledger of a running sidecar.
    Status(Running),
    /// Ask a running sidecar to read its configuration again.
    Reload(Running),
    /// Ask a running sidecar to finish and stop.
    Drain(Running),
    /// Work on audit files. No running sidecar is needed.
    #[command(subcommand)]
    Audit(Audit),
}

/// Where a configuration comes from.
#[derive(Args, Debug)]
struct Configured {
    /// The configuration file; without one, the defaults and the environment decide.
    #[arg(long, short, value_name = "FILE", env = "VITAL_SIDECAR_CONFIG")]
    config: Option<PathBuf>,
    /// The service behind: `http`, `https` or `h2c://HOST[:PORT]`, or `unix:/PATH`; overrides
    /// `upstream.url`.
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where clients connect, `IP:PORT` or `unix:/PATH`; overrides `server.listen` (127.0.0.1:8080).
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where operators connect; overrides `admin.listen` (127.0.0.1:9901).
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<String>,
}

/// Which running sidecar is meant.
#[derive(Args, Debug)]
struct Running {
    /// Its configuration file: the admin address and token are read from it, and nothing else.
    #[arg(long, short, value_name = "FILE", env = "VITAL_SIDECAR_CONFIG")]
    config: Option<PathBuf>,
    /// Its admin address; overrides `admin.listen` (127.0.0.1:9901).
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    /// The file with its token; overrides `admin.token_file`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A request that nobody sends, or one that was answered.
#[derive(Args, Debug)]
struct Explain {
    /// Its method, e.g. `POST`; or alone, the id of a request that a running sidecar has answered.
    #[arg(value_name = "METHOD|REQUEST-ID")]
    method: String,
    /// Its URL, or only the path: `/api/users/7`.
    url: Option<String>,
    /// A header field, `NAME: VALUE`; as many as there are.
    #[arg(long = "header", short = 'H', value_name = "FIELD", requires = "url")]
    headers: Vec<String>,
    /// The admin address of the running sidecar; overrides `admin.listen` (127.0.0.1:9901).
    #[arg(long, value_name = "IP:PORT", conflicts_with = "url")]
    admin: Option<SocketAddr>,
    /// The file with its token; overrides `admin.token_file`.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    token_file: Option<PathBuf>,
    /// The service behind; overrides `upstream.url`. It is not asked, and need not be named.
    #[arg(long, value_name = "URL", requires = "url")]
    upstream: Option<String>,
    /// As one JSON document.
    #[arg(long)]
    json: bool,
    /// The configuration file; without one, the defaults and the environment decide.
    #[arg(long, short, value_name = "FILE", env = "VITAL_SIDECAR_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Demo {
    /// Let no answer of the demo service fail.
    #[arg(long)]
    no_failures: bool,
    /// No client asks too often, however often it asks.
    #[arg(long)]
    no_limit: bool,
    /// Where clients connect, if not at 127.0.0.1:8080.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Where operators connect, if not at 127.0.0.1:9901.
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    /// A collector that gets spans and log, such as `http://localhost:4318`. No environment variable counts.
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Verify the chain of a directory: integrity, completeness.
    Verify {
        /// The audit directory.
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| hinted(error).exit());
    match cli.command {
        Command::Run(from) => {
            let flags = from.flags();
            cli::run::run(from.config.as_deref(), environment(), flags)
        }
        Command::Check(from) => {
            let flags = from.flags();
            cli::check::run(from.config.as_deref(), environment(), flags)
        }
        Command::Explain(explain) => explain.run(),
        Command::Demo(demo) => cli::demo::run(&demo.asked()),
        Command::Health(running) => running.ask(cli::health::run),
        Command::Status(running) => running.ask(cli::status::run),
        Command::Reload(running) => running.ask(cli::reload::run),
        Command::Drain(running) => running.ask(cli::drain::run),
        Command::Audit(Audit::Verify { directory }) => cli::audit::run(&directory),
    }
}

/// Who writes the file behind the command means `--config`.
fn hinted(mut error: clap::Error) -> clap::Error {
    let is_file = |argument: &str| Path::new(argument).extension().is_some_and(|end| end == "toml");
    let file = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) if is_file(argument) => argument.clone(),
        _ => return error,
    };
    let tip = format!("the configuration is named by `--config {file}`");
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

impl Configured {
    fn flags(&self) -> Vec<(String, String)> {
        let pairs = [
            ("upstream.url", &self.upstream),
            ("server.listen", &self.listen),
            ("admin.listen", &self.admin),
        ];
        pairs.into_iter().filter_map(|(key, flag)| Some((key.into(), flag.clone()?))).collect()
    }
}

impl Demo {
    fn asked(self) -> cli::demo::Asked {
        let Self { no_failures, no_limit, listen, admin, otlp } = self;
        cli::demo::Asked { no_failures, no_limit, listen, admin, otlp }
    }
}

impl Explain {
    fn run(self) -> ExitCode {
        let Some(url) = self.url else {
            let past = |admin: SocketAddr, token: Option<&str>| {
                cli::explain::past::run(&self.method, self.json, admin, token)
            };
            let (config, admin, token_file) = (self.config, self.admin, self.token_file);
            return Running { config, admin, token_file }.ask(past);
        };
        let config = self.config.as_deref();
        let request = cli::explain::Ask { method: self.method, url, headers: self.headers };
        let basis = cli::explain::Basis { config, upstream: self.upstream, env: environment() };
        cli::explain::run(&request, self.json, basis)
    }
}

impl Running {
    fn ask(&self, command: impl Fn(SocketAddr, Option<&str>) -> u8) -> ExitCode {
        let whom = cli::running::Whom {
            config: self.config.as_deref(),
            admin: self.admin,
            token_file: self.token_file.as_deref(),
        };
        cli::running::at(&whom, environment(), command)
    }
}

fn environment() -> std::collections::BTreeMap<String, String> {
    cli::source::environment(std::env::vars_os())
}
