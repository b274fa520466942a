//! Reaching a store: from its URL to a connection that can be asked, and the future that moves its
//! bytes.
//!
//! A server, and the master that sentinels name, are reached by a socket of our own, so that TLS is as
//! everywhere in the house and every reply is watched (see [`super::frames`]). A cluster's nodes are
//! found and reached by the `redis` crate, which follows their slots. Nothing here waits without the
//! caller's deadline, and nothing reconnects.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, IntoConnectionInfo, RedisConnectionInfo, Script, TlsCertificates,
};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::frames::Watched;
use super::script::{Question, Reply};
use super::trouble::Trouble;
use crate::config::model::{RateLimitStore, StoreNode, StorePlace, StoreUrl};
use crate::named_file;
use crate::proxy::roots;

/// After this long nobody waits for a reply any more, so its place in line can go.
const GIVEN_UP: Duration = Duration::from_secs(1);
/// So that one that hangs leaves time for the others.
const FOR_A_SENTINEL: Duration = Duration::from_millis(300);

/// The way to a store.
pub(super) struct Dialler {
    url: StoreUrl,
    wrap: Wrap,
}

enum Wrap {
    Open,
    /// With the roots' own text for who brings TLS of his own.
    Tls(TlsConnector, Option<Vec<u8>>),
    /// The roots could not be read; every attempt fails.
    Broken,
}

/// A connection to a store. Clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Moves a connection's bytes; it ends when the connection does.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

impl Dialler {
    pub(super) fn new(config: &RateLimitStore, url: &StoreUrl) -> Self {
        let wrap = if url.is_tls {
            tls(config).unwrap_or_else(|error| {
                tracing::error!(%error, "TLS towards the shared rate-limit store cannot be used.");
                Wrap::Broken
            })
        } else {
            Wrap::Open
        };
        Self { url: url.clone(), wrap }
    }

    /// Where it leads, without credentials.
    pub(super) fn url(&self) -> &StoreUrl {
        &self.url
    }

    /// Connects and introduces us. Cancel safe: a dropped call leaves nothing open.
    pub(super) async fn dial(&self) -> Result<(Connection, Driver), Trouble> {
        match &self.url.place {
            StorePlace::Server(node) => self.enter(self.reach(node).await?).await,
            StorePlace::Socket(path) => {
                let stream = UnixStream::connect(path).await;
                self.enter(Box::new(stream.map_err(|error| Trouble::of_io(&error))?)).await
            }
            StorePlace::Sentinel { nodes, master } => {
                let master = self.find(nodes, master).await?;
                self.enter(self.reach(&master).await?).await
            }
            StorePlace::Cluster(nodes) => self.join(nodes).await,
        }
    }

    async fn reach(&self, node: &StoreNode) -> Result<Box<dyn Wire>, Trouble> {
        let stream = TcpStream::connect((node.host.as_str(), node.port)).await;
        let stream = stream.map_err(|error| Trouble::of_io(&error))?;
        // It only costs time where it fails.
        let _without = stream.set_nodelay(true);
        match &self.wrap {
            Wrap::Open => Ok(Box::new(stream)),
            Wrap::Tls(connector, _) => {
                let name =
                    ServerName::try_from(node.host.clone()).map_err(|_invalid| Trouble::Tls)?;
                let shaken = connector.connect(name, stream).await;
                Ok(Box::new(shaken.map_err(|_failed| Trouble::Tls)?))
            }
            Wrap::Broken => Err(Trouble::Tls),
        }
    }

    async fn enter(&self, wire: Box<dyn Wire>) -> Result<(Connection, Driver), Trouble> {
        let mut who = RedisConnectionInfo::default().set_db(i64::from(self.url.database));
        if let Some(user) = &self.url.user {
            who = who.set_username(user);
        }
        if let Some(password) = &self.url.password {
            who = who.set_password(password.reveal());
        }
        let (connection, driver) = open(&who, wire).await?;
        Ok((Connection::One(connection), driver))
    }

