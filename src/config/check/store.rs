//! `[rate_limit_store]`, and the URLs it may hold.
//!
//! Unlike other URLs, a store's carries its credentials: that is how Redis' own tools have it. They
//! are kept out of every message, and `secrecy` keeps them out of the quoted line.

use std::num::NonZeroU32;
use std::path::PathBuf;

use rustls_pki_types::ServerName;
use thiserror::Error;

use super::files;
use crate::config::model::{RateLimitStore, StoreNode, StorePlace, StoreUrl};
use crate::config::section::{Section, lay};
use crate::config::value::Zero;
use crate::secret::Secret;

/// Where Redis listens, and where its sentinels do.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// Nobody runs more sidecars of one service than that.
const REPLICAS: std::ops::RangeInclusive<u64> = 1..=100_000;
/// Databases of one server; Redis' own default is 16.
const DATABASES: u32 = 100_000;

/// `[rate_limit_store]`.
pub(super) fn store(section: &Section<'_>, store: &mut RateLimitStore) {
    store.url = match section.optional("redis_url") {
        Some(_) => section.parsed("redis_url", "a usable URL", parse),
        None => None,
    };
    lay(&mut store.timeout, section.duration("timeout", Zero::Refused));
    let replicas = section.number("replicas", &REPLICAS).and_then(|n| u32::try_from(n).ok());
    lay(&mut store.replicas, replicas.and_then(NonZeroU32::new));
    store.ca_file = files::roots(section, "ca_file");
    let has_no_tls = match &store.url {
        Some(url) => !url.is_tls,
        None => section.is_silent("redis_url"),
    };
    if store.ca_file.is_some() && has_no_tls {
        let help = "begin `rate_limit_store.redis_url` with rediss://, or leave `ca_file` out";
        section.refuse("ca_file", "is never used", "the store has no TLS", Some(help));
    }
}

/// Why a store's URL was refused. No message repeats a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum WrongUrl {
    /// Not a URL, or of a scheme that means nothing here.
    #[error(
        "expected a URL that begins with redis://, rediss://, redis+sentinel://, \
         redis+cluster:// or unix:/"
    )]
    Scheme,
    /// No host, or one that cannot be one.
    #[error("expected a host after the credentials, such as \"redis://127.0.0.1:6379\"")]
    Host,
    /// A port that is not from 1 to 65535.
    #[error("expected a port from 1 to 65535")]
    Port,
    /// Several hosts of something that is one server.
    #[error("one server has one host; several need redis+sentinel:// or redis+cluster://")]
    Hosts,
    /// A name that no certificate can have.
    #[error("expected hosts that a certificate can name")]
    Name,
    /// `user@` without a password, or an escape that is none.
    #[error("expected user:password@ or :password@, with %XX for what is special in a URL")]
    Credentials,
    /// A path that is not a database's number.
    #[error("expected nothing after the host but the number of a database")]
    Database,
    /// A cluster with a database.
    #[error("a cluster has only database 0; expected nothing after the hosts")]
    ClusterDatabase,
    /// Sentinels without the name to ask for.
    #[error("expected the master's name after the sentinels, as in \"redis+sentinel://a,b/main\"")]
    Master,
    /// `?…` or `#…`.
    #[error("a store's URL has neither `?` nor `#`")]
    Query,
    /// A path that no socket can have.
    #[error("expected the absolute path of a socket, as in \"unix:/run/redis.sock\"")]
    Socket,
}

fn parse(text: &str) -> Result<StoreUrl, WrongUrl> {
    // Credentials that a store's URL cannot have would be shown as a part of its place.
    if text.contains(['?', '#']) {
        return Err(WrongUrl::Query);
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(path);
    }
    let (scheme, rest) = text.split_once("://").ok_or(WrongUrl::Scheme)?;
    let (transport, form) = scheme.split_once('+').unwrap_or((scheme, ""));
    let is_tls = match transport {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => return Err(WrongUrl::Scheme),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => (Some(credentials), hosts),
        None => (None, authority),
    };
    let (user, password) = credentials.map_or(Ok((None, None)), enter)?;
    let (place, database) = match form {
        "" => {
            let mut nodes = nodes(hosts, PORT)?;
            let node = nodes.pop().filter(|_| nodes.is_empty()).ok_or(WrongUrl::Hosts)?;
            (StorePlace::Server(node), database(path)?)
        }
        "sentinel" => {
            let nodes = nodes(hosts, SENTINEL_PORT)?;
            let (master, path) = path.split_once('/').unwrap_or((path, ""));
            let master = decode(master).filter(|name| is_name(name)).ok_or(WrongUrl::Master)?;
            (StorePlace::Sentinel { nodes, master }, database(path)?)
        }
        "cluster" if matches!(path, "" | "0") => (StorePlace::Cluster(nodes(hosts, PORT)?), 0),
        "cluster" => return Err(WrongUrl::ClusterDatabase),
        _ => return Err(WrongUrl::Scheme),
    };
    let url = StoreUrl { place, is_tls, user, password, database };
    if is_tls && !names(&url.place).all(|node| ServerName::try_from(node.host.as_str()).is_ok()) {
        return Err(WrongUrl::Name);
    }
    Ok(url)
}

