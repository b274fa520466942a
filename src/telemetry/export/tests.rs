//! An outbox and its clerk, with a scripted collector and a paused clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::outbox::{self, Bound, Clerk, Outbox, Settings};
use super::spool::Spool;
use super::{Answer, Carrier, Encoding, Parcel};
use crate::telemetry::ledger::Account;

mod property;
mod spooling;

const SECOND: Duration = Duration::from_secs(1);
/// In a script: no answer at all.
const HANG: &str = "hang";

/// Answers as scripted, then takes everything; says when it was asked, and with what.
struct Scripted {
    script: Arc<Mutex<VecDeque<Answer>>>,
    asked: mpsc::Sender<(Instant, Bytes)>,
}

#[async_trait]
impl Carrier for Scripted {
    async fn carry(&self, parcel: &Parcel, _limit: Duration) -> Answer {
        drop(self.asked.try_send((Instant::now(), parcel.body.clone())));
        let answer = self.script.lock().pop_front();
        match answer {
            Some(Answer::Never { reason: HANG, .. }) => std::future::pending().await,
            answer => answer.unwrap_or(Answer::Taken { rejected: 0 }),
        }
    }
}

struct Scene {
    outbox: Outbox,
    clerk: Clerk,
    asked: mpsc::Receiver<(Instant, Bytes)>,
    script: Arc<Mutex<VecDeque<Answer>>>,
}

fn scene(is_configured: bool, parcels: usize, script: Vec<Answer>) -> Scene {
    scene_of("traces", is_configured, parcels, script, None)
}

fn scene_of(
    signal: &'static str,
    is_configured: bool,
    parcels: usize,
    script: Vec<Answer>,
    spool: Option<&Arc<Spool>>,
) -> Scene {
    let (asking, asked) = mpsc::channel(100);
    let script = Arc::new(Mutex::new(script.into()));
    let carrier = Scripted { script: Arc::clone(&script), asked: asking };
    let settings = settings(signal, is_configured, parcels);
    let (outbox, clerk) = outbox::start(settings, spool, Box::new(carrier));
    Scene { outbox, clerk, asked, script }
}

fn settings(signal: &'static str, is_configured: bool, parcels: usize) -> Settings {
    Settings {
        signal,
        endpoint: "http://localhost:4318/v1/traces".to_owned(),
        is_configured,
        timeout: 10 * SECOND,
        encoding: Encoding::Identity,
        remembered: Bound { bytes: 1000, parcels },
    }
}

impl Scene {
    fn post(&self, name: &'static str) {
        self.outbox.books().accept(2);
        let body = Bytes::from_static(name.as_bytes());
        assert_eq!(self.outbox.post(Parcel { items: 2, encoding: Encoding::Identity, body }), 2);
    }

