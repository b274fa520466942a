//! The real binary, with its configuration in a directory of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::client::{Answer, Client};
use super::{PATIENCE, until};

/// A command of the binary, with nothing of this process's environment.
pub fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vital-sidecar"));
    command.args(arguments).current_dir(directory).env_clear().kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end: its exit code, stdout and stderr.
pub async fn output(mut command: Command) -> (i32, String, String) {
    let running = command.output();
    let Output { status, stdout, stderr } =
        timeout(3 * PATIENCE, running).await.expect("an end in time").expect("a start");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

/// A running sidecar. It is killed with the test.
pub struct Process {
    pub data: SocketAddr,
    pub admin: SocketAddr,
    pub directory: TempDir,
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
}

/// What a sidecar left.
#[derive(Debug)]
pub struct Remains {
    pub code: Option<i32>,
    pub stdout: String,
    /// Everything said after the doors were open.
    pub stderr: String,
    /// Its directory; it goes with this.
    pub directory: TempDir,
}

impl Process {
    /// Starts `run` with this file, doors on free ports, and waits until they are open.
    pub async fn start(text: &str) -> Self {
        Self::start_with(text, &[]).await
    }

    /// The same, with these files beside it: name and content.
    pub async fn start_with(text: &str, files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, content) in files {
            std::fs::write(directory.path().join(name), content).expect("a file");
        }
        let file = directory.path().join("sidecar.toml");
        std::fs::write(&file, text).expect("a file");
        let run = ["run", "--config", "sidecar.toml", "--listen", "127.0.0.1:0"];
        let arguments = [&run[..], &["--admin", "127.0.0.1:0"]].concat();
        Self::open(command(directory.path(), &arguments), directory).await
    }

    /// Starts a command that runs a sidecar, and waits until its doors are open.
    pub async fn open(mut command: Command, directory: TempDir) -> Self {
        let mut child = command.spawn().expect("a start");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let opening = async {
            let mut said = Vec::new();
            while let Some(line) = stderr.next_line().await.expect("stderr") {
                let found = serde_json::from_str(&line).ok().as_ref().and_then(doors);
                if let Some(doors) = found {
                    return doors;
                }
                said.push(line);
            }
            panic!("it never opened its doors: {said:?}")
        };
        let (data, admin) = timeout(PATIENCE, opening).await.expect("open doors in time");
        Self { data, admin, directory, child, stderr }
    }

    /// A path in the process's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A new connection to the clients' door.
    pub async fn client(&self) -> Client {
        Client::connect(self.data).await
    }

    /// A GET at the operators' door.
    pub async fn ask(&self, path: &str) -> Answer {
        let mut client = Client::connect(self.admin).await;
        client.say(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        client.answer().await
    }

    /// Asks for a page until it answers so.
    pub async fn until(&self, path: &str, status: u16) {
        let ask = async || (self.ask(path).await.status == status).then_some(());
        until("the page changes", ask).await;
    }

    /// Sends a signal, by its name without `SIG`.
    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("a running process");
        // The shell has `kill` built in; not every machine has it as a program.
        let kill = format!("kill -s {name} {pid}");
        let sent = Command::new("sh").arg("-c").arg(kill).status().await;
        assert!(sent.expect("a shell").success());
    }

    /// Reads on until a line of its diagnostics has this message.
    pub async fn until_said(mut self, message: &str) -> Self {
        let listening = async {
            while let Some(line) = self.stderr.next_line().await.expect("stderr") {
                if line.contains(message) {
                    return;
                }
            }
            panic!("it never said {message:?}");
        };
        timeout(PATIENCE, listening).await.expect("said in time");
        self
    }

    /// Closes the read end of its stdout, as a log collector that died.
    pub fn stop_listening(&mut self) {
        drop(self.child.stdout.take());
    }

    /// Waits for its end.
    pub async fn remains(mut self) -> Remains {
        let ending = async {
            let mut stdout = String::new();
            let mut out = self.child.stdout.take();
            let reading = async {
                if let Some(out) = &mut out {
                    out.read_to_string(&mut stdout).await.expect("UTF-8");
                }
            };
            let mut stderr = String::new();
            let listening = async {
                while let Some(line) = self.stderr.next_line().await.expect("stderr") {
                    stderr.push_str(&line);
                    stderr.push('\n');
                }
            };
            tokio::join!(reading, listening);
            let status = self.child.wait().await.expect("an end");
            (status.code(), stdout, stderr)
        };
        let (code, stdout, stderr) = timeout(3 * PATIENCE, ending).await.expect("an end in time");
        Remains { code, stdout, stderr, directory: self.directory }
    }
}

impl Remains {
    /// A path in the process's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Asserts that the ledger was printed, that every account balances and nothing is in flight.
    pub fn assert_balanced(&self) {
        let pieces = self.stderr.lines().flat_map(|line| line.split("; "));
        let accounts: Vec<_> = pieces.filter(|piece| piece.contains(" accepted")).collect();
        assert!(!accounts.is_empty(), "a ledger: {}", self.stderr);
        for account in accounts {
            let number = |before: &str| -> u64 {
                let (words, _) = account.split_once(before).expect("an account");
                words.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number")
            };
            let parts = number(" exported") + number(" dropped") + number(" in flight");
            assert_eq!(number(" accepted"), parts, "{account}");
            assert_eq!(number(" in flight"), 0, "{account}");
        }
    }
}

/// Of a line in any schema.
fn doors(line: &Value) -> Option<(SocketAddr, SocketAddr)> {
    let address = |name: &str| {
        let places = [&line[name], &line["Attributes"][name], &line[format!("labels.{name}")]];
        places.into_iter().find_map(Value::as_str)?.parse().ok()
    };
    Some((address("traffic")?, address("admin")?))
}
