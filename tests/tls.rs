//! TLS from clients: versions, protocols, client certificates, and certificates that change.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vital_sidecar::config::{Config, certificate};

use crate::support::client::Client;
use crate::support::h2;
use crate::support::house::{self, House};
use crate::support::process::Process;
use crate::support::recorder::recording;
use crate::support::{PATIENCE, until, upstream};

const HTTP_1_1: &[&[u8]] = &[b"http/1.1"];
const V12: &SupportedProtocolVersion = &rustls::version::TLS12;
const V13: &SupportedProtocolVersion = &rustls::version::TLS13;

/// An authority and what it has signed.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
pub(crate) struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::from_params(CertificateParams::new(Vec::new()).unwrap())
    }

    /// One with a name of its own.
    pub(crate) fn called(name: DistinguishedName) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = name;
        Self::from_params(params)
    }

    fn from_params(mut params: CertificateParams) -> Self {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn sign(&self, name: &str) -> Pair {
        self.sign_as(&CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    pub(crate) fn sign_as(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let issuer: &Issuer<'_, KeyPair> = &self.0;
        let certificate = params.signed_by(&key, issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

impl Pair {
    pub(crate) fn write(&self, directory: &Path) {
        std::fs::write(directory.join("cert.pem"), &self.certificate).unwrap();
        std::fs::write(directory.join("key.pem"), &self.key).unwrap();
    }
}

/// `[server.tls]` with the files of this directory.
pub(crate) fn table(directory: &Path, more: &str) -> String {
    let file = |name: &str| directory.join(name).display().to_string();
    format!(
        "[server.tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n{more}",
        file("cert.pem"),
        file("key.pem")
    )
}

/// What a client brings along.
pub(crate) struct Manner {
    pub(crate) alpn: &'static [&'static [u8]],
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) own: Option<Pair>,
}

pub(crate) const PLAIN: Manner = Manner { alpn: &[], versions: &[V13], own: None };

pub(crate) async fn connect(
    address: SocketAddr,
    authority: &Authority,
    manner: Manner,
) -> std::io::Result<TlsStream<TcpStream>> {
    let builder = ClientConfig::builder_with_provider(certificate::provider())
        .with_protocol_versions(manner.versions)
        .unwrap()
        .with_root_certificates(authority.roots());
    let mut config = match manner.own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = manner.alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// One request and its whole answer over HTTP/1.
async fn ask(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    stream.write_all(b"GET /a HTTP/1.1\r\nhost: app.example\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn http_1_is_served_behind_tls_and_the_upstream_is_told() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("localhost").write(directory.path());
    let recorder = recording().await;
    let config = house::config(recorder.upstream.address, &table(directory.path(), ""));
    let house = house::open(&config).await;

    for alpn in [&[][..], HTTP_1_1] {
        let manner = Manner { alpn, ..PLAIN };
        let mut stream = connect(house.data, &authority, manner).await.unwrap();
        let answer = ask(&mut stream).await.expect("an answer and a clean close");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }

    assert_eq!(recorder.seen()[0].field("x-forwarded-proto"), Some("https"));
    house.close().await;
}

#[tokio::test]
async fn the_strict_preset_asks_for_tls_from_now_on_where_there_is_tls() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("localhost").write(directory.path());
    let recorder = recording().await;
    for (preset, is_said) in [("strict", true), ("basic", false)] {
        let text = table(directory.path(), &format!("[security]\nheaders = \"{preset}\"\n"));
        let house = house::open(&house::config(recorder.upstream.address, &text)).await;
        let mut stream = connect(house.data, &authority, PLAIN).await.unwrap();
        let answer = ask(&mut stream).await.expect("an answer and a clean close");
        let hsts = "strict-transport-security: max-age=31536000; includeSubDomains\r\n";
        assert_eq!(answer.contains(hsts), is_said, "{answer}");
        house.close().await;
    }
}

#[tokio::test]
async fn http_2_is_chosen_by_alpn() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("localhost").write(directory.path());
    let recorder = recording().await;
    let config = house::config(recorder.upstream.address, &table(directory.path(), ""));
    let house = house::open(&config).await;

    let manner = Manner { alpn: &[b"h2", b"http/1.1"], ..PLAIN };
    let stream = connect(house.data, &authority, manner).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let client = h2::Client::over(stream).await;
    let answer = client.get("/").await;

    assert_eq!(answer.status(), 200);
    let seen = recorder.only();
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.field("host"), Some("app.example"));
    house.close().await;
}

#[tokio::test]
async fn tls_1_2_is_spoken_only_where_it_is_asked_for() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("localhost").write(directory.path());
    let recorder = recording().await;
    let old = || Manner { versions: &[V12], ..PLAIN };
    for (more, is_served) in [("", false), ("min_version = \"1.2\"\n", true)] {
        let config = house::config(recorder.upstream.address, &table(directory.path(), more));
        let house = house::open(&config).await;
        let stream = connect(house.data, &authority, old()).await;
        assert_eq!(stream.is_ok(), is_served, "{more}");
        assert!(connect(house.data, &authority, PLAIN).await.is_ok(), "{more}");
        if !is_served {
            house.until_metric("sidecar_connection_errors_total{reason=\"tls\"}", 1.0).await;
        }
        house.close().await;
    }
}

#[tokio::test]
async fn with_authorities_a_client_needs_a_certificate_of_theirs() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("localhost").write(directory.path());
    let clients = Authority::new();
    let ca = directory.path().join("clients.pem");
    std::fs::write(&ca, clients.pem()).unwrap();
    let recorder = recording().await;
    let more = format!("client_ca_file = \"{}\"\n", ca.display());
    let config = house::config(recorder.upstream.address, &table(directory.path(), &more));
    let house = house::open(&config).await;

    let known = Manner { own: Some(clients.sign("client")), ..PLAIN };
    let stranger = Manner { own: Some(authority.sign("client")), ..PLAIN };
    let mut stream = connect(house.data, &authority, known).await.unwrap();
    assert!(ask(&mut stream).await.unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    for manner in [PLAIN, stranger] {
        // TLS 1.3 tells the client only after its own half of the handshake.
        let refused = match connect(house.data, &authority, manner).await {
            Ok(mut stream) => ask(&mut stream).await.is_err(),
            Err(_) => true,
        };
        assert!(refused);
    }

    assert_eq!(recorder.seen().len(), 1);
    house.until_metric("sidecar_connection_errors_total{reason=\"tls\"}", 2.0).await;
    house.close().await;
}

#[tokio::test]
async fn a_handshake_has_the_time_of_a_head() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("localhost").write(directory.path());
    let upstream = upstream::answering("").await;
    let mut config = house::config(upstream.address, &table(directory.path(), ""));
    config.server.limits.header_timeout = Duration::from_millis(200);
    let house = house::open(&config).await;

    let mut silent = Client::connect(house.data).await;
    let mut slow = Client::connect(house.data).await;
    slow.say([22, 3, 1]).await; // The beginning of a ClientHello.
    let mut lost = Client::connect(house.data).await;
    lost.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;

    silent.rest().await;
    slow.rest().await;
    lost.rest().await;
    house.until_metric("sidecar_connection_errors_total{reason=\"tls\"}", 2.0).await;
    // A handshake that is done leaves what is left of the time to the first head.
    let mut quiet = connect(house.data, &authority, PLAIN).await.unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, quiet.read_to_end(&mut rest)).await;
    assert!(closed.is_ok());
    house.close().await;
}

