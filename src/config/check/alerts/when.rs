//! The words of `alerts.when`.
//!
//! `COUNTER > N/min`, `pNN(HISTOGRAM[, LABEL=VALUE]) > DURATION over DURATION`, or
//! `ratio(COUNTER, COUNTER) > N% over DURATION`; a counter may be followed by `{LABEL=VALUE, …}`. A value may
//! be quoted; one that is not ends at a comma, a space, or a bracket that it did not open: a route's template has
//! some. Every fault has its place.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use crate::config::keys::nearest;
use crate::config::model::BOOKS;
use crate::config::model::{Book, BookKind, Condition, LABELS, SHORT, Series};
use crate::record::ConfigName;
use crate::units;

/// How far back can be looked.
const WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
const WHAT: &str = "expected `COUNTER > N/min`, `p95(HISTOGRAM) > DURATION over DURATION` or \
                    `ratio(COUNTER, COUNTER) > N% over DURATION`";

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// These bytes of the text.
    pub(super) place: Range<usize>,
    /// What was expected there.
    pub(super) label: String,
    /// What was probably meant.
    pub(super) help: Option<String>,
}

/// Reads a condition.
pub(super) fn parse(text: &str) -> Result<Condition, Fault> {
    let mut reader = Reader { text, at: 0 };
    let start = reader.at;
    let name = reader.word();
    let condition = if name == "ratio" && reader.next_is('(') {
        reader.ratio()?
    } else if let (Some(percent), true) = (percentile(name), reader.next_is('(')) {
        reader.quantile(percent)?
    } else if is_percentile(name) {
        return Err(reader.fault(start..reader.at, "expected `p1` to `p99`, as in `p95(duration)`"));
    } else {
        reader.at = start;
        reader.rate()?
    };
    reader.skip();
    if reader.at < text.len() {
        return Err(reader.fault(reader.at..text.len(), "expected the end here"));
    }
    Ok(condition)
}

fn percentile(name: &str) -> Option<u8> {
    name.strip_prefix('p')?.parse().ok().filter(|percent| (1..=99).contains(percent))
}

