//! Timestamps as the log lines write them: RFC 3339, UTC, milliseconds, `Z`.
//!
//! It knows the proleptic Gregorian calendar from 1970 on; earlier times read as 1970.

use std::time::{SystemTime, UNIX_EPOCH};

/// The length of a timestamp such as `2026-11-22T23:10:00.000Z`.
const LEN: usize = 24;

/// Formats one time.
pub(crate) fn format(at: SystemTime) -> String {
    let mut out = Vec::with_capacity(LEN);
    Clock::default().write(at, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Formats many times, and works a second out only once.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    second: Option<u64>,
    text: [u8; LEN],
}

impl Clock {
    /// Appends the time.
    pub(super) fn write(&mut self, at: SystemTime, out: &mut Vec<u8>) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.second = Some(since.as_secs());
            self.text = whole_second(since.as_secs());
        }
        put(&mut self.text[20..23], u64::from(since.subsec_millis()));
        out.extend_from_slice(&self.text);
    }
}

fn whole_second(seconds: u64) -> [u8; LEN] {
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    put(&mut text[0..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put(&mut text[11..13], of_day / 3600);
    put(&mut text[14..16], of_day / 60 % 60);
    put(&mut text[17..19], of_day % 60);
    text
}

/// Year, month and day of a day counted from 1970-01-01. Years begin in March here, so that the
/// leap day is the last of its year and month lengths follow one formula.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // Days from 0000-03-01 to 1970-01-01.
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (400 * era + year_of_era + u64::from(month <= 2), month, day)
}

fn put(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn known_moments_are_written_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(format(UNIX_EPOCH + Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_clock_goes_on_through_the_second() {
        let mut clock = Clock::default();
        let mut out = Vec::new();
        for millis in [1_999, 2_000, 2_001] {
            out.clear();
            clock.write(UNIX_EPOCH + Duration::from_millis(millis), &mut out);
        }
        assert_eq!(out, b"1970-01-01T00:00:02.001Z");
    }
}
