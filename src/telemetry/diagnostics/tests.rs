//! What diagnostics look like, and that they wait for nobody.

use std::sync::Arc;

use parking_lot::Mutex;
use tracing::Level;

use super::*;
use crate::config::model::Schema;
use crate::telemetry::lane::Lane;
use crate::telemetry::ledger::Book;
use crate::telemetry::log;
use crate::telemetry::log::sample::service;

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hear(level: LogLevel, form: Form, say: impl FnOnce()) -> String {
    let paper = Paper::default();
    let format = Format::new(&service(), form);
    let (voice, diagnostics) = start(format, Box::new(paper.clone())).unwrap();
    let subscriber = tracing_subscriber::registry().with(voice.with_filter(filter(level)));
    tracing::subscriber::with_default(subscriber, say);
    diagnostics.close(Duration::from_secs(20));
    String::from_utf8(std::mem::take(&mut *paper.0.lock())).unwrap()
}

fn hear_json(schema: Schema, say: impl FnOnce()) -> serde_json::Value {
    let text = hear(LogLevel::Info, Form::Json(schema), say);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_a_library_warns_of_a_peer_is_not_ours_to_repeat() {
    for level in [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error] {
        let filter = filter(level);
        for target in ["h2::proto::streams", "hyper::proto", "rustls::msgs"] {
            assert!(!filter.would_enable(target, &Level::WARN), "{target}");
        }
    }
    assert!(filter(LogLevel::Warn).would_enable("vital_sidecar", &Level::WARN));
}

#[test]
fn a_json_line_carries_message_service_and_fields() {
    let line = hear_json(Schema::Winston, || {
        tracing::warn!(error = %"no\nroom", count = 3, share = 0.5, "Something broke.");
    });
    assert_eq!(line["level"], "warn");
    assert_eq!(line["message"], "Something broke.");
    assert_eq!(line["service"], "vital-orchestrator");
    assert_eq!(line["error.message"], "no\nroom");
    assert_eq!((&line["count"], &line["share"]), (&3.into(), &0.5.into()));
    assert_eq!(line.get("error.type"), None, "a warning is no error");
}

#[test]
fn an_error_has_a_kind_and_a_message_in_every_schema() {
    let said = || tracing::error!(segment = "a", "The audit trail cannot be written.");
    let winston = hear_json(Schema::Winston, said);
    let otel = hear_json(Schema::Otel, said)["Attributes"].take();
    for line in [&winston, &otel, &hear_json(Schema::Ecs, said)] {
        assert_eq!(line["error.type"], "_OTHER", "{line}");
        assert_eq!(line["error.message"], "The audit trail cannot be written.", "{line}");
    }
    let panicked =
        || tracing::error!(stack = "a\nb", "error.type" = "panic", "A panic was caught.");
    assert_eq!(hear_json(Schema::Winston, panicked)["stack"], "a\nb");
    assert_eq!(hear_json(Schema::Otel, panicked)["Attributes"]["exception.stacktrace"], "a\nb");
    let ecs = hear_json(Schema::Ecs, panicked);
    assert_eq!((&ecs["error.stack_trace"], &ecs["error.type"]), (&"a\nb".into(), &"panic".into()));
}

#[test]
fn a_field_with_the_name_of_another_is_not_written_twice() {
    let line = hear_json(Schema::Winston, || {
        tracing::info!(level = 1, version = "2", error = "a", error.message = "b", "Hello.");
    });
    assert_eq!((&line["level"], &line["version"]), (&"info".into(), &"1.0.0".into()));
    assert_eq!((&line["field.level"], &line["field.version"]), (&1.into(), &"2".into()));
    assert_eq!(line["error.message"], "b", "what was said last");
}

#[test]
fn a_pretty_line_is_one_line_and_steers_no_terminal() {
    let text = hear(LogLevel::Info, Form::Pretty, || {
        tracing::info!(path = "a\u{1b}[2J", "It is\nup.");
        tracing::info!("Quiet.");
    });
    let (first, second) = text.split_once('\n').unwrap();
    assert!(first.ends_with(" [info]: It is\\nup. {\"path\":\"a\\u001b[2J\"}"), "{text}");
    assert!(second.ends_with(" [info]: Quiet.\n"), "{text}");
}

#[test]
fn levels_below_the_configured_and_chatty_libraries_are_silent() {
    let text = hear(LogLevel::Info, Form::Pretty, || {
        tracing::debug!("Detail.");
        tracing::info!(target: "opentelemetry_sdk", "Chatter.");
        tracing::warn!(target: "opentelemetry-otlp", "Trouble.");
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("Trouble."), "{text}");
}

#[test]
fn another_level_is_in_force_at_once() {
    let paper = Paper::default();
    let form = Format::new(&service(), Form::Pretty);
    let (voice, diagnostics) = start(form, Box::new(paper.clone())).unwrap();
    let (filter, volume) = volume(LogLevel::Info);
    let say = |detail: &str| tracing::debug!(detail, "Detail.");
    tracing::subscriber::with_default(
        tracing_subscriber::registry().with(voice.with_filter(filter)),
        || {
            say("first");
            volume.turn_to(LogLevel::Debug);
            say("second");
            volume.turn_to(LogLevel::Warn);
            say("third");
            tracing::info!("Quiet.");
        },
    );
    diagnostics.close(Duration::from_secs(20));
    let text = String::from_utf8(paper.0.lock().clone()).unwrap();
    assert!(text.lines().count() == 1 && text.contains("second"), "{text}");
    volume.turn_to(LogLevel::Debug); // Nobody listens any more, and that is no panic.
}

#[test]
fn a_text_without_an_end_is_cut_between_two_characters() {
    let long = "ä".repeat(100_000);
    let line = hear_json(Schema::Winston, || tracing::info!(long, "Hello."));
    let text = line["long"].as_str().unwrap();
    assert!(text.len() == 8 * 1024 && text.chars().all(|letter| letter == 'ä'));
}

#[test]
fn last_words_are_said_whatever_the_level_of_the_log() {
    let paper = Paper::default();
    let format = Format::new(&service(), Form::Json(Schema::Winston));
    let (_voice, diagnostics) = start(format, Box::new(paper.clone())).unwrap();
    let said = |level, message: &str| Said {
        at: std::time::SystemTime::now(),
        level,
        message: message.to_owned(),
        fields: vec![("in_flight", log::Datum::Unsigned(0))],
    };
    assert!(diagnostics.say(said(LogLevel::Debug, "Good")));
    assert!(diagnostics.say(said(LogLevel::Info, "bye.")));
    diagnostics.close(Duration::from_secs(20));
    let text = String::from_utf8(paper.0.lock().clone()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["message"], &lines[1]["message"]), (&"Good".into(), &"bye.".into()));
    assert_eq!((&lines[0]["in_flight"], lines.len()), (&0.into(), 2));
}

/// A log with one output that hears diagnostics.
fn log() -> (Arc<log::Log>, Arc<Lane<Entry>>) {
    let mut log = log::Log::silent(LogLevel::Info);
    let lane = Arc::new(Lane::new("logs", "test", 1000, |_| 1));
    log.hear(Arc::clone(&lane));
    (Arc::new(log), lane)
}

#[test]
fn what_is_said_before_the_log_is_there_waits_for_it_and_after_it_goes_nowhere() {
    let (log, lane) = log();
    let (voice, diagnostics) =
        start(Format::new(&service(), Form::Pretty), Box::new(io::sink())).unwrap();
    let feed = diagnostics.feed();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(voice), || {
        tracing::info!("First.");
        feed.attach(&log);
        tracing::info!("Second.");
        feed.detach();
        tracing::info!("Third.");
    });
    let mut heard = Vec::new();
    lane.sweep(&mut heard);
    let heard: Vec<_> = heard.iter().map(Entry::message).collect();
    assert_eq!(heard, ["First.", "Second."]);
    assert_eq!(Arc::strong_count(&log), 1, "detached, nobody holds it");
}

#[test]
fn the_backlog_has_a_bound() {
    let (log, lane) = log();
    let (voice, diagnostics) =
        start(Format::new(&service(), Form::Pretty), Box::new(io::sink())).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(voice), || {
        (0..10_000).for_each(|_| tracing::info!("Waiting."));
    });
    diagnostics.feed().attach(&log);
    assert_eq!(lane.account().accepted, 256);
}

/// A reader that never comes back.
struct Stalled(Receiver<()>);

impl Write for Stalled {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        self.0.recv().ok();
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stalled_stderr_holds_nobody_up() {
    let (_hold, never) = std::sync::mpsc::channel();
    let format = Format::new(&service(), Form::Json(Schema::Winston));
    let (voice, diagnostics) = start(format, Box::new(Stalled(never))).unwrap();
    let lost = Arc::clone(&voice.lost);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(voice), || {
        for _ in 0..CAPACITY + 10 {
            tracing::info!("Going on.");
        }
    });
    assert!(lost.load(Ordering::Relaxed) >= 9, "one may be in the thread's hands");
    diagnostics.close(Duration::ZERO);
}
