//! Any order of requests, faults and power cuts.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Begin,
    Complete(usize),
    Abandon(usize),
    GiveUp(usize),
    Deny,
    Commit,
    FailSyncs(u32),
    FailWrites(u32),
    Break(bool),
    Wait,
    Crash(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Begin),
        6 => any::<usize>().prop_map(Step::Complete),
        2 => any::<usize>().prop_map(Step::Abandon),
        1 => any::<usize>().prop_map(Step::GiveUp),
        2 => Just(Step::Deny),
        8 => Just(Step::Commit),
        2 => (1..4u32).prop_map(Step::FailSyncs),
        1 => (1..3u32).prop_map(Step::FailWrites),
        1 => any::<bool>().prop_map(Step::Break),
        3 => Just(Step::Wait),
        2 => any::<u8>().prop_map(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

type Waiting = tokio::sync::oneshot::Receiver<()>;

/// What the test knows about the trail.
struct Model {
    scene: Scene,
    seats: Vec<(u64, Seat, Option<Waiting>)>,
    /// Request ids that were told to be durable.
    acknowledged: BTreeSet<u64>,
    ids: u64,
}

impl Model {
    fn new() -> Self {
        let scene = open(&FakeDisk::default());
        Self { scene, seats: Vec::new(), acknowledged: BTreeSet::new(), ids: 0 }
    }

    async fn play(&mut self, step: Step) {
        match step {
            Step::Begin => self.begin(),
            Step::Complete(index) => {
                if let Some((id, seat, _)) = self.pick(index) {
                    seat.complete(completed(id));
                }
            }
            Step::Abandon(index) => drop(self.pick(index)),
            Step::GiveUp(index) => {
                let count = self.seats.len();
                if let Some((_, _, waiting)) = self.seats.get_mut(index % count.max(1)) {
                    *waiting = None;
                }
            }
            Step::Deny => self.scene.audit.deny(denied(u64::MAX)),
            Step::Commit => self.commit(),
            Step::FailSyncs(count) => self.scene.disk.fail_syncs(count),
            Step::FailWrites(count) => self.scene.disk.fail_writes(count),
            Step::Break(is_broken) => self.scene.disk.set_broken(is_broken),
            Step::Wait => {
                tokio::time::advance(Duration::from_secs(6)).await;
                self.commit();
            }
            Step::Crash(kind) => self.crash(kind),
            Step::Restart => self.restart(),
        }
    }

    fn begin(&mut self) {
        self.ids += 1;
        let mut seat = self.scene.seat();
        let waiting = seat.begin(initiated(self.ids)).ok();
        self.seats.push((self.ids, seat, waiting));
    }

    fn pick(&mut self, index: usize) -> Option<(u64, Seat, Option<Waiting>)> {
        if self.seats.is_empty() { None } else { Some(self.seats.remove(index % self.seats.len())) }
    }

    fn commit(&mut self) {
        self.scene.writer.turn();
        for (id, _, waiting) in &mut self.seats {
            if waiting.as_mut().is_some_and(|durable| durable.try_recv().is_ok()) {
                self.acknowledged.insert(*id);
                *waiting = None;
            }
        }
    }

    /// Whoever looks at the directory of a running sidecar finds nothing wrong either.
    fn check_live(&self) {
        let report = audit::Report { is_live: true, ..self.scene.check() };
        assert!(report.is_ok(), "{report}");
    }

    /// Cuts the power; the kind decides what is left of unsynced bytes.
    fn crash(&mut self, kind: u8) {
        self.scene.disk.crash(|tail| {
            let half = tail.len() * usize::from(kind / 5) / 51;
            match kind % 5 {
                0 => Vec::new(),
                1 => tail.to_vec(),
                2 => tail[..half].to_vec(),
                3 => [&vec![0; half], &tail[half..]].concat(),
                _ => [&tail[..half], &vec![0; tail.len() - half]].concat(),
            }
        });
        self.seats.clear();
        self.reopen();
    }

    fn restart(&mut self) {
        self.scene.audit.shared().close();
        self.scene.writer.turn();
        self.scene.writer.finish();
        let report = audit::Report { empty: None, ..self.scene.check() }; // Not written to yet.
        // Only a disk that fails until the end leaves a beginning open.
        assert!(!self.scene.writer.is_healthy() || report.is_complete(), "{report}");
        assert!(!self.scene.writer.is_healthy() || self.scene.audit.stats().lost == 0);
        self.seats.clear();
        // The process ends; the page cache survives it.
        self.scene.disk.crash(<[u8]>::to_vec);
        self.reopen();
    }

    fn reopen(&mut self) {
        self.scene.disk.set_broken(false);
        self.scene.disk.fail_syncs(0);
        self.scene.disk.fail_writes(0);
        self.scene = open(&self.scene.disk);
        let report = audit::Report { empty: None, ..self.scene.check() }; // Not written to yet.
        assert!(report.is_intact() && report.is_complete() && report.torn.is_none(), "{report}");
        let story = self.scene.story();
        for id in &self.acknowledged {
            let line = format!("r-{id} initiated initiated -");
            assert!(story.contains(&line), "{line} was forgotten: {story:#?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_forgotten_and_the_chain_always_verifies(
        steps in proptest::collection::vec(step(), 1..60),
        last in any::<u8>(),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
            let mut model = Model::new();
            for step in steps {
                model.play(step).await;
                model.check_live();
            }
            model.crash(last);
            model.restart();
        });
    }
}
