//! Reading single values: durations, sizes, numbers, shares, words of a closed set.
//!
//! What is wrong is said with what was probably meant: the missing unit, the space before it, the nearest
//! word. A value from outside the file is text, and is read as what its key wants. Which key wants what
//! is `check`'s business.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::{Origin, Problem};
use super::keys::nearest;
use super::raw::{Node, Value};
use super::section::Section;
use super::slips;
use crate::units::{self, Rate};

/// Whether zero means something for a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zero {
    /// It does: off, or at once.
    Meaningful,
    /// It would break what it bounds.
    Refused,
}

impl Section<'_> {
    /// A string that a function can read; its error becomes the label.
    pub(crate) fn parsed<T, E: Display>(
        &self,
        key: &str,
        kind: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.read(key, kind, parse, |_| None)
    }

    /// The same, with a hint at what was meant.
    pub(crate) fn read<T, E: Display>(
        &self,
        key: &str,
        kind: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        hint: impl FnOnce(&str) -> Option<String>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let refuse =
            |error| self.refuse(key, &format!("is not {kind}"), error, hint(text).as_deref());
        parse(text).map_err(refuse).ok()
    }

    /// A rate.
    pub(crate) fn rate(&self, key: &str) -> Option<Rate> {
        let node = self.node(key)?;
        if let Value::Integer(number) = node.value {
            let title = format!("`{}` must be a string with a period", self.path_of(key));
            let mut problem = Problem::at(&node.origin, title).label("a number has no period");
            if let Some(help) = slips::rate(&number.to_string()) {
                problem = problem.help(help);
            }
            self.problems.push(problem);
            return None;
        }
        self.read(key, "a rate", units::rate, slips::rate)
    }

    /// A duration.
    pub(crate) fn duration(&self, key: &str, zero: Zero) -> Option<Duration> {
        let fits = |duration: Duration| zero == Zero::Meaningful || !duration.is_zero();
        let hint = |text: &str| slips::duration(text, fits);
        let duration = self.unit(key, "a duration", hint, units::duration, fits)?;
        if duration.is_zero() && zero == Zero::Refused {
            self.refuse(key, "must not be zero", "expected a duration above zero", None);
            return None;
        }
        Some(duration)
    }

    /// A duration where zero turns a deadline off.
    #[expect(clippy::option_option, reason = "absent, off and set are three different things")]
    pub(crate) fn deadline(&self, key: &str) -> Option<Option<Duration>> {
        let duration = self.duration(key, Zero::Meaningful)?;
        Some(Some(duration).filter(|duration| !duration.is_zero()))
    }

    /// A size in bytes within a range.
    pub(crate) fn size(&self, key: &str, range: &RangeInclusive<u64>) -> Option<u64> {
        let fits = |bytes: u64| range.contains(&bytes);
        let size = self.unit(key, "a size", |text| slips::size(text, fits), units::size, fits)?;
        self.in_range(key, size, range, |bytes| units::shown_size(*bytes))
    }

    /// A size in bytes within a range, for memory.
    pub(crate) fn bytes(&self, key: &str, range: &RangeInclusive<u64>) -> Option<usize> {
        self.size(key, range).and_then(|size| usize::try_from(size).ok())
    }

    /// A whole number within a range.
    pub(crate) fn number(&self, key: &str, range: &RangeInclusive<u64>) -> Option<u64> {
        let node = self.node(key)?;
        let number = match &node.value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) if node.is_external() => text.trim().parse().ok(),
            Value::Broken => return None,
            _ => None,
        };
        let Some(number) = number else {
            self.wrong_type(key, node, "a whole number");
            return None;
        };
        // A negative number is below every range.
        let Ok(number) = u64::try_from(number) else {
            self.out_of_range(key, &node.origin, range, u64::to_string);
            return None;
        };
        self.in_range(key, number, range, u64::to_string)
    }

    /// A list of whole numbers, each within a range. From outside the file: separated by commas.
    pub(crate) fn numbers(&self, key: &str, range: &RangeInclusive<u64>) -> Option<Vec<u64>> {
        let node = self.node(key)?;
        let outside = |text: &String| {
            let parts = text.split(',').map(|part| Some((node, part.trim().parse().ok()?)));
            parts.collect::<Option<Vec<_>>>()
        };
        let numbers: Option<Vec<(&Node, i64)>> = match &node.value {
            Value::Text(text) if node.is_external() && text.trim().is_empty() => Some(Vec::new()),
            Value::Text(text) if node.is_external() => outside(text),
            Value::List(list) => {
                let wrong = list.iter().filter(|item| integer(item).is_none());
                wrong.for_each(|item| self.wrong_type(key, item, "a whole number"));
                Some(list.iter().filter_map(|item| Some((item, integer(item)?))).collect())
            }
            Value::Broken => return None,
            _ => None,
        };
        let Some(numbers) = numbers else {
            let expected = "a list of whole numbers";
            match integer(node) {
                Some(one) => {
                    let label = format!("expected {expected}, found {}", node.kind());
                    let help = format!("write it in brackets: [{one}]");
                    self.refuse(key, "has the wrong type", label, Some(&help));
                }
                None => self.wrong_type(key, node, expected),
            }
            return None;
        };
        let found = numbers.into_iter().map(|(item, number)| {
            // A negative number is below every range.
            let within = u64::try_from(number).ok().filter(|number| range.contains(number));
            if within.is_none() {
                self.out_of_range(key, &item.origin, range, u64::to_string);
            }
            within
        });
        let found: Vec<_> = found.collect();
        found.into_iter().collect()
    }

    /// A count of things held in memory.
    pub(crate) fn count(&self, key: &str, range: &RangeInclusive<u64>) -> Option<usize> {
        self.number(key, range).and_then(|number| usize::try_from(number).ok())
    }

    /// A share from 0.0 to 1.0.
    pub(crate) fn ratio(&self, key: &str) -> Option<f64> {
        let node = self.node(key)?;
        let ratio = match &node.value {
            Value::Float(number) => Some(*number),
            Value::Integer(0) => Some(0.0),
            Value::Integer(1) => Some(1.0),
            Value::Integer(_) => Some(f64::NAN),
            Value::Text(text) if node.is_external() => text.trim().parse().ok(),
            Value::Broken => return None,
            _ => None,
        };
        let Some(ratio) = ratio else {
            self.wrong_type(key, node, "a number from 0.0 to 1.0");
            return None;
        };
        if (0.0..=1.0).contains(&ratio) {
            return Some(ratio);
        }
        self.refuse(key, "is out of range", "expected a number from 0.0 to 1.0", None);
        None
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        let node = self.node(key)?;
        match (&node.value, node.is_external()) {
            (Value::Bool(value), _) => return Some(*value),
            (Value::Text(text), true) if text == "true" => return Some(true),
            (Value::Text(text), true) if text == "false" => return Some(false),
            (Value::Broken, _) => {}
            _ => self.wrong_type(key, node, "`true` or `false`"),
        }
        None
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        self.chosen(key, text, &self.origin_of(key), choices)
    }

    /// Some of a few words.
    pub(crate) fn choices<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<Vec<T>> {
        let words = self.words(key)?;
        let chosen = words.iter().map(|word| self.chosen(key, &word.text, &word.origin, choices));
        // All of them are looked at before the first wrong one ends it.
        let chosen: Vec<_> = chosen.collect();
        chosen.into_iter().collect()
    }

    fn chosen<T: Copy>(
        &self,
        key: &str,
        text: &str,
        origin: &Origin,
        choices: &[(&str, T)],
    ) -> Option<T> {
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let title = format!("`{}` is not one of its values", self.path_of(key));
        let label = format!("expected {}", one_of(choices.iter().map(|(word, _)| *word)));
        let mut problem = Problem::at(origin, title).label(label);
        if let Some(near) = near(text, choices.iter().map(|(word, _)| *word)) {
            problem = problem.help(format!("did you mean \"{near}\"?"));
        } else if let Some(help) = slips::unexpanded(text) {
            problem = problem.help(help);
        }
        self.problems.push(problem);
        None
    }

    fn unit<T, E: Display>(
        &self,
        key: &str,
        kind: &str,
        hint: impl Fn(&str) -> Option<String>,
        parse: impl Fn(&str) -> Result<T, E>,
        fits: impl Fn(T) -> bool,
    ) -> Option<T> {
        let node = self.node(key)?;
        if let Value::Integer(number) = node.value {
            // The commonest slip: the number is right, its unit is missing.
            let title = format!("`{}` must be a string with a unit", self.path_of(key));
            let problem = Problem::at(&node.origin, title).label("a number has no unit");
            self.problems.push(match hint(&number.to_string()) {
                Some(help) => problem.help(help),
                None => problem,
            });
            return None;
        }
        let text = self.text(key)?;
        let refuse = |error| {
            // The next: a space before the unit.
            let joined: String = text.split_whitespace().collect();
            let is_joined = parse(&joined).is_ok_and(&fits);
            let help = if is_joined { Some(format!("write \"{joined}\"")) } else { hint(text) };
            self.refuse(key, &format!("is not {kind}"), error, help.as_deref());
        };
        parse(text).map_err(refuse).ok()
    }

    fn in_range(
        &self,
        key: &str,
        value: u64,
        range: &RangeInclusive<u64>,
        show: impl Fn(&u64) -> String,
    ) -> Option<u64> {
        if range.contains(&value) {
            return Some(value);
        }
        self.out_of_range(key, &self.origin_of(key), range, show);
        None
    }

    fn out_of_range(
        &self,
        key: &str,
        origin: &Origin,
        range: &RangeInclusive<u64>,
        show: impl Fn(&u64) -> String,
    ) {
        let (start, end) = (show(range.start()), show(range.end()));
        let label = if *range.end() == u64::MAX {
            format!("expected at least {start}")
        } else {
            format!("expected {start} to {end}")
        };
        let title = format!("`{}` is out of range", self.path_of(key));
        self.problems.push(Problem::at(origin, title).label(label));
    }
}

/// The word that was most likely meant by one in capitals, a longer one, or a misspelt one.
fn near<'w>(text: &str, mut words: impl Iterator<Item = &'w str> + Clone) -> Option<&'w str> {
    let text = text.to_ascii_lowercase();
    let is_part = |word: &&str| word.len() >= 3 && text.starts_with(word);
    nearest(&text, words.clone()).or_else(|| words.find(is_part))
}

fn integer(node: &Node) -> Option<i64> {
    match node.value {
        Value::Integer(number) => Some(number),
        _ => None,
    }
}

/// Writes a closed set for a person: `"a", "b" or "c"`.
pub(crate) fn one_of<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let quoted: Vec<_> = words.map(|word| format!("\"{word}\"")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
