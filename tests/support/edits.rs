//! Small changes to good bytes, for tests of those who read them.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One change.
#[derive(Clone, Debug)]
pub enum Edit {
    Replace(Index, u8),
    Insert(Index, &'static [u8]),
    Remove(Index),
    /// Says a line twice.
    Double(Index),
}

/// Any change; what is put in is one of `odd`.
pub fn edit(odd: &'static [&'static [u8]]) -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), prop_oneof![any::<u8>(), select(b"\r\n\0 \t:;,0129afAF".to_vec())])
            .prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (any::<Index>(), select(odd)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        any::<Index>().prop_map(Edit::Remove),
        any::<Index>().prop_map(Edit::Double),
    ]
}

/// Changes bytes, of which there is at least one.
pub fn apply(edit: &Edit, bytes: &mut Vec<u8>) {
    let (Edit::Replace(at, _) | Edit::Insert(at, _) | Edit::Remove(at) | Edit::Double(at)) = edit;
    let at = at.index(bytes.len());
    match edit {
        Edit::Replace(_, byte) => bytes[at] = *byte,
        Edit::Insert(_, part) => drop(bytes.splice(at..at, part.iter().copied())),
        Edit::Remove(_) => drop(bytes.remove(at)),
        Edit::Double(_) => {
            let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end + 1);
            let line = bytes[start..end].to_vec();
            drop(bytes.splice(start..start, line));
        }
    }
}
