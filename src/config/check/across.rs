//! What can be judged only by looking at two tables at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::error::{Origin, Problem};
use crate::config::model::{Config, Listen};
use crate::config::section::Section;

/// Ports and directories used twice, an upstream that is ourselves, and bounds that contradict each
/// other.
pub(super) fn check(root: &Section<'_>, config: &Config) {
    ports(root, config);
    directories(root, config);
    itself(root, config);
    let inspect = root.section("inspect");
    if config.inspect.max_body > config.inspect.max_memory {
        let key = if inspect.has("max_body") { "max_body" } else { "max_memory" };
        let label = "expected max_body <= max_memory";
        inspect.refuse(key, "leaves no room for one body", label, None);
    }
}

/// A key that takes a port, in its table.
type Door<'a> = (Section<'a>, &'static str, SocketAddr);

/// Every TCP port of ours.
fn doors<'a>(root: &Section<'a>, config: &Config) -> Vec<Door<'a>> {
    let server = root.section("server");
    let mut doors: Vec<Door<'_>> = Vec::new();
    doors.extend(config.server.listen.tcp().map(|at| (server.clone(), "listen", at)));
    doors.push((root.section("admin"), "listen", config.admin.listen));
    doors.extend(config.metrics_listen.map(|at| (root.section("metrics"), "listen", at)));
    let redirect = config.server.tls.as_ref().and_then(|tls| tls.redirect_from);
    doors.extend(redirect.map(|at| (server.section("tls"), "redirect_from", at)));
    doors
}

fn ports(root: &Section<'_>, config: &Config) {
    let doors = doors(root, config);
    for (index, door) in doors.iter().enumerate() {
        for taken in &doors[..index] {
            if overlap(door.2, taken.2) {
                refuse(door, taken);
            }
        }
    }
}

/// Points at whichever of the two was written; both may be.
fn refuse(door: &Door<'_>, taken: &Door<'_>) {
    let path = |(section, key, _): &Door<'_>| section.path_of(key);
    let title = format!("`{}` and `{}` use the same port", path(door), path(taken));
    let (place, partner) = if door.0.has(door.1) { (door, taken) } else { (taken, door) };
    let label = format!("`{}` has it, too", path(partner));
    let mut problem = Problem::at(&place.0.origin_of(place.1), title).label(label);
    if partner.0.has(partner.1) {
        problem = problem.related(&partner.0.origin_of(partner.1), "used here");
    }
    place.0.problems.push(problem.help("give each its own port"));
}

/// Audit and spool each own their directory; the second would find it locked.
fn directories(root: &Section<'_>, config: &Config) {
    let is_audited = config.routes.iter().any(|route| route.audit.is_some());
    if is_audited && config.spool.directory.as_ref() == Some(&config.audit.directory) {
        let (spool, audit) = (root.section("spool"), root.section("audit"));
        let title = "`spool.directory` and `audit.directory` are the same";
        let mut problem = Problem::at(&spool.origin_of("directory"), title);
        problem = problem.label("the audit has it").help("give each a directory of its own");
        if audit.has("directory") {
            problem = problem.related(&audit.origin_of("directory"), "used here");
        }
        spool.problems.push(problem);
    }
}

fn itself(root: &Section<'_>, config: &Config) {
    let upstream = root.section("upstream");
    if upstream.origin_of("url") == Origin::Nowhere {
        return;
    }
    let door = match (&config.server.listen, &config.upstream.socket) {
        (Listen::Unix(listen), Some(socket)) => {
            (listen == socket).then(|| "server.listen".to_owned())
        }
        (_, Some(_)) => None,
        (_, None) => {
            let mut doors = doors(root, config).into_iter();
            let door = doors.find(|(_, _, at)| {
                at.port() == config.upstream.port && leads_to(&config.upstream.host, at.ip())
            });
            door.map(|(section, key, _)| section.path_of(key))
        }
    };
    if let Some(door) = door {
        let label = if door == "server.listen" {
            "every request would come back"
        } else {
            "no service is behind this port"
        };
        let help = format!("`{door}` has this address");
        upstream.refuse("url", "is the sidecar itself", label, Some(&help));
    }
}

/// Whether a connection to this host can reach what listens at this address. Names are not looked up,
/// but for the one that everybody means this machine by.
fn leads_to(host: &str, listen: IpAddr) -> bool {
    let listen = listen.to_canonical();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host == "localhost" || host.ends_with(".localhost") {
        let usual = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return listen.is_unspecified() || usual.contains(&listen);
    }
    let Ok(ip) = host.parse::<IpAddr>().map(|ip| ip.to_canonical()) else { return false };
    // To connect to no address in particular is to connect to this machine.
    ip == listen
        || (ip.is_loopback() && listen.is_unspecified())
        || (ip.is_unspecified() && (listen.is_loopback() || listen.is_unspecified()))
}

/// Whether two addresses cannot be used at once. Port 0 is a free one each time.
fn overlap(left: SocketAddr, right: SocketAddr) -> bool {
    let anywhere = left.ip().is_unspecified() || right.ip().is_unspecified();
    left.port() == right.port() && left.port() != 0 && (anywhere || left.ip() == right.ip())
}
