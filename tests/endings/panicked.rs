//! Stages that panic.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Once};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use vital_sidecar::proxy::answer::{self, Asked};
use vital_sidecar::proxy::exchange::{Exchange, Stop};
use vital_sidecar::proxy::peer::Peer;
use vital_sidecar::proxy::pipeline;
use vital_sidecar::proxy::reply::ReplyBody;
use vital_sidecar::proxy::survey::Survey;
use vital_sidecar::record::Outcome;
use vital_sidecar::telemetry::diagnostics;

use super::GET;
use crate::support::client::Client;
use crate::support::sidecar::Sidecar;
use crate::support::{sidecar, upstream};

#[tokio::test]
async fn a_panic_in_a_stage_is_500_and_the_connection_survives() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    keep_stacks();
    let address = panicking(&sidecar, |exchange, asked| async move {
        let stopped = pipeline::contain(pin!(async {
            tokio::task::yield_now().await;
            panic_now::<()>()
        }))
        .await;
        let Err(stop) = stopped else { unreachable!("the stage panicked") };
        answer::refuse(exchange, stop, asked)
    })
    .await;

    let mut client = Client::connect(address).await;
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert_eq!((answer.status, &answer.json()["error_type"]), (500, &"panic".into()));
        let record = sidecar.record().await;
        assert_eq!((record.outcome, record.status), (Outcome::Panicked, Some(500)));
        let stack = record.stack.as_deref().expect("a stack");
        assert!(stack.contains("vital_sidecar::proxy::pipeline::contain"), "{stack}");
        assert!(!stack.contains("tokio") && !stack.contains("a stage panics"), "{stack}");
    }
    sidecar.assert_no_more_records();
}

#[tokio::test]
async fn a_panic_that_nobody_contains_still_leaves_its_record() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let mut sidecar = sidecar::in_front_of(&upstream).await;
    let address = panicking(&sidecar, |exchange, _| async move {
        let _on_the_stack = exchange;
        tokio::task::yield_now().await;
        let Ok(answer) = panic_now() else { unreachable!("it panicked") };
        answer
    })
    .await;

    let mut client = Client::connect(address).await;
    client.say(GET).await;

    assert_eq!(client.rest().await, b"", "the connection is closed");
    assert_eq!(sidecar.record().await.outcome, Outcome::Panicked);
    sidecar.assert_no_more_records();
}

/// Whatever panics from now on leaves its stack, as in a sidecar that runs; and is told as before.
pub(crate) fn keep_stacks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            diagnostics::leave_stack(Some(&diagnostics::stack()));
            tell(panic);
        }));
    });
}

fn panic_now<T>() -> Result<T, Stop> {
    assert!(std::hint::black_box(false), "a stage panics");
    Err(Stop::Gone)
}

/// A server whose every exchange is real, and whose only stage is `stage`.
pub(crate) async fn panicking<F>(
    sidecar: &Sidecar,
    stage: fn(Box<Exchange>, Asked) -> F,
) -> SocketAddr
where
    F: Future<Output = Response<ReplyBody>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = Arc::clone(&sidecar.proxy);
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move {
        let (stream, from) = listener.accept().await.unwrap();
        let peer = Peer::new(from.ip(), "http", Arc::default());
        let service = service_fn(async |request: Request<Incoming>| {
            let (head, _) = request.into_parts();
            let plan = proxy.plan();
            let mut survey = Survey::of(&head.headers, &plan, &peer);
            let exchange = Exchange::begin(&proxy, plan, &peer, &head, &mut survey, false);
            Ok::<_, Infallible>(stage(exchange, Asked::of(&head, &survey)).await)
        });
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    });
    address
}
