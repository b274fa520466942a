//! The log's files under load: they rotate, are moved, and outlive their writer; every line is whole and
//! none is lost without being counted.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::Value;
use tokio::task::JoinSet;
use vital_sidecar::config::model::{Console, LogFiles};

use crate::support::client::Client;
use crate::support::house::{self, config, lines};
use crate::support::process::Process;
use crate::support::{PATIENCE, eventually, eventually_within, upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const DENY: &str = "[[routes]]\nmatch = \"* /no\"\naction = \"deny\"\n";
/// So small that every few requests begin a new file, and so many that none goes.
const FILES: LogFiles = LogFiles { max_size: Some(4096), max_files: 1000, compress: false };

fn is_compressed(name: &str) -> bool {
    name.rsplit('.').next() == Some("gz")
}

/// The lines of all files of a directory whose names begin so; each file must be of whole lines, and no
/// longer than it may be, in bytes.
fn read(directory: &Path, names: &[&str], longest: usize) -> Vec<Value> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !names.iter().any(|begin| name.starts_with(begin)) {
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        if is_compressed(&name) {
            let mut plain = Vec::new();
            GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
            bytes = plain;
        }
        assert!(bytes.len() <= longest, "{name} has {} bytes", bytes.len());
        all.extend(lines(&bytes));
    }
    all
}

/// What the lines say is missing, and how many say so.
fn missing(lines: &[Value]) -> (u64, usize) {
    let told = lines.iter().filter(|line| line["message"] == "Log lines were dropped");
    let counts: Vec<_> = told.map(|line| line["dropped"].as_u64().unwrap()).collect();
    (counts.iter().sum(), counts.len())
}

fn assert_each_once(lines: &[Value]) {
    let ids: Vec<_> = lines.iter().filter_map(|line| line["requestId"].as_str()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "no line is there twice");
}

/// Whether a file of the log, which may be moved or compressed meanwhile, has this text.
fn holds(directory: &Path, text: &str) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let bytes = fs::read(entry.unwrap().path()).unwrap_or_default();
        let mut plain = Vec::new();
        let is_gzip = GzDecoder::new(&bytes[..]).read_to_end(&mut plain).is_ok();
        let bytes = if is_gzip { plain } else { bytes };
        memchr::memmem::find(&bytes, text.as_bytes()).is_some()
    })
}

/// Waits until no old file waits for its compression, or is half compressed. The last one rests for ten
/// seconds before, and whoever wants a core goes first.
async fn settled(directory: &Path) {
    let is_plain = |name: &str| name.starts_with("combined.log.") && !is_compressed(name);
    let is_settled = || {
        let mut names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        !names.any(|name| is_plain(name.to_str().unwrap()))
    };
    eventually_within(6 * PATIENCE, "all old files are compressed", is_settled).await;
}

async fn refused(door: std::net::SocketAddr, count: usize) {
    let mut client = Client::connect(door).await;
    for _ in 0..count {
        assert_eq!(client.get("/no").await.status, 403);
    }
}

#[tokio::test]
async fn files_that_rotate_and_are_moved_under_load_have_every_line_that_was_accepted() {
    let upstream = upstream::answering(OK).await;
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(upstream.address, DENY);
    config.log.console = Console::Off;
    config.log.directory = Some(directory.path().to_owned());
    config.log.files = FILES;
    let house = house::open(&config).await;
    let mut load = JoinSet::new();
    for _ in 0..4 {
        load.spawn(refused(house.data, 1_000));
    }
    let mut moved = 0;
    while !load.is_empty() {
        let within = tokio::time::timeout(Duration::from_millis(50), load.join_next());
        if let Ok(Some(ended)) = within.await {
            ended.unwrap();
        }
        let path = |name: &str| directory.path().join(name);
        if fs::rename(path("combined.log"), path(&format!("moved.{moved}"))).is_ok() {
            moved += 1;
        }
        house.log_files.ask();
    }
    let farewell = house.close().await;

    let lines = read(directory.path(), &["combined.log", "moved."], 4096);
    let account = farewell.ledger.snapshot().into_iter().find(|one| one.sink == "file").unwrap();
    let (dropped, notices) = missing(&lines);
    assert_eq!((account.accepted, (lines.len() - notices) as u64), (4_000, account.exported));
    assert_eq!(account.lost(), dropped, "{account}");
    assert_each_once(&lines);
    assert!(moved > 1, "somebody moved it {moved} times");
    let old = fs::read_dir(directory.path()).unwrap().count();
    assert!(old > 100, "it rotated all the time: {old} files");
}

