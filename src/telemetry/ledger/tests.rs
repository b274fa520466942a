//! The equation of the ledger, under every disorder.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::telemetry::books::Books;
use crate::telemetry::export::outbox::{self, Bound, Clerk, Outbox};
use crate::telemetry::export::{Answer, Carrier, Encoding, Parcel};
use crate::telemetry::lane::Lane;
use crate::telemetry::sink::{Delivery, Sink};
use crate::telemetry::worker;

#[test]
fn an_account_reads_as_a_sentence() {
    let lane = Lane::with_shards("spans", "otlp", 1, |weight: &u64| *weight, 2);
    let ledger = Ledger::default();
    assert!(lane.offer(3) && !lane.offer(2));
    ledger.add(Arc::new(lane));
    assert_eq!(
        ledger.to_string(),
        "spans to otlp: 5 accepted = 0 exported + 2 dropped (queue_full 2) + 3 in flight"
    );
    let json = serde_json::to_value(ledger.snapshot()).unwrap();
    assert_eq!(json[0]["dropped"]["queue_full"], 2);
    assert_eq!(json[0]["last_success"], serde_json::Value::Null);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Three threads offer, one delivers with random success, one looks on, and at a random
    /// moment the lane closes: every snapshot balances, and in the end nothing is missing.
    #[test]
    fn nothing_is_ever_lost_uncounted(
        capacity in 1_usize..64,
        offers in 1_u64..400,
        close_after in 0_u64..500,
        verdicts in proptest::collection::vec(0_u8..4, 1..20),
    ) {
        let lane = Lane::with_shards("spans", "test", capacity, |weight: &u64| *weight, 4);
        let offering = AtomicBool::new(true);
        std::thread::scope(|scope| {
            let lane = &lane;
            let offering = &offering;
            let threads: Vec<_> = (0..3).map(|thread| scope.spawn(move || {
                for item in 0..offers {
                    if thread == 0 && item == close_after {
                        lane.close();
                    }
                    lane.offer(1 + item % 3);
                }
            })).collect();
            scope.spawn(move || {
                while offering.load(Ordering::Acquire) {
                    assert!(lane.account().is_balanced());
                }
            });
            scope.spawn(move || {
                let mut verdicts = verdicts.iter().cycle();
                while offering.load(Ordering::Acquire) {
                    deliver_once(lane, verdicts.next().copied().unwrap_or(0));
                }
            });
            for thread in threads {
                thread.join().unwrap();
            }
            offering.store(false, Ordering::Release);
        });
        lane.close();
        lane.abandon();
        let account = lane.account();
        let offered: u64 = 3 * (0..offers).map(|item| 1 + item % 3).sum::<u64>();
        prop_assert_eq!(account.accepted, offered);
        prop_assert_eq!(account.in_flight, 0);
        prop_assert!(account.is_balanced());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// The same through a worker and an outbox with little room, to a collector of random moods.
    #[test]
    fn nothing_is_lost_uncounted_on_the_way_through_an_outbox(
        offers in 1_u64..300,
        batch in 1_usize..40,
        moods in proptest::collection::vec(0_u8..6, 1..20),
        parcels in 1_usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        let (account, offered) = runtime.block_on(async {
            let (sink, books) = Posting::new(moods, parcels);
            let (lane, worker) = worker::start(sink, "traces", 100, batch);
            for item in 0..offers {
                lane.offer(1 + item % 3);
                assert!(lane.account().is_balanced());
                assert!(books.account("traces", "otlp", 0).in_flight <= lane.account().accepted);
                if item % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            worker.stop(Instant::now() + Duration::from_millis(300)).await;
            (lane.account(), (0..offers).map(|item| 1 + item % 3).sum::<u64>())
        });
        prop_assert_eq!(account.accepted, offered);
        prop_assert_eq!(account.in_flight, 0);
        prop_assert!(account.is_balanced());
    }
}

/// Hands everything over, but for what weighs two: that it loses.
struct Posting {
    outbox: Outbox,
    clerk: Option<Clerk>,
}

impl Posting {
    fn new(moods: Vec<u8>, parcels: usize) -> (Self, Arc<Books>) {
        let settings = outbox::Settings {
            signal: "traces",
            endpoint: "http://localhost".to_owned(),
            is_configured: true,
            timeout: Duration::from_secs(1),
            encoding: Encoding::Identity,
            remembered: Bound { bytes: 1000, parcels },
        };
        let collector = Moody { moods, asked: AtomicUsize::new(0) };
        let (outbox, clerk) = outbox::start(settings, None, Box::new(collector));
        let books = outbox.books();
        (Self { outbox, clerk: Some(clerk) }, books)
    }
}

#[async_trait]
impl Sink for Posting {
    type Item = u64;

    fn name(&self) -> &'static str {
        "otlp"
    }

    fn weight(item: &u64) -> u64 {
        *item
    }

    fn clerk(&mut self) -> Option<Clerk> {
        self.clerk.take()
    }

    async fn deliver(&mut self, batch: Vec<u64>) -> Delivery {
        let (kept, posted): (Vec<u64>, Vec<u64>) = batch.iter().partition(|item| **item == 2);
        let items = posted.into_iter().sum();
        let parcel = Parcel { items, encoding: Encoding::Identity, body: Bytes::new() };
        let dropped = vec![("unencodable", kept.into_iter().sum())];
        Delivery { dropped, handed_over: self.outbox.post(parcel), ..Delivery::default() }
    }
}

struct Moody {
    moods: Vec<u8>,
    asked: AtomicUsize,
}

#[async_trait]
impl Carrier for Moody {
    async fn carry(&self, parcel: &Parcel, _limit: Duration) -> Answer {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        let detail = String::new();
        match self.moods[turn % self.moods.len()] {
            0 => Answer::Never { reason: "refused", detail },
            1 => Answer::Later { reason: "timeout", detail, after: Some(Duration::ZERO) },
            2 => Answer::Taken { rejected: parcel.items / 2 },
            3 => panic!("as told"),
            4 => std::future::pending().await,
            _ => Answer::Taken { rejected: 0 },
        }
    }
}

fn deliver_once(lane: &Lane<u64>, verdict: u8) {
    let mut items = Vec::new();
    lane.sweep(&mut items);
    for batch in items.chunks(7) {
        let weight = lane.weight_of(batch);
        let delivery = match verdict {
            0 => Delivery { exported: weight, ..Delivery::default() },
            1 => Delivery { dropped: vec![("timeout", weight)], ..Delivery::default() },
            2 => Delivery {
                exported: weight / 2,
                dropped: vec![("rejected", weight - weight / 2)],
                ..Delivery::default()
            },
            _ => Delivery { exported: weight + 1, dropped: vec![("io", 5)], ..Delivery::default() },
        };
        lane.settle(&delivery, batch.len(), weight);
    }
}
