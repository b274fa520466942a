//! The load generator of `make bench`: a closed loop for throughput, an open one for latency.
//!
//! `load closed` keeps a number of connections busy, each with one request at a time, for a time or
//! for a number of requests. `load open` sends at a fixed mean rate, at random (Poisson) moments,
//! and counts the wait of a request that could not be sent when it was due. Either prints one JSON
//! object. An answer other than 2xx, or one that breaks off, is an error and ends the run: figures
//! over failed requests mean nothing. It speaks only as much HTTP as the benchmark needs.
//!
//! `load events` reads event streams whose events say when they were sent, and tells how long they were
//! on their way.
//!
//! Usage: `load closed ADDRESS PATH CONNECTIONS seconds|requests N`,
//! `load open ADDRESS PATH CONNECTIONS RATE SECONDS` or `load events ADDRESS PATH CONNECTIONS`. For a path,
//! `@FILE` names a whole request, sent as it is.
#![expect(clippy::print_stdout, reason = "the result is read from standard output")]

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::Instant;

type Failure = Box<dyn Error + Send + Sync>;

const BLOCK: usize = 64 * 1024;
/// Requests each connection of the open loop makes before it is measured.
const WARM: usize = 100;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["closed", address, path, connections, unit, amount] => {
            let until = match *unit {
                "seconds" => Until::Time(Duration::from_secs_f64(amount.parse()?)),
                "requests" => Until::Count(amount.parse()?),
                _ => return Err("closed: say seconds or requests".into()),
            };
            let target = Target::new(address, path)?;
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(closed(
                target,
                connections.parse()?,
                until,
            ))
        }
        ["open", address, path, connections, rate, seconds] => open(
            &Target::new(address, path)?,
            connections.parse()?,
            rate.parse()?,
            Duration::from_secs_f64(seconds.parse()?),
        ),
        ["events", address, path, connections] => {
            events(&Target::new(address, path)?, connections.parse()?)
        }
        _ => Err("usage: see the head of examples/load.rs".into()),
    }
}

/// Whom to ask, and the request as it is sent.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    request: Arc<[u8]>,
}

impl Target {
    fn new(address: &str, path: &str) -> Result<Self, Failure> {
        let request = match path.strip_prefix('@') {
            Some(file) => std::fs::read(file)?,
            None => format!(
                "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: load/1\r\nAccept: */*\r\n\
                 Accept-Encoding: gzip, deflate\r\n\r\n"
            )
            .into_bytes(),
        };
        Ok(Self { address: address.parse()?, request: request.into() })
    }
}

// === the closed loop ===

#[derive(Clone, Copy)]
enum Until {
    Time(Duration),
    Count(u64),
}

/// When a connection of the closed loop stops, shared by all.
struct Goal {
    deadline: Option<Instant>,
    left: AtomicU64,
}

impl Goal {
    fn allows_another(&self) -> bool {
        match self.deadline {
            Some(deadline) => Instant::now() < deadline,
            None => self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok(),
        }
    }
}

