//! `[server]`, `[admin]`, `[metrics]` and `[request_id]`: where others connect, and what they may
//! send.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderName;
use http::header::{EXPECT, LOCATION, ORIGIN, RETRY_AFTER, TRAILER, WWW_AUTHENTICATE};
use ipnet::IpNet;

use super::names::header_name;
use super::{SOME, SOME_BYTES, files, tls};
use crate::config::error::Problem;
use crate::config::model::{Admin, Listen, PathForm, Server, ServerLimits, UNIX_PEER};
use crate::config::section::{Section, lay};
use crate::config::slips;
use crate::config::value::Zero;
use crate::http::{forwarded, hop};
use crate::units;

/// hyper refuses to work with a smaller buffer for a head.
const HEAD: std::ops::RangeInclusive<u64> = 8 * 1024..=16 * 1024 * 1024;
/// The `http` crate holds no longer target.
const TARGET: std::ops::RangeInclusive<u64> = 1..=65_534;
const PATHS: [(&str, PathForm); 2] = [("strict", PathForm::Strict), ("as_is", PathForm::AsIs)];
/// What fits into a `sockaddr_un`, its closing NUL taken off.
const LONGEST_SOCKET_PATH: usize = 107;

/// `[server]`.
pub(super) fn server(section: &Section<'_>, server: &mut Server) {
    lay(&mut server.listen, listen(section, "listen"));
    // 0 is the default: one per core.
    let workers = section.count("workers", &(0..=1024)).filter(|workers| *workers > 0);
    lay(&mut server.workers, workers);
    lay(&mut server.trusted_proxies, networks(section, "trusted_proxies"));
    lay(&mut server.max_connections, section.count("max_connections", &SOME));
    lay(&mut server.path, section.choice("path", &PATHS));
    lay(&mut server.server_timing, section.flag("server_timing"));
    limits(&section.section("limits"), &mut server.limits);
    server.tls = tls::tls(&section.section("tls"));
    let drain = section.section("drain");
    lay(&mut server.drain.delay, drain.duration("delay", Zero::Meaningful));
    lay(&mut server.drain.timeout, drain.duration("timeout", Zero::Refused));
    if server.drain.delay >= server.drain.timeout {
        let key = if drain.has("delay") { "delay" } else { "timeout" };
        let help = "`drain.timeout` counts from the signal and includes `drain.delay`";
        drain.refuse(key, "leaves no time to drain", "expected delay < timeout", Some(help));
    }
}

/// `[admin]`.
pub(super) fn admin(section: &Section<'_>, admin: &mut Admin) {
    reach(section, admin);
    if !admin.listen.ip().to_canonical().is_loopback() && section.is_silent("token_file") {
        let help =
            "set `admin.token_file`, or listen on 127.0.0.1; scrapers can use `metrics.listen`";
        section.refuse("listen", "needs a token", "is not a loopback address", Some(help));
    }
}

/// `[admin]`, as far as it says how operators are let in.
pub(crate) fn reach(section: &Section<'_>, admin: &mut Admin) {
    lay(&mut admin.listen, address(section, "listen"));
    admin.token = files::secret(section, "token_file");
}

/// `[request_id] header`, in lower case: a field that means nothing else to anybody on the way.
pub(super) fn request_id(section: &Section<'_>) -> Option<Arc<str>> {
    section.parsed("header", "a usable header name", |text| {
        let name = header_name(text)?;
        if has_a_meaning(&name) { Err("expected a header of its own") } else { Ok(name) }
    })
}

/// Whether a field (in lower case) frames or routes a message, is read by a hop, by a browser or by us,
/// or says who calls.
fn has_a_meaning(name: &str) -> bool {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return true };
    hop::is_hop_by_hop(&name)
        || hop::is_usual(&name)
        || hop::is_identity(&name)
        || hop::is_internal(&name)
        || hop::is_trace_context(&name)
        || forwarded::is_forwarding(&name)
        || name.as_str().starts_with("content-")
        || name.as_str().starts_with("sec-")
        || matches!(name, EXPECT | LOCATION | ORIGIN | RETRY_AFTER | TRAILER | WWW_AUTHENTICATE)
}

/// An address that is absent when it is `""`.
pub(super) fn optional_address(section: &Section<'_>, key: &str) -> Option<SocketAddr> {
    section.optional(key).and_then(|_| address(section, key))
}

fn limits(section: &Section<'_>, limits: &mut ServerLimits) {
    lay(&mut limits.header_timeout, section.duration("header_timeout", Zero::Refused));
    lay(&mut limits.idle_timeout, section.duration("idle_timeout", Zero::Refused));
    lay(&mut limits.body_idle_timeout, section.duration("body_idle_timeout", Zero::Refused));
    let rate = section.read("min_body_rate", "a rate in bytes", units::byte_rate, slips::byte_rate);
    lay(&mut limits.min_body_rate, rate);
    lay(&mut limits.write_timeout, section.duration("write_timeout", Zero::Refused));
    lay(&mut limits.max_header_bytes, section.bytes("max_header_bytes", &HEAD));
    lay(&mut limits.max_headers, section.count("max_headers", &(1..=10_000)));
    lay(&mut limits.max_uri_bytes, section.bytes("max_uri_bytes", &TARGET));
    lay(&mut limits.max_request_body, section.size("max_request_body", &SOME_BYTES));
}

/// An address, or `unix:` and an absolute path.
fn listen(section: &Section<'_>, key: &str) -> Option<Listen> {
    let Some(path) = section.text(key)?.strip_prefix("unix:") else {
        return address(section, key).map(Listen::Tcp);
    };
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        let label = "expected an absolute path, as in \"unix:/run/sidecar.sock\"";
        section.refuse(key, "is not a Unix socket", label, None);
        return None;
    }
    if path.len() > LONGEST_SOCKET_PATH {
        let label = format!("expected at most {LONGEST_SOCKET_PATH} bytes of path");
        section.refuse(key, "is too long for a Unix socket", label, None);
        return None;
    }
    Some(Listen::Unix(path.into()))
}

fn address(section: &Section<'_>, key: &str) -> Option<SocketAddr> {
    let text = section.text(key)?;
    let Ok(address) = text.parse() else {
        let help = match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
            _ if text.starts_with("unix:") => {
                Some("only `server.listen` can be a Unix socket".to_owned())
            }
            Ok(port) => Some(format!("for every interface write \"0.0.0.0:{port}\"")),
            Err(_) if text.starts_with("localhost:") => {
                Some("write \"127.0.0.1\" for localhost".to_owned())
            }
            Err(_) => None,
        };
        let label = "expected IP:PORT, as in \"127.0.0.1:8080\" or \"[::1]:8080\"";
        section.refuse(key, "is not an address", label, help.as_deref());
        return None;
    };
    Some(address)
}

fn networks(section: &Section<'_>, key: &str) -> Option<Vec<IpNet>> {
    let words = section.words(key)?;
    let networks = words.into_iter().filter_map(|word| {
        if word.text == "unix" {
            return Some(IpNet::from(UNIX_PEER));
        }
        let network = word.text.parse::<IpNet>().map(|network| network.trunc());
        let network =
            network.or_else(|_| word.text.parse().map(|ip: std::net::IpAddr| IpNet::from(ip)));
        if network.is_err() {
            let title = format!("`{}` holds something that is not a network", section.path_of(key));
            let label = "expected a CIDR, as in \"10.0.0.0/8\" or \"fd00::/8\", or \"unix\"";
            section.problems.push(Problem::at(&word.origin, title).label(label));
        }
        network.ok()
    });
    Some(networks.collect())
}
