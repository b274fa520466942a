//! A disk that fails.

use parking_lot::Mutex;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::*;

/// How loud each event was; debug is not heard.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Level>>>);

impl<S: Subscriber> Layer<S> for Heard {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() < Level::DEBUG {
            self.0.lock().push(*event.metadata().level());
        }
    }
}

/// Longer than the longest pause between two tries.
const LATER: Duration = Duration::from_secs(6);

#[tokio::test(start_paused = true)]
async fn a_failed_sync_refuses_its_waiters_and_moves_to_a_new_segment() {
    let mut scene = open(&FakeDisk::default());
    let first = scene.begun(1);
    let mut refused = scene.seat();
    let mut durable = refused.begin(initiated(2)).unwrap();
    first.complete(completed(1));
    scene.audit.deny(denied(3));
    scene.disk.fail_syncs(1);
    scene.writer.turn();
    assert_eq!(durable.try_recv(), Err(TryRecvError::Closed));
    assert!(!scene.audit.stats().is_writable);
    // Refused at once, without a turn of the writer.
    assert!(scene.seat().begin(initiated(4)).is_err());
    drop(refused);

    tokio::time::advance(LATER).await;
    scene.writer.turn();
    assert!(scene.audit.stats().is_writable);
    drop(scene.begun(5));
    scene.writer.turn();
    let names: Vec<u64> = segments(&scene.disk).into_iter().map(|(_, start)| start).collect();
    assert_eq!(names, [1, 2]);
    let expected = [
        "r-1 initiated initiated -",
        "r-1 completed success -",
        "r-3 completed denied rate_limited",
        "r-5 initiated initiated -",
        "r-5 completed aborted abandoned",
    ];
    assert_eq!(scene.story(), expected);
    assert!(scene.check().is_ok(), "{}", scene.check());
    assert_eq!(scene.audit.stats().failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_first_write_leaves_no_trace_of_its_segment() {
    let mut scene = open(&FakeDisk::default());
    let mut seat = scene.seat();
    scene.disk.fail_writes(1);
    let mut durable = seat.begin(initiated(1)).unwrap();
    scene.writer.turn();
    assert!(durable.try_recv().is_err());
    // An end that was given is written alone: the caller had reason to tell it.
    seat.complete(completed(1));
    tokio::time::advance(LATER).await;
    scene.writer.turn();
    assert_eq!(scene.story(), ["r-1 completed success -"]);
    let report = scene.check();
    assert!(report.is_ok(), "{report}");
    assert_eq!((report.segments, report.unannounced), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_stays_broken_is_tried_ever_less_often_and_recovers() {
    let mut scene = open(&FakeDisk::default());
    let seat = scene.begun(1);
    scene.disk.set_broken(true);
    seat.complete(completed(1));
    for _ in 0..1000 {
        scene.writer.turn();
        tokio::time::advance(Duration::from_millis(20)).await;
    }
    // 20 s: one commit, then tries after 0.1 0.3 0.7 1.5 3.1 6.3 11.3 16.3 s.
    assert_eq!(scene.audit.stats().failures, 1 + 8);
    scene.disk.set_broken(false);
    tokio::time::advance(LATER).await;
    scene.writer.turn();
    assert!(scene.audit.stats().is_writable);
    assert!(scene.check().is_ok(), "{}", scene.check());
    assert_eq!(scene.story().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_all_clear_comes_with_a_record_that_is_durable_and_not_with_a_file() {
    let mut scene = open(&FakeDisk::default());
    let seat = scene.begun(1);
    let heard = Heard::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(heard.clone()));
    // As on a full disk: files can be made, and nothing can be written to them.
    scene.disk.fail_writes(4);
    seat.complete(completed(1));
    scene.audit.deny(denied(2));
    for tries in 0..4 {
        scene.writer.turn();
        assert_eq!(*heard.0.lock(), [Level::ERROR], "after {tries} tries more");
        let stats = scene.audit.stats();
        assert_eq!((stats.waiting, stats.lost, stats.is_writable), (2, 0, false));
        tokio::time::advance(LATER).await;
    }
    scene.writer.turn();
    assert_eq!(*heard.0.lock(), [Level::ERROR, Level::INFO]);
    let stats = scene.audit.stats();
    assert_eq!((stats.waiting, stats.lost, stats.is_writable), (0, 0, true));
    assert!(scene.check().is_ok(), "{}", scene.check());
}

#[tokio::test(start_paused = true)]
async fn without_traffic_a_full_disk_is_writable_only_once_it_takes_bytes() {
    let mut scene = open(&FakeDisk::default());
    let mut seat = scene.seat();
    // Files can be made, and nothing can be written to them.
    scene.disk.fail_writes(4);
    drop(seat.begin(initiated(1)).unwrap());
    scene.writer.turn();
    drop(seat);
    for tries in 0..3 {
        assert!(!scene.audit.stats().is_writable, "after {tries} tries more");
        tokio::time::advance(LATER).await;
        scene.writer.turn();
    }
    assert!(!scene.audit.stats().is_writable, "the disk was full three times more");
    tokio::time::advance(LATER).await;
    scene.writer.turn();
    assert!(scene.audit.stats().is_writable, "nobody has to come for that");
    drop(scene.begun(2));
    scene.writer.turn();
    assert!(scene.check().is_ok(), "{}", scene.check());
    let names = scene.disk.names();
    assert!(!names.iter().any(|name| name == "probe"), "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_disk_that_fails_to_the_end_is_lost_and_counted() {
    let mut scene = open(&FakeDisk::default());
    let seat = scene.begun(1);
    scene.disk.set_broken(true);
    seat.complete(completed(1));
    scene.audit.deny(denied(2));
    scene.writer.turn();
    assert_eq!(scene.audit.stats().waiting, 2);
    scene.audit.shared().close();
    scene.writer.turn();
    scene.writer.finish();
    let stats = scene.audit.stats();
    assert_eq!((stats.waiting, stats.lost, stats.denied_dropped), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_segment_that_could_not_be_cut_does_not_count_beyond_its_end() {
    let mut scene = open(&FakeDisk::default());
    let seat = scene.begun(1);
    let mut refused = scene.seat();
    let _durable = refused.begin(initiated(2)).unwrap();
    scene.disk.fail_syncs(1);
    scene.writer.turn();
    // The truncation fails as well, and the crash brings the whole tail back.
    scene.disk.fail_syncs(1);
    tokio::time::advance(LATER).await;
    scene.writer.turn();
    let later = scene.begun(3);
    scene.disk.put(&segment_name(1), &{
        let mut chain = audit::chain::Chain::GENESIS;
        let mut bytes = Vec::new();
        chain.append(&initiated(1), &mut bytes);
        chain.append(&initiated(2), &mut bytes);
        bytes
    });
    let report = scene.check();
    assert!(report.is_intact() && report.torn.is_some(), "{report}");
    scene.disk.crash(<[u8]>::to_vec);
    drop((seat, refused, later));
    let scene = open(&scene.disk);
    assert!(scene.check().is_ok(), "{}", scene.check());
    let expected = [
        "r-1 initiated initiated -",
        "r-3 initiated initiated -",
        "r-1 completed aborted crash",
        "r-3 completed aborted crash",
    ];
    assert_eq!(scene.story(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_new_segment_that_was_half_made_is_made_again() {
    let mut scene = open(&FakeDisk::default());
    drop(scene.begun(1));
    scene.disk.fail_syncs(3); // The commit, the truncation, the new file's name.
    scene.writer.turn();
    tokio::time::advance(LATER).await;
    scene.writer.turn();
    assert_eq!(segments(&scene.disk).len(), 2);
    assert!(!scene.audit.stats().is_writable);
    tokio::time::advance(LATER).await;
    scene.writer.turn();
    assert!(scene.audit.stats().is_writable);
    assert!(scene.check().is_ok(), "{}", scene.check());
}

#[tokio::test(start_paused = true)]
async fn closing_while_the_disk_fails_counts_what_is_lost() {
    let mut scene = open(&FakeDisk::default());
    let (first, second) = (scene.begun(1), scene.begun(2));
    scene.disk.set_broken(true);
    first.complete(completed(1));
    scene.writer.turn();
    scene.audit.shared().close();
    scene.writer.turn();
    scene.writer.finish();
    drop(second);
    let stats = scene.audit.stats();
    // r-1's end, the two that stay open without it, and r-2's, which came too late.
    assert!(stats.lost >= 2 && !stats.is_writable, "{stats:?}");
    scene.disk.set_broken(false);
    scene.disk.crash(|_| Vec::new());
    assert!({ open(&scene.disk) }.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_a_free_place_a_request_waits_until_its_deadline() {
    let shared = Arc::new(Shared::new(1));
    let audit = Audit::around(shared, None);
    let deadline = || Instant::now() + Duration::from_millis(250);
    let held = audit.reserve(deadline()).await.unwrap();
    let start = Instant::now();
    assert_eq!(audit.reserve(deadline()).await.unwrap_err(), Unavailable::NoPlace);
    assert_eq!(start.elapsed(), Duration::from_millis(250));
    drop(held);
    assert!(audit.reserve(deadline()).await.is_ok());
}