async fn closed(target: Target, connections: usize, until: Until) -> Result<(), Failure> {
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = tokio::net::TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let start = Instant::now();
    let goal = Arc::new(match until {
        Until::Time(time) => Goal { deadline: Some(start + time), left: AtomicU64::new(0) },
        Until::Count(count) => Goal { deadline: None, left: AtomicU64::new(count) },
    });
    let mut workers = JoinSet::new();
    for stream in streams {
        workers.spawn(ask_again_and_again(stream, target.clone(), Arc::clone(&goal)));
    }
    let (mut requests, mut bytes) = (0, 0);
    while let Some(ended) = workers.join_next().await {
        let (more_requests, more_bytes) = ended??;
        requests += more_requests;
        bytes += more_bytes;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(r#"{{"requests":{requests},"bytes":{bytes},"seconds":{seconds}}}"#);
    Ok(())
}

async fn ask_again_and_again(
    mut stream: tokio::net::TcpStream,
    target: Target,
    goal: Arc<Goal>,
) -> Result<(u64, u64), io::Error> {
    let mut block = vec![0; BLOCK];
    let (mut requests, mut bytes) = (0, 0);
    while goal.allows_another() {
        stream.write_all(&target.request).await?;
        let mut answer = Answer::default();
        while !answer.is_whole() {
            let count = stream.read(&mut block).await?;
            answer.take(&block[..count])?;
        }
        requests += 1;
        bytes += answer.bytes;
    }
    Ok((requests, bytes))
}

// === the open loop ===

/// One blocking thread per connection: a runtime's timers are a millisecond coarse.
fn open(target: &Target, connections: u32, rate: f64, time: Duration) -> Result<(), Failure> {
    let start = Barrier::new(usize::try_from(connections)?);
    let gap = f64::from(connections) / rate;
    told(in_threads(connections, || ask_when_due(target, gap, time, &start))?)
}

/// What this many threads find, together.
fn in_threads(
    count: u32,
    work: impl Fn() -> io::Result<Vec<f64>> + Sync,
) -> Result<Vec<f64>, Failure> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&work)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok(all)
    })
}

