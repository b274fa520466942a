//! An outbox with a spool, on a disk that fails and forgets.

use super::*;
use crate::telemetry::deadline::Hurry;
use crate::telemetry::export::spool::fake::FakeDisk;

/// The head of a file.
const HEAD: u64 = 64;

fn spool(disk: &FakeDisk) -> Arc<Spool> {
    bounded(disk, 1 << 20)
}

fn bounded(disk: &FakeDisk, max_bytes: u64) -> Arc<Spool> {
    Spool::on(disk.clone(), max_bytes, 100).unwrap()
}

fn spooling(disk: &FakeDisk, script: Vec<Answer>) -> Scene {
    scene_of("traces", true, 10, script, Some(&spool(disk)))
}

fn away() -> Vec<Answer> {
    vec![later("unreachable", None); 1000]
}

/// Waits for what is looked for; the clock stands still only while somebody works.
async fn until(scene: &Scene, what: impl Fn(&Account) -> bool) -> Account {
    for _ in 0..10_000 {
        let account = scene.account();
        if what(&account) {
            return account;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never happened: {}", scene.account());
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_takes_everything_leaves_the_disk_alone() {
    let disk = FakeDisk::default();
    let mut scene = spooling(&disk, vec![Answer::Taken { rejected: 1 }, never("refused")]);
    let touched = disk.touched();
    scene.post_all(&["a", "b", "c"]);
    for _ in 0..3 {
        scene.next().await;
    }
    let account = scene.stop(SECOND).await;
    assert_eq!((account.exported, account.in_flight, account.spool_bytes), (3, 0, Some(0)));
    assert_eq!(disk.touched(), touched);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_on_disk_and_arrives_oldest_first() {
    let disk = FakeDisk::default();
    let mut scene = spooling(&disk, vec![later("unreachable", None); 3]);
    scene.post("a");
    scene.next().await;
    scene.post_all(&["b", "c"]);
    let account = until(&scene, |account| account.spooled == 6).await;
    assert_eq!(account.spool_bytes, Some(3 * (HEAD + 1)));
    assert_eq!(account.in_flight, 6);
    for expected in ["a", "a", "a", "b", "c"] {
        assert_eq!(scene.next().await.1, expected);
    }
    let account = scene.stop(SECOND).await;
    assert_eq!((account.exported, account.spool_bytes), (6, Some(0)));
    assert_eq!(disk.names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_at_the_end_is_recovered_by_the_next_run() {
    let disk = FakeDisk::default();
    let mut scene = spooling(&disk, away());
    scene.post_all(&["a", "b"]);
    scene.next().await;
    scene.post("c");
    let account = scene.stop(5 * SECOND).await;
    assert_eq!((account.in_flight, account.spooled, account.lost()), (6, 6, 0));
    assert!(account.to_string().ends_with("+ 6 in flight (6 in the spool)"), "{account}");

    disk.crash(0);
    let mut scene = spooling(&disk, vec![]);
    let account = scene.account();
    assert_eq!((account.accepted, account.recovered, account.in_flight), (6, 6, 6));
    scene.post("d");
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(scene.next().await.1);
    }
    let recovered: Vec<_> = order.iter().filter(|name| **name != "d").collect();
    assert_eq!(recovered, ["a", "b", "c"]);
    assert_eq!(order[1], "d", "new ones take turns with old ones");
    let account = scene.stop(SECOND).await;
    assert_eq!(account.exported, 8);
    assert!(account.to_string().starts_with("traces to otlp: 8 accepted (6 recovered) ="));
}

#[tokio::test(start_paused = true)]
async fn a_stop_spools_what_a_hanging_collector_was_given() {
    let disk = FakeDisk::default();
    let mut scene = spooling(&disk, vec![never(HANG)]);
    scene.post_all(&["a", "b"]);
    scene.next().await;
    let asked = Instant::now();
    let account = scene.stop(5 * SECOND).await;
    assert!(asked.elapsed() < 5 * SECOND);
    assert_eq!((account.spooled, account.lost()), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_hangs_does_not_hold_up_an_end_that_the_disk_can_serve() {
    let disk = FakeDisk::default();
    let mut scene = spooling(&disk, vec![Answer::Taken { rejected: 0 }, never(HANG)]);
    scene.post_all(&["a", "b", "c"]);
    scene.next().await;
    scene.next().await;
    let asked = Instant::now();
    let account = scene.stop(60 * SECOND).await;
    assert!(asked.elapsed() <= SECOND, "{:?}", asked.elapsed());
    assert_eq!((account.exported, account.spooled, account.lost()), (2, 4, 0));

    let disk = FakeDisk::default();
    let mut scene = spooling(&disk, vec![never(HANG); 9]);
    disk.set_broken(true);
    scene.post_all(&["a", "b", "c", "d", "e", "f", "g"]); // A crowd, so that the disk is tried.
    scene.next().await;
    tokio::time::sleep(SECOND).await;
    let asked = Instant::now();
    let account = scene.stop(60 * SECOND).await;
    assert!(asked.elapsed() > 50 * SECOND, "who has no disk hopes to the end: {account}");
    assert_eq!(account.dropped, BTreeMap::from([("shutdown", 14)]));
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_hurried_spools_or_counts_all_the_same() {
    for has_spool in [true, false] {
        let spool = has_spool.then(|| spool(&FakeDisk::default()));
        let mut scene = scene_of("traces", true, 10, vec![never(HANG)], spool.as_ref());
        scene.post_all(&["a", "b"]);
        scene.next().await;
        let (books, asked) = (scene.outbox.books(), Instant::now());
        let (hurry, deadline) = Hurry::before(asked + 60 * SECOND);
        let hurrying = async {
            tokio::time::sleep(SECOND / 2).await;
            hurry.until(Instant::now() + SECOND);
        };
        tokio::join!(scene.clerk.stop(deadline), hurrying);
        assert!(asked.elapsed() <= 3 * SECOND / 2, "{:?}", asked.elapsed());
        let account = books.account("traces", "otlp", 0);
        assert!(account.is_balanced() && account.in_flight == account.spooled, "{account}");
        assert_eq!((account.spooled, account.lost()), if has_spool { (4, 0) } else { (0, 4) });
    }
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_nothing_overtakes_however_the_collector_says_no() {
    for signal in ["metrics", "traces"] {
        for script in [vec![later("refused", None); 7], vec![later("unreachable", None); 30]] {
            let disk = FakeDisk::default();
            let mut scene = scene_of(signal, true, 10, script, Some(&spool(&disk)));
            scene.post_all(&["a", "b", "c"]);
            tokio::time::sleep(3600 * SECOND).await;
            assert_eq!(scene.account().exported, 6);
            let mut order = Vec::new();
            while let Ok((_, body)) = scene.asked.try_recv() {
                order.push(body);
            }
            assert_eq!(order[order.len() - 3..], ["a", "b", "c"], "{signal}: {order:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_of_an_outage_arrive_before_all_that_are_newer() {
    let disk = FakeDisk::default();
    let script = vec![later("refused", None); 12];
    let mut scene = scene_of("metrics", true, 10, script, Some(&spool(&disk)));
    scene.post_all(&["a", "b", "c"]);
    until(&scene, |account| account.spooled == 6).await;
    for _ in 0..12 {
        scene.next().await;
    }
    let mut order = vec![scene.next().await.1];
    scene.post_all(&["d", "e"]);
    for _ in 0..4 {
        order.push(scene.next().await.1);
    }
    assert_eq!(order, ["a", "b", "c", "d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_collector_makes_a_crowd_go_to_disk_and_nothing_is_dropped() {
    let disk = FakeDisk::default();
    let mut scene = spooling(&disk, vec![never(HANG)]);
    scene.post("a");
    scene.next().await;
    for _ in 0..50 {
        scene.post("b");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let account = scene.stop(5 * SECOND).await;
    assert_eq!((account.spooled, account.lost()), (102, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_spool_lets_the_oldest_go_whatever_its_signal() {
    let disk = FakeDisk::default();
    let spool = bounded(&disk, 3 * (HEAD + 1));
    let metrics = scene_of("metrics", true, 10, away(), Some(&spool));
    metrics.post("m");
    until(&metrics, |account| account.spooled == 2).await;
    let traces = scene_of("traces", true, 10, away(), Some(&spool));
    traces.post_all(&["a", "b", "c"]);
    let account = until(&traces, |account| account.spooled == 6).await;
    assert_eq!(account.lost(), 0);
    let account = metrics.account();
    assert_eq!(account.dropped, BTreeMap::from([("spool_full", 2)]));
    assert_eq!((account.spooled, account.spool_bytes), (0, Some(0)));
    traces.post("d");
    let account = until(&traces, |account| account.lost() > 0).await;
    assert_eq!(account.dropped, BTreeMap::from([("spool_full", 2)]));
    assert_eq!(disk.names().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_parcel_larger_than_the_spool_is_dropped() {
    let disk = FakeDisk::default();
    let scene = scene_of("traces", true, 10, away(), Some(&bounded(&disk, HEAD + 2)));
    scene.post_all(&["a", "abc"]);
    let account = until(&scene, |account| account.lost() > 0).await;
    assert_eq!(account.dropped, BTreeMap::from([("spool_full", 2)]));
    until(&scene, |account| account.spooled == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_leaves_parcels_in_memory_and_is_named_where_they_are_lost() {
    let disk = FakeDisk::default();
    let mut scene = scene_of("traces", true, 2, away(), Some(&spool(&disk)));
    disk.set_broken(true);
    scene.post("a");
    scene.next().await;
    scene.next().await;
    scene.post_all(&["b", "c", "d"]);
    let account = until(&scene, |account| account.lost() > 0).await;
    assert!(account.dropped.contains_key("spool_io"), "{account}");
    assert_eq!(account.spooled, 0);
    disk.set_broken(false);
    let account = until(&scene, |account| account.spooled == account.in_flight).await;
    assert_eq!(account.in_flight, 4, "c and d");
    scene.script.lock().clear();
    let account = until(&scene, |account| account.in_flight == 0).await;
    assert_eq!((account.exported, account.lost()), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_costs_what_it_held_and_nothing_else() {
    let disk = FakeDisk::default();
    let scene = spooling(&disk, away());
    scene.post_all(&["a", "b", "c", "d"]);
    until(&scene, |account| account.spooled == 8).await;
    let names = disk.names();
    disk.meddle(&names[0], |mut content| {
        *content.last_mut().unwrap() ^= 1;
        Some(content)
    });
    disk.meddle(&names[1], |_| Some(Vec::new()));
    disk.meddle(&names[2], |_| None);
    scene.script.lock().clear();
    let account = until(&scene, |account| account.in_flight == 0).await;
    assert_eq!(account.dropped, BTreeMap::from([("spool_damaged", 4), ("spool_io", 2)]));
    assert_eq!(account.exported, 2);
    assert_eq!(disk.names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_read_for_a_moment_is_not_given_up() {
    let disk = FakeDisk::default();
    let scene = spooling(&disk, away());
    scene.post("a");
    until(&scene, |account| account.spooled == 2).await;
    disk.fail_reads([true, true, true]);
    scene.script.lock().clear();
    let account = until(&scene, |account| account.in_flight == 0).await;
    assert_eq!((account.exported, account.lost()), (2, 0));
}

/// What is asked from now on, until nothing is left.
async fn arrivals(scene: &mut Scene) -> Vec<Bytes> {
    until(scene, |account| account.in_flight == 0).await;
    std::iter::from_fn(|| scene.asked.try_recv().ok()).map(|(_, body)| body).collect()
}

/// Metrics, of which `a`, `b` and `c` are in the spool, and a collector that takes everything from now on.
async fn spooled_metrics(disk: &FakeDisk, parcels: usize) -> Scene {
    let mut scene = scene_of("metrics", true, parcels, away(), Some(&spool(disk)));
    for name in ["a", "b", "c"] {
        scene.post(name);
        let spooled = scene.account().spooled;
        until(&scene, |account| account.spooled == spooled + 2).await;
    }
    scene.script.lock().clear();
    while scene.asked.try_recv().is_ok() {}
    scene
}

#[tokio::test(start_paused = true)]
async fn metrics_overtake_nothing_while_the_disk_cannot_be_read() {
    let disk = FakeDisk::default();
    let mut scene = spooled_metrics(&disk, 10).await;
    disk.fail_reads([true, true, true]);
    scene.post_all(&["d", "e"]);
    assert_eq!(arrivals(&mut scene).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(scene.account().lost(), 0);

    let disk = FakeDisk::default();
    let mut scene = spooled_metrics(&disk, 10).await;
    disk.fail_reads([true; 15]);
    scene.post_all(&["d", "e"]);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(arrivals(&mut scene).await, ["d", "e"], "they do not wait for ever either");
    assert_eq!(scene.account().dropped, BTreeMap::from([("spool_io", 6)]));
}

#[tokio::test(start_paused = true)]
async fn metrics_that_wait_for_an_unreadable_disk_find_room_on_it() {
    let disk = FakeDisk::default();
    let mut scene = spooled_metrics(&disk, 2).await;
    disk.fail_reads([true, true, true]);
    for name in ["d", "e", "f", "g"] {
        scene.post(name);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(arrivals(&mut scene).await, ["a", "b", "c", "d", "e", "f", "g"]);
    assert_eq!(scene.account().lost(), 0);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_metrics_that_no_disk_takes_do_not_wait_for_those_it_does_not_give_back() {
    for is_broken in [false, true] {
        let disk = FakeDisk::default();
        let scene = spooled_metrics(&disk, 10).await;
        disk.fail_reads([true; 100]);
        tokio::time::sleep(2 * SECOND).await; // The clerk rests no more, and has found that.
        disk.set_broken(is_broken);
        scene.post("d");
        let account = scene.stop(5 * SECOND).await;
        assert_eq!(account.lost(), 0, "{account}");
        let (exported, spooled) = if is_broken { (2, 6) } else { (0, 8) };
        assert_eq!((account.exported, account.spooled), (exported, spooled));
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_the_answer_and_the_removal_makes_a_parcel_arrive_twice() {
    let disk = FakeDisk::default();
    let mut scene = spooling(&disk, vec![later("unreachable", None)]);
    scene.post("a");
    scene.next().await;
    assert_eq!(scene.next().await.1, "a");
    until(&scene, |account| account.exported == 2 && account.spool_bytes == Some(0)).await;
    disk.crash(0); // The removal was not synced.
    let mut scene = spooling(&disk, vec![]);
    assert_eq!(scene.account().recovered, 2);
    assert_eq!(scene.next().await.1, "a");
}

#[tokio::test(start_paused = true)]
async fn a_spool_makes_even_the_default_collector_worth_waiting_for() {
    let disk = FakeDisk::default();
    let mut scene = scene_of("traces", false, 10, away(), Some(&spool(&disk)));
    scene.post("a");
    scene.next().await;
    until(&scene, |account| account.spooled == 2 && account.lost() == 0).await;
}
