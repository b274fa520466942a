//! `[upstream]`: the service behind.

use super::{SOME, url};
use crate::config::error::Problem;
use crate::config::model::{HostHeader, Pool, Timeouts, Upstream};
use crate::config::section::{Section, lay};
use crate::config::value::Zero;

const HOSTS: [(&str, HostHeader); 2] =
    [("preserve", HostHeader::Preserve), ("rewrite", HostHeader::Rewrite)];

/// `[upstream]`; its `url` is the one key that must be there.
pub(super) fn upstream(section: &Section<'_>, upstream: &mut Upstream) {
    if section.has("url") {
        address(section, upstream);
    } else {
        let problem = Problem::at(&section.origin, "`upstream.url` is missing");
        let problem = problem.label("the service behind must be named");
        let help = "add `url = \"http://127.0.0.1:3000\"` under `[upstream]`, or run with `--upstream URL`";
        section.problems.push(problem.help(help));
    }
    lay(&mut upstream.host_header, section.choice("host", &HOSTS));
    timeouts(&section.section("timeouts"), &mut upstream.timeouts);
    pool(&section.section("pool"), &mut upstream.pool);
}

fn address(section: &Section<'_>, upstream: &mut Upstream) {
    let Some(text) = section.text("url") else { return };
    if url::may_hold_credentials(text) {
        section.mask("url");
    }
    let Some(url) = section.parsed("url", "a usable URL", url::parse) else { return };
    if url.is_https {
        let help =
            "TLS towards the upstream follows; beside an app container, plain HTTP is normal";
        let label = "https is not built yet; expected http://";
        section.refuse("url", "is not a usable URL", label, Some(help));
        return;
    }
    if url.path != "/" {
        let help = "the client's path is passed on as it is";
        section.refuse("url", "has a path", "expected nothing after the port", Some(help));
        return;
    }
    (upstream.host, upstream.port, upstream.authority) = (url.host, url.port, url.authority);
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
