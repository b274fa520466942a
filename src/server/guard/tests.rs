//! The guard without hyper: what its reader gets, when, and what is left at the end.

use std::future::poll_fn;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::http::framing::Kind;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

fn first() -> Pause {
    Pause { until: Instant::now() + limits().header_timeout, is_first: true }
}

fn limits() -> ServerLimits {
    let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    crate::config::Config::for_upstream(anywhere).server.limits
}

struct Scene {
    guard: Guard<DuplexStream>,
    client: DuplexStream,
    link: Arc<Link>,
}

fn scene() -> Scene {
    let (client, server) = duplex(64 * 1024);
    let link = Arc::<Link>::default();
    let guard = Guard::new(server, &link, &limits(), first());
    Scene { guard, client, link }
}

impl Scene {
    async fn say(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    /// What hyper gets by one read; `None` where it has to wait.
    async fn read(&mut self) -> Option<io::Result<Vec<u8>>> {
        self.read_up_to(8 * 1024).await
    }

    async fn read_up_to(&mut self, room: usize) -> Option<io::Result<Vec<u8>>> {
        let mut bytes = vec![0; room];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = poll_fn(|cx| Poll::Ready(Pin::new(&mut self.guard).poll_read(cx, &mut buffer)));
        match read.await {
            Poll::Pending => {
                assert!(buffer.filled().is_empty(), "nothing is said while it waits");
                None
            }
            Poll::Ready(Ok(())) => Some(Ok(buffer.filled().to_vec())),
            Poll::Ready(Err(error)) => Some(Err(error)),
        }
    }

    async fn got(&mut self) -> Vec<u8> {
        self.read().await.expect("bytes").expect("no error")
    }

    async fn flush(&mut self) {
        self.try_flush().await.unwrap();
    }

    async fn try_flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self.guard).poll_flush(cx)).await
    }

    async fn answer(&mut self) {
        self.link.note_answered();
        self.flush().await;
    }
}

