//! Who polls a connection is woken through a bell, and looks only when it has rung.
//!
//! hyper's parts talk through channels, and taking a frame from one wakes whoever last drove the
//! connection: a task that drives and takes would have itself polled once more for each frame, for
//! nothing. hyper's server also asks a body again after every write. A [`Bell`] between the
//! connection and the task tells the two apart: what rings while its owner drives wakes nobody, it
//! is answered before the owner waits; and where nothing has rung, there is nothing to drive for.
//! Together they are a third of the instructions of an event of a stream.
//!
//! It promises that no ring is lost: one that was not answered wakes the task, or finds the bell rung
//! at the owner's next poll. An owner that was given something polls again before it waits; one that
//! cannot, because its client takes no more, drives nothing meanwhile either way.
//!
//! It drives nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

/// Something has happened since the owner last began to drive.
const RUNG: u8 = 1;
/// The owner is driving.
const DRIVEN: u8 = 2;
/// How often a ring is answered within one poll, before it waits for the next.
const ROUNDS: usize = 4;

/// The bell of one connection. See the module.
#[derive(Debug)]
pub(super) struct Bell {
    inner: Arc<Inner>,
    /// What the connection rings.
    rope: Waker,
    /// The task that the bell wakes, as of the last poll.
    owner: Waker,
    /// Whether what the owner waits for was not there after the last drive: until the bell rings, it
    /// cannot be.
    is_quiet: bool,
}

#[derive(Debug)]
struct Inner {
    state: AtomicU8,
    owner: Mutex<Waker>,
}

impl Bell {
    /// A bell that has rung, and wakes nobody yet.
    pub(super) fn new() -> Self {
        let owner = Mutex::new(Waker::noop().clone());
        let inner = Arc::new(Inner { state: AtomicU8::new(RUNG), owner });
        let rope = Waker::from(Arc::clone(&inner));
        Self { inner, rope, owner: Waker::noop().clone(), is_quiet: false }
    }

    /// Rings without waking the owner, who is about to poll.
    pub(super) fn ring(&self) {
        self.inner.state.fetch_or(RUNG, Ordering::AcqRel);
    }

    /// Wakes nobody from here on, until somebody polls again.
    pub(super) fn forget(&mut self) {
        self.ring();
        self.owner.clone_from(Waker::noop());
        self.inner.owner.lock().clone_from(&self.owner);
    }

    /// Drives as long as something has rung and what the owner waits for is not there. `drive` gets
    /// what to ring, which wakes `cx` from now on, and says whether the connection is still open.
    pub(super) fn answer<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut drive: impl FnMut(&mut Context<'_>) -> bool,
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if !self.owner.will_wake(cx.waker()) {
            self.owner.clone_from(cx.waker());
            self.inner.owner.lock().clone_from(cx.waker());
        }
        let state = &self.inner.state;
        let quiet = &mut Context::from_waker(Waker::noop());
        // Whatever rang until here is answered by this drive.
        let mut is_rung = state.swap(DRIVEN, Ordering::AcqRel) & RUNG != 0;
        let mut found = if is_rung || self.is_quiet { Poll::Pending } else { look(quiet) };
        let mut rounds = 0;
        while is_rung && found.is_pending() && rounds < ROUNDS {
            // While the connection is open, whatever is waited for comes out of driving it.
            let is_open = drive(&mut Context::from_waker(&self.rope));
            found = if is_open { look(quiet) } else { look(cx) };
            self.is_quiet = is_open;
            rounds += 1;
            is_rung = found.is_pending() && state.swap(DRIVEN, Ordering::AcqRel) & RUNG != 0;
        }
        self.is_quiet &= found.is_pending();
        if is_rung {
            self.ring(); // Not answered in these rounds.
        }
        let was_rung = state.fetch_and(!DRIVEN, Ordering::AcqRel) & RUNG != 0;
        if found.is_pending() && was_rung {
            cx.waker().wake_by_ref();
        }
        found
    }
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Whoever drives looks again; whoever was woken by an earlier ring is on the way.
        if self.state.fetch_or(RUNG, Ordering::AcqRel) == 0 {
            self.owner.lock().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn wakes(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn answer(bell: &mut Bell, task: &Arc<Count>, mut drive: impl FnMut(&Waker)) -> Poll<()> {
        let waker = Waker::from(Arc::clone(task));
        let cx = &mut Context::from_waker(&waker);
        let drive = |cx: &mut Context<'_>| {
            drive(cx.waker());
            true
        };
        bell.answer(cx, drive, |_| Poll::Pending)
    }

    #[test]
    fn a_bell_that_has_not_rung_is_not_driven_for() {
        let (mut bell, task) = (Bell::new(), Arc::<Count>::default());
        let mut drives = 0;
        for _ in 0..3 {
            assert!(answer(&mut bell, &task, |_| drives += 1).is_pending());
        }
        assert_eq!((drives, task.wakes()), (1, 0));
    }

    #[test]
    fn what_was_not_there_is_looked_for_again_only_once_the_bell_has_rung() {
        let (mut bell, task) = (Bell::new(), Arc::<Count>::default());
        let waker = Waker::from(Arc::clone(&task));
        let mut looks = 0;
        let mut poll = |bell: &mut Bell| {
            let look = |_: &mut Context<'_>| {
                looks += 1;
                if looks == 2 { Poll::Ready(()) } else { Poll::Pending }
            };
            let found = bell.answer(&mut Context::from_waker(&waker), |_| true, look).is_ready();
            (found, looks)
        };
        assert_eq!(poll(&mut bell), (false, 1));
        assert_eq!(poll(&mut bell), (false, 1));
        bell.ring();
        assert_eq!(poll(&mut bell), (true, 2));
        assert_eq!(poll(&mut bell), (false, 3), "there may be more of what was found");
    }

