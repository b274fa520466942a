//! What was probably meant by a value that cannot be read: `"1.5s"`, `"10mb"`, `"60/minute"`, `"10%"`.
//!
//! Each function gives the help line of an error, or nothing where it does not know. What it proposes can
//! be read; nothing is accepted because of it.

use std::time::Duration;

use super::value::one_of;
use crate::units;

/// `"2 seconds"`, `"1.5s"`, `"10"`; only what the key takes, says `fits`.
pub(super) fn duration(text: &str, fits: impl Fn(Duration) -> bool) -> Option<String> {
    let (thousandths, unit) = amount(text)?;
    let is_readable = |written: &String| units::duration(written).is_ok_and(&fits);
    let micros: u64 = match unit.as_str() {
        "us" | "µs" => 1,
        "ms" | "msec" | "millis" | "millisecond" | "milliseconds" => 1_000,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000_000,
        "d" | "day" | "days" => 86_400_000_000,
        "w" | "week" | "weeks" => 604_800_000_000,
        _ => return None,
    };
    if unit.is_empty() && thousandths.is_multiple_of(1000) {
        // Seconds to some, milliseconds to whoever comes from JavaScript.
        let number = thousandths / 1000;
        let units: &[_] = if number == 0 { &["s"] } else { &["s", "ms"] };
        let written = units.iter().map(|unit| format!("{number}{unit}"));
        return in_which_unit(written.filter(is_readable));
    }
    let total = thousandths.checked_mul(micros)? / 1000;
    let units = [
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1_000),
        ("us", 1),
    ];
    let whole = |(_, unit): &&(&str, u64)| total > 0 && total.is_multiple_of(*unit);
    let (unit, length) = units.iter().find(whole).unwrap_or(&("s", 1_000_000));
    Some(format!("{}{unit}", total / length)).filter(is_readable).map(|written| write(&written))
}

/// `"10mb"`, `"1M"`, `"1.5 MiB"`, `10`; only what the key takes, says `fits`.
pub(super) fn size(text: &str, fits: impl Fn(u64) -> bool) -> Option<String> {
    let is_readable = |written: &String| units::size(written).is_ok_and(&fits);
    let (thousandths, unit) = amount(text)?;
    let number = thousandths / 1000;
    if unit.is_empty() && thousandths.is_multiple_of(1000) && (1..1024).contains(&number) {
        // So few bytes are hardly ever meant.
        let written = ["B", "KiB", "MiB"].iter().map(|unit| format!("{number}{unit}"));
        return in_which_unit(written.filter(is_readable));
    }
    written_size(text).filter(is_readable).map(|written| write(&written))
}

/// `"1KiB"` where `"1KiB/s"` was meant.
pub(super) fn byte_rate(text: &str) -> Option<String> {
    let (size, _) = text.split_once('/').unwrap_or((text, ""));
    written_size(size).map(|size| write(&format!("{size}/s")))
}

/// `"60/minute"`, `"10r/s"`, `"5 per hour"`, `60`.
pub(super) fn rate(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase().replace(" per ", "/");
    let Some((count, period)) = text.split_once('/') else {
        let count: u32 = text.trim().parse().ok()?;
        return Some(format!("say in which time: \"{count}/s\", \"{count}/min\" or \"{count}/h\""));
    };
    let count = count.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let period = match period.trim() {
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "min",
        "h" | "hr" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "day",
        _ => return None,
    };
    let written = format!("{count}/{period}");
    units::rate(&written).ok().map(|_| write(&written))
}

/// A number or a word that stands in quotes, or is spelt as in YAML; a share in per cent. `expected` are the
/// words of the error.
pub(super) fn plain(text: &str, expected: &str, is_text: bool) -> Option<String> {
    let text = text.trim();
    let value = if expected.contains("true") {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => "true".to_owned(),
            "false" | "no" | "off" | "0" => "false".to_owned(),
            _ => return None,
        }
    } else if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.trim().parse().ok()?;
        if !expected.contains("1.0") || !(0.0..=100.0).contains(&percent) {
            return None;
        }
        format!("{}", percent / 100.0)
    } else if !is_text && text.parse::<f64>().is_ok() {
        text.to_owned()
    } else {
        return None;
    };
    Some(if is_text { write(&value) } else { format!("write it without quotes: {value}") })
}

/// A value that names what it does not hold: nobody expands `$NAME` or `~`.
pub(super) fn unexpanded(text: &str) -> Option<&'static str> {
    let is_home = text == "~" || text.starts_with("~/");
    match (names_variable(text), is_home) {
        (true, _) => Some("a variable is written `${NAME}`, with braces"),
        (_, true) => Some("`~` is not expanded: write `${HOME}`"),
        _ => None,
    }
}

/// Whether there is a `$NAME` in it, in capitals, as variables are called.
pub(super) fn names_variable(text: &str) -> bool {
    let is_name = |rest: &str| {
        let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
        name.is_some_and(|name| {
            let is_begun = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
            name.len() > 1 && is_begun && !name.bytes().any(|b| b.is_ascii_lowercase())
        })
    };
    text.split('$').skip(1).any(is_name)
}

fn write(value: &str) -> String {
    format!("write \"{value}\"")
}

