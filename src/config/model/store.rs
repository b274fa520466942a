//! `[rate_limit_store]`: where limits are shared.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// `[rate_limit_store]`.
#[derive(Clone, Debug)]
pub struct RateLimitStore {
    /// Where the store is; `None` where each replica has limits of its own.
    pub url: Option<StoreUrl>,
    /// How long one request waits for the store, all its limits together.
    pub timeout: Duration,
    /// Among how many replicas a limit is divided while the store is away.
    pub replicas: NonZeroU32,
    /// PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where a store is and how to enter. `Display` shows no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl {
    /// Who is there.
    pub place: StorePlace,
    /// Whether TLS is spoken.
    pub is_tls: bool,
    /// The ACL user; without one, the server's default user.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// The database's number; a cluster has only 0.
    pub database: u32,
}

/// Who is at the other end of a store's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// `redis://host:port/db`: one server.
    Server(StoreNode),
    /// `unix:/path`: one server, on this machine.
    Socket(PathBuf),
    /// `redis+sentinel://host,host/master`: whoever the sentinels call master of this name.
    Sentinel {
        /// The sentinels, asked in this order.
        nodes: Vec<StoreNode>,
        /// What they call the master.
        master: String,
    },
    /// `redis+cluster://host,host`: a cluster; these know the others.
    Cluster(Vec<StoreNode>),
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreNode {
    /// Name or address, an IPv6 address without its brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        match &self.place {
            StorePlace::Server(node) => write!(f, "{scheme}://{node}/{}", self.database),
            StorePlace::Socket(path) => write!(f, "unix:{}", path.display()),
            StorePlace::Sentinel { nodes, master } => {
                write!(f, "{scheme}+sentinel://{}/{master}/{}", joined(nodes), self.database)
            }
            StorePlace::Cluster(nodes) => write!(f, "{scheme}+cluster://{}", joined(nodes)),
        }
    }
}

impl fmt::Display for StoreNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn joined(nodes: &[StoreNode]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