    /// Asks one sentinel after the other for the master. They are asked without credentials.
    async fn find(&self, sentinels: &[StoreNode], name: &str) -> Result<StoreNode, Trouble> {
        for sentinel in sentinels {
            let asked = timeout(FOR_A_SENTINEL, self.ask_sentinel(sentinel, name)).await;
            if let Ok(Ok(Some((host, port)))) = asked {
                return Ok(StoreNode { host, port });
            }
        }
        Err(Trouble::NoMaster)
    }

    async fn ask_sentinel(
        &self,
        sentinel: &StoreNode,
        name: &str,
    ) -> Result<Option<(String, u16)>, Trouble> {
        let wire = self.reach(sentinel).await?;
        let (mut connection, driver) = open(&RedisConnectionInfo::default(), wire).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(name);
        tokio::select! {
            answer = question.query_async(&mut connection) => {
                answer.map_err(|error| Trouble::of(&error))
            }
            () = driver => Err(Trouble::Broken),
        }
    }

    async fn join(&self, nodes: &[StoreNode]) -> Result<(Connection, Driver), Trouble> {
        let scheme = if self.url.is_tls { "rediss" } else { "redis" };
        let seeds: Result<Vec<_>, _> = nodes
            .iter()
            .map(|node| format!("{scheme}://{node}").as_str().into_connection_info())
            .collect();
        let seeds = seeds.map_err(|error| Trouble::of(&error))?;
        let mut builder = ClusterClient::builder(seeds)
            .retries(0)
            .connection_timeout(GIVEN_UP)
            .response_timeout(GIVEN_UP);
        if let Some(user) = &self.url.user {
            builder = builder.username(user);
        }
        if let Some(password) = &self.url.password {
            builder = builder.password(password.reveal());
        }
        match &self.wrap {
            Wrap::Tls(_, Some(pem)) => {
                let root_cert = Some(pem.clone());
                builder = builder.certs(TlsCertificates { client_tls: None, root_cert });
            }
            Wrap::Broken => return Err(Trouble::Tls),
            Wrap::Open | Wrap::Tls(_, None) => {}
        }
        let joining = async { builder.build()?.get_async_connection().await };
        let connection = contain(joining).await?.map_err(|error| Trouble::of(&error))?;
        Ok((Connection::Cluster(connection), Box::pin(std::future::pending())))
    }
}

impl Connection {
    /// Asks. The caller sets the deadline.
    pub(super) async fn ask(&self, script: &Script, question: &Question) -> Result<Reply, Trouble> {
        let reply = match self.clone() {
            Self::One(mut connection) => contain(question.ask(script, &mut connection)).await,
            Self::Cluster(mut connection) => contain(question.ask(script, &mut connection)).await,
        };
        reply?.map_err(|error| Trouble::of(&error))
    }
}

async fn open(
    who: &RedisConnectionInfo,
    wire: Box<dyn Wire>,
) -> Result<(MultiplexedConnection, Driver), Trouble> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(GIVEN_UP));
    let opening = MultiplexedConnection::new_with_config(who, Watched::new(wire), config);
    let (connection, driver) = contain(opening).await?.map_err(|error| Trouble::of(&error))?;
    Ok((connection, Box::pin(async { contain(driver).await.unwrap_or_default() })))
}

/// Turns a panic into trouble. The `redis` crate has assertions about what a server answers, and a
/// server's answer must not end a request of ours.
async fn contain<T>(future: impl Future<Output = T>) -> Result<T, Trouble> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // After a panic it is never polled again, so what it left half done is never seen.
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(Err(Trouble::Nonsense)), |polled| polled.map(Ok))
    })
    .await
}

fn tls(config: &RateLimitStore) -> io::Result<Wrap> {
    let pem = config.ca_file.as_deref().map(named_file::read).transpose()?;
    let roots = match &config.ca_file {
        Some(path) => roots::read(path)?,
        None => roots::system("rate_limit_store.ca_file")?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Wrap::Tls(TlsConnector::from(Arc::new(client)), pem))
}
