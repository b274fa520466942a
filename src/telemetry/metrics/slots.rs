//! A few resolved handles, found without a lock and without hashing.
//!
//! Slots fill in the order of first use and are never emptied. When all are taken, the answer comes
//! from the family each time: slower, never wrong.

use std::sync::OnceLock;

/// Up to `N` handles by key.
#[derive(Debug)]
pub(super) struct Slots<K, V, const N: usize>([OnceLock<(K, V)>; N]);

impl<K: Clone + PartialEq, V: Clone, const N: usize> Slots<K, V, N> {
    /// Makes an empty one.
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| OnceLock::new()))
    }

    /// Hands the value of `key` to `visit`. `resolve` must give the same series for the same key:
    /// two threads may both call it, and then one of the two equal handles is forgotten.
    pub(super) fn visit(&self, key: &K, resolve: impl FnOnce() -> V, visit: impl FnOnce(&V)) {
        for slot in &self.0 {
            match slot.get() {
                Some((taken, value)) if taken == key => return visit(value),
                Some(_) => {}
                None => {
                    let value = resolve();
                    visit(&value);
                    slot.set((key.clone(), value)).ok();
                    return;
                }
            }
        }
        visit(&resolve());
    }
}
