//! A scripted Redis: it speaks as much RESP as the sidecar asks for, keeps buckets, and misbehaves on
//! demand.
//!
//! The script's arithmetic is here once more, on the clock of the tests; that the script itself
//! reckons so is for the real tier, which asks a real server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How it answers the script. What introduces a client is always answered well.
#[derive(Clone, Debug)]
pub enum Manner {
    /// As it should.
    Well,
    /// As it should, after this long.
    Late(Duration),
    /// Not at all.
    Silent,
    /// With these bytes.
    Says(Vec<u8>),
    /// With these bytes over and over, until the other side closes.
    Pours(Vec<u8>),
    /// By closing the connection.
    Closes,
    /// As if it had never heard of the script, however often it is told.
    Forgetful,
}

/// A running one.
pub struct Store {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    manner: watch::Sender<Manner>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// When each bucket is full again.
    full_at: Mutex<HashMap<String, Instant>>,
    /// Every command, in order, its parts in lower case where they are words.
    heard: Mutex<Vec<Vec<String>>>,
    open: Mutex<usize>,
}

impl Store {
    /// Starts one on a port of its own.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (manner, seen) = watch::channel(Manner::Well);
        let shared = Arc::<Shared>::default();
        let house = Arc::clone(&shared);
        #[expect(
            clippy::disallowed_methods,
            reason = "the handle ends it when the store is dropped"
        )]
        let accepting = tokio::spawn(async move {
            let mut talks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                talks.spawn(talk(stream, Arc::clone(&house), seen.clone()));
            }
        });
        Self { address, shared, manner, accepting }
    }

    /// How it answers from now on.
    pub fn behave(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// The commands so far whose first word is this one.
    pub fn heard(&self, command: &str) -> Vec<Vec<String>> {
        let heard = self.shared.heard.lock();
        heard.iter().filter(|words| words[0].eq_ignore_ascii_case(command)).cloned().collect()
    }

    /// Calls of the script for somebody's bucket; the sidecar's own trials are left out.
    pub fn asked(&self) -> Vec<Vec<String>> {
        let is_trial = |call: &Vec<String>| call[3].contains(&"f".repeat(32));
        self.heard("EVALSHA").into_iter().filter(|call| !is_trial(call)).collect()
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        *self.shared.open.lock()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn talk(mut stream: TcpStream, house: Arc<Shared>, manner: watch::Receiver<Manner>) {
    *house.open.lock() += 1;
    converse(&mut stream, &house, manner).await;
    *house.open.lock() -= 1;
}

async fn converse(stream: &mut TcpStream, house: &Shared, manner: watch::Receiver<Manner>) {
    let mut bytes = Vec::new();
    loop {
        let Some((words, used)) = command(&bytes) else {
            let mut more = [0; 4096];
            match stream.read(&mut more).await {
                Ok(0) | Err(_) => return,
                Ok(n) => bytes.extend_from_slice(&more[..n]),
            }
            continue;
        };
        bytes.drain(..used);
        house.heard.lock().push(words.clone());
        let reply = match words[0].to_ascii_uppercase().as_str() {
            "EVAL" => house.decide(&words),
            "EVALSHA" => {
                let manner = manner.borrow().clone();
                match manner {
                    Manner::Well => house.decide(&words),
                    Manner::Late(pause) => {
                        sleep(pause).await;
                        house.decide(&words)
                    }
                    Manner::Forgetful => b"-NOSCRIPT No matching script.\r\n".to_vec(),
                    Manner::Silent => continue,
                    Manner::Says(bytes) => bytes,
                    Manner::Pours(bytes) => {
                        while stream.write_all(&bytes).await.is_ok() {}
                        return;
                    }
                    Manner::Closes => return,
                }
            }
            _ => b"+OK\r\n".to_vec(),
        };
        if stream.write_all(&reply).await.is_err() {
            return;
        }
    }
}

impl Shared {
    /// `EVALSHA sha 1 key cost_s cost_n size_s size_n due_s due_n`.
    fn decide(&self, words: &[String]) -> Vec<u8> {
        let half = |n: usize| words[n].parse::<i128>().expect("a number");
        let [cost, size, due] = [4, 6, 8].map(|n| half(n) * 1_000_000_000 + half(n + 1));
        let now = Instant::now();
        let mut buckets = self.full_at.lock();
        let full_at = buckets.entry(words[3].clone()).or_insert(now);
        let held = full_at.saturating_duration_since(now).as_nanos();
        let debt = (i128::try_from(held).expect("a debt") + due).max(0);
        let is_taken = cost == 0 || debt + cost <= size;
        let debt = if is_taken { debt + cost } else { debt };
        *full_at = now + Duration::from_nanos(debt.try_into().expect("a debt"));
        let (seconds, nanos) = (debt / 1_000_000_000, debt % 1_000_000_000);
        format!("*3\r\n:{}\r\n:{seconds}\r\n:{nanos}\r\n", u8::from(is_taken)).into_bytes()
    }
}

/// The first whole command, and how many bytes it has.
fn command(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let (count, mut at) = number(bytes, 0, b'*')?;
    let mut words = Vec::new();
    for _ in 0..count {
        let (length, from) = number(bytes, at, b'$')?;
        let word = bytes.get(from..from + length)?;
        words.push(String::from_utf8_lossy(word).into_owned());
        at = from + length + 2;
    }
    (bytes.len() >= at).then_some((words, at))
}

fn number(bytes: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    let end = memchr::memchr(b'\n', rest)?;
    assert_eq!(rest[0], kind, "a command is a list of texts");
    let digits = std::str::from_utf8(&rest[1..end - 1]).expect("digits");
    Some((digits.parse().expect("a number"), at + end + 1))
}