#[tokio::test]
async fn a_message_that_comes_at_once_goes_on_without_a_buffer() {
    let mut scene = scene();
    for _ in 0..3 {
        scene.say(GET).await;
        assert_eq!(scene.got().await, GET);
        assert_eq!(scene.guard.held.capacity(), 0);
        assert!(scene.read().await.is_none());
        scene.answer().await;
    }
    scene.say(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhello").await;
    assert!(scene.got().await.ends_with(b"\r\nhello"));
    scene.say(b" bod").await;
    assert_eq!(scene.got().await, b" bod");
    assert_eq!(scene.guard.held.capacity(), 0);
}

#[tokio::test]
async fn a_head_goes_on_once_it_is_complete_and_the_buffer_goes_with_it() {
    let mut scene = scene();
    for byte in &GET[..GET.len() - 1] {
        scene.say(&[*byte]).await;
        assert!(scene.read().await.is_none());
    }
    scene.say(b"\n").await;
    assert_eq!(scene.read_up_to(5).await.unwrap().unwrap(), b"GET /");
    assert_eq!(scene.got().await, &GET[5..]);
    assert_eq!(scene.guard.held.capacity(), 0);
}

#[tokio::test]
async fn the_next_message_waits_for_the_flush_of_the_answer() {
    let mut scene = scene();
    scene.say(&[GET, CHUNKED].concat()).await;
    assert_eq!(scene.got().await, GET);
    assert!(scene.read().await.is_none() && scene.link.is_waited_for());
    scene.flush().await; // Of a part of the answer, or of an interim one.
    assert!(scene.read().await.is_none());
    scene.answer().await;
    assert_eq!(scene.got().await, CHUNKED);
    assert!(!scene.link.is_waited_for());
}

#[tokio::test]
async fn a_client_that_leaves_is_seen_while_its_answer_is_made() {
    let mut scene = scene();
    scene.say(GET).await;
    scene.got().await;
    assert!(scene.read().await.is_none());
    drop(std::mem::replace(&mut scene.client, duplex(1).0));
    assert_eq!(scene.got().await, b"");
    assert_eq!(scene.guard.finish().broken_head, None);
}

#[tokio::test]
async fn a_client_that_leaves_is_seen_though_nobody_reads() {
    let mut scene = scene();
    scene.say(GET).await;
    scene.got().await;
    scene.flush().await;
    let (left, ()) = tokio::join!(
        poll_fn(|cx| match Pin::new(&mut scene.guard).poll_flush(cx) {
            Poll::Ready(Ok(())) => Poll::Pending, // Woken by the client, it is asked again.
            ended => ended,
        }),
        async { drop(std::mem::replace(&mut scene.client, duplex(1).0)) },
    );
    assert_eq!(left.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(scene.guard.finish().broken_head, None);
}

#[tokio::test]
async fn a_client_that_leaves_is_seen_while_a_write_waits() {
    let mut scene = scene();
    scene.say(GET).await;
    scene.got().await;
    let full = vec![0; 64 * 1024];
    assert_eq!(scene.guard.write(&full).await.unwrap(), full.len());
    // Only its own side: what it was sent can still be read.
    scene.client.shutdown().await.unwrap();
    let error = scene.guard.write(b"more").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_message_that_comes_early_is_held_though_nobody_reads_and_what_follows_it_waits() {
    let mut scene = scene();
    scene.say(GET).await;
    scene.got().await;
    scene.say(&[GET; 400].concat()).await;
    scene.flush().await;
    scene.flush().await;
    let held = scene.guard.held.len();
    assert!((1..=4096).contains(&held), "one read, {held} bytes");
    assert!(scene.link.is_waited_for());
    for _ in 0..400 {
        assert!(scene.read().await.is_none());
        scene.answer().await;
        assert_eq!(scene.got().await, GET);
    }
}

#[tokio::test]
async fn bytes_behind_an_upgrade_come_out_as_they_are() {
    let mut scene = scene();
    scene.say(&[GET, b"\0\x01 no HTTP at all"].concat()).await;
    assert_eq!(scene.got().await, GET);
    assert!(scene.read().await.is_none());
    scene.link.note_answered();
    scene.flush().await;
    let remains = scene.guard.finish();
    assert_eq!(remains.unreleased, b"\0\x01 no HTTP at all");
    assert!(remains.refusal.is_none() && remains.broken_head.is_none());
}

#[tokio::test]
async fn a_refused_head_looks_to_hyper_like_a_client_that_left() {
    for rest in [&b""[..], GET] {
        let mut scene = scene();
        scene.say(&[&b"HEAD / HTTP/1.1\r\n\r\n"[..], rest].concat()).await;
        assert_eq!(scene.got().await, b"");
        assert_eq!(scene.got().await, b"", "and it stays so");
        let remains = scene.guard.finish();
        assert_eq!(remains.refusal.map(|refusal| refusal.kind), Some(Kind::Malformed));
        assert_eq!(framing::method(&remains.unreleased), Some(&b"HEAD"[..]));
        assert!(remains.has_unread && remains.broken_head.is_none());
    }
}

#[tokio::test]
async fn a_bad_chunk_is_the_owners_with_its_head_and_the_services_behind_it() {
    let mut scene = scene();
    scene.say(&[CHUNKED, b"x\r\n"].concat()).await;
    assert_eq!(scene.got().await, b"");
    assert!(scene.guard.finish().refusal.is_some() && !scene.link.is_broken());

    let mut scene = self::scene();
    scene.say(&[CHUNKED, b"1\r\na\r\n2"].concat()).await;
    assert_eq!(scene.got().await, [CHUNKED, b"1\r\na\r\n"].concat());
    scene.say(b"x\r\n").await;
    let error = scene.read().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(scene.link.is_broken());
    let remains = scene.guard.finish();
    assert!(remains.refusal.is_none() && remains.has_unread);
}

#[tokio::test]
async fn the_end_inside_a_head_is_told_from_the_end_between_two() {
    for (bytes, broken) in [
        (&b"GET / HT"[..], Some(Broken::Ended)),
        (b"\r\nG", Some(Broken::Ended)),
        (b"\r\n", None),
        (b"", None),
    ] {
        let mut scene = scene();
        scene.say(bytes).await;
        scene.client.shutdown().await.unwrap();
        assert_eq!(scene.got().await, b"", "{bytes:?}");
        assert_eq!(scene.guard.finish().broken_head, broken, "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_wait_for_the_client_has_its_own_clock() {
    let limits = limits();
    let seconds = |duration: Duration| duration.as_secs();
    let ends_after = async |scene: &mut Scene| {
        let start = Instant::now();
        let mut byte = [0];
        let error = scene.guard.read(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        seconds(start.elapsed())
    };

    let mut silent = scene();
    assert_eq!(ends_after(&mut silent).await, seconds(limits.header_timeout));
    assert_eq!(silent.guard.finish().broken_head, None, "no head was begun");

    let mut slow = scene();
    tokio::time::advance(Duration::from_secs(4)).await;
    slow.say(b"GET / HTTP/1.1\r\n").await;
    assert_eq!(ends_after(&mut slow).await, seconds(limits.header_timeout) - 4);
    assert_eq!(slow.guard.finish().broken_head, Some(Broken::TimedOut));

    let mut idle = scene();
    idle.say(GET).await;
    idle.got().await;
    tokio::time::advance(Duration::from_mins(10)).await;
    assert!(idle.read().await.is_none(), "an exchange has clocks of its own");
    idle.answer().await;
    assert_eq!(ends_after(&mut idle).await, seconds(limits.idle_timeout));

    let mut second = scene();
    second.say(GET).await;
    second.got().await;
    second.answer().await;
    tokio::time::advance(Duration::from_secs(20)).await;
    second.say(b"GET").await;
    assert_eq!(ends_after(&mut second).await, seconds(limits.header_timeout));
}

/// Counts its wakes.
#[derive(Default)]
struct Count(std::sync::atomic::AtomicUsize);

impl std::task::Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_that_nobody_parks_wakes_nobody() {
    let mut scene = scene();
    scene.say(GET).await;
    scene.got().await;
    scene.link.leave_unread(); // So it is not parked.
    scene.answer().await;
    let count = Arc::<Count>::default();
    let task = std::task::Waker::from(Arc::clone(&count));
    let mut byte = [0];
    for _ in 0..100 {
        let mut buffer = ReadBuf::new(&mut byte);
        let read =
            Pin::new(&mut scene.guard).poll_read(&mut Context::from_waker(&task), &mut buffer);
        assert!(read.is_pending());
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    let wakes = count.0.load(std::sync::atomic::Ordering::Relaxed);
    assert!(wakes <= 1, "{wakes} wakes");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_given_up() {
    let mut scene = scene();
    scene.say(GET).await;
    scene.got().await;
    let start = Instant::now();
    let error = scene.guard.write_all(&vec![0; 128 * 1024]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed(), limits().write_timeout);
}
