//! Why nobody gets a connection to the upstream, and who is told of it.
//!
//! The log hears of an outage once for each kind of failure in it, and of its end; an upstream that
//! comes and goes all the time is spoken of every ten seconds. Readiness and `status` show the last
//! failure while it lasts. The address is configuration, and an error of the system tells of nobody, so
//! both may be said.
//!
//! A connection that comes about while nothing is wrong costs one load here; a request on one that is
//! there already costs nothing.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::NoConnection;

/// No new outage is told so soon after the last one was.
const SILENCE: Duration = Duration::from_secs(10);

/// The kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The name has no address.
    Resolve,
    /// Nobody listens there.
    Refused,
    /// Nobody answers there.
    TimedOut,
    /// The socket does not exist.
    NotThere,
    /// We may not use the socket.
    Denied,
    /// The machine knows no way there.
    NoRoute,
    /// The TLS handshake failed.
    Tls,
    /// Somebody answers, but not in HTTP/2.
    WrongProtocol,
    /// Somebody accepts, and says nothing in HTTP/2.
    Mute,
    /// Something else.
    Other,
}

/// A failure to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which kind.
    pub kind: Kind,
    /// The place, and what the system or TLS said of it.
    pub detail: String,
}

/// How the upstream was when somebody connected last.
#[derive(Debug)]
pub(super) struct Standing {
    url: String,
    is_reachable: AtomicBool,
    outage: Mutex<Outage>,
}

#[derive(Debug, Default)]
struct Outage {
    /// The last failure, and since when there have been nothing but failures.
    trouble: Option<(Trouble, Instant)>,
    /// The kinds that were told, one bit each.
    told: u16,
    silent_until: Option<Instant>,
}

impl Kind {
    /// Of an error of the system.
    fn of(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::NotFound => Self::NotThere,
            ErrorKind::PermissionDenied => Self::Denied,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::NoRoute,
            _ => Self::Other,
        }
    }

    /// What it means, as a sentence about the upstream goes on.
    pub fn words(self) -> &'static str {
        match self {
            Self::Resolve => "has a name that cannot be resolved",
            Self::Refused => "refuses connections",
            Self::TimedOut => "does not accept a connection in time",
            Self::NotThere => "has no socket there",
            Self::Denied => "has a socket that may not be used",
            Self::NoRoute => "is in a network that cannot be reached",
            Self::Tls => "accepts connections, but the TLS handshake fails",
            Self::WrongProtocol => "accepts connections, but does not speak HTTP/2",
            Self::Mute => "accepts connections, but says nothing in HTTP/2",
            Self::Other => "cannot be connected to",
        }
    }

    /// The `error.type` of the requests that meet it.
    fn error_type(self) -> &'static str {
        match self {
            Self::Tls => "upstream_tls",
            Self::WrongProtocol => "upstream_protocol",
            _ => "upstream_connect",
        }
    }
}

impl Trouble {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What the system said about a place.
    pub(super) fn of_io(place: &dyn fmt::Display, error: &std::io::Error) -> Self {
        Self::new(Kind::of(error), format!("{place}: {error}"))
    }

    /// What it is to a request.
    pub(super) fn reason(&self) -> NoConnection {
        match self.kind {
            Kind::Tls => NoConnection::Tls,
            Kind::WrongProtocol => NoConnection::WrongProtocol,
            _ => NoConnection::Unreachable,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind.words(), self.detail)
    }
}

impl Standing {
    /// Of the upstream at this URL, to which nobody has connected yet.
    pub(super) fn new(url: String) -> Self {
        Self { url, is_reachable: AtomicBool::new(false), outage: Mutex::default() }
    }

    /// Whether the last attempt to connect succeeded. `false` before the first.
    pub(super) fn is_reachable(&self) -> bool {
        self.is_reachable.load(Ordering::Relaxed)
    }

    /// The last failure, and how long there has been nothing else. `None` where the last attempt
    /// succeeded, and before the first.
    pub(super) fn trouble(&self) -> Option<(Trouble, Duration)> {
        let outage = self.outage.lock();
        outage.trouble.as_ref().map(|(trouble, since)| (trouble.clone(), since.elapsed()))
    }

