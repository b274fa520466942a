//! Durations, sizes and rates as the configuration writes them.
//!
//! Every parser says what it expected and never repeats what it was given, so that its error is safe
//! to print whatever was in the value. None panics, none overflows.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use thiserror::Error;

const DAY: u64 = 24 * 60 * 60;
/// Longer than any sensible setting, and far below what a clock can add.
const LONGEST: Duration = Duration::from_secs(100 * 365 * DAY);

/// A token rate: `count` tokens per `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens per period.
    pub count: NonZeroU32,
    /// The period.
    pub per: Duration,
}

/// Why a duration, a size or a rate could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnitError {
    /// Not a number with a unit of time, or units out of order.
    #[error("expected a duration such as \"250ms\", \"10s\", \"1m30s\" or \"2h\"")]
    Duration,
    /// More than a hundred years.
    #[error("expected a duration of at most 100 years")]
    TooLong,
    /// Not a whole number with a unit of size.
    #[error("expected a size such as \"512B\", \"64KiB\", \"10MiB\" or \"1GB\"")]
    Size,
    /// More bytes than 64 bits can count.
    #[error("expected a size below 16 EiB")]
    TooLarge,
    /// Not a count and a period.
    #[error("expected a rate such as \"5/s\", \"60/min\", \"600/h\" or \"1000/day\"")]
    Rate,
    /// Not a size per second.
    #[error("expected bytes per second, such as \"512B/s\" or \"1KiB/s\"")]
    ByteRate,
    /// No tokens at all.
    #[error("expected a rate above zero")]
    ZeroRate,
    /// More than one token per microsecond.
    #[error("expected a rate of at most 1000000/s")]
    TooFast,
}

/// Reads a duration: whole numbers with `us`, `ms`, `s`, `m`, `h` or `d`, the largest unit first and
/// each at most once, e.g. `1m30s`. At most a hundred years.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut previous = Duration::MAX;
    while !rest.is_empty() {
        let (count, after) = leading_number(rest).ok_or(UnitError::Duration)?;
        let (unit, after) = leading_word(after);
        let unit = duration_unit(unit).ok_or(UnitError::Duration)?;
        if unit >= previous {
            return Err(UnitError::Duration);
        }
        let count = u32::try_from(count).map_err(|_| UnitError::TooLong)?;
        let part = unit.checked_mul(count).ok_or(UnitError::TooLong)?;
        total = total.checked_add(part).ok_or(UnitError::TooLong)?;
        (previous, rest) = (unit, after);
    }
    match total {
        _ if text.is_empty() => Err(UnitError::Duration),
        total if total > LONGEST => Err(UnitError::TooLong),
        total => Ok(total),
    }
}

/// Reads a size in bytes: a whole number with `B`, a decimal unit (`KB`, `MB`, `GB`, `TB`) or a
/// binary one (`KiB`, `MiB`, `GiB`, `TiB`).
pub fn size(text: &str) -> Result<u64, UnitError> {
    let (count, unit) = leading_number(text).ok_or(UnitError::Size)?;
    let unit: u64 = match unit {
        "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(UnitError::Size),
    };
    count.checked_mul(unit).ok_or(UnitError::TooLarge)
}

/// Writes a size for a person, in the largest binary unit that loses nothing: `64KiB`.
pub fn shown_size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = |(shift, _): &(u32, &str)| bytes > 0 && bytes.trailing_zeros() >= *shift;
    let (shift, unit) = units.into_iter().find(whole).unwrap_or((0, "B"));
    format!("{}{unit}", bytes >> shift)
}

/// Reads a number of bytes per second, e.g. `1KiB/s`.
pub fn byte_rate(text: &str) -> Result<u64, UnitError> {
    let per_second = text.strip_suffix("/s").ok_or(UnitError::ByteRate)?;
    size(per_second)
        .map_err(|error| if error == UnitError::Size { UnitError::ByteRate } else { error })
}

/// Reads a rate: a whole number of tokens per `s`, `min`, `h` or `day`. At least one token per
/// period, at most one per microsecond.
pub fn rate(text: &str) -> Result<Rate, UnitError> {
    let (count, unit) = leading_number(text).ok_or(UnitError::Rate)?;
    let per = match unit {
        "/s" => Duration::from_secs(1),
        "/min" => Duration::from_mins(1),
        "/h" => Duration::from_hours(1),
        "/day" => Duration::from_secs(DAY),
        _ => return Err(UnitError::Rate),
    };
    let count = u32::try_from(count).map_err(|_| UnitError::TooFast)?;
    let count = NonZeroU32::new(count).ok_or(UnitError::ZeroRate)?;
    // A limiter divides the period by the count: the quotient must not vanish.
    if u128::from(count.get()) > per.as_micros() {
        Err(UnitError::TooFast)
    } else {
        Ok(Rate { count, per })
    }
}

