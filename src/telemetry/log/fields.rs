//! The fields of one line: JSON members, written one after the other.
//!
//! Every text of somebody else's is escaped, so that it can neither end its string nor its line. A key
//! of ours is one piece with its comma and its colon ([`key!`]), because most of a line is keys. It does
//! not know which fields a line has; that is each schema's matter.

use std::net::IpAddr;
use std::time::Duration;

use super::entry::Datum;
use crate::record::Value;
use crate::telemetry::json;

/// A key of ours, with the comma before it and the colon after it: one piece to copy.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}
pub(super) use key;

/// The inside of a JSON object, after its first field. Each `key` is a [`key!`].
pub(super) struct Fields<'a> {
    pub(super) out: &'a mut Vec<u8>,
}

impl Fields<'_> {
    pub(super) fn key(&mut self, key: &'static str) {
        self.out.extend_from_slice(key.as_bytes());
    }

    /// A key that the configuration or a diagnostic chose, after a prefix of ours that needs no escape.
    pub(super) fn name(&mut self, prefix: &'static str, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(prefix.as_bytes());
        json::inside(name, self.out);
        self.out.extend_from_slice(b"\":");
    }

    /// The same, with `_` for each dot: not an object in an object.
    pub(super) fn flat_name(&mut self, prefix: &'static str, name: &str) {
        if name.contains('.') {
            self.name(prefix, &name.replace('.', "_"));
        } else {
            self.name(prefix, name);
        }
    }

    pub(super) fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        json::string(value, self.out);
    }

    /// A text that needs no escape by its making: a member of a closed set, an id, hex digits.
    pub(super) fn token(&mut self, key: &'static str, value: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(value);
        self.out.push(b'"');
    }

    pub(super) fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        self.digits(value);
    }

    pub(super) fn bool(&mut self, key: &'static str, value: bool) {
        self.key(key);
        self.truth(value);
    }

    pub(super) fn null(&mut self, key: &'static str) {
        self.key(key);
        self.out.extend_from_slice(b"null");
    }

    pub(super) fn address(&mut self, key: &'static str, ip: IpAddr) {
        self.key(key);
        self.out.push(b'"');
        match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets().map(u64::from);
                self.digits(a);
                for octet in [b, c, d] {
                    self.out.push(b'.');
                    self.digits(octet);
                }
            }
            IpAddr::V6(ip) => self.out.extend_from_slice(ip.to_string().as_bytes()),
        }
        self.out.push(b'"');
    }

    /// Milliseconds with up to three decimals, without trailing zeros.
    pub(super) fn millis(&mut self, key: &'static str, value: Duration) {
        let micros = micros(value);
        self.number(key, micros / 1000);
        self.decimals(micros % 1000, 100);
    }

    /// Seconds with up to six decimals, without trailing zeros.
    pub(super) fn seconds(&mut self, key: &'static str, value: Duration) {
        self.number(key, value.as_secs());
        self.decimals(u64::from(value.subsec_micros()), 100_000);
    }

    /// A captured fact's value.
    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Member(member) => json::string(member, self.out),
            Value::Length(count) | Value::Number(count) => self.digits(*count),
            Value::Pseudonym(name) => name.with_str(|digits| json::string(digits, self.out)),
        }
    }

    /// The value of a diagnostic's field.
    pub(super) fn datum(&mut self, datum: &Datum) {
        match datum {
            Datum::Text(text) => json::string(text, self.out),
            Datum::Bool(value) => self.truth(*value),
            Datum::Unsigned(number) => self.digits(*number),
            Datum::Signed(number) => {
                self.out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
            }
            // JSON has no word for what is not finite.
            Datum::Float(number) if !number.is_finite() => self.out.extend_from_slice(b"null"),
            Datum::Float(number) => self.out.extend_from_slice(number.to_string().as_bytes()),
        }
    }

    /// A member that is an object itself.
    pub(super) fn object(&mut self, key: &'static str, fill: impl FnOnce(&mut Self)) {
        self.key(key);
        self.braced(fill);
    }

    /// An object.
    pub(super) fn braced(&mut self, fill: impl FnOnce(&mut Self)) {
        self.out.push(b'{');
        let start = self.out.len();
        fill(self);
        if self.out.get(start) == Some(&b',') {
            self.out.remove(start);
        }
        self.out.push(b'}');
    }

    pub(super) fn digits(&mut self, value: u64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn truth(&mut self, value: bool) {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// What stands behind the point, whose first digit counts `unit` of `rest`.
    fn decimals(&mut self, mut rest: u64, mut unit: u64) {
        if rest > 0 {
            self.out.push(b'.');
        }
        while rest > 0 {
            // One digit: `rest` is below ten units.
            self.out.push(b'0' + (rest / unit % 10) as u8);
            rest %= unit;
            unit /= 10;
        }
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Fields<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Fields { out: &mut out });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_have_no_digit_too_many() {
        for (micros, millis, seconds) in [
            (0, "0", "0"),
            (1, "0.001", "0.000001"),
            (12_340, "12.34", "0.01234"),
            (1_000, "1", "0.001"),
            (2_001_000, "2001", "2.001"),
            (999_999, "999.999", "0.999999"),
            (100_100_000, "100100", "100.1"),
        ] {
            let took = Duration::from_micros(micros);
            assert_eq!(written(|fields| fields.millis("", took)), millis);
            assert_eq!(written(|fields| fields.seconds("", took)), seconds);
        }
    }

    #[test]
    fn an_object_begins_without_a_comma_also_where_nothing_is_in_it() {
        assert_eq!(written(|fields| fields.object(key!("a"), |_| ())), r#","a":{}"#);
        let one = written(|fields| fields.object(key!("a"), |a| a.number(key!("b"), 1)));
        assert_eq!(one, r#","a":{"b":1}"#);
    }

    #[test]
    fn what_is_no_number_is_null() {
        for number in [f64::NAN, f64::INFINITY] {
            assert_eq!(written(|fields| fields.datum(&Datum::Float(number))), "null");
        }
        assert_eq!(written(|fields| fields.datum(&Datum::Float(0.5))), "0.5");
        assert_eq!(written(|fields| fields.datum(&Datum::Signed(-7))), "-7");
    }
}
