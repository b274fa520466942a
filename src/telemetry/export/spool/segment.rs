//! The form of a spooled parcel: one file, whose every bit is covered by a digest.
//!
//! | bytes | what |
//! |---|---|
//! | 0 – 7 | `VSspool\n` |
//! | 8 | version, 1 |
//! | 9 | signal |
//! | 10 | encoding of the body |
//! | 11 – 15 | zero |
//! | 16 – 23 | items, little endian |
//! | 24 – 31 | length of the body, little endian |
//! | 32 – 47 | SHA-256 of the body, its first half |
//! | 48 – 63 | SHA-256 of bytes 0 to 47, its first half |
//! | 64 – | the body |
//!
//! The head can be judged without the body, so that a start is quick. Bytes from a disk are believed
//! in nothing that the digests do not cover.

use aws_lc_rs::digest;
use bytes::Bytes;

use crate::telemetry::export::{Encoding, Parcel};

/// The length of a head.
pub(super) const HEAD: usize = 64;
const MAGIC: &[u8; 8] = b"VSspool\n";
const VERSION: u8 = 1;
/// The signals that can be spooled, and the logs that go elsewhere than by OTLP; the place of one in this list is its number in a head.
const SIGNALS: [&str; 4] = ["traces", "metrics", "logs", "datadog"];
/// How many other names a parcel can have, in case its own is taken by what is no file.
pub(super) const SPARES: u8 = 9;
/// The end of a name while the file is being written.
const DRAFT: &str = ".tmp";
/// Larger numbers are not ours.
const LAST_ORDER: u64 = u64::MAX >> 1;
/// No process counts that far: below it there is room for all that follow.
pub(super) const FAR: u64 = LAST_ORDER >> 1;

/// More are in no parcel; sums of fewer never overflow.
const MOST_ITEMS: u64 = u32::MAX as u64;
/// No body is longer: memory would not hold it.
const MOST_BYTES: u64 = 1 << 30;

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) signal: &'static str,
    encoding: Encoding,
    pub(super) items: u64,
    /// Of the body.
    pub(super) length: u64,
    digest: [u8; 16],
}

/// Why a file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is not what was written.
    Damaged,
    /// It is whole, as far as can be seen, but of a later version. Let whoever wrote it read it.
    Foreign,
}

/// The name of the file of a parcel.
pub(super) fn name(order: u64, signal: &str) -> String {
    format!("{order:016x}.{signal}")
}

/// One of the other names of a parcel, from 1 to [`SPARES`]; 0 is the usual one.
pub(super) fn spare(order: u64, signal: &str, spare: u8) -> String {
    let name = name(order, signal);
    if spare == 0 { name } else { format!("{name}.{spare}") }
}

/// The name while it is being written.
pub(super) fn draft(name: &str) -> String {
    format!("{name}{DRAFT}")
}

/// Whether a file is a draft that was never finished.
pub(super) fn is_draft(file: &str) -> bool {
    file.strip_suffix(DRAFT).is_some_and(|name| parse(name).is_some())
}

/// The name that a draft was to get; any other is as it is.
pub(super) fn without_draft(file: &str) -> &str {
    file.strip_suffix(DRAFT).unwrap_or(file)
}

/// The order and the signal in the name of a file, and which of the parcel's names it is; `None` if it is
/// none of ours.
pub(super) fn parse(file: &str) -> Option<(u64, &'static str, u8)> {
    let (order, signal) = file.split_once('.')?;
    let (signal, spare) = match signal.split_once('.') {
        Some((signal, spare)) => (signal, (1..=SPARES).find(|known| known.to_string() == spare)?),
        None => (signal, 0),
    };
    let signal = SIGNALS.into_iter().find(|known| *known == signal)?;
    let is_ours = order.len() == 16 && order.bytes().all(|b| b"0123456789abcdef".contains(&b));
    let order = u64::from_str_radix(order, 16).ok().filter(|order| *order <= LAST_ORDER)?;
    is_ours.then_some((order, signal, spare))
}

/// The head that goes before the body of a parcel.
pub(super) fn seal(signal: &str, parcel: &Parcel) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8] = VERSION;
    let number = SIGNALS.iter().position(|known| *known == signal);
    head[9] = number.and_then(|number| u8::try_from(number).ok()).unwrap_or(u8::MAX);
    head[10] = match parcel.encoding {
        Encoding::Identity => 0,
        Encoding::Gzip => 1,
    };
    head[16..24].copy_from_slice(&parcel.items.to_le_bytes());
    head[24..32].copy_from_slice(&(parcel.body.len() as u64).to_le_bytes());
    head[32..48].copy_from_slice(&half_digest(&parcel.body));
    let seal = half_digest(&head[..48]);
    head[48..].copy_from_slice(&seal);
    head
}

