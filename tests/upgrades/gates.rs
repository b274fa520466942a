//! Tunnels and what guards a route: the audit, limits.

use tokio::io::AsyncWriteExt;
use vital_sidecar::record::{Outcome, Refusal};
use vital_sidecar::telemetry::sinks::audit::Audit;
use vital_sidecar::telemetry::sinks::audit::fake::FakeDisk;

use super::{ASK, echoing, switched};
use crate::support::house::{self, lines};
use crate::support::sidecar;
use crate::support::{PATIENCE, eventually};

const GATES: &str = r#"
[[routes]]
match = "GET /chat"
audit = "DATA_ACCESS"
rate_limits = ["one"]
[rate_limits.one]
key = ["ip"]
rate = "1/h"
burst = 1
"#;

#[tokio::test]
async fn a_tunnel_is_audited_from_before_its_request_to_its_end_and_counts_for_limits() {
    let upstream = echoing().await;
    let mut config = house::config(upstream.address, GATES);
    config.audit.deadline = PATIENCE;
    let disk = FakeDisk::default();
    let audit = Audit::open(&config.audit, disk.clone()).expect("an audit");
    let mut sidecar = sidecar::with_audit(&config, Some(audit.clone()));
    let written = || {
        let names = disk.names();
        let text = names.iter().filter_map(|name| disk.content(name)).flatten().collect::<Vec<_>>();
        lines(&text)
    };

    let (mut client, _) = switched(&sidecar).await;
    eventually("the beginning is written", || written().len() == 1).await;
    assert_eq!(written()[0]["stage"], "initiated");
    let mut another = sidecar.client().await;
    another.say(ASK).await;
    assert_eq!(another.answer().await.status, 429);
    assert_eq!(upstream.heads().len(), 1, "the refused one never reached the upstream");
    client.say("hello").await;
    client.until(b"hello").await;
    client.stream.shutdown().await.expect("a shutdown");
    client.rest().await;

    let outcomes = [sidecar.record().await.outcome, sidecar.record().await.outcome];
    assert_eq!(outcomes, [Outcome::Refused(Refusal::RateLimited), Outcome::Served]);
    eventually("both ends are written", || written().len() == 3).await;
    let end = written().pop().expect("the end");
    assert_eq!(
        (&end["stage"], &end["status"], &end["result"]),
        (&"completed".into(), &101.into(), &"success".into())
    );
    assert!(audit.stop(tokio::time::Instant::now() + PATIENCE).await.is_finished);
}
