//! What was probably meant by a value that cannot be read: `"1.5s"`, `"10mb"`, `"60/minute"`, `"10%"`.
//!
//! Each function gives the help line of an error, or nothing where it does not know. What it proposes can
//! be read; nothing is accepted because of it.

use crate::units;

/// `"2 seconds"`, `"1.5s"`, `"10"`.
pub(super) fn duration(text: &str) -> Option<String> {
    let (thousandths, unit) = amount(text)?;
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
        // As it was meant, not as it is shortest.
        let written = format!("{}s", thousandths / 1000);
        return units::duration(&written).ok().map(|_| write(&written));
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
    let written = format!("{}{unit}", total / length);
    units::duration(&written).ok().map(|_| write(&written))
}

/// `"10mb"`, `"1M"`, `"1.5 MiB"`.
pub(super) fn size(text: &str) -> Option<String> {
    written_size(text).map(|written| write(&written))
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

/// `"GET,POST /a"`, `"get /a"`, `"/a"`.
pub(super) fn template(text: &str) -> Option<String> {
    let text = text.trim();
    if text.starts_with('/') {
        return Some(write(&format!("* {text}")));
    }
    let (method, path) = text.split_once(char::is_whitespace)?;
    let path = path.trim_start();
    if method.contains([',', '|']) {
        return Some(format!("write one route for each method, or take them all: \"* {path}\""));
    }
    let is_word = method.bytes().all(|b| b.is_ascii_alphabetic());
    is_word.then(|| write(&format!("{} {path}", method.to_ascii_uppercase())))
}

fn write(value: &str) -> String {
    format!("write \"{value}\"")
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
            ("10", "10s"),
            ("1 week", "7d"),
            ("0 s", "0s"),
            ("5 Min", "5m"),
        ] {
            assert_eq!(duration(text), meant_is(meant), "{text}");
        }
        for (text, meant) in [
            ("1M", "1MiB"),
            ("10mb", "10MB"),
            ("1.5 MiB", "1536KiB"),
            ("512", "512B"),
            ("1Gi", "1GiB"),
        ] {
            assert_eq!(size(text), meant_is(meant), "{text}");
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
        assert_eq!(template("get /a"), meant_is("GET /a"));
        assert_eq!(template("/a"), meant_is("* /a"));
        assert!(template("GET,POST /a").unwrap().contains("\"* /a\""));
        assert_eq!(plain("10%", "a number from 0.0 to 1.0", true), meant_is("0.1"));
        assert_eq!(plain("yes", "`true` or `false`", true), meant_is("true"));
        assert_eq!(plain("2", "a whole number", false).unwrap(), "write it without quotes: 2");
        for nothing in ["soon", "", "s", "1.2345s", "99999999999999999999s"] {
            assert_eq!(duration(nothing), None, "{nothing}");
        }
        assert_eq!(
            (size("big"), rate("5/fortnight"), template("GET a")),
            (None, None, meant_is("GET a"))
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_a_hint_panic(text in "\\PC*|[0-9.]{0,22} ?[a-zA-Z/%]{0,9}") {
            let hints = [duration(&text), size(&text), rate(&text), byte_rate(&text), template(&text)];
            prop_assert!(hints.iter().flatten().all(|hint| hint.contains('"')));
            prop_assert!(plain(&text, "a number from 0.0 to 1.0", false).is_none_or(|it| it.contains(':')));
        }
    }
}
