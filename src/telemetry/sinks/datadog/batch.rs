//! Entries in arrays of a size that Datadog's intake takes.
//!
//! An array is never over [`Limits`]; an entry that could be in none is counted, and left out.

/// What one request may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of the whole array, uncompressed.
    pub(super) bytes: usize,
    /// In the array.
    pub(super) entries: u64,
    /// Of one entry. What is longer would be cut by the intake, and be no JSON any more.
    pub(super) entry: usize,
}

/// Those of the intake, version 2.
pub(super) const INTAKE: Limits = Limits { bytes: 5_000_000, entries: 1000, entry: 1_000_000 };

/// Arrays that grow.
#[derive(Debug)]
pub(super) struct Arrays {
    limits: Limits,
    /// How many entries, and the array, without its closing bracket.
    open: Vec<(u64, Vec<u8>)>,
    too_large: u64,
}

impl Arrays {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, open: Vec::new(), too_large: 0 }
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, entry: &[u8]) {
        // Two brackets stand around even a single one.
        if entry.len() > self.limits.entry || entry.len() + 2 > self.limits.bytes {
            self.too_large += 1;
            return;
        }
        let has_room = |(count, array): &(u64, Vec<u8>)| {
            *count < self.limits.entries && array.len() + 1 + entry.len() < self.limits.bytes
        };
        match self.open.last_mut().filter(|last| has_room(last)) {
            Some((count, array)) => {
                *count += 1;
                array.push(b',');
                array.extend_from_slice(entry);
            }
            None => self.open.push((1, [b"[", entry].concat())),
        }
    }

    /// The arrays with their numbers of entries, and how many entries were too large.
    pub(super) fn finish(self) -> (impl Iterator<Item = (u64, Vec<u8>)>, u64) {
        let closed = |(count, mut array): (u64, Vec<u8>)| {
            array.push(b']');
            (count, array)
        };
        (self.open.into_iter().map(closed), self.too_large)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    proptest! {
        #[test]
        fn every_array_is_within_the_limits_and_every_entry_in_one_or_counted(
            lengths in proptest::collection::vec(0_usize..60, 0..40),
            bytes in 2_usize..200,
            entries in 1_u64..6,
            entry in 2_usize..50,
        ) {
            let limits = Limits { bytes, entries, entry };
            let mut arrays = Arrays::new(limits);
            let written: Vec<_> = lengths.iter().map(|length| format!("\"{}\"", "x".repeat(*length))).collect();
            for entry in &written {
                arrays.push(entry.as_bytes());
            }
            let (arrays, too_large) = arrays.finish();

            let mut found = Vec::new();
            for (count, array) in arrays {
                prop_assert!(array.len() <= bytes && count <= entries);
                let array: Vec<Value> = serde_json::from_slice(&array).unwrap();
                prop_assert_eq!(array.len() as u64, count);
                found.extend(array.iter().map(Value::to_string));
            }
            let fits = |text: &&String| text.len() <= entry && text.len() + 2 <= bytes;
            let expected: Vec<_> = written.iter().filter(fits).cloned().collect();
            prop_assert_eq!(written.len() - expected.len(), usize::try_from(too_large).unwrap());
            prop_assert_eq!(found, expected);
        }
    }
}
