//! A thousand ways to misbehave, on both sides, at random: whatever happens, one record for each head
//! that was parsed, one connection error for each that was begun in vain, and books that balance.
//!
//! Each case has a sidecar of its own with small bounds and short clocks. What must have been seen is
//! known from what the client said ([`client::Told`]) and from what the upstream saw, never from the
//! sidecar. Where a race leaves it open, the number has a lower and an upper bound.
//!
//! The clocks are real, so a machine that has no time for a case makes clients and upstreams late, and a
//! sidecar that says so is right. Cases begin no faster than the machine keeps up, and one that ends
//! wrong while somebody was late ([`lateness`]) is played again.

mod client;
mod lateness;
mod scenario;
mod upstream;
mod wire;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::test_runner::{TestCaseError, TestRunner};
use tokio::task::JoinSet;
use tokio::time::Instant;
use vital_sidecar::config::Config;
use vital_sidecar::config::model::Console;
use vital_sidecar::record::{Abort, Failure, Outcome, Record, Refusal};
use vital_sidecar::telemetry::metrics::Metrics;
use vital_sidecar::telemetry::{Console as Out, Opened, Telemetry};

use crate::support::{PATIENCE, batches, eventually, sidecar};
use client::{Asked, Told};
use scenario::{Behaviour, Body, Manner, Scenario, Talk};
use upstream::Seen;

const BATCHES: u32 = 10;
const SCENARIOS: usize = 100;
const MAX_BODY: usize = 4096;
/// The shortest clock of [`config`] is 500 ms, and several tasks may be late one after the other.
const LATE: Duration = Duration::from_millis(100);
/// How often a case may be played on a machine that is late.
const MOST_TRIES: u32 = 20;

#[test]
fn whatever_happens_every_head_leaves_one_record() {
    let runtime = batches::runtime();
    let run = TestRunner::new(batches::cases(BATCHES)).run(
        &scenario::scenarios(SCENARIOS),
        |scenarios| {
            runtime.block_on(async {
                let mut running = JoinSet::new();
                for scenario in scenarios {
                    lateness::calm().await;
                    running.spawn(async move {
                        let said = format!("{scenario:?}");
                        play_in_time(scenario)
                            .await
                            .map_err(|reason| format!("{reason}\nin {said}"))
                    });
                }
                let mut wrong = Vec::new();
                while let Some(played) = running.join_next().await {
                    wrong.extend(played.unwrap_or_else(|panic| Err(panic.to_string())).err());
                }
                match wrong.first() {
                    None => Ok(()),
                    Some(first) => {
                        Err(TestCaseError::fail(format!("{} wrong; {first}", wrong.len())))
                    }
                }
            })
        },
    );
    if let Err(error) = run {
        panic!("{error}");
    }
}

/// Everything that is known after a case.
struct Case {
    told: Vec<Told>,
    seen: Seen,
    records: Vec<Arc<Record>>,
    errors: usize,
}

/// Plays one case and judges it. Where that goes wrong while the machine was late, it says nothing, and
/// the case is played again.
async fn play_in_time(scenario: Scenario) -> Result<(), String> {
    let mut tries = 0;
    loop {
        tries += 1;
        let (played, late) = lateness::beside(play(scenario.clone())).await;
        match played {
            Err(_) if late > LATE && tries < MOST_TRIES => lateness::calm().await,
            Err(reason) => return Err(format!("{reason}\n(try {tries}, up to {late:?} late)")),
            Ok(()) => return Ok(()),
        }
    }
}

