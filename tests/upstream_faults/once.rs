//! A POST is never sent twice, whenever and however the upstream closes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use vital_sidecar::config::Config;

use crate::support::upstream::{self, Upstream, Wire, content_length};
use crate::support::{eventually, sidecar};

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nfine";

/// What an upstream does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Serve,
    /// Says that it closes, and does.
    ServeLast,
    /// Says that it closes, and does not.
    ServeLastAndStay,
    ServeThenClose,
    ServeThenHalfClose,
    ServeThenCloseLater,
    ServeThenReset,
    CloseUnanswered,
    ResetUnanswered,
}

const MANNERS: [Manner; 9] = [
    Manner::Serve,
    Manner::ServeLast,
    Manner::ServeLastAndStay,
    Manner::ServeThenClose,
    Manner::ServeThenHalfClose,
    Manner::ServeThenCloseLater,
    Manner::ServeThenReset,
    Manner::CloseUnanswered,
    Manner::ResetUnanswered,
];

/// Serves a connection; `next` chooses a manner for each request.
async fn serve(mut wire: Wire, mut next: impl FnMut() -> Manner) {
    while let Some(head) = wire.head().await {
        wire.body(content_length(&head)).await;
        match next() {
            Manner::Serve => wire.say(FINE).await,
            Manner::ServeLast => return wire.say(LAST).await,
            Manner::ServeLastAndStay => wire.say(LAST).await,
            Manner::ServeThenClose => return wire.say(FINE).await,
            Manner::ServeThenHalfClose => {
                wire.say(FINE).await;
                let _left = wire.stream.shutdown().await;
            }
            Manner::ServeThenCloseLater => {
                wire.say(FINE).await;
                return tokio::time::sleep(Duration::from_micros(300)).await;
            }
            Manner::ServeThenReset => {
                wire.say(FINE).await;
                return wire.reset();
            }
            Manner::CloseUnanswered => return,
            Manner::ResetUnanswered => return wire.reset(),
        }
    }
}

fn tag(head: &str) -> Option<&str> {
    head.lines().find_map(|line| line.strip_prefix("x-tag: "))
}

fn assert_none_twice(upstream: &Upstream) -> HashSet<String> {
    let mut seen = HashSet::new();
    for head in upstream.heads() {
        let tag = tag(&head).expect("a tag").to_owned();
        assert!(seen.insert(tag.clone()), "{tag} was sent twice");
    }
    seen
}

/// A generator of its own, so that a failing seed fails again (xorshift, Marsaglia 2003).
fn roll(state: &AtomicU64) -> u64 {
    let step = |mut x: u64| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^ (x << 17)
    };
    step(state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |x| Some(step(x))).expect("some"))
}

async fn storm(seed: u64, manners: &'static [Manner]) -> (HashMap<String, u16>, Upstream) {
    let dice = Arc::new(AtomicU64::new(seed));
    let rolled = Arc::clone(&dice);
    let upstream = upstream::scripted(move |wire| {
        let dice = Arc::clone(&rolled);
        let count = manners.len() as u64;
        serve(wire, move || manners[usize::try_from(roll(&dice) % count).expect("small")])
    })
    .await;
    let sidecar = sidecar::with(&Config::for_upstream(upstream.address)).await;
    let statuses = Arc::<Mutex<HashMap<String, u16>>>::default();
    let mut asking = JoinSet::new();
    for client in 0..6 {
        let (mut wire, statuses) = (sidecar.client().await, Arc::clone(&statuses));
        let dice = Arc::clone(&dice);
        asking.spawn(async move {
            for nth in 0..60 {
                let tag = format!("{client}-{nth}");
                wire.say(format!(
                    "POST / HTTP/1.1\r\nhost: a\r\nx-tag: {tag}\r\ncontent-length: 5\r\n\r\nhello"
                ))
                .await;
                let status = wire.answer().await.status;
                assert!(statuses.lock().insert(tag, status).is_none());
                if roll(&dice).is_multiple_of(4) {
                    tokio::time::sleep(Duration::from_micros(roll(&dice) % 800)).await;
                }
            }
        });
    }
    asking.join_all().await;
    let records = sidecar.stop().await.len();
    assert_eq!(records, 360, "one record each");
    let statuses = statuses.lock().clone();
    (statuses, upstream)
}

#[tokio::test]
async fn no_post_is_sent_twice_whenever_the_upstream_closes() {
    for seed in 1..=8 {
        let (statuses, upstream) = storm(seed * 7919, &MANNERS).await;
        let seen = assert_none_twice(&upstream);
        for (tag, status) in &statuses {
            assert!(matches!(status, 200 | 502), "{tag}: {status}");
            assert!(*status != 200 || seen.contains(tag), "{tag} was answered by nobody");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_closes_only_as_it_says_costs_no_post() {
    const ORDERLY: [Manner; 3] = [Manner::Serve, Manner::ServeLast, Manner::ServeLastAndStay];
    let (statuses, upstream) = storm(42, &ORDERLY).await;
    assert!(statuses.values().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(assert_none_twice(&upstream).len(), 360);
}

async fn two_posts(manner: Manner, pause: Duration) -> (Vec<u16>, Upstream) {
    let upstream = upstream::scripted(move |wire| {
        let mut manners = [manner, Manner::Serve].into_iter();
        serve(wire, move || manners.next().expect("two requests"))
    })
    .await;
    let sidecar = sidecar::in_front_of(&upstream).await;
    let mut client = sidecar.client().await;
    let mut statuses = vec![client.post("/", "one").await.status];
    eventually("the first was seen", || upstream.heads().len() == 1).await;
    tokio::time::sleep(pause).await;
    statuses.push(client.post("/", "two").await.status);
    (statuses, upstream)
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_post() {
    // Within the time in which the pool does not look, and after it.
    for pause in [Duration::from_millis(20), Duration::from_millis(150)] {
        for manner in [Manner::ServeThenClose, Manner::ServeThenHalfClose, Manner::ServeThenReset] {
            let (statuses, upstream) = two_posts(manner, pause).await;
            assert_eq!(statuses, [200, 200], "{manner:?}");
            assert_eq!((upstream.connections(), upstream.heads().len()), (2, 2), "{manner:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_says_close_is_not_used_again_even_if_it_stays_open() {
    let (statuses, upstream) = two_posts(Manner::ServeLastAndStay, Duration::ZERO).await;
    assert_eq!(statuses, [200, 200]);
    assert_eq!((upstream.connections(), upstream.heads().len()), (2, 2));
}