/// Whether it is meant as a percentile; no metric has such a name.
fn is_percentile(name: &str) -> bool {
    let digits = name.strip_prefix('p').unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rate(&mut self) -> Result<Condition, Fault> {
        let of = self.counter()?;
        self.eat_above()?;
        let (place, number) = self.token();
        let Some((count, period)) = number.split_once('/') else {
            let mut fault = self.fault(place, "expected a count per minute, as in `10/min`");
            if matches!(of.book.kind, BookKind::Time { .. }) && units::duration(number).is_ok() {
                let meant = format!("p95(duration) > {number} over 5m");
                fault.help = Some(format!("a duration needs a percentile, as in `{meant}`"));
            }
            return Err(fault);
        };
        let Ok(above) = count.parse() else {
            return Err(self.fault(place, "expected a whole number, as in `10/min`"));
        };
        if period != "min" {
            return Err(self.fault(place, "expected `/min`: counts are per minute"));
        }
        Ok(Condition::Rate { of, above })
    }

    fn quantile(&mut self, percent: u8) -> Result<Condition, Fault> {
        self.eat('(')?;
        let (place, mut of) = self.series()?;
        let BookKind::Time { last } = of.book.kind else {
            return Err(
                self.fault(place, "expected a histogram of durations, as in `p95(duration)`")
            );
        };
        self.labels(&mut of, ')')?;
        self.eat_above()?;
        let (place, above) = self.duration()?;
        if above >= last {
            let label = format!(
                "the last bucket ends at {}s, so nothing is known beyond",
                last.as_secs_f64()
            );
            return Err(self.fault(place, &label));
        }
        let over = self.over()?;
        Ok(Condition::Quantile { percent, of, above, over })
    }

    fn ratio(&mut self) -> Result<Condition, Fault> {
        self.eat('(')?;
        let of = self.counter()?;
        self.eat(',')?;
        let to = self.counter()?;
        self.eat(')')?;
        self.eat_above()?;
        let (place, number) = self.token();
        let above = number.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
        // It also rejects what is no number.
        let Some(above) = above.filter(|above| (0.0..100_000.0).contains(above)) else {
            return Err(self.fault(place, "expected a share, as in `1%` or `0.1%`"));
        };
        let over = self.over()?;
        Ok(Condition::Ratio { of, to, above, over })
    }

    fn over(&mut self) -> Result<Duration, Fault> {
        let (place, word) = self.token();
        if word != "over" {
            return Err(self.fault(place, "expected `over` and a duration, as in `over 5m`"));
        }
        let (place, over) = self.duration()?;
        if WINDOW.contains(&over) { Ok(over) } else { Err(self.fault(place, "expected 1s to 24h")) }
    }

    fn duration(&mut self) -> Result<(Range<usize>, Duration), Fault> {
        let (place, text) = self.token();
        match units::duration(text) {
            Ok(duration) => Ok((place, duration)),
            Err(_) => Err(self.fault(place, "expected a duration, as in `5s` or `1m30s`")),
        }
    }

    /// A counter, or the count of a histogram.
    fn counter(&mut self) -> Result<Series, Fault> {
        let (_, mut of) = self.series()?;
        if self.next_is('{') {
            self.at += 1;
            self.label(&mut of)?;
            self.labels(&mut of, '}')?;
        }
        Ok(of)
    }

    fn series(&mut self) -> Result<(Range<usize>, Series), Fault> {
        self.skip();
        let start = self.at;
        let name = self.word();
        let place = start..self.at;
        if name.is_empty() {
            return Err(self.fault(start..self.text.len(), WHAT));
        }
        let short = SHORT.iter().find(|short| short.name == name);
        let Some(book) = Book::find(short.map_or(name, |short| short.metric)) else {
            let known =
                SHORT.iter().map(|short| short.name).chain(BOOKS.iter().map(|book| book.metric));
            let mut fault = self.fault(place, "no metric has this name");
            let near = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
            fault.help = near.or_else(|| {
                let names: Vec<_> = SHORT.iter().map(|short| short.name).collect();
                let names = names.join(", ");
                Some(format!("there are {names}, and the counters and histograms of /metrics"))
            });
            return Err(fault);
        };
        let statuses = short.and_then(|short| short.statuses.clone());
        Ok((place, Series { book, statuses, labels: Vec::new() }))
    }

    /// Labels, each behind a comma, up to this bracket.
    fn labels(&mut self, of: &mut Series, end: char) -> Result<(), Fault> {
        while self.next_is(',') {
            self.at += 1;
            self.label(of)?;
        }
        self.eat(end)
    }

    fn label(&mut self, of: &mut Series) -> Result<(), Fault> {
        self.skip();
        let start = self.at;
        let name = self.word();
        let place = start..self.at;
        let long = LABELS.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| long);
        let known = of.book.labels;
        let exact = known.iter().find(|label| **label == name);
        let Some(label) = exact.or_else(|| known.iter().find(|label| **label == long)) else {
            let mut fault = self.fault(place, "the metric has no such label");
            fault.help = Some(match known {
                [] => "it has no labels".to_owned(),
                _ => format!("its labels are {}", known.join(", ")),
            });
            return Err(fault);
        };
        self.eat('=')?;
        self.skip();
        let start = self.at;
        let value = self.value()?;
        if value.is_empty() {
            return Err(self.fault(start..self.at, "expected the value of the label"));
        }
        of.labels.push((label, ConfigName::configured(value)));
        Ok(())
    }

    /// The value of a label, without its quotes.
    fn value(&mut self) -> Result<&'t str, Fault> {
        let start = self.at;
        let rest = &self.text[start..];
        if let Some(rest) = rest.strip_prefix('"') {
            let Some(length) = rest.find('"') else {
                let mut fault = self.fault(start..self.text.len(), "this quote is not closed");
                fault.help = Some("add a `\"` behind the value".to_owned());
                return Err(fault);
            };
            self.at += length + 2;
            return Ok(&rest[..length]);
        }
        let mut open = Vec::new();
        let is_end = |c: char| match c {
            '{' => {
                open.push('}');
                false
            }
            '(' => {
                open.push(')');
                false
            }
            '}' | ')' => open.pop() != Some(c),
            _ => c == ',' || c.is_whitespace(),
        };
        let length = rest.find(is_end).unwrap_or(rest.len());
        self.at += length;
        Ok(&rest[..length])
    }

    fn skip(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn word(&mut self) -> &'t str {
        self.skip();
        self.take(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    /// What stands up to the next space.
    fn token(&mut self) -> (Range<usize>, &'t str) {
        self.skip();
        let start = self.at;
        let token = self.take(|c| !c.is_whitespace());
        (start..self.at, token)
    }

    fn take(&mut self, is_part: impl Fn(char) -> bool) -> &'t str {
        let rest = &self.text[self.at..];
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn next_is(&mut self, sign: char) -> bool {
        self.skip();
        self.text[self.at..].starts_with(sign)
    }

    /// The one comparison there is.
    fn eat_above(&mut self) -> Result<(), Fault> {
        self.skip();
        let start = self.at;
        let sign = self.take(|c| "<>=!".contains(c));
        if sign == ">" {
            return Ok(());
        }
        let mut fault = self.fault(start..self.at, "expected `>` here");
        if !sign.is_empty() {
            fault.help = Some(format!("`{sign}` is not known: only `>` is"));
        }
        Err(fault)
    }

    fn eat(&mut self, sign: char) -> Result<(), Fault> {
        if self.next_is(sign) {
            self.at += sign.len_utf8();
            return Ok(());
        }
        Err(self.fault(self.at..self.at, &format!("expected `{sign}` here")))
    }

    #[expect(clippy::unused_self, reason = "it reads like its callers")]
    fn fault(&self, place: Range<usize>, label: &str) -> Fault {
        Fault { place, label: label.to_owned(), help: None }
    }
}

#[cfg(test)]
mod tests;
