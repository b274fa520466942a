//! Where clients connect: a TCP port or a Unix socket, bound here or inherited from systemd.
//!
//! A Unix socket's file is replaced only where nobody listens on it any more, may be used by its owner
//! and group, and is removed when the port is closed.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::socket::{Stream, Unix};
use crate::config::model::{Listen, UNIX_PEER};

/// How many connections may wait to be accepted; the kernel may allow fewer.
const BACKLOG: i32 = 4096;
/// Who may connect to a Unix socket: its owner and group.
const PERMISSIONS: u32 = 0o660;

/// A place where clients can connect.
#[derive(Debug)]
pub enum Port {
    /// A TCP port.
    Tcp(TcpListener),
    /// A Unix socket; its file, where it is ours to remove.
    Unix(UnixListener, Option<SocketFile>),
}

/// A listening socket of the process's parent (systemd's socket activation), outside any runtime.
#[derive(Debug)]
pub enum Inherited {
    /// A TCP port.
    Tcp(std::net::TcpListener),
    /// A Unix socket. Its file belongs to whoever made it.
    Unix(std::os::unix::net::UnixListener),
}

/// The file of a Unix socket. Removed with this, unless another has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// Binds a TCP port. The address is taken from this moment on.
pub fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Takes the first socket that the parent process left open for this one, if it left any. It changes
/// the environment, so it wants to be called before there are threads that read it.
pub fn inherited() -> io::Result<Option<Inherited>> {
    let mut sockets = ListenFd::from_env();
    if sockets.len() == 0 {
        return Ok(None);
    }
    if let Ok(Some(listener)) = sockets.take_tcp_listener(0) {
        return Ok(Some(Inherited::Tcp(listener)));
    }
    sockets.take_unix_listener(0).map(|listener| listener.map(Inherited::Unix))
}

impl Port {
    /// Binds what the configuration names. The address is taken from this moment on.
    pub fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => bind_tcp(*address).map(Self::Tcp),
            Listen::Unix(path) => bind_unix(path),
        }
    }

    /// Adopts a socket of the parent's. One that nobody can connect to, such as a connection, is
    /// refused.
    pub fn adopt(inherited: Inherited) -> io::Result<Self> {
        let socket = match &inherited {
            Inherited::Tcp(listener) => SockRef::from(listener),
            Inherited::Unix(listener) => SockRef::from(listener),
        };
        if !socket.is_listener()? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
        }
        match inherited {
            Inherited::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            Inherited::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(UnixListener::from_std(listener)?, None))
            }
        }
    }

    /// Where it is; with the port that the system chose where 0 was asked for.
    pub fn address(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(_, Some(file)) => Ok(Listen::Unix(file.path.clone())),
            Self::Unix(listener, None) => {
                let address = listener.local_addr()?;
                Ok(Listen::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned()))
            }
        }
    }

    /// Waits for the next client. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<(Stream, IpAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream), address.ip()))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(Box::new(Unix::new(stream))), UNIX_PEER))
            }
        }
    }
}

impl From<TcpListener> for Port {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

fn bind_unix(path: &Path) -> io::Result<Port> {
    let address = SockAddr::unix(path)?;
    remove_stale(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address)?;
    // Nobody can connect before `listen`, so nobody meets other permissions.
    let metadata = fs::symlink_metadata(path)?;
    let file = SocketFile { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) };
    fs::set_permissions(path, fs::Permissions::from_mode(PERMISSIONS))?;
    socket.listen(BACKLOG)?;
    Ok(Port::Unix(UnixListener::from_std(socket.into())?, Some(file)))
}

/// Removes the file of a sidecar that is no more. A socket that answers, and anything that is no
/// socket, stays.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file is not a socket"));
        }
        Ok(_) => {}
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Connected, or its queue is full: somebody is there.
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == self.identity);
        if is_ours {
            // One that cannot be removed is replaced at the next start.
            drop(fs::remove_file(&self.path));
        }
    }
}
