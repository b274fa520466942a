//! How the upstream and its pool are, for readiness, `status` and whoever looks after the pool.
//!
//! What is said here was noted while connecting ([`super::outage`]) or is counted when asked; no request
//! pays for it.

use std::time::Duration;

use tokio::time::Instant;

use super::dial::Protocol;
use super::outage::Trouble;
use super::{NoConnection, Upstream, http2};

/// The connections of the pool at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Those that carry requests, or are being made; over HTTP/2 all that are open.
    pub in_use: usize,
    /// Those that wait for a request.
    pub idle: usize,
    /// `upstream.pool.max_connections`.
    pub max: usize,
}

impl Upstream {
    /// Finds out whether a request would get a connection, and closes it.
    pub(super) async fn try_out(&self, deadline: Instant) -> Result<(), Trouble> {
        let (stream, protocol) = self.dialler.dial(deadline).await?;
        match protocol {
            Protocol::Http1 => Ok(()),
            Protocol::Http2 => http2::try_out(stream, deadline).await,
        }
    }

    /// Notes how an attempt to connect went.
    pub(super) fn note<T>(&self, tried: Result<T, Trouble>) -> Result<T, NoConnection> {
        match tried {
            Ok(made) => {
                self.standing.succeed();
                Ok(made)
            }
            Err(trouble) => {
                let reason = trouble.reason();
                self.standing.fail(trouble);
                Err(reason)
            }
        }
    }

    /// Whether the last attempt to connect succeeded. `false` before the first.
    pub fn is_reachable(&self) -> bool {
        self.standing.is_reachable()
    }

    /// Why the last attempt to connect failed, if it did, and how long none has succeeded.
    pub fn trouble(&self) -> Option<(Trouble, Duration)> {
        self.standing.trouble()
    }

    /// How full the pool is.
    pub fn places(&self) -> Places {
        let max = self.pool.max_connections;
        let in_use = max.saturating_sub(self.free.available_permits());
        Places { in_use, idle: self.idle.lock().len(), max }
    }
}
