//! Client certificates as identities, over real TLS.

use std::io;

use http::Request;
use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ROUTES;
use crate::support::h2;
use crate::support::house::{self, House};
use crate::support::recorder::{Recorder, recording};
use crate::tls::{Authority, Manner, PLAIN, Pair, connect, table};

const SPIFFE: &str = "spiffe://mesh.example/worker";

/// A sidecar that asks clients for certificates.
struct Gate {
    servers: Authority,
    clients: Authority,
    recorder: Recorder,
    house: House,
    _directory: TempDir,
}

async fn gate(more: &str) -> Gate {
    let (servers, clients) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().unwrap();
    servers.sign("localhost").write(directory.path());
    let ca = directory.path().join("clients.pem");
    std::fs::write(&ca, clients.pem()).unwrap();
    let tls = table(directory.path(), &format!("client_ca_file = \"{}\"\n", ca.display()));
    let text = format!("{tls}[identity]\nsource = \"mtls\"\n{more}\n{ROUTES}");
    let recorder = recording().await;
    let house = house::open(&house::config(recorder.upstream.address, &text)).await;
    Gate { servers, clients, recorder, house, _directory: directory }
}

impl Gate {
    /// A certificate of a known authority with these names.
    fn pair(&self, names: Vec<SanType>, common: Option<&str>) -> Pair {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name = DistinguishedName::new();
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        self.clients.sign_as(&params)
    }

    /// The answer over HTTP/1 to a request that claims to be somebody else's.
    async fn ask(&self, own: Pair, path: &str) -> io::Result<String> {
        let manner = Manner { own: Some(own), ..PLAIN };
        let mut stream = connect(self.house.data, &self.servers, manner).await?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\nx-user-id: root\r\nX_User_Id: root\r\n\
             connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

#[tokio::test]
async fn the_service_is_told_who_the_certificate_is_for() {
    let gate = gate("").await;
    for (names, common, user) in [
        (vec![dns("worker.example"), uri(SPIFFE)], Some("c"), SPIFFE),
        (vec![dns("worker.example")], Some("c"), "worker.example"),
        (vec![], Some("worker 1"), "worker 1"),
    ] {
        let answer = gate.ask(gate.pair(names, common), "/api/a").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let seen = gate.recorder.seen();
        let seen = seen.last().unwrap();
        assert_eq!(seen.field("x-user-id"), Some(user));
        assert_eq!(seen.field("x_user_id"), None);
        assert_eq!(seen.field("x-tenant-id"), None);
    }
    gate.house.close().await;
}

#[tokio::test]
async fn every_stream_of_a_connection_is_of_its_certificate() {
    let gate = gate("tenant_claim = \"/san/1\"\nforward = { x-tenant-id = \"/san/1\" }").await;
    let own = Some(gate.pair(vec![uri(SPIFFE), dns("acme")], None));
    let manner = Manner { alpn: &[b"h2"], own, ..PLAIN };
    let stream = connect(gate.house.data, &gate.servers, manner).await.unwrap();
    let client = h2::Client::over(stream).await;
    for (tenant, status) in [("acme", 200), ("other", 403), ("acme", 200)] {
        let request = Request::get("http://app.example/api/a").header("x-tenant-id", tenant);
        let answer = client.send(request.body(()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), status, "{tenant}");
    }
    let seen = gate.recorder.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.field("x-tenant-id") == Some("acme")));
    gate.house.close().await;
}

#[tokio::test]
async fn a_certificate_that_names_nobody_opens_nothing() {
    let gate = gate("").await;
    for (path, status) in [("/api/a", "401"), ("/", "401"), ("/login", "200")] {
        let answer = gate.ask(gate.pair(vec![], None), path).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    let seen = gate.recorder.seen();
    assert_eq!(seen.len(), 1, "only what needs nobody");
    assert_eq!(seen[0].field("x-user-id"), None);
    gate.house.close().await;
}
