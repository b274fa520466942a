//! One request to the admin port of a running sidecar, for `health`, `status`, `reload`,
//! `drain` and `explain REQUEST-ID`.
//!
//! Plain blocking HTTP/1.1 on one connection: bounded in bytes and in time, and without a runtime,
//! so that it works as a container's health check. It follows nothing and retries nothing.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

/// What the admin port said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens there. Usually the sidecar is not running, or `admin.listen` differs.
    #[error(
        "connecting to the admin port at {address}: {error}; is a sidecar running there? `--admin IP:PORT` names another"
    )]
    Connect {
        /// Where we tried.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The connection broke or went silent.
    #[error("reading the answer of {address}: {error}")]
    Io {
        /// Whom we asked.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Somebody else listens there.
    #[error("{address} did not answer like an admin port")]
    Malformed {
        /// Whom we asked.
        address: SocketAddr,
    },
}

/// To connect, and for each read and write.
const PATIENCE: Duration = Duration::from_secs(3);
/// For the whole answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Asks once. `method` and `path` are ours, never a user's.
pub fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
) -> Result<Answer, AskError> {
    let address = reachable(address);
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .map_err(|error| AskError::Connect { address, error })?;
    exchange(stream, &head(address, method, path, token))
        .map_err(|error| AskError::Io { address, error })?
        .ok_or(AskError::Malformed { address })
}

fn head(address: SocketAddr, method: &str, path: &str, token: Option<&str>) -> String {
    let authorization =
        token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

/// The answer as soon as all of it is there, whether or not the connection stays open; `None` where what
/// came until its end is none.
fn exchange(mut stream: TcpStream, head: &str) -> io::Result<Option<Answer>> {
    let deadline = Instant::now() + DEADLINE;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(head.as_bytes())?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut chunk).map_err(late)?;
        bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let answer = parse(&bytes);
        if count == 0 || answer.is_some() {
            return Ok(answer);
        }
        if bytes.len() > MAX_ANSWER {
            return Err(io::Error::other("the answer is longer than 4 MiB"));
        }
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// The system calls a read that waited too long `Resource temporarily unavailable`.
fn late(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, format!("nothing came for {PATIENCE:?}"))
        }
        _ => error,
    }
}

/// The status and the body of an answer whose length is given by its header, as ours always is.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let length: usize = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })?;
    let start = end.checked_add(4)?;
    let body = bytes.get(start..start.checked_add(length)?)?;
    Some(Answer { status, body: String::from_utf8(body.to_vec()).ok()? })
}

/// A sidecar that listens on every address is asked at loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Our sentence about an answer that is not the one hoped for.
pub(super) fn complaint(answer: &Answer) -> String {
    let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let detail = document.get("detail").and_then(serde_json::Value::as_str);
    match (answer.status, detail) {
        (401, _) => {
            "the admin port asks for its token (`--token-file FILE`, or `--config FILE` with `admin.token_file`)".to_owned()
        }
        (status, Some(detail)) => format!("the admin port answered {status}: {detail}"),
        (status, None) => format!("the admin port answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_by_its_length() {
        let bytes = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno more";
        assert_eq!(parse(bytes), Some(Answer { status: 503, body: "no".to_owned() }));
    }

    #[test]
    fn what_is_no_answer_is_not_taken_for_one() {
        for bytes in [
            &b""[..],
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.1 \r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nbody without a length",
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nx",
        ] {
            assert_eq!(parse(bytes), None);
        }
    }

    #[test]
    fn a_wildcard_is_asked_at_loopback() {
        assert_eq!(reachable("0.0.0.0:9901".parse().unwrap()).to_string(), "127.0.0.1:9901");
        assert_eq!(reachable("[::]:9901".parse().unwrap()).to_string(), "[::1]:9901");
    }
}

#[cfg(test)]
mod against_a_sidecar {
    use std::sync::Arc;

    use arc_swap::ArcSwapOption;
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::task::{JoinSet, spawn_blocking};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::cli::{drain, health, status};
    use crate::config::model::Config;
    use crate::secret::Secret;
    use crate::server::admin::{Door, Health, House, serve};
    use crate::server::reload;
    use crate::telemetry::metrics::Metrics;

    async fn start(serving: &mut JoinSet<()>) -> (SocketAddr, Arc<House>) {
        let config = Config::for_upstream(SocketAddr::from(([127, 0, 0, 1], 9)));
        let house = Arc::new(House {
            metrics: Metrics::new(&config.service),
            health: Arc::new(Health::new(Vec::new())),
            status: Box::new(|| json!({ "version": "test" })),
            explain: Box::new(|id| (id == "known").then(|| json!({ "requestId": id }))),
            drain: CancellationToken::new(),
            reload: reload::channel(None).0,
            token: ArcSwapOption::from_pointee(Secret::new("s3cret")),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        serving.spawn(serve(listener, Door::Operators, Arc::clone(&house), stop));
        (address, house)
    }

    #[tokio::test]
    async fn the_commands_exit_by_what_the_sidecar_says() {
        let mut serving = JoinSet::new();
        let (address, house) = start(&mut serving).await;
        let run = |command: fn(SocketAddr, Option<&str>) -> u8, token: Option<&'static str>| async move {
            spawn_blocking(move || command(address, token)).await.unwrap()
        };
        assert_eq!(run(health::run, Some("s3cret")).await, 1);
        house.health.start();
        assert_eq!(run(health::run, Some("s3cret")).await, 0);
        assert_eq!(run(health::run, Some("wrong")).await, 1);
        assert_eq!(run(health::run, None).await, 1);
        assert_eq!(run(status::run, Some("s3cret")).await, 0);
        assert_eq!(run(drain::run, None).await, 1);
        assert!(!house.drain.is_cancelled());
        assert_eq!(run(drain::run, Some("s3cret")).await, 0);
        assert!(house.drain.is_cancelled());
    }

    /// What `ask` says of a peer that answers so and keeps the connection.
    fn asked_of(answer: &'static str) -> Result<Answer, AskError> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asking = std::thread::spawn(move || ask(address, "GET", "/status", None));
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(answer.as_bytes()).unwrap();
        asking.join().unwrap()
    }

    #[test]
    fn an_answer_that_is_complete_is_not_waited_for_longer() {
        let answer = asked_of("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        assert_eq!(answer, Answer { status: 200, body: "ok".to_owned() });
    }

    #[test]
    fn a_peer_that_stops_in_the_middle_is_said_to_be_late() {
        let error = asked_of("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").unwrap_err();
        assert!(error.to_string().ends_with(": nothing came for 3s"), "{error}");
    }

    #[tokio::test]
    async fn a_sidecar_that_is_not_there_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = spawn_blocking(move || ask(address, "GET", "/readyz", None)).await.unwrap();
        let message = error.unwrap_err().to_string();
        assert!(message.starts_with(&format!("connecting to the admin port at {address}: ")));
    }
}
