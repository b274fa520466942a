//! Clients with certificates: marks in every name that a certificate has, its issuer's included.

use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, SanType, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::callers::ROUTES;
use super::markers::{Markers, Shape};
use super::receiver::Receiver;
use super::sinks::Sinks;
use super::{assert_clean, everything, gather, service};
use crate::support::process::Process;
use crate::tls::{Authority, Manner, PLAIN, Pair, connect, table};

/// Mints the names of certificates.
struct Names<'a> {
    markers: &'a Markers,
    shape: Shape,
}

impl Names<'_> {
    fn distinguished(&self, of: &str) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        for (kind, place) in [
            (DnType::CommonName, "common name"),
            (DnType::OrganizationName, "organization"),
            (DnType::OrganizationalUnitName, "unit"),
            (DnType::LocalityName, "locality"),
        ] {
            name.push(kind, self.markers.mint(&format!("the {of}'s {place}"), self.shape));
        }
        name
    }

    /// A certificate whose first URI, the user, is noted for this place.
    fn certificate(&self, user: &str) -> CertificateParams {
        let word = |place: &str| self.markers.token(place, self.shape);
        let uri = format!("spiffe://mesh.example/{}", word(&format!("{user}, in a URI")));
        self.markers.note(user, &uri);
        let mut params = CertificateParams::default();
        params.distinguished_name = self.distinguished("subject");
        params.subject_alt_names = vec![
            SanType::DnsName(format!("{}.example", word("a DNS name")).try_into().unwrap()),
            SanType::URI(uri.try_into().unwrap()),
            SanType::URI(format!("https://{}.example", word("another URI")).try_into().unwrap()),
            SanType::Rfc822Name(format!("{}@a.example", word("mail")).try_into().unwrap()),
        ];
        params
    }
}

/// What an answer to a client with this certificate begins with; nothing where the handshake fails.
async fn ask(process: &Process, servers: &Authority, own: Pair, path: &str) -> String {
    let manner = Manner { own: Some(own), ..PLAIN };
    let mut answer = Vec::new();
    if let Ok(mut stream) = connect(process.data, servers, manner).await {
        let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        // A server that takes no such certificate may say so only now.
        let _refused = stream.write_all(head.as_bytes()).await;
        let _torn = stream.read_to_end(&mut answer).await;
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn nothing_of_a_certificate_comes_out_of_a_sink_but_the_user_of_the_audit() {
    let (markers, receiver) = (Arc::<Markers>::default(), Receiver::start().await);
    let upstream = service::start(&markers).await;
    let long = Names { markers: &markers, shape: Shape::Long };
    let servers = Authority::new();
    let clients = Authority::called(long.distinguished("issuer"));
    let strangers = Authority::called(long.distinguished("strange issuer"));
    let directory = tempfile::tempdir().unwrap();
    servers.sign("localhost").write(directory.path());
    let ca = directory.path().join("clients.pem");
    std::fs::write(&ca, clients.pem()).unwrap();
    let known = table(directory.path(), &format!("client_ca_file = \"{}\"\n", ca.display()))
        + "[identity]\nsource = \"mtls\"\n";
    let text = everything(&upstream.address.to_string(), &receiver, &known) + ROUTES;
    let process = Process::start(&text).await;

    for shape in Shape::ALL {
        let names = Names { markers: &markers, shape };
        for (what, status) in [("fine", "200"), ("fine", "200"), ("broken", "500")] {
            let own = clients.sign_as(&names.certificate("sub"));
            let answer = ask(&process, &servers, own, &format!("/mine/a/{what}")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shape:?}: {answer}");
        }
        let mut over = names.certificate("a user that is over");
        (over.not_before, over.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        let strange = strangers.sign_as(&names.certificate("a stranger"));
        for unknown in [clients.sign_as(&over), strange] {
            assert_eq!(ask(&process, &servers, unknown, "/mine/a/fine").await, "", "{shape:?}");
        }
        // No name but a common name that cannot be carried: nobody.
        let mut nobody = CertificateParams::default();
        nobody.distinguished_name = names.distinguished("nobody");
        nobody.distinguished_name.push(DnType::CommonName, " ");
        let answer = ask(&process, &servers, clients.sign_as(&nobody), "/mine/a/fine").await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{shape:?}: {answer}");
    }
    let mut sinks = Sinks::default();
    gather(process, &receiver, &mut sinks).await;

    for ending in ["served", "500", "unauthenticated"] {
        assert!(sinks.endings.contains(ending), "nothing ended as {ending}: {:?}", sinks.endings);
    }
    assert_eq!(sinks.users.len(), 3 * Shape::ALL.len(), "{:?}", sinks.users);
    for user in &sinks.users {
        assert!(markers.is_minted("sub", user), "{user} is a verified user");
    }
    assert!(sinks.has("console", "\"userId\":\""), "no pseudonym in the log");
    assert!(sinks.has("spans, decoded", "user.hash"), "no pseudonym in a span");
    assert_clean(&markers, &sinks);
}
