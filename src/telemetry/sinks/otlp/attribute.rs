//! Attributes: the `KeyValue` and `AnyValue` of `opentelemetry/proto/common/v1/common.proto`.

use super::wire::{Writer, field_length, varint_length};

/// Field numbers.
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING_VALUE: u32 = 1;
const BOOL_VALUE: u32 = 2;
const INT_VALUE: u32 = 3;
const DOUBLE_VALUE: u32 = 4;

/// What an attribute may hold.
pub(super) trait Value: Copy {
    /// The bytes that [`Self::write`] appends.
    fn length(self) -> usize;
    /// Appends the content of an `AnyValue`.
    fn write(self, out: &mut Writer);
}

impl Value for &str {
    #[inline]
    fn length(self) -> usize {
        field_length(STRING_VALUE, self.len())
    }

    #[inline]
    fn write(self, out: &mut Writer) {
        out.text(STRING_VALUE, [self]);
    }
}

/// A text in two pieces.
impl Value for [&str; 2] {
    #[inline]
    fn length(self) -> usize {
        field_length(STRING_VALUE, self[0].len() + self[1].len())
    }

    #[inline]
    fn write(self, out: &mut Writer) {
        out.text(STRING_VALUE, self);
    }
}

/// A number; what does not fit a signed one is the largest that does.
impl Value for u64 {
    #[inline]
    fn length(self) -> usize {
        1 + varint_length(signed(self))
    }

    #[inline]
    fn write(self, out: &mut Writer) {
        out.uint(INT_VALUE, signed(self));
    }
}

/// A number that may be negative; then it takes all the room there is.
impl Value for i64 {
    #[inline]
    fn length(self) -> usize {
        1 + varint_length(self.cast_unsigned())
    }

    #[inline]
    fn write(self, out: &mut Writer) {
        out.uint(INT_VALUE, self.cast_unsigned());
    }
}

impl Value for bool {
    #[inline]
    fn length(self) -> usize {
        2
    }

    #[inline]
    fn write(self, out: &mut Writer) {
        out.uint(BOOL_VALUE, u64::from(self));
    }
}

impl Value for f64 {
    #[inline]
    fn length(self) -> usize {
        1 + size_of::<Self>()
    }

    #[inline]
    fn write(self, out: &mut Writer) {
        out.fixed64(DOUBLE_VALUE, self.to_bits());
    }
}

fn signed(value: u64) -> u64 {
    value.min(i64::MAX as u64)
}

/// Appends one attribute as field number `field`.
#[inline]
pub(super) fn write(out: &mut Writer, field: u32, key: &str, value: impl Value) {
    let length = value.length();
    out.open(field, field_length(KEY, key.len()) + field_length(VALUE, length));
    out.text(KEY, [key]);
    out.open(VALUE, length);
    value.write(out);
}

/// Appends one attribute whose text `show` appends.
pub(super) fn write_shown(out: &mut Writer, field: u32, key: &str, show: impl FnOnce(&mut Writer)) {
    out.message(field, |pair| {
        pair.text(KEY, [key]);
        pair.message(VALUE, |value| value.message(STRING_VALUE, show));
    });
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::trace::v1::span::Event;
    use prost::Message;

    use super::*;

    #[test]
    fn each_kind_of_value_comes_back() {
        const ATTRIBUTES: u32 = 3;
        let long = "long ".repeat(100);
        let mut out = Writer::default();
        write(&mut out, ATTRIBUTES, "text", "");
        write(&mut out, ATTRIBUTES, "long", &*long);
        write(&mut out, ATTRIBUTES, "pieces", ["a", "bc"]);
        write(&mut out, ATTRIBUTES, "number", 500_u64);
        write(&mut out, ATTRIBUTES, "below zero", -7_i64);
        write(&mut out, ATTRIBUTES, "no", false);
        write(&mut out, ATTRIBUTES, "yes", true);
        write(&mut out, ATTRIBUTES, "too much", u64::MAX);
        write(&mut out, ATTRIBUTES, "seconds", 0.25);
        write_shown(&mut out, ATTRIBUTES, "shown", |text| text.digits(2026));

        let event = Event::decode(out.as_bytes()).unwrap();

        let pairs =
            event.attributes.into_iter().map(|pair| (pair.key, pair.value.unwrap().value.unwrap()));
        let pairs: Vec<_> = pairs.collect();
        let text = |key: &str, text: &str| (key.to_owned(), Any::StringValue(text.to_owned()));
        let number = |key: &str, number| (key.to_owned(), Any::IntValue(number));
        let expected = [
            text("text", ""),
            text("long", &long),
            text("pieces", "abc"),
            number("number", 500),
            number("below zero", -7),
            ("no".to_owned(), Any::BoolValue(false)),
            ("yes".to_owned(), Any::BoolValue(true)),
            number("too much", i64::MAX),
            ("seconds".to_owned(), Any::DoubleValue(0.25)),
            text("shown", "2026"),
        ];
        assert_eq!(pairs, expected);
    }
}