impl fmt::Display for Rate {
    /// Writes the form that [`rate`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{}/s", self.count),
            60 => write!(f, "{}/min", self.count),
            3600 => write!(f, "{}/h", self.count),
            DAY => write!(f, "{}/day", self.count),
            _ => write!(f, "{}/{:?}", self.count, self.per),
        }
    }
}

fn duration_unit(unit: &str) -> Option<Duration> {
    Some(match unit {
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        "d" => Duration::from_secs(DAY),
        _ => return None,
    })
}

/// Splits the leading digits off; `None` without any, or with more than 64 bits of them.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

fn leading_word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("1d2h3m4s5ms6us"), Ok(Duration::from_micros(93_784_005_006)));
    }

    #[test]
    fn wrong_durations_are_refused() {
        for text in ["", "10", "s", "10 s", "-1s", "1.5s", "30s1m", "1s1s", "1w", "1S", "１s"] {
            assert_eq!(duration(text), Err(UnitError::Duration), "{text}");
        }
        assert_eq!(duration("36501d"), Err(UnitError::TooLong));
        assert_eq!(duration("4294967296s"), Err(UnitError::TooLong));
        assert_eq!(duration("4294967295d"), Err(UnitError::TooLong));
    }

    #[test]
    fn sizes_are_read_in_both_systems() {
        assert_eq!(size("0B"), Ok(0));
        assert_eq!(size("64KiB"), Ok(65_536));
        for text in ["0B", "1023B", "64KiB", "3MiB", "5GiB", "1024TiB"] {
            assert_eq!(shown_size(size(text).unwrap()), text);
        }
        assert_eq!(size("10MiB"), Ok(10_485_760));
        assert_eq!(size("1GB"), Ok(1_000_000_000));
    }

    #[test]
    fn wrong_sizes_are_refused() {
        for text in ["", "10", "MiB", "1.5MiB", "-1B", "10mb", "10 MiB", "1K"] {
            assert_eq!(size(text), Err(UnitError::Size), "{text}");
        }
        assert_eq!(size("16777216TiB"), Err(UnitError::TooLarge));
    }

    #[test]
    fn rates_are_read_per_period() {
        let rate_of = |count, secs| Rate {
            count: NonZeroU32::new(count).unwrap(),
            per: Duration::from_secs(secs),
        };
        assert_eq!(rate("5/s"), Ok(rate_of(5, 1)));
        assert_eq!(rate("60/min"), Ok(rate_of(60, 60)));
        assert_eq!(rate("600/h"), Ok(rate_of(600, 3600)));
        assert_eq!(rate("10/day"), Ok(rate_of(10, 86_400)));
    }

    #[test]
    fn wrong_rates_are_refused() {
        for text in ["", "5", "5/", "5/m", "/s", "5 / s", "-5/s", "0.5/s"] {
            assert_eq!(rate(text), Err(UnitError::Rate), "{text}");
        }
        assert_eq!(rate("0/s"), Err(UnitError::ZeroRate));
        assert_eq!(rate("1000001/s"), Err(UnitError::TooFast));
        assert_eq!(rate("99999999999/day"), Err(UnitError::TooFast));
    }

    proptest! {
        #[test]
        fn written_durations_are_read_back(h in 0..99_u64, m in 0..60_u64, s in 0..60_u64, ms in 0..1000_u64) {
            let expected = Duration::from_millis(((h * 60 + m) * 60 + s) * 1000 + ms);
            prop_assert_eq!(duration(&format!("{h}h{m}m{s}s{ms}ms")), Ok(expected));
        }

        #[test]
        fn written_sizes_are_read_back(bytes in any::<u64>()) {
            prop_assert_eq!(size(&format!("{bytes}B")), Ok(bytes));
        }

        #[test]
        fn written_rates_are_read_back(count in 1..1_000_000_u32, unit in "(s|min|h|day)") {
            let text = format!("{count}/{unit}");
            prop_assert_eq!(rate(&text).map(|rate| rate.to_string()), Ok(text));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in "[0-9]{0,25}[a-zA-Z/]{0,4}[0-9]{0,25}[a-z]{0,3}|\\PC*") {
            // At most one of them can read a text.
            let read = [duration(&text).is_ok(), size(&text).is_ok(), rate(&text).is_ok()];
            prop_assert!(read.iter().filter(|read| **read).count() <= 1);
        }
    }
}