/// One number, of which nobody has said what it counts.
fn in_which_unit(written: impl Iterator<Item = String>) -> Option<String> {
    match written.collect::<Vec<_>>().as_slice() {
        [] => None,
        [only] => Some(write(only)),
        some => Some(format!("say in which unit: {}", one_of(some.iter().map(String::as_str)))),
    }
}

fn written_size(text: &str) -> Option<String> {
    let (thousandths, unit) = amount(text)?;
    let (name, bytes): (_, u64) = match unit.as_str() {
        "" | "b" | "byte" | "bytes" => ("B", 1),
        "kb" => ("KB", 1_000),
        "mb" => ("MB", 1_000_000),
        "gb" => ("GB", 1_000_000_000),
        "tb" => ("TB", 1_000_000_000_000),
        "k" | "ki" | "kib" => ("KiB", 1 << 10),
        "m" | "mi" | "mib" => ("MiB", 1 << 20),
        "g" | "gi" | "gib" => ("GiB", 1 << 30),
        "t" | "ti" | "tib" => ("TiB", 1 << 40),
        _ => return None,
    };
    let written = if thousandths.is_multiple_of(1000) && !unit.is_empty() {
        format!("{}{name}", thousandths / 1000)
    } else {
        units::shown_size(thousandths.checked_mul(bytes)? / 1000)
    };
    units::size(&written).ok().map(|_| written)
}

/// A number with up to three decimals, in thousandths, and the word after it in lower case.
fn amount(text: &str) -> Option<(u64, String)> {
    let text: String = text.split_whitespace().collect();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 3 || whole.is_empty() {
        return None;
    }
    let thousandths: u64 = format!("{fraction:0<3}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    Some((whole.checked_mul(1000)?.checked_add(thousandths)?, unit.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slip_is_answered_with_what_was_meant() {
        let meant_is = |value: &str| Some(write(value));
        for (text, meant) in [
            ("2 seconds", "2s"),
            ("1.5s", "1500ms"),
            ("1.5h", "90m"),
            ("0", "0s"),
            ("1 week", "7d"),
            ("0 s", "0s"),
            ("5 Min", "5m"),
        ] {
            assert_eq!(duration(text, |_| true), meant_is(meant), "{text}");
        }
        for (text, meant) in [
            ("1M", "1MiB"),
            ("10mb", "10MB"),
            ("1.5 MiB", "1536KiB"),
            ("10485760", "10MiB"),
            ("1Gi", "1GiB"),
        ] {
            assert_eq!(size(text, |_| true), meant_is(meant), "{text}");
        }
        for (text, meant) in [
            ("60/minute", "60/min"),
            ("10r/s", "10/s"),
            ("5 per hour", "5/h"),
            ("7 / day", "7/day"),
        ] {
            assert_eq!(rate(text), meant_is(meant), "{text}");
        }
        assert!(rate("60").unwrap().contains("\"60/min\""));
        assert_eq!(byte_rate("1kib"), meant_is("1KiB/s"));
        assert_eq!(plain("10%", "a number from 0.0 to 1.0", true), meant_is("0.1"));
        assert_eq!(plain("yes", "`true` or `false`", true), meant_is("true"));
        assert_eq!(plain("2", "a whole number", false).unwrap(), "write it without quotes: 2");
        for nothing in ["soon", "", "s", "1.2345s", "99999999999999999999s"] {
            assert_eq!(duration(nothing, |_| true), None, "{nothing}");
        }
        assert_eq!((size("big", |_| true), rate("5/fortnight")), (None, None));
    }

    #[test]
    fn a_number_alone_is_asked_for_its_unit_among_those_that_fit() {
        let say = |units: &str| Some(format!("say in which unit: {units}"));
        assert_eq!(duration("30000", |_| true), say("\"30000s\" or \"30000ms\""));
        let is_short = |duration: Duration| duration < Duration::from_mins(1);
        assert_eq!(duration("30000", is_short), Some(write("30000ms")));
        assert_eq!(duration("0", |duration| !duration.is_zero()), None);
        assert_eq!(size("10", |_| true), say("\"10B\", \"10KiB\" or \"10MiB\""));
        assert_eq!(size("10", |bytes| bytes >= 1024), say("\"10KiB\" or \"10MiB\""));
        assert_eq!(size("10B", |bytes| bytes >= 1024), None);
        assert_eq!(size("10mb", |bytes| bytes < 1024), None);
    }

    #[test]
    fn a_name_without_braces_and_a_tilde_are_seen() {
        for text in ["$UPSTREAM_URL", "http://$HOST:3000", "Bearer $API_TOKEN", "$_X"] {
            assert!(names_variable(text), "{text}");
        }
        for text in ["${NAME}", "$", "pa$sword", "pa$Word", "^a$", "costs 5$", "a$B", "~"] {
            assert!(!names_variable(text), "{text}");
        }
        assert!(unexpanded("~/logs").is_some() && unexpanded("~").is_some());
        assert_eq!(unexpanded("/a/~b"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_hint_panic(text in "\\PC*|[0-9.]{0,22} ?[a-zA-Z/%]{0,9}") {
            let (time, bytes) = (duration(&text, |_| true), size(&text, |_| true));
            let hints = [time, bytes, rate(&text), byte_rate(&text)];
            prop_assert!(hints.iter().flatten().all(|hint| hint.contains('"')));
            prop_assert!(plain(&text, "a number from 0.0 to 1.0", false).is_none_or(|it| it.contains(':')));
        }
    }
}
