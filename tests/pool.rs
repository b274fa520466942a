//! What the pool keeps of its connections to the upstream, and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use vital_sidecar::config::Config;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::{self, Upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CROWD: usize = 8;

/// An upstream that answers once a whole crowd has asked, so that each needs a connection of its own.
async fn patient(crowd: usize) -> Upstream {
    let is_complete = Arc::new(Barrier::new(crowd));
    upstream::scripted(move |mut wire| {
        let is_complete = Arc::clone(&is_complete);
        async move {
            while wire.head().await.is_some() {
                is_complete.wait().await;
                wire.say(OK).await;
            }
        }
    })
    .await
}

async fn ask_at_once(clients: Vec<Client>) -> Vec<Client> {
    let mut asking = JoinSet::new();
    for mut client in clients {
        asking.spawn(async move {
            assert_eq!(client.get("/").await.status, 200);
            client
        });
    }
    asking.join_all().await
}

async fn clients(sidecar: &Sidecar, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(sidecar.client().await);
    }
    clients
}

/// How many connections are idle.
fn idle(sidecar: &Sidecar) -> f64 {
    sidecar.metric("sidecar_upstream_connections{state=\"idle\"}")
}

#[tokio::test]
async fn a_crowd_that_comes_again_finds_its_connections_and_what_nobody_wants_is_closed() {
    let upstream = patient(CROWD).await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.pool.max_idle = 1;
    let sidecar = sidecar::with(&config).await;
    let pool = Arc::clone(sidecar.proxy.upstream());
    let mut tending = JoinSet::new();
    tending.spawn(async move { pool.tend().await });
    let mut crowd = clients(&sidecar, CROWD).await;

    for _ in 0..5 {
        crowd = ask_at_once(crowd).await;
    }

    // On a machine that is very busy one may have been unwanted for a second.
    assert!(upstream.connections() < 2 * CROWD, "{} connections", upstream.connections());
    eventually("one is kept", || (idle(&sidecar) - 1.0).abs() < 0.5).await;
}

#[tokio::test]
async fn a_pool_that_may_keep_nothing_closes_each_connection_behind_its_exchange() {
    let upstream = upstream::answering(OK).await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.pool.max_idle = 0;
    let sidecar = sidecar::with(&config).await;
    let mut client = sidecar.client().await;

    for _ in 0..3 {
        assert_eq!(client.get("/").await.status, 200);
    }

    assert_eq!(upstream.connections(), 3);
    assert!(idle(&sidecar) < 0.5);
}

#[tokio::test]
async fn a_tunnel_takes_the_place_of_an_idle_connection_where_there_is_no_other() {
    let open = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&open);
    let is_complete = Arc::new(Barrier::new(2));
    let upstream = upstream::scripted(move |mut wire| {
        let (open, is_complete) = (Arc::clone(&counted), Arc::clone(&is_complete));
        async move {
            open.fetch_add(1, Ordering::SeqCst);
            while let Some(head) = wire.head().await {
                if head.contains("websocket") {
                    wire.say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
                    wire.closed().await;
                    break;
                }
                is_complete.wait().await;
                wire.say(OK).await;
            }
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let mut config = Config::for_upstream(upstream.address);
    config.upstream.pool.max_connections = 2;
    let sidecar = sidecar::with(&config).await;
    let crowd = clients(&sidecar, 2).await;
    let _crowd = ask_at_once(crowd).await;
    assert_eq!(open.load(Ordering::SeqCst), 2);

    let mut client = sidecar.client().await;
    client
        .say("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;

    assert_eq!(client.head_only().await.status, 101);
    assert!((idle(&sidecar) - 1.0).abs() < 0.5, "one made room");
    eventually("two are open", || open.load(Ordering::SeqCst) == 2).await;
}