fn socket(path: &str) -> Result<StoreUrl, WrongUrl> {
    let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
    if !path.starts_with('/') || path.ends_with('/') || path.len() > 107 || path.contains('\0') {
        return Err(WrongUrl::Socket);
    }
    let place = StorePlace::Socket(PathBuf::from(path));
    Ok(StoreUrl { place, is_tls: false, user: None, password: None, database: 0 })
}

/// The user, if one is named, and the password.
fn enter(credentials: &str) -> Result<(Option<String>, Option<Secret>), WrongUrl> {
    let (user, password) = credentials.split_once(':').ok_or(WrongUrl::Credentials)?;
    let [user, password] = [user, password].map(decode);
    let (user, password) = user.zip(password).ok_or(WrongUrl::Credentials)?;
    if password.is_empty() {
        return Err(WrongUrl::Credentials);
    }
    Ok((Some(user).filter(|user| !user.is_empty()), Some(Secret::new(password))))
}

fn nodes(hosts: &str, port: u16) -> Result<Vec<StoreNode>, WrongUrl> {
    hosts.split(',').map(|host| node(host, port)).collect()
}

fn node(text: &str, usual: u16) -> Result<StoreNode, WrongUrl> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(WrongUrl::Host)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| WrongUrl::Host)?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(WrongUrl::Host),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b)) {
        return Err(WrongUrl::Host);
    }
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(WrongUrl::Port)?,
        None => usual,
    };
    Ok(StoreNode { host: host.to_owned(), port })
}

fn names(place: &StorePlace) -> impl Iterator<Item = &StoreNode> {
    match place {
        StorePlace::Server(node) => std::slice::from_ref(node),
        StorePlace::Socket(_) => &[],
        StorePlace::Sentinel { nodes, .. } | StorePlace::Cluster(nodes) => nodes,
    }
    .iter()
}

fn database(path: &str) -> Result<u32, WrongUrl> {
    if path.is_empty() {
        return Ok(0);
    }
    let is_number = path.bytes().all(|b| b.is_ascii_digit());
    path.parse().ok().filter(|n| is_number && *n < DATABASES).ok_or(WrongUrl::Database)
}

/// What the sentinels' own configuration allows in a name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

/// Replaces `%XX`; `None` where an escape is broken or the whole is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let [high, low, after @ ..] = after else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        decoded.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
        rest = after;
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, WrongUrl> {
        parse(text).map(|url| url.to_string())
    }

    #[test]
    fn each_form_is_taken_apart_and_shown_without_credentials() {
        for (text, expected) in [
            ("redis://cache", "redis://cache:6379/0"),
            ("valkey://127.0.0.1:7000/3", "redis://127.0.0.1:7000/3"),
            ("rediss://app:p%40ss@[::1]:7000/", "rediss://[::1]:7000/0"),
            ("redis+sentinel://:s@a,b:7/main/2", "redis+sentinel://a:26379,b:7/main/2"),
            ("rediss+cluster://u:s@a:1,b:2", "rediss+cluster://a:1,b:2"),
            ("unix:/run/redis.sock", "unix:/run/redis.sock"),
            ("unix:///run/redis.sock", "unix:/run/redis.sock"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected));
        }
        let url = parse("rediss://app:p%40%3As@a").unwrap();
        assert_eq!(url.user.as_deref(), Some("app"));
        assert_eq!(url.password.as_ref().map(Secret::reveal), Some("p@:s"));
        assert!(!format!("{url:?}").contains("p@:s"));
        assert_eq!(parse("redis://:s@a").unwrap().user, None);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (text, wrong) in [
            ("cache:6379", WrongUrl::Scheme),
            ("http://cache", WrongUrl::Scheme),
            ("redis+cloud://cache", WrongUrl::Scheme),
            ("redis://", WrongUrl::Host),
            ("redis://a b", WrongUrl::Host),
            ("redis://[::g]", WrongUrl::Host),
            ("redis://a:0", WrongUrl::Port),
            ("redis://a:b", WrongUrl::Port),
            ("redis://a,b", WrongUrl::Hosts),
            ("rediss://-a.:1", WrongUrl::Name),
            ("redis://secret@a", WrongUrl::Credentials),
            ("redis://u:@a", WrongUrl::Credentials),
            ("redis://u:%zz@a", WrongUrl::Credentials),
            ("redis://u:%ff@a", WrongUrl::Credentials),
            ("redis://a/x", WrongUrl::Database),
            ("redis://a/+1", WrongUrl::Database),
            ("redis+cluster://a/1", WrongUrl::ClusterDatabase),
            ("redis+sentinel://a", WrongUrl::Master),
            ("redis+sentinel://a/b%20c", WrongUrl::Master),
            ("redis://a?protocol=resp3", WrongUrl::Query),
            ("unix:/run/redis.sock?pass=secret", WrongUrl::Query),
            ("unix:///run/redis.sock#secret", WrongUrl::Query),
            ("unix:redis.sock", WrongUrl::Socket),
        ] {
            assert_eq!(parse(text), Err(wrong), "{text}");
        }
    }
}
