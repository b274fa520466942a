//! A stage that panics, in a house with every voice: what it panicked with stays in.

use std::pin::pin;
use std::sync::{Arc, OnceLock};

use vital_sidecar::config::Config;
use vital_sidecar::proxy::exchange::Stop;
use vital_sidecar::proxy::{answer, pipeline};
use vital_sidecar::telemetry::metrics::{Format, Metrics};
use vital_sidecar::telemetry::sinks::access_log::AccessLog;
use vital_sidecar::telemetry::{Console, Opened, Telemetry};

use super::markers::{Markers, Shape};
use super::receiver::Receiver;
use super::sinks::Sinks;
use super::traffic::Writer;
use crate::endings::panicked::{keep_stacks, panicking};
use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::house::Paper;
use crate::support::sidecar;

/// What the stage panics with.
static LAST_WORDS: OnceLock<String> = OnceLock::new();

#[tokio::test]
async fn nothing_of_a_request_comes_out_where_a_stage_panics_over_it() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    LAST_WORDS.get_or_init(|| markers.mint("a panic's words", Shape::Word));
    let text = super::everything("127.0.0.1:9", &receiver, "");
    let mut config = Config::from_toml(&text).expect("a configuration");
    let directory = tempfile::tempdir().expect("a directory");
    config.log.directory = Some(directory.path().to_owned());
    let (paper, metrics) = (Paper::default(), Metrics::new(&config.service));
    let console = Console::To(Box::new(paper.clone()));
    let log_files = AccessLog::files_of(&config.service, &config.log).expect("files");
    let opened = Opened { log_files, ..Opened::default() };
    let voices = Telemetry::start(&config, metrics, console, opened).expect("voices");
    let house = sidecar::telling(&config, voices, None);
    keep_stacks();
    let address = panicking(&house, |exchange, asked| async move {
        let walk = async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "{:?}", LAST_WORDS.get());
            Ok::<(), Stop>(())
        };
        let Err(stop) = pipeline::contain(pin!(walk)).await else { unreachable!("it panicked") };
        answer::refuse(exchange, stop, asked)
    })
    .await;
    let mut sinks = Sinks::default();
    let mut client = Client::connect(address).await;
    for shape in Shape::ALL {
        let writer = Writer { markers: Arc::clone(&markers), shape, is_believed: false };
        let target = writer.known("fine");
        client.say(format!("GET {target} HTTP/1.1\r\n{}\r\n", writer.fields())).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 500);
        sinks.take("own answers", answer.body);
    }
    let telemetry = house.proxy.telemetry();
    telemetry.stop(tokio::time::Instant::now() + PATIENCE).await;
    let page = telemetry.metrics().expose(Format::Text).expect("a page");
    sinks.take("metrics", page.body);
    sinks.take_log("console", std::str::from_utf8(&paper.bytes()).expect("UTF-8"));
    sinks.take_files(directory.path());
    sinks.stacks.extend(receiver.haystacks("spans", "/v1/traces"));
    sinks.stacks.extend(receiver.haystacks("events", "/api/42/envelope/").into_iter().take(1));
    assert_eq!(sinks.endings.iter().collect::<Vec<_>>(), ["panic"]);
    let lines = paper.lines().into_iter();
    let ended: Vec<_> = lines.filter(|line| line["message"] == "Request completed").collect();
    assert_eq!(ended.len(), Shape::ALL.len());
    for line in ended {
        let stack = line["stack"].as_str().expect("a stack");
        assert!(stack.contains("vital_sidecar::proxy::pipeline::contain"), "{stack}");
    }
    let leaks = markers.leaks(&sinks.stacks);
    assert!(leaks.is_empty(), "{leaks:#?}");
    let events = sinks.stacks.iter().find(|stack| stack.name == "events").expect("events");
    assert!(memchr::memmem::find(&events.bytes, b"\"panic\"").is_some(), "it was reported");
}
