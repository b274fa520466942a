//! Callers with tokens, through every ending that tokens add.

use std::sync::Arc;

use rcgen::{KeyPair, PKCS_ED25519};

use super::callers::{self, Callers};
use super::markers::{Markers, Shape};
use super::receiver::Receiver;
use super::sinks::Sinks;
use super::traffic::{Ask, End, Writer};
use super::{assert_clean, converse, everything, gather, service};
use crate::support::process::Process;
use crate::support::upstream;

/// The telemetry shows a pseudonym of the user, and the tenant; the audit shows the user. Of a token that
/// does not hold, and of a tenant that is not the caller's, nothing is shown at all.
#[tokio::test]
async fn nothing_of_a_token_comes_out_of_a_sink_but_the_user_of_the_audit() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let upstream = service::start(&markers).await;
    let secret = markers.mint("the secret of the issuer", Shape::Long);
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("secret");
    std::fs::write(&file, &secret).expect("a file");
    let own = KeyPair::generate_for(&PKCS_ED25519).expect("a key").serialize_pem();
    let signing = place.path().join("signing");
    std::fs::write(&signing, &own).expect("a file");
    markers.note("the signing key", own.lines().nth(1).expect("a line"));
    let known = callers::known_by(&format!("secret_file = \"{}\"", file.display()));
    let signing = format!("[identity]\nsigning_key_file = \"{}\"", signing.display());
    let known = known.replace("[identity]", &signing);
    let text = everything(&upstream.address.to_string(), &receiver, &known) + callers::ROUTES;
    let process = Process::start(&text).await;
    assert_eq!(process.client().await.get("/limited/first").await.status, 200);
    let mut sinks = Sinks::default();
    let writer = |shape| Writer { markers: Arc::clone(&markers), shape, is_believed: false };
    let mut late = Vec::new();
    for shape in Shape::ALL {
        let callers = Callers { writer: &writer(shape), secret: &secret };
        let asks = [callers.verified(), callers.unverified(), callers.strayed()].concat();
        converse(&process, &upstream, asks, &mut sinks).await;
        late.extend(callers.late());
    }
    converse(&process, &upstream, late, &mut sinks).await;
    gather(process, &receiver, &mut sinks).await;

    let endings = ["unauthenticated", "token_expired", "tenant_mismatch", "forbidden"];
    let others = ["served", "read_class", "rate_limited", "schema_violation", "upstream_reset"];
    for ending in endings.into_iter().chain(others) {
        assert!(sinks.endings.contains(ending), "nothing ended as {ending}: {:?}", sinks.endings);
    }
    assert!(sinks.users.len() > 100, "the audit has {} users", sinks.users.len());
    for user in &sinks.users {
        assert!(markers.is_minted("sub", user), "{user} is a verified user");
    }
    let tenant = format!("\"tenantId\":\"{}\"", callers::TENANT);
    assert!(sinks.has("console", &tenant), "the log has no tenant");
    assert!(markers.has("x-identity"), "no identity was signed");
    assert!(sinks.has("spans, decoded", "user.hash"), "no pseudonym in a span");
    assert!(sinks.has("events", "\"user\":{\"id\":\""), "no pseudonym in an event");
    assert_clean(&markers, &sinks);
}

#[tokio::test]
async fn nothing_of_a_token_comes_out_where_there_are_no_keys() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let upstream = service::start(&markers).await;
    let nobody = upstream::nobody().await;
    let known = callers::known_by(&format!("jwks_url = \"http://{nobody}/jwks.json\""))
        .replace("HS256", "RS256");
    let text = everything(&upstream.address.to_string(), &receiver, &known) + callers::ROUTES;
    let process = Process::start(&text).await;
    let secret = markers.mint("the secret of the issuer", Shape::Long);
    let mut sinks = Sinks::default();
    for shape in Shape::ALL {
        let writer = Writer { markers: Arc::clone(&markers), shape, is_believed: false };
        let callers = Callers { writer: &writer, secret: &secret };
        let asks = callers.strayed().into_iter().chain(callers.unverified());
        let unknown = asks.map(|ask| Ask { end: End::Status(503), ..ask }).collect();
        converse(&process, &upstream, unknown, &mut sinks).await;
    }
    gather(process, &receiver, &mut sinks).await;
    assert!(sinks.endings.contains("jwks_unavailable"), "{:?}", sinks.endings);
    assert_clean(&markers, &sinks);
}