/// Prints how many there were, and their percentiles.
fn told(mut micros: Vec<f64>) -> Result<(), Failure> {
    if micros.is_empty() {
        return Err("nothing came in so short a time".into());
    }
    micros.sort_by(f64::total_cmp);
    let at = |per_mille: usize| micros[(micros.len() * per_mille / 1000).min(micros.len() - 1)];
    let (count, p50, p90, p99) = (micros.len(), at(500), at(900), at(990));
    println!(r#"{{"requests":{count},"p50_us":{p50},"p90_us":{p90},"p99_us":{p99}}}"#);
    Ok(())
}

/// Latencies in microseconds of the requests that were due within `time`.
fn ask_when_due(
    target: &Target,
    mean_gap: f64,
    time: Duration,
    start: &Barrier,
) -> io::Result<Vec<f64>> {
    let connected = std::net::TcpStream::connect(target.address)
        .and_then(|stream| stream.set_nodelay(true).map(|()| stream));
    let mut block = vec![0; BLOCK];
    let warmed = connected.and_then(|mut stream| {
        for _ in 0..WARM {
            ask(&mut stream, target, &mut block)?;
        }
        Ok(stream)
    });
    // Everyone comes to the barrier, also who failed: nobody waits for ever.
    start.wait();
    let mut stream = warmed?;
    let begin = Instant::now();
    let mut due = begin;
    let mut micros = Vec::new();
    loop {
        due += Duration::from_secs_f64(-(1.0 - fastrand::f64()).ln() * mean_gap);
        if due > begin + time {
            return Ok(micros);
        }
        // Oversleeping is the machine's fault, a late send is the proxy's: only this one counts.
        let ahead = due.saturating_duration_since(Instant::now());
        if !ahead.is_zero() {
            std::thread::sleep(ahead);
        }
        let from = if ahead.is_zero() { due } else { Instant::now() };
        ask(&mut stream, target, &mut block)?;
        micros.push(from.elapsed().as_secs_f64() * 1e6);
    }
}

// === event streams ===

fn events(target: &Target, connections: u32) -> Result<(), Failure> {
    told(in_threads(connections, || listen(target))?)
}

/// How long each event of a stream was on its way, in microseconds.
fn listen(target: &Target) -> io::Result<Vec<f64>> {
    const MARK: &[u8] = b"data: ";
    const STAMP: usize = 20;
    let mut stream = std::net::TcpStream::connect(target.address)?;
    stream.write_all(&target.request)?;
    let (mut block, mut unread, mut micros) = (vec![0; BLOCK], Vec::new(), Vec::new());
    while !unread.ends_with(b"\r\n0\r\n\r\n") {
        let count = stream.read(&mut block)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        unread.extend_from_slice(&block[..count]);
        while let Some(at) = unread.windows(MARK.len()).position(|window| window == MARK) {
            let Some(digits) = unread.get(at + MARK.len()..at + MARK.len() + STAMP) else { break };
            let sent = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            let sent = Duration::from_nanos(sent.ok_or(io::ErrorKind::InvalidData)?);
            micros.push(now.saturating_sub(sent).as_secs_f64() * 1e6);
            unread.drain(..at + MARK.len() + STAMP);
        }
    }
    Ok(micros)
}

fn ask(stream: &mut std::net::TcpStream, target: &Target, block: &mut [u8]) -> io::Result<()> {
    stream.write_all(&target.request)?;
    let mut answer = Answer::default();
    while !answer.is_whole() {
        let count = stream.read(block)?;
        answer.take(&block[..count])?;
    }
    Ok(())
}

// === the answer ===

/// An answer as it arrives.
#[derive(Default)]
struct Answer {
    head: Vec<u8>,
    rest: Rest,
    /// Of the body, without the framing.
    bytes: u64,
}

/// What is still to come.
#[derive(Default)]
enum Rest {
    #[default]
    Head,
    /// Bytes of a body with a length.
    Length(u64),
    /// A line of a chunked body: a size, or the empty line after a chunk.
    Line(Vec<u8>),
    /// Bytes of a chunk.
    Chunk(u64),
    /// The empty line after the last chunk; trailers are not expected here.
    Last(u8),
}

impl Answer {
    fn is_whole(&self) -> bool {
        matches!(self.rest, Rest::Length(0) | Rest::Last(0))
    }

    /// Takes what was read; an empty read before the end is an error.
    fn take(&mut self, mut input: &[u8]) -> io::Result<()> {
        if input.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !input.is_empty() {
            input = match &mut self.rest {
                Rest::Head => self.take_head(input)?,
                Rest::Length(0) | Rest::Last(0) => {
                    return Err(io::Error::other("more bytes than the answer has"));
                }
                Rest::Length(left) | Rest::Chunk(left) => {
                    let count = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= count as u64;
                    self.bytes += count as u64;
                    if matches!(self.rest, Rest::Chunk(0)) {
                        self.rest = Rest::Line(Vec::new());
                    }
                    &input[count..]
                }
                Rest::Line(line) => {
                    line.push(input[0]);
                    if line.ends_with(b"\n") && line.len() > 2 {
                        self.rest = after_size(line)?;
                    } else if line.ends_with(b"\n") {
                        line.clear();
                    }
                    &input[1..]
                }
                Rest::Last(left) => {
                    *left -= 1;
                    &input[1..]
                }
            };
        }
        Ok(())
    }

    fn take_head<'a>(&mut self, input: &'a [u8]) -> io::Result<&'a [u8]> {
        let before = self.head.len();
        self.head.extend_from_slice(input);
        let Some(at) = memchr::memmem::find(&self.head, b"\r\n\r\n") else { return Ok(&[]) };
        let end = at + 4;
        let head = String::from_utf8_lossy(&self.head[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 2") {
            return Err(io::Error::other(format!(
                "not a 2xx: {}",
                head.lines().next().unwrap_or("")
            )));
        }
        self.rest = head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                match (name, value.trim()) {
                    ("content-length", length) => length.parse().ok().map(Rest::Length),
                    ("transfer-encoding", "chunked") => Some(Rest::Line(Vec::new())),
                    _ => None,
                }
            })
            .ok_or_else(|| io::Error::other("an answer without an end"))?;
        Ok(&input[end - before..])
    }
}

/// What follows a line with a chunk's size.
fn after_size(line: &[u8]) -> io::Result<Rest> {
    let text = String::from_utf8_lossy(line);
    let digits = text.split(';').next().unwrap_or_default().trim();
    match u64::from_str_radix(digits, 16) {
        Ok(0) => Ok(Rest::Last(2)),
        Ok(size) => Ok(Rest::Chunk(size)),
        Err(_) => Err(io::Error::other("not the size of a chunk")),
    }
}
