//! What it costs a request to leave something for a sink: an offer to a lane that a worker sweeps.

use async_trait::async_trait;
use divan::Bencher;
use vital_sidecar::telemetry::sink::{Delivery, Sink};
use vital_sidecar::telemetry::worker;

fn main() {
    divan::main();
}

/// Takes everything and does nothing with it.
struct Drain;

#[async_trait]
impl Sink for Drain {
    type Item = u64;

    fn name(&self) -> &'static str {
        "drain"
    }

    async fn deliver(&mut self, batch: Vec<u64>) -> Delivery {
        Delivery::all(batch.len())
    }
}

/// The worker runs on a thread of its own; what it cannot keep up with is refused, which costs about
/// the same.
#[divan::bench]
fn offer(bencher: Bencher<'_, '_>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let Ok(runtime) = runtime else { return };
    let _inside = runtime.enter();
    let (lane, _worker) = worker::start(Drain, "logs", 16 * 1024, 256);
    bencher.bench_local(|| lane.offer(1));
}
