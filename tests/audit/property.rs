//! Any mix of clients, faults and a power cut: what the upstream saw is never forgotten.

use proptest::prelude::*;
use tokio::task::JoinSet;
use vital_sidecar::config::model;

use super::*;

/// What happens to the disk, one after another, while clients come and go.
#[derive(Clone, Debug)]
enum Fault {
    FailSyncs(u32),
    FailWrites(u32),
    Break,
    Mend,
    Hold,
    Release,
    /// Wait until the upstream has seen so many more requests, or for a moment.
    Work(usize),
}

/// What a client does with one request.
#[derive(Clone, Copy, Debug)]
enum Visit {
    Stay,
    Leave,
    Refused,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        2 => (1..4_u32).prop_map(Fault::FailSyncs),
        2 => (1..4_u32).prop_map(Fault::FailWrites),
        1 => Just(Fault::Break),
        2 => Just(Fault::Mend),
        1 => Just(Fault::Hold),
        2 => Just(Fault::Release),
        6 => (1..12_usize).prop_map(Fault::Work),
    ]
}

fn visit() -> impl Strategy<Value = Visit> {
    prop_oneof![8 => Just(Visit::Stay), 2 => Just(Visit::Leave), 1 => Just(Visit::Refused)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_forwarded_whose_beginning_a_crash_forgets(
        faults in proptest::collection::vec(fault(), 1..12),
        clients in proptest::collection::vec(proptest::collection::vec(visit(), 1..12), 1..8),
        survivor in 0_usize..400,
        is_torn in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(faults, clients, survivor, is_torn));
    }
}

async fn play(faults: Vec<Fault>, clients: Vec<Vec<Visit>>, survivor: usize, is_torn: bool) {
    let deadline = Duration::from_millis(40);
    let scene = scene(upstream::answering(HELLO).await, |config| config.audit.deadline = deadline);
    let mut visitors = JoinSet::new();
    for visits in clients {
        visitors.spawn(come(scene.sidecar.address, visits));
    }
    for fault in faults {
        strike(&scene, fault).await;
    }
    // The power goes while clients are still at it; what was not synced is gone, but for a part of
    // its bytes that happens to be on the disk, perhaps with a hole in it.
    scene.disk.crash(|tail| {
        let mut tail = tail[..survivor.min(tail.len())].to_vec();
        if is_torn && let Some(byte) = tail.last_mut() {
            *byte = 0;
        }
        tail
    });
    mend(&scene.disk);
    let mut served = BTreeSet::new();
    while let Some(ids) = visitors.join_next().await {
        served.extend(ids.expect("a visitor"));
    }
    let forwarded: BTreeSet<_> = scene.upstream.heads().iter().map(|head| id_of(head)).collect();
    assert!(served.is_subset(&forwarded), "an answer comes from the upstream");

    let config =
        model::Audit { directory: "fake".into(), mode: model::AuditMode::Strict, deadline };
    let reopened = Audit::open(&config, scene.disk.clone()).expect("a start after the crash");
    assert!(reopened.stop(Instant::now() + PATIENCE).await.is_finished);
    let report = verify(&scene.disk);
    assert!(report.is_ok(), "{report}");
    let records = records(&scene.disk);
    let begun: BTreeSet<_> = of_stage(&records, "initiated")
        .into_iter()
        .map(|record| record["requestId"].as_str().expect("an id").to_owned())
        .collect();
    let forgotten = forwarded.difference(&begun).count();
    assert_eq!(forgotten, 0, "forwarded and forgotten");
    scene.audit.stop(Instant::now()).await;
}

/// After the power cut the machine is well again.
fn mend(disk: &FakeDisk) {
    disk.fail_syncs(0);
    disk.fail_writes(0);
    disk.set_broken(false);
    disk.hold_syncs(false);
}

/// Gives the ids of the requests that were answered from the upstream.
async fn come(address: std::net::SocketAddr, visits: Vec<Visit>) -> Vec<String> {
    let mut served = Vec::new();
    for visit in visits {
        let mut client = Client::connect(address).await;
        let path = if matches!(visit, Visit::Refused) { "/api/denied" } else { AUDITED };
        client.say(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        if matches!(visit, Visit::Leave) {
            tokio::task::yield_now().await;
            continue;
        }
        let answer = client.answer().await;
        assert!(matches!(answer.status, 200 | 403 | 503), "{answer:?}");
        if answer.status == 200 {
            served.push(answer.field("x-request-id").expect("an id").to_owned());
        }
    }
    served
}

async fn strike(scene: &Scene, fault: Fault) {
    match fault {
        Fault::FailSyncs(count) => scene.disk.fail_syncs(count),
        Fault::FailWrites(count) => scene.disk.fail_writes(count),
        Fault::Break => scene.disk.set_broken(true),
        Fault::Mend => scene.disk.set_broken(false),
        Fault::Hold => scene.disk.hold_syncs(true),
        Fault::Release => scene.disk.hold_syncs(false),
        Fault::Work(count) => {
            let until = scene.upstream.heads().len() + count;
            let work = async {
                while scene.upstream.heads().len() < until {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            // A held or broken disk forwards nothing; then a moment must do.
            drop(tokio::time::timeout(Duration::from_millis(20), work).await);
        }
    }
}