async fn until_shown(house: &House, authority: &Authority, pair: &Pair) {
    let expected = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let is_shown = async || {
        (shown(&connect(house.data, authority, PLAIN).await.unwrap()) == expected).then_some(())
    };
    until("the certificate is shown", is_shown).await;
}

#[tokio::test]
async fn a_certificate_follows_its_files_and_open_connections_stay() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let (first, second) = (authority.sign("localhost"), authority.sign("localhost"));
    first.write(directory.path());
    let recorder = recording().await;
    let config = house::config(recorder.upstream.address, &table(directory.path(), ""));
    let house = house::open(&config).await;
    let mut early = connect(house.data, &authority, PLAIN).await.unwrap();
    until_shown(&house, &authority, &first).await;

    second.write(directory.path());

    until_shown(&house, &authority, &second).await;
    assert!(ask(&mut early).await.unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    house.close().await;
}

#[tokio::test]
async fn a_bad_pair_is_told_of_and_the_old_one_stays() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let (first, second) = (authority.sign("localhost"), authority.sign("localhost"));
    first.write(directory.path());
    let upstream = upstream::answering("").await;
    let text = format!(
        "[upstream]\nurl = \"http://{}\"\n{}",
        upstream.address,
        table(directory.path(), "")
    );
    let process = Process::start(&text).await;

    // Only half of a pair.
    std::fs::write(directory.path().join("cert.pem"), &second.certificate).unwrap();
    let told = "The new files of `server.tls` cannot be used; the old certificate stays.";
    let data = process.data;
    let process = process.until_said(told).await;
    let stream = connect(data, &authority, PLAIN).await.unwrap();

    let expected = CertificateDer::from_pem_slice(first.certificate.as_bytes()).unwrap();
    assert_eq!(shown(&stream), expected);
    drop(stream);
    process.signal("INT").await;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{remains:?}");
}

