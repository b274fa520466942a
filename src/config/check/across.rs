//! What can be judged only by looking at two tables at once.

use std::net::{IpAddr, SocketAddr};

use crate::config::error::{Origin, Problem};
use crate::config::model::Config;
use crate::config::section::Section;

/// Ports used twice, an upstream that is ourselves, and bounds that contradict each other.
pub(super) fn check(root: &Section<'_>, config: &Config) {
    ports(root, config);
    itself(root, config);
    let inspect = root.section("inspect");
    if config.inspect.max_body > config.inspect.max_memory {
        let key = if inspect.has("max_body") { "max_body" } else { "max_memory" };
        let label = "expected max_body <= max_memory";
        inspect.refuse(key, "leaves no room for one body", label, None);
    }
}

fn ports(root: &Section<'_>, config: &Config) {
    let mut doors = vec![("server", config.server.listen), ("admin", config.admin.listen)];
    doors.extend(config.metrics_listen.map(|listen| ("metrics", listen)));
    for (index, (table, listen)) in doors.iter().enumerate() {
        for (other, taken) in &doors[..index] {
            if overlap(*listen, *taken) {
                refuse(root, table, other);
            }
        }
    }
}

/// Points at whichever of the two was written; both may be.
fn refuse(root: &Section<'_>, table: &str, other: &str) {
    let (later, earlier) = (root.section(table), root.section(other));
    let (place, partner) =
        if later.has("listen") { (&later, &earlier) } else { (&earlier, &later) };
    let title = format!("`{table}.listen` and `{other}.listen` use the same port");
    let label = format!("`{}` has it, too", partner.path_of("listen"));
    let mut problem = Problem::at(&place.origin_of("listen"), title).label(label);
    if partner.has("listen") {
        problem = problem.related(&partner.origin_of("listen"), "used here");
    }
    root.problems.push(problem.help("give each its own port"));
}

fn itself(root: &Section<'_>, config: &Config) {
    let upstream = root.section("upstream");
    let Ok(ip) = config.upstream.host.parse::<IpAddr>() else { return };
    let is_known = upstream.origin_of("url") != Origin::Nowhere;
    let listen = config.server.listen;
    let is_here = ip == listen.ip() || (listen.ip().is_unspecified() && ip.is_loopback());
    if is_known && is_here && config.upstream.port == listen.port() {
        let label = "every request would come back";
        upstream.refuse(
            "url",
            "is the sidecar itself",
            label,
            Some("`server.listen` has this address"),
        );
    }
}

/// Whether two addresses cannot be used at once. Port 0 is a free one each time.
fn overlap(left: SocketAddr, right: SocketAddr) -> bool {
    let anywhere = left.ip().is_unspecified() || right.ip().is_unspecified();
    left.port() == right.port() && left.port() != 0 && (anywhere || left.ip() == right.ip())
}