    /// Notes a connection.
    pub(super) fn succeed(&self) {
        if self.is_reachable() {
            return;
        }
        let mut outage = self.outage.lock();
        self.is_reachable.store(true, Ordering::Relaxed);
        let ended = outage.trouble.take();
        let was_told = std::mem::take(&mut outage.told) != 0;
        drop(outage);
        if let Some((_, since)) = ended.filter(|_| was_told) {
            let seconds = since.elapsed().as_secs();
            tracing::info!(upstream = self.url, after_seconds = seconds, "The upstream is there.");
        }
    }

    /// Notes a failure.
    pub(super) fn fail(&self, trouble: Trouble) {
        let now = Instant::now();
        let mut outage = self.outage.lock();
        self.is_reachable.store(false, Ordering::Relaxed);
        let bit = 1 << trouble.kind as u16;
        let is_silent = outage.told == 0 && outage.silent_until.is_some_and(|until| now < until);
        let is_news = outage.told & bit == 0 && !is_silent;
        if is_news {
            outage.told |= bit;
            outage.silent_until = Some(now + SILENCE);
        }
        let since = outage.trouble.as_ref().map_or(now, |(_, since)| *since);
        let (kind, detail, upstream) = (trouble.kind, trouble.detail.clone(), &self.url);
        outage.trouble = Some((trouble, since));
        drop(outage);
        if is_news {
            tracing::warn!(
                upstream,
                "error.type" = kind.error_type(),
                error = detail,
                "The upstream {}.",
                kind.words()
            );
        } else {
            tracing::debug!(upstream, error = detail, "The upstream {}.", kind.words());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt};

    use super::*;

    /// How loud each event was; debug is not heard.
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<Level>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            if *event.metadata().level() < Level::DEBUG {
                self.0.lock().push(*event.metadata().level());
            }
        }
    }

    fn trouble(kind: io::ErrorKind) -> Trouble {
        Trouble::of_io(&"app:1", &kind.into())
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_once_for_each_kind_and_its_end_is_told() {
        let heard = Heard::default();
        let _guard =
            tracing::subscriber::set_default(tracing_subscriber::registry().with(heard.clone()));
        let standing = Standing::new("http://app:1".to_owned());
        assert!(!standing.is_reachable() && standing.trouble().is_none());
        for _ in 0..3 {
            standing.fail(trouble(io::ErrorKind::ConnectionRefused));
            standing.fail(trouble(io::ErrorKind::HostUnreachable));
        }
        tokio::time::advance(Duration::from_secs(3)).await;
        let (last, away) = standing.trouble().unwrap();
        assert_eq!((last.kind, away), (Kind::NoRoute, Duration::from_secs(3)));
        (0..3).for_each(|_| standing.succeed());
        assert!(standing.is_reachable() && standing.trouble().is_none());
        assert_eq!(*heard.0.lock(), [Level::WARN, Level::WARN, Level::INFO]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_comes_and_goes_cannot_fill_the_log() {
        let heard = Heard::default();
        let _guard =
            tracing::subscriber::set_default(tracing_subscriber::registry().with(heard.clone()));
        let standing = Standing::new("http://app:1".to_owned());
        for _ in 0..1000 {
            standing.fail(trouble(io::ErrorKind::ConnectionRefused));
            standing.succeed();
        }
        assert_eq!(*heard.0.lock(), [Level::WARN, Level::INFO]);
        standing.fail(trouble(io::ErrorKind::ConnectionRefused));
        tokio::time::advance(SILENCE).await;
        standing.fail(trouble(io::ErrorKind::ConnectionRefused));
        assert_eq!(heard.0.lock().len(), 3, "what lasts is told in the end");
    }

    #[test]
    fn it_says_the_kind_the_place_and_the_error() {
        let refused = Trouble::of_io(&"127.0.0.1:1", &io::Error::from_raw_os_error(111));
        assert_eq!(
            refused.to_string(),
            "refuses connections (127.0.0.1:1: Connection refused (os error 111))"
        );
        assert_eq!(refused.reason(), NoConnection::Unreachable);
        assert_eq!(Trouble::new(Kind::Tls, "").reason(), NoConnection::Tls);
    }
}
