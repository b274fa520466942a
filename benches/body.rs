//! What an answer's body costs per byte: only event streams are looked at, to count their events.

use divan::Bencher;
use divan::counter::BytesCount;
use vital_sidecar::http::sse::EventCounter;

fn main() {
    divan::main();
}

/// An event as a model's answer has it, `size` bytes long.
fn event(size: usize) -> Vec<u8> {
    let mut event = b"data: ".to_vec();
    event.resize(size - 2, b'x');
    event.extend_from_slice(b"\n\n");
    event
}

#[divan::bench(args = [16, 100, 1000])]
fn an_event_sent_alone(bencher: Bencher<'_, '_>, size: usize) {
    let event = event(size);
    let mut counter = EventCounter::default();
    bencher.counter(BytesCount::new(size)).bench_local(|| counter.push(&event));
}

#[divan::bench]
fn many_events_at_once(bencher: Bencher<'_, '_>) {
    let chunk = event(100).repeat(160);
    let mut counter = EventCounter::default();
    bencher.counter(BytesCount::new(chunk.len())).bench_local(|| counter.push(&chunk));
}
