//! Whatever step the process is killed at, every line that had arrived is in exactly one place.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// More old files than any of these tests makes, so that none goes.
const PLENTY: u32 = 1000;

/// A number that no file gets unless somebody gives it one.
const STRANGE: u32 = PLENTY - 100;

/// Something that happens to a log.
#[derive(Clone, Debug)]
enum Act {
    /// So many lines at once.
    Write(usize),
    /// An old file begins to be compressed; what happens before the next `Publish` happens meanwhile.
    Compress,
    Publish,
    /// Somebody takes the file away.
    CarryOff,
    /// Somebody gives the file the name of an old one.
    Number,
    Reopen,
    /// The process is killed at this step from now.
    Light(usize),
    /// So many bytes fit on the disk, for the next two acts.
    Fill(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (1..6usize).prop_map(Act::Write),
        3 => Just(Act::Compress),
        3 => Just(Act::Publish),
        1 => Just(Act::CarryOff),
        1 => Just(Act::Number),
        1 => Just(Act::Reopen),
        2 => (1..12usize).prop_map(Act::Light),
        1 => (0..60usize).prop_map(Act::Fill),
    ]
}

/// One log through many lives.
struct Story {
    disk: FakeDisk,
    lines: Lines,
    shelf: Arc<Shelf>,
    /// The compression that is under way.
    drafted: Option<(out::Identity, u64)>,
    next: usize,
    /// What was said to have arrived.
    arrived: Vec<usize>,
    /// What may be there or not: the process died while writing it.
    perhaps: Vec<usize>,
    moved: u32,
    refill: usize,
}

impl Story {
    fn new() -> Self {
        let disk = FakeDisk::default();
        let (lines, shelf) = log(&disk, 24, PLENTY);
        let (arrived, perhaps) = (Vec::new(), Vec::new());
        Self { disk, lines, shelf, drafted: None, next: 0, arrived, perhaps, moved: 0, refill: 0 }
    }

    fn play(&mut self, act: &Act) {
        match act {
            Act::Write(count) => self.write(*count),
            Act::Compress if self.drafted.is_none() => {
                if let Ok(Some((file, name))) = self.shelf.oldest_plain(&[])
                    && let Ok(Some(mut content)) = self.shelf.read(file, &name)
                {
                    let drafted = compress(&self.shelf, &mut content);
                    self.drafted = drafted.ok().map(|length| (file, length));
                }
            }
            Act::Publish => {
                if let Some((file, length)) = self.drafted.take() {
                    drop(self.shelf.publish(file, length));
                }
            }
            Act::CarryOff => {
                self.moved += 1;
                self.disk.carry_off(NAME, &format!("moved.{}", self.moved));
            }
            Act::Number => {
                self.moved += 1;
                self.disk.carry_off(NAME, &format!("{NAME}.{}", PLENTY - self.moved));
            }
            Act::Reopen => self.lines.reopen(),
            Act::Light(fuse) => self.disk.light(*fuse),
            Act::Fill(room) => {
                self.disk.set_room(Some(*room));
                self.refill = 3;
            }
            Act::Compress => {}
        }
        self.refill = self.refill.saturating_sub(1);
        if self.refill == 0 {
            self.disk.set_room(None);
        }
        if self.disk.is_dead() {
            self.restart();
        }
    }

    fn write(&mut self, count: usize) {
        let numbers: Vec<_> = (self.next..self.next + count).collect();
        self.next += count;
        let texts: Vec<_> = numbers.iter().map(|number| format!("line {number}")).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let arrived = write(&mut self.lines, &texts);
        self.arrived.extend(&numbers[..arrived]);
        if self.disk.is_dead() {
            self.perhaps.extend(&numbers[arrived..]);
        }
    }

    fn restart(&mut self) {
        self.disk = self.disk.revive();
        self.drafted = None;
        (self.lines, self.shelf) = log(&self.disk, 24, PLENTY);
    }

    /// Compares what is there with what was said.
    fn check(&self) {
        let mut found: Vec<usize> = Vec::new();
        let mut by_age: BTreeMap<std::cmp::Reverse<u32>, Vec<usize>> = BTreeMap::new();
        for (name, content) in self.disk.files() {
            let mut text = text(&name, &content);
            let rest = name.strip_prefix(NAME);
            let age = rest.map(|rest| {
                rest.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().unwrap_or(0)
            });
            let age = age.filter(|age| *age < STRANGE);
            if age.is_none() {
                // Whoever was killed within a line of it, the next process does not know of this file.
                text.truncate(text.rfind('\n').map_or(0, |newline| newline + 1));
            }
            assert!(text.is_empty() || text.ends_with('\n'), "{name} ends within a line: {text:?}");
            let numbers = text.lines().map(|line| line.strip_prefix("line ").unwrap());
            let numbers: Vec<usize> = numbers.map(|number| number.parse().unwrap()).collect();
            assert!(content.len() <= 24 || is_compressed(&name) || age.is_none());
            found.extend(&numbers);
            if let Some(age) = age {
                by_age.entry(std::cmp::Reverse(age)).or_default().extend(numbers);
            }
        }
        let in_order: Vec<_> = by_age.into_values().flatten().collect();
        assert!(in_order.is_sorted(), "{in_order:?}");
        found.sort_unstable();
        let lost: Vec<_> = self.arrived.iter().filter(|line| !found.contains(line)).collect();
        assert!(lost.is_empty(), "lost: {lost:?} of {found:?}");
        found.retain(|line| !self.perhaps.contains(line));
        assert_eq!(found, self.arrived, "each once, and none that was said to be dropped");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_line_that_arrived_is_in_one_place_after_any_accidents(acts in vec(act(), 1..60)) {
        let mut story = Story::new();
        for act in &acts {
            story.play(act);
        }
        // The last process is killed too, wherever it is.
        story.disk.set_room(None);
        story.restart();
        story.check();
        compress_each(&story.shelf, |_| true).unwrap();
        story.check();
    }
}

#[test]
fn there_is_no_step_at_which_a_kill_loses_or_doubles_a_line() {
    let acts = [
        Act::Write(5),
        Act::Compress,
        Act::Write(4),
        Act::Publish,
        Act::Write(6),
        Act::Compress,
        Act::Publish,
        Act::Reopen,
        Act::Write(3),
    ];
    let mut steps = 0;
    loop {
        let mut story = Story::new();
        story.disk.light(steps + 1);
        for act in &acts {
            story.play(act);
        }
        let has_died = story.disk.is_revived();
        story.restart();
        story.check();
        compress_each(&story.shelf, |_| true).unwrap();
        story.check();
        if !has_died {
            break;
        }
        steps += 1;
    }
    assert!(steps > 25, "it dies at each of its steps: {steps}");
}
