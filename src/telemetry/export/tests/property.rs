//! Any order of parcels, outages, disk faults, power cuts and restarts.

use std::collections::{BTreeMap as Map, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::telemetry::books::Books;
use crate::telemetry::export::spool::fake::FakeDisk;

#[derive(Clone, Copy, Debug)]
enum Mood {
    Fine,
    Away,
    Busy,
    Refusing,
    Hanging,
}

#[derive(Clone, Debug)]
enum Step {
    Post(u8),
    Mood(Mood),
    Wait(u16),
    FailDisk(Vec<bool>),
    FailReads(Vec<bool>),
    Crash(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let mood = prop_oneof![
        3 => Just(Mood::Fine),
        2 => Just(Mood::Away),
        2 => Just(Mood::Busy),
        1 => Just(Mood::Refusing),
        1 => Just(Mood::Hanging),
    ];
    prop_oneof![
        12 => (1..50u8).prop_map(Step::Post),
        4 => mood.prop_map(Step::Mood),
        6 => (1..3000u16).prop_map(Step::Wait),
        1 => proptest::collection::vec(any::<bool>(), 1..8).prop_map(Step::FailDisk),
        1 => proptest::collection::vec(any::<bool>(), 1..4).prop_map(Step::FailReads),
        1 => (0..4usize).prop_map(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

/// Takes, refuses or hangs as its mood is; remembers what it took.
struct Collector {
    mood: Arc<Mutex<Mood>>,
    taken: Arc<Mutex<Vec<u64>>>,
}

#[async_trait]
impl Carrier for Collector {
    async fn carry(&self, parcel: &Parcel, limit: Duration) -> Answer {
        let mood = *self.mood.lock();
        match mood {
            Mood::Fine => {
                let number = parcel.body.first_chunk().copied().map(u64::from_be_bytes).unwrap();
                self.taken.lock().push(number);
                Answer::Taken { rejected: 0 }
            }
            Mood::Away => later("unreachable", None),
            Mood::Busy => later("refused", None),
            Mood::Refusing => never("refused"),
            Mood::Hanging => {
                tokio::time::sleep(limit).await;
                later("timeout", None)
            }
        }
    }
}

/// One process after the other on one disk.
struct Model {
    signal: &'static str,
    disk: FakeDisk,
    mood: Arc<Mutex<Mood>>,
    number: u64,
    /// What the collector took in earlier runs.
    delivered: BTreeSet<u64>,
    /// Whether something happened since the beginning after which a parcel may arrive once more.
    may_repeat: bool,
    run: Run,
}

/// One process.
struct Run {
    outbox: Outbox,
    clerk: Clerk,
    books: Arc<Books>,
    taken: Arc<Mutex<Vec<u64>>>,
    is_faulty: bool,
}

impl Run {
    fn start(signal: &'static str, disk: &FakeDisk, mood: &Arc<Mutex<Mood>>) -> Self {
        let spool = Spool::on(disk.clone(), 1000, 8).unwrap();
        let taken = Arc::default();
        let collector = Collector { mood: Arc::clone(mood), taken: Arc::clone(&taken) };
        let settings = Settings {
            signal,
            endpoint: String::new(),
            is_configured: true,
            timeout: SECOND,
            encoding: Encoding::Identity,
            remembered: Bound { bytes: 300, parcels: 4 },
        };
        let (outbox, clerk) = outbox::start(settings, Some(&spool), Box::new(collector));
        let books = outbox.books();
        Self { outbox, clerk, books, taken, is_faulty: false }
    }

    fn account(&self) -> Account {
        self.books.account("traces", "otlp", 0)
    }
}

impl Model {
    fn new(signal: &'static str) -> Self {
        let (disk, mood) = (FakeDisk::default(), Arc::new(Mutex::new(Mood::Fine)));
        let run = Run::start(signal, &disk, &mood);
        Self { signal, disk, mood, number: 0, delivered: BTreeSet::new(), may_repeat: false, run }
    }

    async fn play(&mut self, step: Step) {
        match step {
            Step::Post(length) => self.post(length),
            Step::Mood(mood) => *self.mood.lock() = mood,
            Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis.into())).await,
            Step::FailDisk(faults) => {
                self.disk.fail(faults);
                self.run.is_faulty = true;
                self.may_repeat = true;
            }
            Step::FailReads(faults) => {
                self.disk.fail_reads(faults);
                // Metrics keep their order all the same.
                self.run.is_faulty |= self.signal != "metrics";
            }
            Step::Crash(survive) => self.crash(survive),
            Step::Restart => self.restart().await,
        }
        assert!(self.run.account().is_balanced(), "{}", self.run.account());
    }

    fn post(&mut self, length: u8) {
        self.number += 1;
        let mut body = self.number.to_be_bytes().to_vec();
        body.resize(8 + usize::from(length), 0);
        self.run.books.accept(3);
        let parcel = Parcel { items: 3, encoding: Encoding::Identity, body: body.into() };
        assert_eq!(self.run.outbox.post(parcel), 3);
    }

    /// The power is cut: so many changes that were not synced survive.
    fn crash(&mut self, survive: usize) {
        self.may_repeat = true;
        let spooled = self.run.account().spooled;
        self.disk.crash(survive);
        let recovered = self.replace();
        assert!(recovered >= spooled, "{spooled} were durable, {recovered} were recovered");
    }

    async fn restart(&mut self) {
        let next = Run::start(self.signal, &FakeDisk::default(), &self.mood); // Stands in for a moment.
        let run = std::mem::replace(&mut self.run, next);
        run.clerk.stop(Instant::now() + 5 * SECOND).await;
        let account = run.books.account("traces", "otlp", 0);
        assert!(account.is_balanced(), "{account}");
        assert_eq!(account.in_flight, account.spooled, "what is not on disk is settled");
        self.judge(&run.taken, run.is_faulty);
        self.disk.crash(usize::MAX); // The process ends; the page cache survives it.
        self.run = Run::start(self.signal, &self.disk, &self.mood);
        let recovered = self.run.account().recovered;
        assert!(recovered >= account.spooled, "{account}, but {recovered} recovered");
        assert!(self.may_repeat || recovered == account.spooled);
    }

    /// The next process on the disk; says how many items it recovered.
    fn replace(&mut self) -> u64 {
        let next = Run::start(self.signal, &self.disk, &self.mood);
        let run = std::mem::replace(&mut self.run, next);
        self.judge(&run.taken, run.is_faulty);
        self.run.account().recovered
    }

    fn judge(&mut self, taken: &Mutex<Vec<u64>>, is_faulty: bool) {
        let taken = taken.lock().clone();
        let mut counts = Map::new();
        for number in &taken {
            *counts.entry(*number).or_insert(0) += 1;
        }
        assert!(counts.values().all(|count| *count == 1), "twice in one run: {taken:?}");
        for number in &taken {
            assert!(self.delivered.insert(*number) || self.may_repeat, "{number} came again");
        }
        // Ring and spool take turns, each oldest first, and one parcel may go in the stead of another.
        let longest = if self.signal == "metrics" { 1 } else { 3 };
        assert!(is_faulty || descent(&taken) <= longest, "not oldest first: {taken:?}");
    }

    /// In the end the disk is well and the collector takes everything: nothing is left.
    async fn finish(mut self) {
        self.restart().await;
        *self.mood.lock() = Mood::Fine;
        tokio::time::sleep(120 * SECOND).await;
        let account = self.run.account();
        assert_eq!(account.in_flight, 0, "{account}");
        assert!(account.is_balanced(), "{account}");
        assert_eq!(self.disk.names(), [""; 0]);
        let (taken, is_faulty) = (Arc::clone(&self.run.taken), self.run.is_faulty);
        self.judge(&taken, is_faulty);
    }
}

/// The length of the longest descent.
fn descent(numbers: &[u64]) -> usize {
    let mut longest: Vec<usize> = Vec::new();
    for (at, number) in numbers.iter().enumerate() {
        let before = numbers[..at].iter().zip(&longest).filter(|(earlier, _)| *earlier > number);
        longest.push(1 + before.map(|(_, length)| *length).max().unwrap_or(0));
    }
    longest.into_iter().max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_item_is_accounted_for_and_what_was_spooled_is_recovered(
        signal in prop_oneof![Just("traces"), Just("metrics")],
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
            let mut model = Model::new(signal);
            for step in steps {
                model.play(step).await;
            }
            model.finish().await;
        });
    }
}
