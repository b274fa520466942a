//! `[upstream]`: the service behind.

use std::path::PathBuf;

use http::uri::PathAndQuery;
use rustls_pki_types::ServerName;

use super::{SOME, files, gates, url};
use crate::config::error::Problem;
use crate::config::model::{Breaker, Health, HostHeader, Pool, Retry, Scheme, Timeouts, Upstream};
use crate::config::section::{Section, lay};
use crate::config::value::Zero;
use crate::record::ConfigName;

const HOSTS: [(&str, HostHeader); 2] =
    [("preserve", HostHeader::Preserve), ("rewrite", HostHeader::Rewrite)];

/// A request that was tried this often will not be helped by one time more.
const MOST_RETRIES: u64 = 10;
/// What the kernel's address of a Unix socket holds, less its final zero.
const MAX_SOCKET_PATH: usize = 107;

/// `[upstream]`; its `url` is the one key that must be there.
pub(super) fn upstream(section: &Section<'_>, upstream: &mut Upstream) {
    let is_read = address(section, upstream).is_some();
    if !section.has("url") {
        let problem = Problem::at(&section.origin, "`upstream.url` is missing");
        let problem = problem.label("the service behind must be named");
        let help = "add `url = \"http://127.0.0.1:3000\"` under `[upstream]`, or run with `--upstream URL`";
        section.problems.push(problem.help(help));
    }
    roots(section, upstream, is_read);
    lay(&mut upstream.host_header, section.choice("host", &HOSTS));
    timeouts(&section.section("timeouts"), &mut upstream.timeouts);
    pool(&section.section("pool"), &mut upstream.pool);
    retry(&section.section("retry"), &mut upstream.retry);
    health(&section.section("health"), &mut upstream.health);
    breaker(&section.section("breaker"), &mut upstream.breaker);
}

/// Reads `url`; `None` where it is not there, or has a problem.
fn address(section: &Section<'_>, upstream: &mut Upstream) -> Option<()> {
    let text = section.text("url")?;
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(section, path, upstream);
    }
    let url = section.read("url", "a usable URL", url::parse_upstream, url::meant)?;
    if url.path != "/" {
        let help = "the client's path is passed on as it is";
        section.refuse("url", "has a path", "expected nothing after the port", Some(help));
        return None;
    }
    if url.scheme == Scheme::Https && ServerName::try_from(url.host.as_str()).is_err() {
        let label = "expected a host name or an address";
        section.refuse("url", "has a host that no certificate can name", label, None);
        return None;
    }
    upstream.scheme = url.scheme;
    upstream.host = ConfigName::configured(&url.host);
    (upstream.port, upstream.authority) = (url.port, url.authority);
    Some(())
}

/// `unix:/run/app.sock`, or the same as a URL: `unix:///run/app.sock`.
fn socket(section: &Section<'_>, path: &str, upstream: &mut Upstream) -> Option<()> {
    let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
    if !path.starts_with('/') || path.starts_with("//") || path.ends_with('/') {
        let label = "expected the absolute path of a socket, as in \"unix:/run/app.sock\"";
        section.refuse("url", "is not a usable URL", label, None);
        None
    } else if path.len() > MAX_SOCKET_PATH || path.contains('\0') {
        let label =
            format!("a socket's path has at most {MAX_SOCKET_PATH} bytes, none of them zero");
        section.refuse("url", "is not a usable URL", label, None);
        None
    } else {
        upstream.scheme = Scheme::Http;
        (upstream.host, upstream.port) = (ConfigName::configured(path), 0);
        "localhost".clone_into(&mut upstream.authority);
        upstream.socket = Some(PathBuf::from(path));
        Some(())
    }
}

fn roots(section: &Section<'_>, upstream: &mut Upstream, is_read: bool) {
    upstream.ca_file = files::roots(section, "ca_file");
    if upstream.ca_file.is_some() && upstream.scheme != Scheme::Https && is_read {
        let help = "begin `upstream.url` with https://, or leave `ca_file` out";
        section.refuse("ca_file", "is never used", "`upstream.url` has no TLS", Some(help));
    }
}

fn timeouts(section: &Section<'_>, timeouts: &mut Timeouts) {
    lay(&mut timeouts.connect, section.duration("connect", Zero::Refused));
    lay(&mut timeouts.response_header, section.deadline("response_header"));
    lay(&mut timeouts.request, section.deadline("request"));
    lay(&mut timeouts.idle, section.deadline("idle"));
    lay(&mut timeouts.stream_idle, section.deadline("stream_idle"));
    lay(&mut timeouts.stream_max, section.deadline("stream_max"));
    lay(&mut timeouts.upgrade_idle, section.deadline("upgrade_idle"));
}

fn pool(section: &Section<'_>, pool: &mut Pool) {
    lay(&mut pool.max_connections, section.count("max_connections", &SOME));
    lay(&mut pool.queue_timeout, section.duration("queue_timeout", Zero::Meaningful));
    lay(&mut pool.max_idle, section.count("max_idle", &(0..=*SOME.end())));
    lay(&mut pool.idle_timeout, section.duration("idle_timeout", Zero::Refused));
}

fn retry(section: &Section<'_>, retry: &mut Retry) {
    let max_retries = section.number("max_retries", &(0..=MOST_RETRIES));
    lay(&mut retry.max_retries, max_retries.and_then(|number| number.try_into().ok()));
    lay(&mut retry.budget, section.ratio("budget"));
}

fn health(section: &Section<'_>, health: &mut Health) {
    lay(&mut health.path, section.parsed("path", "a usable path", path));
    lay(&mut health.interval, section.duration("interval", Zero::Refused));
}

/// An origin-form target, which is what a request line can hold; nothing where it is empty.
fn path(text: &str) -> Result<Option<String>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    if !text.starts_with('/') || text.parse::<PathAndQuery>().is_err() {
        return Err("expected a path such as \"/healthz\"");
    }
    Ok(Some(text.to_owned()))
}

fn breaker(section: &Section<'_>, breaker: &mut Breaker) {
    lay(&mut breaker.mode, section.choice("mode", &gates::MODES));
    let failures = section.number("failures", &SOME);
    lay(&mut breaker.failures, failures.and_then(|number| number.try_into().ok()));
    lay(&mut breaker.open_for, section.duration("open_for", Zero::Refused));
}