/// Reads the head of a file.
pub(super) fn head(bytes: &[u8]) -> Result<Head, Unusable> {
    let head: &[u8; HEAD] = bytes.first_chunk().ok_or(Unusable::Damaged)?;
    if head[..8] == *MAGIC && head[8] > VERSION {
        return Err(Unusable::Foreign);
    }
    let [signal, encoding] = [head[9], head[10]];
    let signal = SIGNALS.get(usize::from(signal)).copied();
    let encoding = match encoding {
        0 => Some(Encoding::Identity),
        1 => Some(Encoding::Gzip),
        _ => None,
    };
    match (signal, encoding) {
        (Some(signal), Some(encoding))
            if head[..8] == *MAGIC && head[48..] == half_digest(&head[..48]) =>
        {
            let digest = take(head, 32);
            let items = u64::from_le_bytes(take(head, 16));
            let length = u64::from_le_bytes(take(head, 24));
            if items > MOST_ITEMS || length > MOST_BYTES {
                return Err(Unusable::Damaged);
            }
            Ok(Head { signal, encoding, items, length, digest })
        }
        _ => Err(Unusable::Damaged),
    }
}

/// Reads a whole file.
pub(super) fn open(bytes: Vec<u8>) -> Result<Parcel, Unusable> {
    let head = head(&bytes)?;
    let body = Bytes::from(bytes).slice(HEAD..);
    if body.len() as u64 != head.length || half_digest(&body) != head.digest {
        return Err(Unusable::Damaged);
    }
    Ok(Parcel { items: head.items, encoding: head.encoding, body })
}

fn take<const N: usize>(head: &[u8; HEAD], at: usize) -> [u8; N] {
    let mut taken = [0; N];
    taken.copy_from_slice(&head[at..at + N]);
    taken
}

/// Half of a SHA-256 still finds every accident.
fn half_digest(bytes: &[u8]) -> [u8; 16] {
    let digest = digest::digest(&digest::SHA256, bytes);
    let mut half = [0; 16];
    half.copy_from_slice(&digest.as_ref()[..16]);
    half
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(parcel: &Parcel) -> Vec<u8> {
        [&seal("metrics", parcel)[..], &parcel.body].concat()
    }

    #[test]
    fn names_are_read_as_they_are_written_and_nothing_else_is() {
        assert_eq!(parse(&name(0x1f, "traces")), Some((0x1f, "traces", 0)));
        assert_eq!(parse(&spare(0x1f, "logs", 9)), Some((0x1f, "logs", 9)));
        assert!(is_draft(&draft(&name(1, "logs"))));
        let foreign = [
            "lock",
            "",
            ".traces",
            "1.traces",
            "000000000000001F.traces",
            "0000000000000001.audit",
            "0000000000000001.logs.0",
            "0000000000000001.logs.10",
            "0000000000000001.logs.1.1",
        ];
        for name in foreign.into_iter().chain(["ffffffffffffffff.traces", "+000000000000001.logs"])
        {
            assert_eq!(parse(name), None, "{name}");
            assert!(!is_draft(&draft(name)), "{name}");
        }
    }

    #[test]
    fn a_head_that_claims_more_than_memory_is_damaged() {
        let parcel = Parcel { items: 1, encoding: Encoding::Gzip, body: Bytes::new() };
        let mut claims = seal("traces", &parcel);
        claims[24..32].copy_from_slice(&(MOST_BYTES + 1).to_le_bytes());
        let digest = half_digest(&claims[..48]);
        claims[48..].copy_from_slice(&digest);
        assert_eq!(head(&claims), Err(Unusable::Damaged));
    }

    #[test]
    fn a_later_version_is_left_to_whoever_wrote_it() {
        let parcel = Parcel { items: 1, encoding: Encoding::Gzip, body: Bytes::new() };
        let mut file = file(&parcel);
        file[8] = 2;
        assert_eq!(open(file), Err(Unusable::Foreign));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_one_wrong_bit_is_found(
            items in 0..=MOST_ITEMS,
            body in proptest::collection::vec(any::<u8>(), 0..200),
            bit in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let parcel = Parcel { items, encoding: Encoding::Gzip, body: body.into() };
            let file = file(&parcel);
            prop_assert_eq!(open(file.clone()), Ok(parcel));
            prop_assert!(open(file[..cut.index(file.len())].to_vec()).is_err());
            let mut wrong = file.clone();
            let bit = bit.index(file.len() * 8);
            wrong[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open(wrong).is_err());
        }

        #[test]
        fn no_bytes_from_a_disk_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(open(bytes), Err(Unusable::Damaged));
        }
    }
}