#[test]
fn files_that_cannot_be_used_refuse_to_start_and_say_where() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let (first, second) = (authority.sign("localhost"), authority.sign("localhost"));
    let said = |pair: &Pair, more: &str| {
        pair.write(directory.path());
        let text = format!(
            "[upstream]\nurl = \"http://127.0.0.1:3000\"\n{}",
            table(directory.path(), more)
        );
        Config::from_toml(&text).expect_err("a refusal").to_string()
    };
    let mixed = Pair { certificate: first.certificate.clone(), key: second.key.clone() };
    let mixed = said(&mixed, "");
    assert!(mixed.contains("`server.tls.key_file` cannot be used"), "{mixed}");
    assert!(mixed.contains("the key does not belong to the certificate"), "{mixed}");
    assert!(mixed.contains("this certificate"), "{mixed}");
    let swapped = said(&Pair { certificate: first.key.clone(), key: first.key.clone() }, "");
    assert!(swapped.contains("`server.tls.certificate_file` cannot be used"), "{swapped}");
    let no_key = said(&Pair { certificate: first.certificate.clone(), key: String::new() }, "");
    assert!(no_key.contains("holds no PEM private key"), "{no_key}");
    let no_file = said(&first, "client_ca_file = \"/does/not/exist\"\n");
    assert!(no_file.contains("`server.tls.client_ca_file` cannot be read"), "{no_file}");
    let version = said(&first, "min_version = \"1.1\"\n");
    assert!(version.contains("expected \"1.2\" or \"1.3\""), "{version}");
}

#[tokio::test]
async fn the_plain_port_sends_everybody_to_the_one_with_tls() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("localhost").write(directory.path());
    let recorder = recording().await;
    let free = upstream::nobody().await;
    let more = format!("redirect_from = \"{free}\"\n");
    let config = house::config(recorder.upstream.address, &table(directory.path(), &more));
    let house = house::open(&config).await;

    let mut client = Client::connect(free).await;
    client
        .say("POST /a?b=c HTTP/1.1\r\nhost: app.example:80\r\ncontent-length: 3\r\n\r\nabc")
        .await;
    let answer = client.answer().await;
    let mut lost = Client::connect(free).await;
    lost.say("GET / HTTP/1.1\r\n\r\n").await;

    assert_eq!(answer.status, 308);
    let location = format!("https://app.example:{}/a?b=c", house.data.port());
    assert_eq!(answer.field("location"), Some(&*location));
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(answer.field("x-request-id").is_some());
    assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(lost.answer().await.status, 400);
    assert!(recorder.seen().is_empty());
    let lines = house.lines(2).await;
    assert_eq!((&lines[0]["status"], &lines[1]["status"]), (&308.into(), &400.into()));
    house.close().await;
}
