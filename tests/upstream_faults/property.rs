//! Good answers with a few bytes changed: whatever an upstream says, its request leaves one record and gets
//! one answer that is whole or visibly cut, and nobody else gets any of it.
//!
//! What the client must get is told by the rules themselves, over the same bytes
//! ([`crate::fuzz_corpus::answers`]). Every answer has a tag that shows where its bytes went.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseError, TestError, TestRunner};
use tokio::task::JoinSet;
use vital_sidecar::config::Config;
use vital_sidecar::record::{Outcome, Record};

use crate::fuzz_corpus::answers::{End, Told, understand};
use crate::support::client::Client;
use crate::support::edits::{Edit, apply, edit};
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::{self, Upstream, Wire};
use crate::support::{batches, eventually};

const BATCHES: u32 = 6;
const TALKS: usize = 192;
const LANES: usize = 24;

#[test]
fn odd_answers_reach_their_own_client_or_nobody() {
    let runtime = batches::runtime();
    let talks = proptest::collection::vec(talk(), TALKS);
    let counts = Mutex::new([0; 3]);
    let run = TestRunner::new(batches::cases(BATCHES)).run(&talks, |talks| {
        let ends = runtime.block_on(play(&talks)).map_err(TestCaseError::fail)?;
        for end in ends {
            counts.lock()[end as usize] += 1;
        }
        Ok(())
    });
    match run {
        // Its talk is in the reason, and not the whole batch.
        Err(TestError::Fail(why, _batch)) => panic!("{why}"),
        other => other.unwrap_or_else(|error| panic!("{error}")),
    }
    let counts = counts.into_inner();
    assert!(counts.iter().all(|count| *count >= TALKS / 8), "{counts:?}: too little happened");
}

/// What became of a talk.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Served,
    /// Our own answer instead.
    Problem,
    Cut,
}

/// One request, and what is said to it.
#[derive(Clone, Debug)]
struct Talk {
    good: &'static str,
    edits: Vec<Edit>,
    is_head: bool,
    manner: Manner,
    cuts: Vec<Index>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Closes behind the answer, at a sidecar that never uses a connection twice.
    Closing,
    /// Waits for the next request. Only the first head comes in pieces: of what follows all must be
    /// there before anybody can take the connection for another request.
    Staying,
}

/// `|` is a line end, `#` a tag.
const GOOD: &[&str] = &[
    "HTTP/1.1 200 OK|content-type: text/plain|x-tag: #|content-length: 16||#",
    "HTTP/1.1 200 OK|x-tag: #|transfer-encoding: chunked||10|#|4;x=y|tail|0|x-sum: 1||",
    "HTTP/1.1 404 Not Found|connection: keep-alive|x-tag: #|content-length: 16||#",
    "HTTP/1.1 103 Early Hints|x-tag: #||HTTP/1.1 200 OK|content-length: 16||#",
    "HTTP/1.0 200 OK|x-tag: #||#",
    "HTTP/1.0 200 OK|connection: keep-alive|content-length: 16||#",
    "HTTP/1.1 304 Not Modified|etag: \"#\"|content-length: 16||",
    "HTTP/1.1 200 OK|content-length: 55||HTTP/1.1 200 OK|content-length: 16||#",
    // With what nobody asked for behind it.
    "HTTP/1.1 204 No Content|x-tag: #||HTTP/1.1 200 OK|content-length: 16||#",
];

const ODD: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b":",
    b";",
    b",",
    b"0",
    b"1",
    b"\xff",
    b"\x0b",
    b"\r\n ",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"content-length: 5\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: gzip\r\n",
    b"connection: close\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
];

fn talk() -> impl Strategy<Value = Talk> {
    (
        select(GOOD),
        proptest::collection::vec(edit(ODD), 0..4),
        prop_oneof![4 => Just(false), 1 => Just(true)],
        select(&[Manner::Closing, Manner::Staying, Manner::Staying][..]),
        proptest::collection::vec(any::<Index>(), 0..3),
    )
        .prop_map(|(good, edits, is_head, manner, cuts)| Talk {
            good,
            edits,
            is_head,
            manner,
            cuts,
        })
}

