//! The demo orchestrator alone, to put any proxy in front of.
//!
//! `cargo run --example orchestrator -- --listen 127.0.0.1:3000 --no-failures`
//!
//! It serves until ctrl-c. It is the service that `vital-sidecar demo` embeds, and no more than that:
//! it authenticates nobody, and its answers are canned.

use std::net::SocketAddr;

use clap::Parser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vital_sidecar::cli::demo::orchestrator::{self, Behaviour, Failures, Pace};

/// A small stand-in for the orchestration service.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Never fail on purpose.
    #[arg(long)]
    no_failures: bool,
    /// Answer without pauses.
    #[arg(long)]
    immediate: bool,
    /// Where all chance comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example talks to its user")]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let behaviour = Behaviour {
        failures: if arguments.no_failures { Failures::Never } else { Failures::Some },
        pace: if arguments.immediate { Pace::Immediate } else { Pace::Lifelike },
        seed: arguments.seed,
    };
    let listener = TcpListener::bind(arguments.listen).await?;
    println!("The demo orchestrator listens on http://{}/", listener.local_addr()?);
    let stop = CancellationToken::new();
    let served = orchestrator::serve(listener, behaviour, stop.clone());
    tokio::pin!(served);
    tokio::select! {
        () = &mut served => {}
        signal = tokio::signal::ctrl_c() => {
            stop.cancel();
            served.await;
            signal?;
        }
    }
    Ok(())
}