/// Plays one case and judges it.
async fn play(scenario: Scenario) -> Result<(), String> {
    let upstream = upstream::start(scenario.upstream.clone()).await;
    let config = config(upstream.address);
    let metrics = Metrics::new(&config.service);
    let telemetry =
        Telemetry::start(&config, metrics, Out::To(Box::new(Vec::new())), Opened::default());
    let telemetry = telemetry.map_err(|error| error.to_string())?;
    let sidecar = sidecar::telling(&config, telemetry, None);

    let mut talking = JoinSet::new();
    for (name, talk) in scenario.talks.into_iter().enumerate() {
        let address = sidecar.address;
        talking.spawn(async move { client::run(address, name, &talk).await });
    }
    let talks = tokio::time::timeout(2 * PATIENCE, talking.join_all()).await;
    let mut told = talks.map_err(|_| "a client waits for ever".to_owned())?;
    // Connections are accepted in turn: once the last has its answer, none waits for its turn.
    told.push(client::run(sidecar.address, usize::MAX, &Talk::refused()).await);

    eventually("every connection ends", || sidecar.metric("sidecar_connections") == 0.0).await;
    let errors = sidecar.metric("sidecar_connection_errors_total");
    let open = [
        ("http_server_active_requests", sidecar.metric("http_server_active_requests")),
        ("in use", sidecar.metric("sidecar_upstream_connections{state=\"in_use\"}")),
    ];
    let proxy = Arc::clone(&sidecar.proxy);
    let load = proxy.overload().load();
    if (load.in_flight, load.streams, load.waiting) != (0, 0, 0) {
        return Err(format!("{load:?} after the end"));
    }
    let mut channel = sidecar.stop().await;
    let mut records = Vec::new();
    while let Ok(record) = channel.try_recv() {
        records.push(record);
    }
    if let Some((name, value)) = open.iter().find(|(_, value)| *value != 0.0) {
        return Err(format!("{name} is {value} after the end"));
    }
    proxy.telemetry().stop(Instant::now() + PATIENCE).await;
    let [account] = &*proxy.telemetry().ledger().snapshot() else {
        return Err("one lane was asked for".to_owned());
    };
    if !account.is_balanced() || account.in_flight > 0 || account.exported != records.len() as u64 {
        return Err(format!("{account}, but {} records", records.len()));
    }
    let seen = std::mem::take(&mut *upstream.seen.lock());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let errors = errors as usize;
    Case { told, seen, records, errors }.judge()
}

fn config(upstream: std::net::SocketAddr) -> Config {
    let mut config = Config::for_upstream(upstream);
    config.otlp.traces = None;
    config.log.console = Console::Json;
    let limits = &mut config.server.limits;
    limits.header_timeout = Duration::from_secs(2);
    limits.idle_timeout = Duration::from_millis(600);
    limits.body_idle_timeout = Duration::from_millis(600);
    limits.max_request_body = MAX_BODY as u64;
    limits.max_header_bytes = 8 * 1024;
    let timeouts = &mut config.upstream.timeouts;
    timeouts.response_header = Some(Duration::from_millis(500));
    timeouts.idle = Some(Duration::from_millis(500));
    timeouts.stream_idle = Some(Duration::from_millis(500));
    config
}

impl Case {
    fn judge(&self) -> Result<(), String> {
        let verdict = self.judge_upstream().and_then(|()| self.judge_counts());
        let verdict = verdict.and_then(|()| self.judge_outcomes());
        verdict.map_err(|reason| {
            let outcomes: Vec<_> = self.records.iter().map(|r| (r.outcome, r.status)).collect();
            format!(
                "{reason}\nrecords: {outcomes:?}\nerrors: {}\ntold: {:#?}\nseen: {:?}",
                self.errors, self.told, self.seen
            )
        })
    }

    /// The upstream got whole requests, one after the other, and none of them twice.
    fn judge_upstream(&self) -> Result<(), String> {
        if let Some(violation) = self.seen.violations.first() {
            return Err(violation.clone());
        }
        let mut tags = HashSet::new();
        for request in &self.seen.requests {
            if !tags.insert(&request.tag) {
                return Err(format!("{} was delivered twice", request.tag));
            }
            if request.body > MAX_BODY {
                return Err(format!("{} had {} bytes of body", request.tag, request.body));
            }
            let outcome = self.records.iter().find(|r| r.request_id.to_string() == request.id);
            let Some(record) = outcome else { return Err(format!("{request:?} has no record")) };
            let is_early = matches!(
                record.outcome,
                Outcome::Refused(Refusal::ExpectationFailed | Refusal::Forbidden)
            );
            if is_early {
                return Err(format!("{} was refused and forwarded", request.tag));
            }
        }
        Ok(())
    }