impl Talk {
    fn said(&self, tag: &str) -> Vec<u8> {
        let mut bytes = spell(self.good, tag).into_bytes();
        for edit in &self.edits {
            apply(edit, &mut bytes);
        }
        bytes
    }

    async fn say(&self, wire: &mut Wire, said: &[u8]) {
        let head = said.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4);
        let most = if self.manner == Manner::Closing { None } else { head }.unwrap_or(said.len());
        let mut cuts: Vec<_> = self.cuts.iter().map(|cut| cut.index(most)).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts {
            wire.say(&said[from..cut]).await;
            from = cut;
            tokio::task::yield_now().await;
        }
        wire.say(&said[from..]).await;
    }
}

fn spell(good: &str, tag: &str) -> String {
    good.replace('|', "\r\n").replace('#', tag)
}

/// Two of them differ so much that no few edits make one of another, nor of its pieces beside each other.
fn tag(nth: usize) -> String {
    let product = (nth as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:016x}", (product ^ product >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9))
}

/// The tag of the good answer that follows a talk.
fn tag_behind(nth: usize) -> String {
    tag(nth + TALKS)
}

/// Answers `/3` as the third talk says, and `/behind-3` well.
async fn scripted(talks: &[Talk]) -> Upstream {
    let talks: Arc<[Talk]> = talks.into();
    upstream::scripted(move |mut wire| {
        let talks = Arc::clone(&talks);
        async move {
            while let Some(head) = wire.head().await {
                let target = head.split(' ').nth(1).unwrap_or_default();
                if let Some(nth) = target.strip_prefix("/behind-") {
                    let tag = tag_behind(nth.parse().expect("a number"));
                    wire.say(spell(GOOD[0], &tag)).await;
                    continue;
                }
                let nth: usize = target[1..].parse().expect("a number");
                talks[nth].say(&mut wire, &talks[nth].said(&tag(nth))).await;
                if talks[nth].manner == Manner::Closing {
                    return;
                }
            }
        }
    })
    .await
}

fn config(upstream: &Upstream) -> Config {
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.timeouts.response_header = Some(Duration::from_secs(1));
    config.upstream.timeouts.idle = Some(Duration::from_millis(150));
    config
}

/// What a client has read of one request.
struct Read {
    nth: usize,
    said: Vec<u8>,
    behind: Vec<u8>,
}

async fn play(talks: &[Talk]) -> Result<Vec<Ending>, String> {
    let upstream = scripted(talks).await;
    let mut config = config(&upstream);
    let staying = sidecar::with(&config).await;
    config.upstream.pool.max_idle = 0;
    let closing = sidecar::with(&config).await;

    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let address = |talk: &Talk| match talk.manner {
            Manner::Closing => closing.address,
            Manner::Staying => staying.address,
        };
        let mine = talks.iter().enumerate().skip(lane).step_by(LANES);
        let asks: Vec<_> = mine.map(|(nth, talk)| (nth, talk.is_head, address(talk))).collect();
        lanes.spawn(async move {
            let mut read = Vec::new();
            for (nth, is_head, address) in asks {
                let method = if is_head { "HEAD" } else { "GET" };
                let said = ask(address, method, &format!("/{nth}")).await;
                let behind = ask(address, "GET", &format!("/behind-{nth}")).await;
                read.push(Read { nth, said, behind });
            }
            read
        });
    }
    let read: Vec<Read> = lanes.join_all().await.into_iter().flatten().collect();
    let mut records = Records::new();
    for mut sidecar in [staying, closing] {
        take_records(&mut sidecar, &mut records).await?;
    }
    if records.len() != 2 * talks.len() {
        return Err(format!("{} records of {} requests", records.len(), 2 * talks.len()));
    }
    let owners: HashMap<String, usize> = (0..2 * TALKS).map(|nth| (tag(nth), nth)).collect();
    let mut endings = Vec::new();
    for Read { nth, said, behind } in &read {
        let talk = &talks[*nth];
        let judged = judge_behind(*nth, behind, &records)
            .and_then(|()| judge_tags(*nth, said, &owners))
            .and_then(|()| judge_tags(*nth + TALKS, behind, &owners))
            .and_then(|()| judge(talk, *nth, said, &records));
        endings.push(judged.map_err(|why| {
            let told = talk.said(&tag(*nth));
            let [told, said, behind] = [&told, said, behind].map(|bytes| bytes.escape_ascii());
            format!("{why}\ntold: {told}\nsaid: {said}\nbehind: {behind}\n{talk:?}")
        })?);
    }
    Ok(endings)
}

