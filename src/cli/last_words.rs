//! What the process says last: the ledger, balanced to the last item, or why it did not start.
//!
//! To people it is text; where standard error is read by programs, it is one more line of the
//! diagnostics, in the schema of the log. It is said whatever `log.level` is. A reader that has gone, or
//! that does not read, changes nothing about how the process ends.
//!
//! What is wrong before there are diagnostics, such as a configuration that is not valid, is text.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use crate::app::Farewell;
use crate::config::model::LogLevel;
use crate::telemetry::diagnostics::Diagnostics;
use crate::telemetry::ledger::{Account, Ledger};
use crate::telemetry::log::{Datum, Said};
use crate::telemetry::sinks::audit;

/// How long the last words may take to leave.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// What was lost to the end of the drain.
const CUT: &str = "not every exchange could end by itself; what still ran was cut";

/// What a second signal cost.
const HURRIED: &str = "asked again: audit and sinks got no more than a second to close";

/// Says the ledger, and what went wrong at the end. The diagnostics are closed by it.
pub(super) fn part(farewell: &Farewell, diagnostics: Option<Diagnostics>) -> ExitCode {
    let is_clean = farewell.is_clean();
    let title = if is_clean { "Tracing terminated" } else { "Error terminating tracing" };
    conclude(diagnostics, || line(farewell, title), &text(farewell, title));
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says why the sidecar did not start. The diagnostics, where there are some already, are closed by it.
pub(super) fn fail(why: &str, diagnostics: Option<Diagnostics>) -> ExitCode {
    let line = || {
        let fields = error("_OTHER", why.to_owned()).into();
        said(LogLevel::Error, "The sidecar did not start.", fields)
    };
    conclude(diagnostics, line, &format!("error: {why}\n"));
    ExitCode::FAILURE
}

/// Says it as a line where lines are for programs, else as text.
fn conclude(diagnostics: Option<Diagnostics>, line: impl FnOnce() -> Said, text: &str) {
    let is_said = diagnostics.is_some_and(|diagnostics| {
        let is_said = diagnostics.is_json() && diagnostics.say(line());
        diagnostics.close(LAST_WORDS);
        is_said
    });
    if !is_said {
        say(text);
    }
}

/// For people: one account per line.
fn text(farewell: &Farewell, title: &str) -> String {
    let audit = farewell.audit.as_ref().map(|audit| format!("audit {}\n", audit_words(audit)));
    let facts = [(!farewell.all_finished, CUT), (farewell.was_hurried, HURRIED)];
    let facts = facts.into_iter().filter(|(is_so, _)| *is_so);
    let facts: String = facts.flat_map(|(_, words)| [words, "\n"]).collect();
    format!("{title}\n{}\n{}{facts}", farewell.ledger, audit.unwrap_or_default())
}

/// For programs: the accounts in the words of the text, one after another, and what they come to.
fn line(farewell: &Farewell, title: &str) -> Said {
    let mut fields = ledger_fields(&farewell.ledger);
    let audit = farewell.audit.as_ref();
    fields.extend(audit.map(|audit| ("audit", Datum::Text(audit_words(audit)))));
    if farewell.is_clean() {
        return said(LogLevel::Info, title, fields);
    }
    let (kind, why) = match audit {
        _ if !farewell.all_finished => ("drain", CUT.to_owned()),
        Some(audit) if !audit.is_whole() => {
            ("audit_unavailable", format!("audit {}", audit_words(audit)))
        }
        _ if farewell.was_hurried => ("drain", HURRIED.to_owned()),
        _ => ("_OTHER", title.to_owned()),
    };
    fields.extend(error(kind, why));
    said(LogLevel::Error, title, fields)
}

/// Fields of a line.
type Fields = Vec<(&'static str, Datum)>;

fn ledger_fields(ledger: &Ledger) -> Fields {
    let accounts = ledger.snapshot();
    let words: Vec<_> = accounts.iter().map(ToString::to_string).collect();
    vec![
        ("ledger", Datum::Text(words.join("; "))),
        ("dropped", Datum::Unsigned(accounts.iter().map(Account::lost).sum())),
        ("in_flight", Datum::Unsigned(accounts.iter().map(|account| account.in_flight).sum())),
    ]
}

fn error(kind: &'static str, why: String) -> [(&'static str, Datum); 2] {
    [(Said::ERROR_TYPE, Datum::Text(kind.to_owned())), (Said::ERROR_MESSAGE, Datum::Text(why))]
}

fn said(level: LogLevel, message: &str, fields: Fields) -> Said {
    Said { at: SystemTime::now(), level, message: message.to_owned(), fields }
}

fn audit_words(audit: &audit::Report) -> String {
    let state = if audit.is_finished { "closed" } else { "NOT closed in time" };
    let lost = match audit.stats.lost {
        0 => String::new(),
        lost => format!(", {lost} records LOST: not written before the end"),
    };
    format!("{state} at seq {}{lost}", audit.stats.sequence)
}

/// Writes to stderr.
pub(super) fn say(words: &str) {
    let words = words.to_owned();
    let (done, is_done) = std::sync::mpsc::sync_channel(1);
    let write = move || {
        drop(io::stderr().write_all(words.as_bytes()));
        let _nobody_waits = done.send(());
    };
    // A thread that hangs in the write ends with the process.
    if std::thread::Builder::new().spawn(write).is_ok() {
        let _in_time = is_done.recv_timeout(LAST_WORDS);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn farewell(all_finished: bool, lost: u64) -> Farewell {
        hurried(all_finished, lost, false)
    }

    fn hurried(all_finished: bool, lost: u64, was_hurried: bool) -> Farewell {
        let stats = audit::Stats { sequence: 7, lost, ..audit::Stats::default() };
        let audit = Some(audit::Report { is_finished: true, stats });
        Farewell { ledger: Arc::default(), audit, all_finished, was_hurried }
    }

    #[test]
    fn lost_audit_records_are_among_the_last_words() {
        let words = |lost| audit_words(&farewell(true, lost).audit.unwrap());
        assert_eq!(words(0), "closed at seq 7");
        assert_eq!(words(2), "closed at seq 7, 2 records LOST: not written before the end");
        assert_eq!(text(&farewell(true, 0), "Title"), "Title\n\naudit closed at seq 7\n");
        assert_eq!(
            text(&farewell(false, 2), "Title"),
            format!(
                "Title\n\naudit closed at seq 7, 2 records LOST: not written before the end\n{CUT}\n"
            )
        );
        assert_eq!(
            text(&hurried(true, 0, true), "Title"),
            format!("Title\n\naudit closed at seq 7\n{HURRIED}\n"),
            "no exchange was cut"
        );
    }

    #[test]
    fn a_line_has_the_kind_of_what_went_wrong() {
        let kind = |all_finished, lost| kind_of(&farewell(all_finished, lost));
        let named = |kind: &str| Some(Datum::Text(kind.to_owned()));
        assert_eq!(kind(true, 0), (LogLevel::Info, None));
        assert_eq!(kind(false, 2), (LogLevel::Error, named("drain")));
        assert_eq!(kind(true, 2), (LogLevel::Error, named("audit_unavailable")));
        let error = line(&hurried(true, 0, true), "Title").fields;
        let error = error.into_iter().find(|(name, _)| *name == Said::ERROR_MESSAGE);
        assert_eq!(error.map(|(_, why)| why), Some(Datum::Text(HURRIED.to_owned())));
    }

    fn kind_of(farewell: &Farewell) -> (LogLevel, Option<Datum>) {
        let line = line(farewell, "Title");
        let kind = line.fields.into_iter().find(|(name, _)| *name == Said::ERROR_TYPE);
        (line.level, kind.map(|(_, kind)| kind))
    }
}