#[tokio::test]
async fn a_killed_process_leaves_files_that_the_next_one_makes_whole() {
    let upstream = upstream::answering(OK).await;
    let logs = tempfile::tempdir().unwrap();
    let text = format!(
        "upstream.url = \"http://{}\"\notlp.endpoint = \"\"\n[log]\nconsole = \"off\"\n\
         directory = \"{}\"\nmax_size = \"32KiB\"\nmax_files = 1000\n{DENY}",
        upstream.address,
        logs.path().display()
    );
    for _ in 0..6 {
        let process = Process::start(&text).await;
        let mut client = process.client().await;
        client.say("GET /no HTTP/1.1\r\nhost: a\r\n\r\n".repeat(400)).await;
        for _ in 0..150 {
            assert_eq!(client.answer().await.status, 403);
        }
        process.signal("KILL").await;
        assert_eq!(process.remains().await.code, None, "it was killed");
    }
    let process = Process::start(&text).await;
    let answer = process.client().await.get("/no").await;
    let id = answer.field("x-request-id").expect("an id").to_owned();
    eventually("the last line is written", || holds(logs.path(), &id)).await;
    // Nothing is said any more, so nothing rotates once this is so.
    settled(logs.path()).await;
    let lines = read(logs.path(), &["combined.log"], 32 * 1024);
    assert_each_once(&lines);
    let requests = lines.iter().filter(|line| line["status"] == 403).count();
    assert!(requests > 100, "the killed ones had written something: {requests}");
    process.signal("INT").await;
    process.remains().await.assert_balanced();
}

#[tokio::test]
async fn a_hangup_opens_moved_files_again_and_reloads_the_configuration() {
    let upstream = upstream::answering(OK).await;
    let text = format!(
        "upstream.url = \"http://{}\"\notlp.endpoint = \"\"\nlog.console = \"off\"\n\
         log.directory = \"logs\"\n",
        upstream.address
    );
    let process = Process::start(&text).await;
    let mut client = process.client().await;
    assert_eq!(client.get("/no").await.status, 200);
    let log = process.path("logs/combined.log");
    let is_request = |line: &&str| line.contains("Request completed");
    let count = |path: &Path| {
        fs::read_to_string(path).map_or(0, |text| text.lines().filter(is_request).count())
    };
    eventually("the line is written", || count(&log) == 1).await;
    fs::rename(&log, process.path("logs/moved")).unwrap();
    fs::write(process.path("sidecar.toml"), format!("{text}{DENY}")).unwrap();
    process.signal("HUP").await;
    eventually("there is a new file, though nobody asks for anything", || log.exists()).await;
    let process = process.until_said("was reloaded").await;
    assert_eq!(client.get("/no").await.status, 403);
    eventually("the line is written", || count(&log) == 1).await;
    assert_eq!(count(&process.path("logs/moved")), 1);
    // A wrong configuration changes nothing, but the files are opened again all the same.
    fs::rename(&log, process.path("logs/moved.2")).unwrap();
    fs::write(process.path("sidecar.toml"), "nonsense = true\n").unwrap();
    process.signal("HUP").await;
    eventually("there is a new file again", || log.exists()).await;
    process.signal("INT").await;
    process.remains().await.assert_balanced();
}

#[tokio::test]
async fn who_waits_for_a_predecessor_to_leave_the_directory_keeps_the_runtime_running() {
    let upstream = upstream::answering(OK).await;
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(upstream.address, "");
    config.log.directory = Some(directory.path().to_owned());
    let predecessor = fs::File::open(directory.path()).unwrap();
    predecessor.lock().unwrap();
    // There is one thread: it gets to the second only if the first gives it up, and then in good time.
    let (house, ()) = tokio::join!(house::open(&config), async { drop(predecessor) });
    assert_eq!(house.client().await.get("/").await.status, 200);
    let farewell = house.close().await;
    let account = farewell.ledger.snapshot().into_iter().find(|one| one.sink == "file").unwrap();
    assert_eq!((account.accepted, account.exported), (1, 1), "{account}");
}