async fn ask(address: std::net::SocketAddr, method: &str, target: &str) -> Vec<u8> {
    let mut client = Client::connect(address).await;
    client.say(format!("{method} {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
    client.rest().await
}

type Records = HashMap<String, Arc<Record>>;

async fn take_records(sidecar: &mut Sidecar, records: &mut Records) -> Result<(), String> {
    eventually("every connection ends", || sidecar.metric("sidecar_connections") == 0.0).await;
    while let Some(record) = sidecar.try_record() {
        if records.insert(record.request_id.to_string(), record).is_some() {
            return Err("two records with one id".to_owned());
        }
    }
    Ok(())
}

/// The one answer in what a client has read, its record, and whether it is whole.
fn answer<'a>(
    said: &[u8],
    is_head: bool,
    records: &'a Records,
) -> Result<(Told, &'a Record, bool), String> {
    let got = understand(said, is_head);
    let is_whole = match got.end {
        End::At(length) if length == said.len() => true,
        End::Unfinished if got.status().is_some() => false,
        _ => return Err(format!("not one answer: {got:?}")),
    };
    let id = got.fields.iter().find(|field| field.0 == "x-request-id");
    let id = String::from_utf8_lossy(id.map_or(b"", |id| &id.1)).into_owned();
    let record = records.get(&id).ok_or("no record of it")?;
    if record.status != got.status() {
        return Err(format!("{:?} was recorded", record.status));
    }
    Ok((got, record, is_whole))
}

fn judge(talk: &Talk, nth: usize, said: &[u8], records: &Records) -> Result<Ending, String> {
    let told = understand(&talk.said(&tag(nth)), talk.is_head);
    let (got, record, is_whole) = answer(said, talk.is_head, records)?;
    let frames = |name: &str| matches!(name, "content-length" | "transfer-encoding");
    let passes = match told.end {
        End::At(_) => !told.trailers.iter().any(|field| frames(&field.0)),
        End::WithConnection => talk.manner == Manner::Closing,
        // Nobody asked for it.
        End::Switched(_) | End::Unfinished | End::Broken => false,
    };
    let is_problem = record.status.is_some_and(|status| matches!(status, 502 | 504));
    match (passes, is_whole) {
        (true, true) if record.outcome != Outcome::Served => Err(format!("{:?}", record.outcome)),
        (true, true) if (got.status(), &got.body) != (told.status(), &told.body) => {
            Err(format!("{told:?} became {got:?}"))
        }
        (true, true) => Ok(Ending::Served),
        (true, false) => Err(format!("{told:?} was cut")),
        (false, _) if record.error_type().is_none() => Err("no error.type".to_owned()),
        (false, true) if is_problem && record.outcome != Outcome::Served => Ok(Ending::Problem),
        (false, true) => Err(format!("{told:?} became a whole answer")),
        (false, false) if told.body.starts_with(&got.body) => Ok(Ending::Cut),
        (false, false) => Err(format!("of {told:?} came {got:?}")),
    }
}

/// The request behind is served, whatever stood before it.
fn judge_behind(nth: usize, said: &[u8], records: &Records) -> Result<(), String> {
    let (got, record, is_whole) = answer(said, false, records)?;
    let is_fine = is_whole && got.status() == Some(200) && record.outcome == Outcome::Served;
    if is_fine && got.body == tag_behind(nth).as_bytes() {
        return Ok(());
    }
    Err(format!("behind it came {got:?}, {:?}", record.outcome))
}

/// No tag is another's.
fn judge_tags(nth: usize, said: &[u8], owners: &HashMap<String, usize>) -> Result<(), String> {
    let tags = said.windows(16).filter_map(|part| owners.get(std::str::from_utf8(part).ok()?));
    match tags.copied().find(|owner| *owner != nth) {
        Some(owner) => Err(format!("{owner}'s bytes came to {nth}")),
        None => Ok(()),
    }
}