    fn post_all(&self, names: &[&'static str]) {
        for name in names {
            self.post(name);
        }
    }

    fn account(&self) -> Account {
        let account = self.outbox.books().account("traces", "otlp", 0);
        assert!(account.is_balanced(), "{account}");
        account
    }

    async fn next(&mut self) -> (Instant, Bytes) {
        tokio::time::timeout(3600 * SECOND, self.asked.recv()).await.unwrap().unwrap()
    }

    async fn stop(self, within: Duration) -> Account {
        let books = self.outbox.books();
        self.clerk.stop(Instant::now() + within).await;
        let account = books.account("traces", "otlp", 0);
        assert!(account.is_balanced(), "{account}");
        account
    }
}

fn later(reason: &'static str, after: Option<Duration>) -> Answer {
    Answer::Later { reason, detail: "as told".to_owned(), after }
}

fn never(reason: &'static str) -> Answer {
    Answer::Never { reason, detail: "as told".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn parcels_arrive_in_the_order_they_were_posted() {
    let mut scene = scene(true, 10, vec![]);
    scene.post_all(&["a", "b", "c"]);
    for expected in ["a", "b", "c"] {
        assert_eq!(scene.next().await.1, expected);
    }
    let account = scene.stop(SECOND).await;
    assert_eq!((account.accepted, account.exported, account.in_flight), (6, 6, 0));
    assert_eq!(account.attempts, BTreeMap::from([("success", 3)]));
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_away_is_asked_less_and_less_often_and_nothing_overtakes() {
    let mut scene = scene(true, 10, vec![later("unreachable", None); 4]);
    scene.post("a");
    let mut last = scene.next().await.0;
    scene.post("b");
    for millis in [100, 200, 400, 800] {
        let (at, body) = scene.next().await;
        assert_eq!(body, "a");
        let (pause, expected) = (at - last, Duration::from_millis(millis));
        assert!(pause >= expected.mul_f64(0.75) && pause <= expected.mul_f64(1.26), "{pause:?}");
        last = at;
    }
    assert_eq!(scene.next().await.1, "b");
    let account = scene.stop(SECOND).await;
    assert_eq!((account.exported, account.attempts["failure"]), (4, 4));
}

/// Takes everything but one parcel.
struct Squeamish(mpsc::Sender<(Instant, Bytes)>);

#[async_trait]
impl Carrier for Squeamish {
    async fn carry(&self, parcel: &Parcel, _limit: Duration) -> Answer {
        drop(self.0.try_send((Instant::now(), parcel.body.clone())));
        if parcel.body == "poison" { later("refused", None) } else { Answer::Taken { rejected: 0 } }
    }
}

#[tokio::test(start_paused = true)]
async fn a_parcel_that_the_collector_never_takes_does_not_hold_up_the_others() {
    for disk in [None, Some(super::spool::fake::FakeDisk::default())] {
        let spool = disk.map(|disk| Spool::on(disk, 1 << 20, 100).unwrap());
        let (asking, mut asked) = mpsc::channel(1000);
        let carrier = Box::new(Squeamish(asking));
        let (outbox, clerk) = outbox::start(settings("traces", true, 100), spool.as_ref(), carrier);
        let (script, asked_never) = (Arc::default(), mpsc::channel(1).1);
        let scene = Scene { outbox, clerk, asked: asked_never, script };
        scene.post("poison");
        for _ in 0..100 {
            scene.post("a");
            tokio::time::sleep(SECOND).await;
        }
        let account = scene.account();
        assert!(account.exported > 120 && account.lost() == 0, "{account}");
        let mut tries = 0;
        while let Ok((_, body)) = asked.try_recv() {
            tries += usize::from(body == "poison");
        }
        assert!(tries > 4, "it is not given up either: {tries}");
        drop(scene);
    }
}

#[tokio::test(start_paused = true)]
async fn a_collector_gets_the_pause_it_asks_for() {
    let mut scene = scene(true, 10, vec![later("refused", Some(7 * SECOND))]);
    scene.post("a");
    let first = scene.next().await.0;
    assert_eq!(scene.next().await.0 - first, 7 * SECOND);
    assert_eq!(scene.stop(SECOND).await.exported, 2);
}

#[tokio::test(start_paused = true)]
async fn what_will_never_be_taken_is_dropped_and_the_next_follows_at_once() {
    let mut scene = scene(true, 10, vec![never("refused"), Answer::Taken { rejected: 1 }]);
    scene.post_all(&["a", "b"]);
    let first = scene.next().await.0;
    assert_eq!(scene.next().await.0, first);
    let account = scene.stop(SECOND).await;
    assert_eq!(account.dropped, BTreeMap::from([("refused", 2), ("rejected", 1)]));
    assert_eq!(account.exported, 1);
}

#[tokio::test(start_paused = true)]
async fn without_room_the_oldest_are_dropped_and_counted_and_posting_never_waits() {
    let mut scene = scene(true, 2, vec![never(HANG)]);
    scene.post("a");
    assert_eq!(scene.next().await.1, "a");
    scene.post_all(&["b", "c", "d", "e"]);
    let account = scene.account();
    assert_eq!(account.dropped, BTreeMap::from([("ring_full", 4)]), "b and c");
    assert_eq!(account.in_flight, 6, "one on its way, two remembered");
    let account = scene.stop(SECOND).await;
    let dropped = BTreeMap::from([("ring_full", 6), ("shutdown", 4)]);
    assert_eq!(account.dropped, dropped, "the oldest came back and found no room");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_collector_that_nobody_asked_for() {
    let mut scene = scene(false, 10, vec![later("unreachable", None), later("refused", None)]);
    scene.post_all(&["a", "b"]);
    let first = scene.next().await.0;
    assert_eq!(scene.next().await.0, first, "a is dropped at once");
    assert_eq!(scene.next().await.1, "b", "somebody is there, only busy");
    let account = scene.stop(SECOND).await;
    assert_eq!(account.dropped, BTreeMap::from([("unreachable", 2)]));
    assert_eq!(account.exported, 2);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_the_pause_is_cut_short_and_the_collector_gets_another_chance() {
    let script = std::iter::repeat_n(later("unreachable", None), 12).collect();
    let mut scene = scene(true, 10, script);
    scene.post("a");
    for _ in 0..10 {
        scene.next().await;
    }
    let asked = Instant::now();
    let account = scene.stop(5 * SECOND).await;
    assert_eq!(account.exported, 2);
    assert!(asked.elapsed() < SECOND, "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_in_time_whatever_the_collector_does() {
    for script in [vec![never(HANG)], vec![later("unreachable", None); 1000]] {
        let mut scene = scene(true, 10, script);
        scene.post_all(&["a", "b"]);
        scene.next().await;
        let asked = Instant::now();
        let account = scene.stop(5 * SECOND).await;
        assert!(asked.elapsed() <= 5 * SECOND, "{:?}", asked.elapsed());
        assert_eq!(account.dropped, BTreeMap::from([("shutdown", 4)]));
        assert_eq!(account.in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_stop_is_not_taken_over() {
    let scene = scene(true, 10, vec![]);
    let outbox = scene.outbox.clone();
    scene.stop(SECOND).await;
    let parcel = Parcel { items: 1, encoding: Encoding::Identity, body: Bytes::new() };
    assert_eq!(outbox.post(parcel), 0);
}
