//! Another configuration for a sidecar that runs: asked for by a signal or an operator, or seen in the
//! file.
//!
//! The next configuration is read and checked whole before anything of it is in force. Whatever is
//! wrong with it, or needs a restart, leaves the old one as it is, and is told to the log and to
//! whoever asked, in the words of `check`. One task does all of it, one attempt after another.
//!
//! The file is looked at every second, by what its path leads to: so it is also seen when a
//! symlink on the way is swapped, as Kubernetes does with a `ConfigMap`. A file that is still being
//! written waits for the next look; one whose text is the one tried last is left alone. Files
//! of secrets are not watched, but read again by every reload.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config, Loaded, Sources, Written};
use crate::record::ErrorType;

/// Between two looks at the file.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// For the answer to whoever asks; below the patience of our own commands.
const DEADLINE: Duration = Duration::from_millis(2500);
/// Attempts that wait for the one under way.
const ASKS: usize = 4;

/// Reads everything a configuration is made from, or says in words why it cannot. It may block.
pub type Gather = dyn Fn() -> Result<Sources, String> + Send + Sync;

/// Where the next configuration comes from.
pub struct Source {
    /// Asked once for each attempt.
    pub gather: Arc<Gather>,
    /// The file to watch, if there is one.
    pub file: Option<PathBuf>,
    /// The text that the configuration in force was made from.
    pub text: Option<String>,
    /// What was written for the configuration in force.
    pub written: Written,
}

/// What made us look for another configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// SIGHUP.
    Signal,
    /// The admin port.
    Admin,
    /// The file has changed.
    File,
}

/// Why the old configuration stays.
#[derive(Clone, Debug, Error)]
pub enum NotReloaded {
    /// The new one cannot be read, is not valid, or needs a restart. The words are those of `check`.
    #[error("{0}")]
    Refused(String),
    /// Nobody reloads: the sidecar ends, or was not given a source.
    #[error("This sidecar cannot reload: it is about to end.")]
    Unheard,
    /// It takes longer than whoever asked can wait. It goes on; the log will say what came of it.
    #[error("The reload is still under way; the log and `status` will tell what came of it.")]
    Late,
}

/// How the last attempt went. The start counts as the first.
#[derive(Clone, Debug)]
pub struct State {
    /// When one last succeeded.
    pub last_success: SystemTime,
    /// Why the last one did not, if it did not.
    pub complaint: Option<String>,
}

/// The way to ask for a reload. Clones ask the same house.
#[derive(Clone, Debug)]
pub struct Handle {
    file: Option<Arc<Path>>,
    asks: mpsc::Sender<Ask>,
    state: Arc<Mutex<State>>,
}

/// The other end of a [`Handle`].
#[derive(Debug)]
pub struct Asks {
    heard: mpsc::Receiver<Ask>,
    state: Arc<Mutex<State>>,
}

/// The keys that changed, or why none did.
type Answer = Result<Vec<String>, String>;
type Ask = (Cause, oneshot::Sender<Answer>);

/// A way to ask for reloads of this file, and where they are heard.
pub fn channel(file: Option<&Path>) -> (Handle, Asks) {
    let (asks, heard) = mpsc::channel(ASKS);
    let state = State { last_success: SystemTime::now(), complaint: None };
    let state = Arc::new(Mutex::new(state));
    // Whoever reads of it need not know our working directory.
    let whole = |file: &Path| path::absolute(file).unwrap_or_else(|_| file.to_owned()).into();
    (Handle { file: file.map(whole), asks, state: Arc::clone(&state) }, Asks { heard, state })
}

impl Handle {
    /// Asks for a reload and waits for its outcome: the keys that changed.
    ///
    /// Cancel safe: a reload that was heard goes on without the asker.
    pub async fn reload(&self, cause: Cause) -> Result<Vec<String>, NotReloaded> {
        let (reply, answer) = oneshot::channel();
        let asking = async {
            self.asks.send((cause, reply)).await.map_err(|_| NotReloaded::Unheard)?;
            answer.await.map_err(|_| NotReloaded::Unheard)?.map_err(NotReloaded::Refused)
        };
        timeout(DEADLINE, asking).await.unwrap_or(Err(NotReloaded::Late))
    }

    /// The file that a reload reads, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// How the last attempt went.
    pub fn state(&self) -> State {
        self.state.lock().clone()
    }
}

/// Reloads whenever it is asked to or the file changes, until `stop`. `adopt` puts a configuration in
/// force; it must not wait.
pub async fn run(
    source: Source,
    asks: Asks,
    adopt: impl Fn(&Config) + Send,
    stop: CancellationToken,
) {
    // Also ends an attempt that hangs in reading, say from a pipe or a disk that is gone.
    stop.run_until_cancelled(serve(source, asks, adopt)).await;
}

