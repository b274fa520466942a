//! How a tunnel flows and how it ends: half-closed, broken, silent, too long, drained.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vital_sidecar::record::{Abort, Failure, Outcome, Phase};

use super::{SWITCH, echoing, switched, with};
use crate::support::eventually;
use crate::support::sidecar;
use crate::support::upstream::{self, Wire};

#[tokio::test]
async fn a_client_that_has_said_all_still_hears_the_rest() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say(SWITCH).await;
        let mut said = Vec::new();
        wire.stream.read_to_end(&mut said).await.expect("an end of file");
        wire.say(format!("you said {}", String::from_utf8_lossy(&said))).await;
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (mut client, _) = switched(&sidecar).await;
    client.say("my last word").await;
    client.stream.shutdown().await.expect("a shutdown");

    assert_eq!(client.rest().await, b"you said my last word");
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn an_upstream_that_has_said_all_still_hears_the_rest() {
    let (heard, mut was_heard) = tokio::sync::mpsc::channel(1);
    let upstream = upstream::scripted(move |mut wire: Wire| {
        let heard = heard.clone();
        async move {
            wire.head().await;
            wire.say(format!("{SWITCH}bye")).await;
            wire.stream.shutdown().await.expect("a shutdown");
            let mut said = Vec::new();
            wire.stream.read_to_end(&mut said).await.expect("an end of file");
            heard.send(said).await.expect("the test waits");
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (mut client, _) = switched(&sidecar).await;
    assert_eq!(client.rest().await, b"bye");
    client.say("one more thing").await;
    client.stream.shutdown().await.expect("a shutdown");

    assert_eq!(was_heard.recv().await.expect("the rest"), b"one more thing");
    assert_eq!(sidecar.record().await.outcome, Outcome::Served);
}

#[tokio::test]
async fn an_answer_to_an_upstream_that_has_closed_is_no_failure() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say(SWITCH).await;
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (mut client, _) = switched(&sidecar).await;
    assert_eq!(client.rest().await, b"");
    // The first write meets a closed socket, and one after it the reset.
    let saying = async {
        loop {
            client.say("goodbye").await;
            tokio::task::yield_now().await;
        }
    };
    let record = tokio::select! {
        record = sidecar.record() => record,
        () = saying => unreachable!("it says it for ever"),
    };

    assert_eq!(record.outcome, Outcome::Served);
}

#[tokio::test]
async fn a_client_that_vanishes_is_gone_and_its_upstream_is_told() {
    let (closed, mut was_closed) = tokio::sync::mpsc::channel(1);
    let upstream = upstream::scripted(move |mut wire: Wire| {
        let closed = closed.clone();
        async move {
            wire.head().await;
            wire.say(SWITCH).await;
            wire.closed().await;
            closed.send(()).await.expect("the test waits");
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (client, _) = switched(&sidecar).await;
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).expect("linger");
    drop(client);

    assert_eq!(sidecar.record().await.outcome, Outcome::Gone { phase: Phase::Response });
    was_closed.recv().await.expect("the upstream sees the end");
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn an_upstream_that_breaks_a_tunnel_has_failed() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.say(SWITCH).await;
        wire.until(b"break").await;
        wire.reset();
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (mut client, _) = switched(&sidecar).await;
    client.say("break").await;

    assert_eq!(client.rest().await, b"");
    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Failed(Failure::UpstreamReset));
    assert_eq!(record.status, Some(101), "that is what the client got");
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_aborted_and_one_that_talks_is_not() {
    let upstream = echoing().await;
    let idle = Duration::from_millis(100);
    let mut sidecar = with(&upstream, |config| {
        config.upstream.timeouts.upgrade_idle = Some(idle);
        // Clocks of other shapes of exchange, which must not matter.
        config.upstream.timeouts.idle = Some(Duration::from_millis(1));
        config.upstream.timeouts.stream_idle = Some(Duration::from_millis(1));
    })
    .await;

    let began = tokio::time::Instant::now();
    let (mut client, _) = switched(&sidecar).await;
    for _ in 0..8 {
        tokio::time::sleep(idle / 4).await;
        client.say("x").await;
        client.until(b"x").await;
    }
    let talked = began.elapsed();
    assert_eq!(client.rest().await, b"");

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Aborted(Abort::StreamIdleTimeout));
    assert_eq!((record.bytes_in, record.bytes_out), (8, 8));
    assert!(talked > idle && record.duration >= talked, "{:?}", record.duration);
}

#[tokio::test]
async fn a_tunnel_that_lasts_too_long_is_aborted_however_much_it_talks() {
    let upstream = echoing().await;
    let mut sidecar = with(&upstream, |config| {
        config.upstream.timeouts.stream_max = Some(Duration::from_millis(100));
    })
    .await;

    let (mut client, _) = switched(&sidecar).await;
    let talking = async {
        loop {
            client.say("x").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let record = tokio::select! {
        record = sidecar.record() => record,
        () = talking => unreachable!("it talks for ever"),
    };

    assert_eq!(record.outcome, Outcome::Aborted(Abort::StreamMaxDuration));
}

#[tokio::test]
async fn the_drain_deadline_cuts_a_tunnel() {
    let upstream = echoing().await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let (mut client, _) = switched(&sidecar).await;

    sidecar.signals.stop.cancel();
    client.say("still here").await;
    client.until(b"still here").await;
    sidecar.proxy.cut();
    sidecar.signals.cut.cancel();

    let record = sidecar.record().await;
    assert_eq!(record.outcome, Outcome::Aborted(Abort::Drain));
    assert_eq!(record.bytes_out, 10);
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_slow_reader_slows_the_writer_down_and_loses_nothing() {
    // More than the kernel's buffers of two connections hold.
    const BLOCKS: usize = 1024;
    let block: Arc<[u8]> = (0..=250).cycle().take(64 * 1024).collect();
    let written = Arc::<AtomicUsize>::default();
    let (content, progress) = (Arc::clone(&block), Arc::clone(&written));
    let upstream = upstream::scripted(move |mut wire: Wire| {
        let (content, progress) = (Arc::clone(&content), Arc::clone(&progress));
        async move {
            wire.head().await;
            wire.say(SWITCH).await;
            for _ in 0..BLOCKS {
                wire.say(&content).await;
                progress.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;

    let (mut client, _) = switched(&sidecar).await;
    let (mut last, mut same) = (0, 0);
    eventually("the writer waits", || {
        let now = written.load(Ordering::SeqCst);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same > 50
    })
    .await;
    assert!(last < BLOCKS, "nobody reads, and yet all was written");
    let all = client.rest().await;

    assert_eq!(all.len(), BLOCKS * block.len());
    assert!(all.chunks(block.len()).all(|part| *part == *block));
    drop(client);
    let record = sidecar.record().await;
    assert_eq!((record.outcome, record.bytes_out), (Outcome::Served, all.len() as u64));
}
