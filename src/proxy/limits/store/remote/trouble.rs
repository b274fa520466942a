//! Why a store is away, in words of our own: what a server says may hold names that are nobody's
//! business, so of its errors only the code is looked at.

use std::fmt;
use std::io;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody listens there, or the way there is closed. With the number of the system's error, where
    /// there was one.
    Unreachable(Option<i32>),
    /// Its name has no address.
    Unresolved,
    /// No answer in time.
    Late,
    /// The connection ended or broke.
    Broken,
    /// The roots cannot be read, or the handshake failed.
    Tls,
    /// Wrong user or password, or none where some are asked for.
    Credentials,
    /// The ACL user may not run the script or touch the keys.
    Forbidden,
    /// A replica, or a server that has lost its replicas.
    ReadOnly,
    /// Still loading its data set.
    Loading,
    /// No memory or disk for a write.
    Full,
    /// Busy with somebody's script.
    Busy,
    /// The cluster does not serve all slots, or no node of it can be reached.
    Cluster,
    /// The sentinels know no master of that name, or none of them answers.
    NoMaster,
    /// Another error of the server's.
    Refused,
    /// An answer that cannot be one.
    Nonsense,
}

impl Trouble {
    /// What an attempt to connect met.
    pub(super) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Late,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe => Self::Broken,
            io::ErrorKind::InvalidData => Self::Nonsense,
            // Looking names up is what fails without a number.
            _ if error.raw_os_error().is_none() => Self::Unresolved,
            _ => Self::Unreachable(error.raw_os_error()),
        }
    }

    /// What a call met.
    pub(super) fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Credentials,
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Forbidden,
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => {
                Self::ReadOnly
            }
            ErrorKind::Server(ServerErrorKind::BusyLoading) => Self::Loading,
            ErrorKind::Server(ServerErrorKind::ClusterDown)
            | ErrorKind::ClusterConnectionNotFound => Self::Cluster,
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::Nonsense,
            ErrorKind::Io if error.is_timeout() => Self::Late,
            ErrorKind::Io if error.is_connection_refusal() => Self::Unreachable(None),
            ErrorKind::Io | ErrorKind::Client => Self::Broken,
            _ => match error.code() {
                Some("NOAUTH" | "WRONGPASS") => Self::Credentials,
                Some("OOM" | "MISCONF") => Self::Full,
                Some("NOREPLICAS") => Self::ReadOnly,
                Some("BUSY") => Self::Busy,
                _ => Self::Refused,
            },
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable(Some(number)) => {
                let error = io::Error::from_raw_os_error(*number);
                return write!(f, "it cannot be reached: {error}");
            }
            Self::Unreachable(None) => "it cannot be reached",
            Self::Unresolved => "its name cannot be resolved",
            Self::Late => "it does not answer in time",
            Self::Broken => "the connection broke",
            Self::Tls => "TLS with it failed",
            Self::Credentials => "it does not accept the credentials",
            Self::Forbidden => "its user may not run the script",
            Self::ReadOnly => "it accepts no writes",
            Self::Loading => "it is still loading its data",
            Self::Full => "it has no room for a write",
            Self::Busy => "it is busy with a script",
            Self::Cluster => "the cluster is down",
            Self::NoMaster => "no sentinel names a master",
            Self::Refused => "it answers with an error",
            Self::Nonsense => "its answer makes no sense",
        })
    }
}