async fn serve(source: Source, mut asks: Asks, adopt: impl Fn(&Config) + Send) {
    let mut watch = Watch { file: source.file, ..Watch::default() };
    let mut reloads = Reloads {
        start: Arc::new(source.written.clone()),
        now: source.written,
        tried: source.text,
        gather: source.gather,
        state: asks.state,
        adopt,
    };
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            Some((cause, reply)) = asks.heard.recv() => {
                let answer = reloads.attempt(cause).await;
                // Who asked may have gone; the log has been told.
                drop(reply.send(answer.unwrap_or_else(|| Ok(Vec::new()))));
            }
            _ = looks.tick() => {
                if watch.has_settled().await {
                    reloads.attempt(Cause::File).await;
                    if reloads.tried.is_none() {
                        watch.settled = None; // It could not be read, perhaps just now.
                    }
                }
            }
        }
    }
}

struct Reloads<F> {
    start: Arc<Written>,
    now: Written,
    /// The text of the last attempt, whatever became of it.
    tried: Option<String>,
    gather: Arc<Gather>,
    state: Arc<Mutex<State>>,
    adopt: F,
}

/// What reading gave: the file's text, and what it makes.
type Reading = (Option<String>, Result<Box<Loaded>, String>);

impl<F: Fn(&Config)> Reloads<F> {
    /// Reads, checks, and puts in force. `None` where the file still says what was tried last.
    async fn attempt(&mut self, cause: Cause) -> Option<Answer> {
        let known = (cause == Cause::File).then(|| self.tried.clone());
        let (gather, start) = (Arc::clone(&self.gather), Arc::clone(&self.start));
        let reading = spawn_blocking(move || read(&*gather, &start, known.as_ref())).await;
        let (text, outcome) = reading.unwrap_or_else(|_panicked| {
            let words = "error: reading the configuration failed unexpectedly\n";
            Some((None, Err(words.to_owned())))
        })?;
        self.tried = text;
        let answer = outcome.map(|loaded| self.adopt(*loaded));
        match &answer {
            Ok(changed) => {
                let changed = changed.join(", ");
                tracing::info!(cause = cause.as_str(), changed, "The configuration was reloaded.");
                *self.state.lock() = State { last_success: SystemTime::now(), complaint: None };
            }
            // A file that still cannot be read is no news.
            Err(errors) if cause == Cause::File && self.is_known(errors) => {}
            Err(errors) => {
                tracing::error!(
                    "error.type" = ErrorType::INVALID_CONFIGURATION.as_str(),
                    cause = cause.as_str(),
                    errors,
                    "The configuration was not reloaded; the old one stays in force."
                );
                self.state.lock().complaint = Some(errors.clone());
            }
        }
        Some(answer)
    }

    fn is_known(&self, errors: &str) -> bool {
        self.state.lock().complaint.as_deref() == Some(errors)
    }

    fn adopt(&mut self, loaded: Loaded) -> Vec<String> {
        (self.adopt)(&loaded.config);
        for notice in &loaded.notices {
            tracing::warn!("{notice}");
        }
        let changed = loaded.written.changes_since(&self.now);
        self.now = loaded.written;
        changed
    }
}

/// Reads and checks the next configuration, unless its text is `known`.
fn read(gather: &Gather, start: &Written, known: Option<&Option<String>>) -> Option<Reading> {
    let sources = match gather() {
        Ok(sources) => sources,
        Err(words) => return Some((None, Err(format!("error: {words}\n")))),
    };
    let text = sources.file.as_ref().map(|file| file.text.clone());
    if known == Some(&text) {
        return None;
    }
    let loaded = config::reload(&sources, start);
    Some((text, loaded.map(Box::new).map_err(|errors| format!("{errors}\n"))))
}

/// The file as it was when last looked at.
#[derive(Debug, Default)]
struct Watch {
    file: Option<PathBuf>,
    seen: Option<Stamp>,
    settled: Option<Stamp>,
}

impl Watch {
    /// Whether the file has changed, and then stayed as it is for one look.
    async fn has_settled(&mut self) -> bool {
        let Some(file) = self.file.clone() else { return false };
        let stamp = spawn_blocking(move || Stamp::of(&file)).await.ok().flatten();
        let is_still = stamp.is_some() && stamp == self.seen;
        self.seen = stamp;
        if !is_still || stamp == self.settled {
            return false;
        }
        self.settled = stamp;
        true
    }
}

/// What tells two states of a file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    identity: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// `None` where there is no file just now.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?; // Of the file, not of a symlink on the way.
        Some(Self {
            identity: (found.dev(), found.ino()),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

impl Cause {
    fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Admin => "admin",
            Self::File => "file",
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
