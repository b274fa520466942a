//! Ports: Unix sockets, and sockets inherited from the parent process. The redirect to TLS is in `tls`.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use vital_sidecar::config::Config;
use vital_sidecar::config::model::Listen;
use vital_sidecar::server::port::{Inherited, Port};

use crate::support::client::Client;
use crate::support::h2;
use crate::support::house::{self, House};
use crate::support::process::{Process, command};
use crate::support::recorder::recording;
use crate::support::upstream;

/// A configuration whose clients' door is this socket.
fn config(upstream: SocketAddr, path: &Path, more: &str) -> Config {
    let mut config = house::config(upstream, more);
    config.server.listen = Listen::Unix(path.to_owned());
    config
}

async fn ask(path: &Path, fields: &str) -> String {
    let mut stream = UnixStream::connect(path).await.expect("connect");
    let request =
        format!("GET /a HTTP/1.1\r\nhost: app.example\r\nconnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

async fn client_ip(house: &House) -> String {
    house.lines(1).await[0]["clientIp"].as_str().expect("an address").to_owned()
}

#[tokio::test]
async fn clients_are_served_over_a_unix_socket_and_its_file_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sidecar.sock");
    let recorder = recording().await;
    let house = house::open(&config(recorder.upstream.address, &path, "")).await;

    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let answer = ask(&path, "x-forwarded-for: 203.0.113.9\r\n").await;

    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let seen = recorder.only();
    assert_eq!(seen.field("x-forwarded-for"), None, "what an untrusted peer says is not passed on");
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(client_ip(&house).await, "0.0.0.0");
    house.close().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_trusted_unix_peer_is_believed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sidecar.sock");
    let recorder = recording().await;
    let trusting = "[server]\ntrusted_proxies = [\"unix\"]\n";
    let house = house::open(&config(recorder.upstream.address, &path, trusting)).await;

    ask(&path, "x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\n").await;

    let seen = recorder.only();
    assert_eq!(seen.field("x-forwarded-for"), Some("203.0.113.9"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(client_ip(&house).await, "203.0.113.0", "truncated in the log");
    house.close().await;
}

#[tokio::test]
async fn http_2_is_known_over_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sidecar.sock");
    let recorder = recording().await;
    let house = house::open(&config(recorder.upstream.address, &path, "")).await;

    let client = h2::Client::over(UnixStream::connect(&path).await.unwrap()).await;

    assert_eq!(client.get("/").await.status(), 200);
    house.close().await;
}

#[tokio::test]
async fn the_file_of_a_sidecar_that_is_no_more_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sidecar.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());

    let port = Port::bind(&Listen::Unix(path.clone())).unwrap();

    UnixStream::connect(&path).await.unwrap();
    drop(port);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_in_use_and_a_file_that_is_none_stay_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let (taken, file) = (directory.path().join("taken"), directory.path().join("file"));
    let _owner = Port::bind(&Listen::Unix(taken.clone())).unwrap();
    std::fs::write(&file, "precious").unwrap();

    let in_use = Port::bind(&Listen::Unix(taken.clone())).unwrap_err();
    let other = Port::bind(&Listen::Unix(file.clone())).unwrap_err();

    assert_eq!(in_use.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(other.kind(), std::io::ErrorKind::AlreadyExists);
    assert!(taken.exists());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[tokio::test]
async fn a_file_that_took_the_place_of_ours_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sidecar.sock");
    let first = Port::bind(&Listen::Unix(path.clone())).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _second = Port::bind(&Listen::Unix(path.clone())).unwrap();

    drop(first);

    UnixStream::connect(&path).await.unwrap();
}

#[tokio::test]
async fn a_socket_of_the_parent_process_that_does_not_listen_is_refused() {
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let anywhere: SocketAddr = ([127, 0, 0, 1], 0).into();
    bound.bind(&anywhere.into()).unwrap();

    let refused = Port::adopt(Inherited::Tcp(bound.into())).unwrap_err();

    assert_eq!(refused.to_string(), "the socket does not listen");
}

#[tokio::test]
async fn a_socket_of_the_parent_process_is_the_clients_door() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    socket2::SockRef::from(&listener).set_cloexec(false).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = format!("[upstream]\nurl = \"http://{}\"\n", upstream.address);
    std::fs::write(directory.path().join("sidecar.toml"), file).unwrap();
    let arguments = ["run", "--config", "sidecar.toml", "--admin", "127.0.0.1:0"];
    let mut run = command(directory.path(), &arguments);
    run.env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", listener.as_raw_fd().to_string());

    let process = Process::open(run, directory).await;

    assert_eq!(process.data, address);
    drop(listener);
    let answer = Client::connect(address).await.get("/").await;
    assert_eq!((answer.status, &*answer.body), (200, &b"ok"[..]));
    process.signal("TERM").await;
}
