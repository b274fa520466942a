//! Protocol Buffers on the wire: <https://protobuf.dev/programming-guides/encoding/>.
//!
//! A message is written field by field behind what is there already: no tree of it is built, nothing is
//! allocated but the bytes themselves, and every length is the shortest varint that holds it. Field
//! numbers are the caller's; they are to come in ascending order, as other encoders write them.
//!
//! It knows no schema: that what is written means something is judged elsewhere (`spans::tests`).

/// Kinds of field.
const VARINT: u32 = 0;
const I64: u32 = 1;
const LEN: u32 = 2;
const I32: u32 = 5;

/// Bytes of a message, growing.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Room for this many bytes more, so that they find it without asking.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// An integer that is not negative, or an enum.
    #[inline]
    pub(super) fn uint(&mut self, field: u32, value: u64) {
        self.key(field, VARINT);
        self.varint(value);
    }

    #[inline]
    pub(super) fn fixed32(&mut self, field: u32, value: u32) {
        self.key(field, I32);
        self.raw(&value.to_le_bytes());
    }

    #[inline]
    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, I64);
        self.raw(&value.to_le_bytes());
    }

    #[inline]
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.open(field, value.len());
        self.raw(value);
    }

    /// A text that comes in pieces.
    #[inline]
    pub(super) fn text<const N: usize>(&mut self, field: u32, pieces: [&str; N]) {
        self.open(field, pieces.iter().map(|piece| piece.len()).sum());
        for piece in pieces {
            self.raw(piece.as_bytes());
        }
    }

    /// A field whose content `write` appends: a message, or a text or bytes if it uses [`Self::raw`].
    #[inline]
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.key(field, LEN);
        let length_at = self.0.len();
        self.0.push(0);
        write(self);
        self.close(length_at);
    }

    /// The head of a field whose content of `length` bytes follows.
    #[inline]
    pub(super) fn open(&mut self, field: u32, length: usize) {
        self.key(field, LEN);
        self.varint(length as u64);
    }

    /// Bytes as they are: what was encoded before, or the content of an open field.
    #[inline]
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Decimal digits.
    pub(super) fn digits(&mut self, value: u64) {
        self.raw(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Writes the length of what follows `length_at`, where one byte was left for it.
    fn close(&mut self, length_at: usize) {
        let (content, end) = (length_at + 1, self.0.len());
        let length = (end - content) as u64;
        let more = varint_length(length) - 1;
        if more > 0 {
            self.0.resize(end + more, 0);
            self.0.copy_within(content..end, content + more);
        }
        let mut rest = length;
        for byte in &mut self.0[length_at..length_at + more] {
            *byte = low_seven(rest) | 0x80;
            rest >>= 7;
        }
        self.0[length_at + more] = low_seven(rest);
    }

    #[inline]
    fn key(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    #[inline]
    fn varint(&mut self, value: u64) {
        let mut rest = value;
        while rest >= 0x80 {
            self.0.push(low_seven(rest) | 0x80);
            rest >>= 7;
        }
        self.0.push(low_seven(rest));
    }
}

/// The bytes that [`Writer::open`] and content of `length` bytes take.
#[inline]
pub(super) fn field_length(field: u32, length: usize) -> usize {
    varint_length(u64::from(field << 3 | LEN)) + varint_length(length as u64) + length
}

#[inline]
pub(super) fn varint_length(value: u64) -> usize {
    // Seven bits a byte, and one byte for zero.
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// A message, cut at the first field of this number that holds bytes, text or a message: what stands
/// before the field, what it holds, what stands after. `None` where there is none, or before it is
/// something that is no field.
pub(super) fn split(message: &[u8], field: u32) -> Option<[&[u8]; 3]> {
    let mut rest = message;
    loop {
        let before = message.len() - rest.len();
        let key = take_varint(&mut rest)?;
        let length = match u32::try_from(key & 7).ok()? {
            VARINT => take_varint(&mut rest).map(|_| 0)?,
            I64 => 8,
            I32 => 4,
            LEN => usize::try_from(take_varint(&mut rest)?).ok()?,
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        if key == u64::from(field << 3 | LEN) {
            return Some([&message[..before], content, after]);
        }
        rest = after;
    }
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn low_seven(value: u64) -> u8 {
    (value & 0x7f) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use prost::encoding::{encode_varint, encoded_len_varint};

    use super::*;

    /// A message with a field of each kind, as prost writes it.
    #[derive(Clone, PartialEq, Message)]
    struct Sample {
        #[prost(uint64, tag = "1")]
        number: u64,
        #[prost(fixed64, tag = "2")]
        time: u64,
        #[prost(string, tag = "3")]
        text: String,
        #[prost(message, optional, boxed, tag = "4")]
        inside: Option<Box<Sample>>,
        #[prost(bytes = "vec", tag = "15")]
        bytes: Vec<u8>,
        #[prost(fixed32, tag = "16")]
        flags: u32,
    }

    /// prost leaves out what has its default value.
    fn write(sample: &Sample, out: &mut Writer) {
        if sample.number > 0 {
            out.uint(1, sample.number);
        }
        if sample.time > 0 {
            out.fixed64(2, sample.time);
        }
        if !sample.text.is_empty() {
            let half = sample.text.chars().next().map_or(0, char::len_utf8);
            out.text(3, [&sample.text[..half], &sample.text[half..]]);
        }
        if let Some(inside) = &sample.inside {
            out.message(4, |out| write(inside, out));
        }
        if !sample.bytes.is_empty() {
            out.bytes(15, &sample.bytes);
        }
        if sample.flags > 0 {
            out.fixed32(16, sample.flags);
        }
    }

    fn samples() -> impl Strategy<Value = Sample> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..300);
        let leaf = (any::<u64>(), any::<u64>(), ".{0,200}", bytes, any::<u32>());
        let leaf = leaf.prop_map(|(number, time, text, bytes, flags)| {
            let number = number >> (time % 64);
            Sample { number, time, text, inside: None, bytes, flags }
        });
        proptest::collection::vec(leaf, 1..5).prop_map(|nested| {
            let wrap = |inside: Option<Box<Sample>>, sample: Sample| {
                Some(Box::new(Sample { inside, ..sample }))
            };
            *nested.into_iter().fold(None, wrap).unwrap()
        })
    }

    proptest! {
        #[test]
        fn messages_are_written_as_prost_writes_them(sample in samples()) {
            let mut out = Writer::default();
            write(&sample, &mut out);
            prop_assert_eq!(out.into_bytes(), sample.encode_to_vec());
        }

        #[test]
        fn varints_are_as_long_as_they_must_be(value in any::<u64>(), shift in 0_u32..64) {
            let value = value >> shift;
            let (mut out, mut expected) = (Writer::default(), Vec::new());
            out.varint(value);
            encode_varint(value, &mut expected);
            prop_assert_eq!(varint_length(value), encoded_len_varint(value));
            prop_assert_eq!(out.as_bytes(), &expected[..]);
            prop_assert_eq!(take_varint(&mut &expected[..]), Some(value));
        }

        #[test]
        fn a_message_is_split_at_the_field_that_is_asked_for(sample in samples()) {
            let whole = sample.encode_to_vec();
            match split(&whole, 15) {
                Some([before, inside, after]) => {
                    prop_assert_eq!(inside, &sample.bytes[..]);
                    prop_assert_eq!(before.len() + field_length(15, inside.len()) + after.len(), whole.len());
                    prop_assert_eq!(after.len(), if sample.flags > 0 { 6 } else { 0 });
                }
                None => prop_assert!(sample.bytes.is_empty()),
            }
        }

        #[test]
        fn any_bytes_are_split_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some([before, _, after]) = split(&bytes, 3) {
                prop_assert!(before.len() + after.len() < bytes.len());
            }
        }
    }
}
