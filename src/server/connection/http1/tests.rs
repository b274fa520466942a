//! When a connection is parked, and when it is not. The clock is paused: silence costs nothing.

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

use super::*;
use crate::config::Config;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::Metrics;

/// Refused here, so that no upstream is needed; the connection goes on.
const REFUSED: &[u8] = b"GET /%00 HTTP/1.1\r\nhost: a\r\n\r\n";
const MOMENT: Duration = Duration::from_millis(10);

struct Scene {
    client: DuplexStream,
    talking: JoinHandle<Option<Pause>>,
}

/// A connection whose first head may be waited for as long as `pause` says.
fn scene(pause: Pause) -> Scene {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let nobody = (Ipv4Addr::LOCALHOST, 1).into();
    let config = Config::for_upstream(nobody);
    let telemetry = Telemetry::silent(Metrics::new(&config.service));
    let proxy = Arc::new(Proxy::new(&config, Arc::new(telemetry), None));
    let peer = Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), "http", Arc::default());
    #[expect(clippy::disallowed_methods, reason = "each test awaits or aborts it")]
    let talking = tokio::spawn(async move {
        match talk(&proxy, server, &peer, pause, &CancellationToken::new()).await.1 {
            Next::Park(pause) => Some(pause),
            Next::Close(_) | Next::Carry(..) => None,
        }
    });
    Scene { client, talking }
}

fn first() -> Pause {
    Pause { until: Instant::now() + Duration::from_secs(10), is_first: true }
}

impl Scene {
    async fn say(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    /// Reads this many answers, each of which ends with a problem document.
    async fn answers(&mut self, count: usize) {
        let mut heard = Vec::new();
        while heard.windows(12).filter(|part| *part == b"HTTP/1.1 400").count() < count
            || !heard.ends_with(b"}")
        {
            assert!(self.client.read_buf(&mut heard).await.unwrap() > 0, "closed");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_silent_after_its_answer_is_parked_until_its_idle_timeout() {
    let mut scene = scene(first());
    scene.say(REFUSED).await;
    scene.answers(1).await;
    let answered = Instant::now();
    let pause = scene.talking.await.unwrap().unwrap();
    assert!(answered.elapsed() < Duration::from_millis(100), "soon");
    assert_eq!(pause, Pause { until: answered + Duration::from_secs(75), is_first: false });
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_spoke_keeps_the_deadline_of_its_first_head() {
    let first = first();
    assert_eq!(scene(first).talking.await.unwrap(), Some(first));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_in_time_is_not_parked() {
    let mut scene = scene(first());
    for _ in 0..20 {
        scene.say(REFUSED).await;
        scene.answers(1).await;
        tokio::time::sleep(MOMENT).await;
    }
    assert!(!scene.talking.is_finished());
    scene.talking.abort();
}

#[tokio::test(start_paused = true)]
async fn requests_sent_together_are_all_answered_before_it_is_parked() {
    let mut scene = scene(first());
    scene.say(&[REFUSED, REFUSED, REFUSED].concat()).await;
    scene.answers(3).await;
    let answered = Instant::now();
    assert!(scene.talking.await.unwrap().is_some());
    assert!(answered.elapsed() > Duration::from_millis(200), "a busy client is given longer");
}

#[tokio::test(start_paused = true)]
async fn a_client_silent_inside_a_head_is_not_parked_but_timed_out() {
    let mut scene = scene(first());
    scene.say(REFUSED).await;
    scene.answers(1).await;
    scene.say(b"GET / HT").await;
    let began = Instant::now();
    assert_eq!(scene.talking.await.unwrap(), None, "not between two messages");
    assert_eq!(began.elapsed().as_secs(), 10, "the whole header_timeout");
}

#[tokio::test(start_paused = true)]
async fn an_empty_line_before_a_head_is_part_of_it() {
    let mut scene = scene(first());
    scene.say(b"\r\n").await;
    tokio::time::sleep(50 * MOMENT).await;
    assert!(!scene.talking.is_finished());
    scene.say(REFUSED).await;
    scene.answers(1).await;
    assert!(scene.talking.await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_body_is_still_to_come_is_not_parked() {
    let mut scene = scene(first());
    scene.say(b"POST /%00 HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n").await;
    assert_eq!(scene.talking.await.unwrap(), None, "the body is no head");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_client_does_not_take_is_not_parked() {
    let mut scene = scene(first());
    let many = REFUSED.repeat(400);
    let filled = timeout(MOMENT, scene.client.write_all(&many)).await;
    tokio::time::sleep(100 * MOMENT).await;
    assert!(!scene.talking.is_finished(), "it waits to write (filled: {})", filled.is_ok());
    assert_eq!(scene.talking.await.unwrap(), None, "cut by the write_timeout");
}