    fn judge_counts(&self) -> Result<(), String> {
        let sum = |part: fn(&Told) -> usize| self.told.iter().map(part).sum::<usize>();
        let heads = sum(|told| told.heads.0)..=sum(|told| told.heads.1);
        if !heads.contains(&self.records.len()) {
            return Err(format!("{} records for {heads:?} heads", self.records.len()));
        }
        let ids: HashSet<_> =
            self.records.iter().map(|record| record.request_id.to_string()).collect();
        if ids.len() != self.records.len() {
            return Err("two records with one id".to_owned());
        }
        for asked in self.told.iter().flat_map(|told| &told.asked) {
            if let Some((id, status)) = &asked.answer
                && !ids.contains(id)
            {
                return Err(format!("{} was answered {status} without a record", asked.tag));
            }
        }
        let errors = sum(|told| told.errors.0)..=sum(|told| told.errors.1);
        if !errors.contains(&self.errors) {
            return Err(format!("{} connection errors, not {errors:?}", self.errors));
        }
        Ok(())
    }

    /// Each record tells of something that happened.
    fn judge_outcomes(&self) -> Result<(), String> {
        let requests = || self.told.iter().flat_map(|told| &told.asked);
        let by_tag: HashMap<_, _> = requests().map(|asked| (&*asked.tag, asked)).collect();
        for record in &self.records {
            let id = record.request_id.to_string();
            let met = self.seen.requests.iter().find(|request| request.id == id);
            let asked = met.and_then(|met| by_tag.get(&*met.tag).copied()).or_else(|| {
                requests()
                    .find(|asked| asked.answer.as_ref().is_some_and(|(known, _)| *known == id))
            });
            let can_be = match asked {
                Some(asked) => Self::can_be(record, asked, met.map(|met| met.behaviour)),
                // Neither side can say which it was, so any that is not accounted for will do.
                None => requests().any(|asked| Self::can_be(record, asked, None)),
            };
            if !can_be {
                return Err(format!("{:?} cannot be: {asked:?} met {met:?}", record.outcome));
            }
            let answered = asked.and_then(|asked| asked.answer.as_ref()).map(|(_, status)| *status);
            if answered.is_some() && answered != record.status {
                return Err(format!("{answered:?} was sent, {:?} recorded", record.status));
            }
        }
        Ok(())
    }

    /// Whether a record of this request, treated so by the upstream, can say what it says.
    fn can_be(record: &Record, asked: &Asked, met: Option<Behaviour>) -> bool {
        use Behaviour as B;
        let body = asked.ask.body;
        match record.outcome {
            Outcome::Served => {
                matches!(
                    met,
                    Some(B::Serve { .. } | B::ServeEarly { .. } | B::ServeAndClose { .. })
                ) || (asked.ask.method == "HEAD"
                    && matches!(met, Some(B::CutInBody { .. } | B::HangInBody { .. })))
            }
            Outcome::Refused(Refusal::BadRequest) => {
                body == Body::BadChunk
                    || matches!(
                        asked.ask.manner,
                        Manner::NamesNoHost | Manner::NamesTwoHosts | Manner::Nonsense
                    )
            }
            Outcome::Refused(Refusal::HeaderTooLarge) => asked.ask.manner == Manner::Nonsense,
            Outcome::Refused(Refusal::ExpectationFailed) => {
                asked.ask.manner == Manner::ExpectsWonders
            }
            Outcome::Refused(Refusal::BodyTooLarge) => {
                matches!(body, Body::TooLarge | Body::TooLargeChunked)
            }
            Outcome::Refused(Refusal::RequestBodyTimeout) => {
                matches!(body, Body::Half | Body::HalfChunked)
            }
            Outcome::Failed(Failure::UpstreamReset) => match met {
                // A connection that closed as it was taken: the upstream saw nothing of the request.
                None => true,
                Some(met) => matches!(
                    met,
                    B::CloseBeforeHead
                        | B::ResetBeforeHead
                        | B::CloseEarly
                        | B::CutInHead { .. }
                        | B::CutInBody { .. }
                ),
            },
            Outcome::Failed(Failure::UpstreamProtocol) => {
                matches!(met, Some(B::Garbage | B::CutInHead { .. }))
            }
            Outcome::Failed(Failure::ResponseHeaderTimeout) => met == Some(B::HangBeforeHead),
            Outcome::Aborted(Abort::IdleTimeout | Abort::StreamIdleTimeout) => {
                matches!(met, Some(B::HangInBody { .. }))
            }
            Outcome::Gone { .. } => asked.left,
            _ => false,
        }
    }
}
