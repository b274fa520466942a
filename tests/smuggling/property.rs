//! Good requests with a few bytes changed: whatever comes out, nothing malformed goes upstream, and
//! every request leaves one record and gets at most one answer.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseError, TestRunner};
use tokio::task::JoinSet;
use vital_sidecar::record::Outcome;

use super::upstream::Seen;
use crate::support::client::Client;
use crate::support::edits::{apply, edit};
use crate::support::{batches, eventually, sidecar};

const BATCHES: u32 = 32;
const CONNECTIONS: usize = 128;

#[test]
fn nothing_malformed_goes_upstream_and_every_request_leaves_one_record() {
    let runtime = batches::runtime();
    let talks = proptest::collection::vec(talk(), CONNECTIONS);
    let run = TestRunner::new(batches::cases(BATCHES))
        .run(&talks, |talks| runtime.block_on(play(talks)).map_err(TestCaseError::fail));
    if let Err(error) = run {
        panic!("{error}");
    }
}

/// What one connection says, and in how many pieces.
#[derive(Clone, Debug)]
struct Talk {
    bytes: Vec<u8>,
    pieces: usize,
}

const ODD: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"-",
    b"+",
    b"0",
    b"1",
    b"x",
    b"\x7f",
    b"\xff",
    b"\x0b",
    b"\r\n ",
    b"host: b\r\n",
    b"content-length: 5\r\n",
    b"0\r\n\r\n",
    b"transfer-encoding: chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"GET / HTTP/1.1\r\n",
    b"connection: close, host\r\n",
    b"expect: 100-continue\r\n",
    b"te: trailers\r\n",
    b"%00",
    b"#",
];

fn talk() -> impl Strategy<Value = Talk> {
    let good: Vec<&'static [u8]> = vec![
        b"GET /a?b=c HTTP/1.1\r\nhost: app.example\r\nuser-agent: x/1.0\r\naccept: */*\r\n\r\n",
        b"POST /b HTTP/1.1\r\nhost: app.example\r\ncontent-length: 11\r\n\r\nhello world",
        b"POST /c HTTP/1.1\r\nhost: app.example\r\ntransfer-encoding: chunked\r\n\r\n\
          5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: 1\r\n\r\n",
        b"PUT http://app.example:80/d HTTP/1.1\r\nhost: app.example\r\ncontent-length: 36\r\n\r\n\
          GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n\r\n",
        b"POST /e HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 3\r\n\r\nabc",
    ];
    let messages = proptest::collection::vec(select(good), 1..4);
    (messages, proptest::collection::vec(edit(ODD), 0..4), 1..4_usize).prop_map(
        |(messages, edits, pieces)| {
            let mut bytes = messages.concat();
            for edit in &edits {
                apply(edit, &mut bytes);
            }
            Talk { bytes, pieces }
        },
    )
}

/// An answer: its request id, its status, and whether it said that it is the last.
struct Answer {
    id: String,
    status: u16,
    is_last: bool,
}

async fn play(talks: Vec<Talk>) -> Result<(), String> {
    let upstream = super::upstream::start().await;
    let mut config = super::config(&upstream);
    let limits = &mut config.server.limits;
    limits.header_timeout = Duration::from_millis(150);
    limits.idle_timeout = Duration::from_millis(150);
    limits.body_idle_timeout = Duration::from_millis(150);
    let mut sidecar = sidecar::with(&config).await;

    let mut talking = JoinSet::new();
    for talk in talks {
        let address = sidecar.address;
        talking.spawn(async move {
            let mut client = Client::connect(address).await;
            for piece in talk.bytes.chunks(talk.bytes.len().div_ceil(talk.pieces)) {
                client.say(piece).await;
                tokio::task::yield_now().await;
            }
            let said = client.rest().await;
            let answers = answers(&said).map_err(|why| {
                let (bytes, said) = (talk.bytes.escape_ascii(), said.escape_ascii());
                format!("{why} in {said}\nto {bytes}")
            });
            (answers, talk)
        });
    }
    let talks = talking.join_all().await;
    eventually("every connection ends", || sidecar.metric("sidecar_connections") == 0.0).await;

    let running = sidecar.metric("http_server_active_requests");
    if running != 0.0 {
        return Err(format!("{running} requests are still running"));
    }
    let mut records = Records::new();
    while let Some(record) = sidecar.try_record() {
        let id = record.request_id.to_string();
        if records.insert(id, (record.status, record.outcome)).is_some() {
            return Err("two records with one id".to_owned());
        }
    }
    judge_upstream(&upstream.take(), &records)?;
    judge_answers(&talks, &records)
}

/// The upstream got nothing malformed, and nothing that has no record.
fn judge_upstream(seen: &Seen, records: &Records) -> Result<(), String> {
    if let Some(violation) = seen.violations.first() {
        return Err(format!("sent upstream: {violation}"));
    }
    for request in &seen.requests {
        let ids: Vec<_> = request.all("x-request-id").collect();
        let [id] = ids[..] else { return Err(format!("{ids:?} in {request:?}")) };
        if !records.contains_key(id) {
            return Err(format!("no record of {request:?}"));
        }
    }
    Ok(())
}

type Told = (Result<Vec<Answer>, String>, Talk);
type Records = HashMap<String, (Option<u16>, Outcome)>;

/// Each answer has its record, a refusal that closes is the last, and no refused request is without
/// an answer: these clients stay to the end.
fn judge_answers(talks: &[Told], records: &Records) -> Result<(), String> {
    let mut answered = HashSet::new();
    for (answers, talk) in talks {
        let answers = answers.as_ref().map_err(Clone::clone)?;
        let bytes = talk.bytes.escape_ascii();
        for (nth, answer) in answers.iter().enumerate() {
            let Some((status, _)) = records.get(&answer.id) else {
                return Err(format!("an answer {} without a record, to {bytes}", answer.status));
            };
            if *status != Some(answer.status) {
                return Err(format!("{} was sent, {status:?} recorded, to {bytes}", answer.status));
            }
            if !answered.insert(answer.id.clone()) {
                return Err(format!("two answers to one request, to {bytes}"));
            }
            if answer.is_last && nth + 1 < answers.len() {
                return Err(format!("an answer behind the last, to {bytes}"));
            }
        }
    }
    let untold = records.iter().find(|(id, (_, outcome))| {
        matches!(outcome, Outcome::Refused(_)) && !answered.contains(*id)
    });
    match untold {
        Some((_, record)) => Err(format!("{record:?} was recorded, and nobody was told")),
        None => Ok(()),
    }
}

/// The answers on a connection, to its last byte. Interim ones are left out.
fn answers(mut bytes: &[u8]) -> Result<Vec<Answer>, String> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(bytes).map_err(|error| error.to_string())?;
        let httparse::Status::Complete(length) = parsed else { return Err("half a head".into()) };
        let field = |name: &str| {
            let field = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            field.map(|field| String::from_utf8_lossy(field.value).into_owned())
        };
        let status = head.code.unwrap_or_default();
        let body = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let id = field("x-request-id").unwrap_or_default();
        let is_last = field("connection").is_some_and(|value| value == "close");
        bytes = bytes.get(length + body..).ok_or("half a body")?;
        if status != 100 {
            answers.push(Answer { id, status, is_last });
        }
    }
    Ok(answers)
}