    #[test]
    fn what_rings_while_it_is_driven_is_answered_in_the_same_poll_and_wakes_nobody() {
        let (mut bell, task) = (Bell::new(), Arc::<Count>::default());
        let mut drives = 0;
        let drive = |rope: &Waker| {
            drives += 1;
            if drives == 1 {
                rope.wake_by_ref();
            }
        };
        assert!(answer(&mut bell, &task, drive).is_pending());
        assert_eq!((drives, task.wakes()), (2, 0));
    }

    #[test]
    fn one_that_rings_without_end_lets_others_run() {
        let (mut bell, task) = (Bell::new(), Arc::<Count>::default());
        let mut drives = 0;
        let drive = |rope: &Waker| {
            drives += 1;
            rope.wake_by_ref();
        };
        assert!(answer(&mut bell, &task, drive).is_pending());
        assert_eq!((drives, task.wakes()), (ROUNDS, 1));
    }

    #[test]
    fn a_forgotten_owner_is_not_woken_and_the_next_one_drives() {
        let (mut bell, task) = (Bell::new(), Arc::<Count>::default());
        let mut rope = None;
        assert!(answer(&mut bell, &task, |waker| rope = Some(waker.clone())).is_pending());
        bell.forget();
        rope.unwrap().wake();
        assert_eq!(task.wakes(), 0);
        let (next, mut drives) = (Arc::<Count>::default(), 0);
        assert!(answer(&mut bell, &next, |_| drives += 1).is_pending());
        assert_eq!(drives, 1);
    }

    proptest! {
        /// A task that polls when it is woken, and only then, has driven after every ring.
        #[test]
        fn no_ring_is_lost(rings in proptest::collection::vec((any::<bool>(), 0usize..6), 1..40)) {
            let (mut bell, task) = (Bell::new(), Arc::<Count>::default());
            let mut rope = None;
            let mut unanswered = false;
            prop_assert!(answer(&mut bell, &task, |waker| rope = Some(waker.clone())).is_pending());
            let rope = rope.unwrap();
            let mut polled_for = task.wakes();
            for (from_outside, from_inside) in rings {
                if from_outside {
                    rope.wake_by_ref();
                    unanswered = true;
                }
                let mut left = from_inside;
                while polled_for < task.wakes() {
                    polled_for = task.wakes();
                    let _pending = answer(&mut bell, &task, |rope| {
                        unanswered = left > 0;
                        if left > 0 {
                            left -= 1;
                            rope.wake_by_ref();
                        }
                    });
                }
                prop_assert!(!unanswered);
            }
        }
    }
}
