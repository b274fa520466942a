//! The demo orchestrator's answer cache: which questions were asked before.
//!
//! It keeps the digests of the last questions, never a question itself, and forgets the oldest
//! first. Two questions of the same digest would be taken for one; in a demo that does no harm.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use parking_lot::Mutex;

/// Questions remembered.
const CAPACITY: usize = 256;

/// The questions that were answered lately.
#[derive(Debug, Default)]
pub(super) struct Recall(Mutex<VecDeque<u64>>);

impl Recall {
    /// Whether this question was answered lately.
    pub(super) fn knows(&self, query: &str) -> bool {
        self.0.lock().contains(&digest(query))
    }

    /// Remembers that this question was answered.
    pub(super) fn learn(&self, query: &str) {
        let digest = digest(query);
        let mut known = self.0.lock();
        if known.contains(&digest) {
            return;
        }
        if known.len() == CAPACITY {
            known.pop_front();
        }
        known.push_back(digest);
    }
}

fn digest(query: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    query.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_known_once_learnt_and_the_oldest_is_forgotten_first() {
        let recall = Recall::default();
        assert!(!recall.knows("0"));
        for n in 0..=CAPACITY {
            recall.learn(&n.to_string());
            recall.learn(&n.to_string());
        }
        assert!(!recall.knows("0"));
        assert!(recall.knows("1") && recall.knows(&CAPACITY.to_string()));
    }
}
