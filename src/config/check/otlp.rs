//! `[otlp]`, `[tracing.otlp]`, `[metrics.otlp]` and `[log.otlp]`: where each signal is pushed to.
//!
//! A signal's own table overrides `[otlp]` key by key. A base endpoint gets the signal's path, a
//! signal's own is used as it is; gRPC takes scheme, host and port from either. Logs go nowhere until
//! somebody names a collector or asks for it. Nothing is resolved or tried here.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::url::{self, Url};
use super::{files, names};
use crate::config::defaults::{COLLECTOR, GRPC_COLLECTOR};
use crate::config::env::Outside;
use crate::config::error::Problem;
use crate::config::model::{Otlp, OtlpProtocol, OtlpTarget, Scheme, Signal};
use crate::config::section::{Section, lay};
use crate::config::value::Zero;
use crate::secret::Secret;

const PROTOCOLS: [(&str, OtlpProtocol); 2] =
    [("http/protobuf", OtlpProtocol::Http), ("grpc", OtlpProtocol::Grpc)];
const COMPRESSIONS: [(&str, Compression); 3] =
    [("auto", Compression::Auto), ("gzip", Compression::Gzip), ("none", Compression::None)];
/// Headers that say how a request is framed, which the transports do themselves.
const OURS: [&str; 11] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// All four tables.
pub(super) fn otlp(root: &Section<'_>, outside: &mut Outside) -> Otlp {
    let general = Layer::read(root.section("otlp"));
    let traces = Layer::read(root.section("tracing").section("otlp"));
    let metrics = Layer::read(root.section("metrics").section("otlp"));
    let logs = Layer::read(root.section("log").section("otlp"));
    Otlp {
        traces: target(&general, &traces, Signal::Traces, outside),
        metrics: target(&general, &metrics, Signal::Metrics, outside),
        logs: asked_for(target(&general, &logs, Signal::Logs, outside), outside),
    }
}

/// A collector of logs, if anybody asked for one: a record of every request is too much to encode for
/// somebody who is probably not there.
fn asked_for(target: Option<OtlpTarget>, outside: &Outside) -> Option<OtlpTarget> {
    let mut target = target?;
    target.is_configured |= outside.pushes_logs;
    target.is_configured.then_some(target)
}

/// One table as it was written.
struct Layer<'a> {
    section: Section<'a>,
    endpoint: Endpoint,
    protocol: Option<OtlpProtocol>,
    headers: Option<Vec<(String, Secret)>>,
    compression: Option<Compression>,
    timeout: Option<Duration>,
    /// The inner `None` are the system's roots.
    #[expect(clippy::option_option, reason = "not written, written as none, and a file differ")]
    ca_file: Option<Option<PathBuf>>,
}

enum Endpoint {
    /// Not here.
    Unwritten,
    /// `""`.
    Nowhere,
    /// A URL, with its text.
    Url(String, Url),
    /// `host:port` without a scheme: what gRPC may have.
    Bare(Url),
    /// A problem already.
    Wrong,
}

#[derive(Clone, Copy)]
enum Compression {
    /// Where it has to leave this machine.
    Auto,
    Gzip,
    None,
}

impl<'a> Layer<'a> {
    fn read(section: Section<'a>) -> Self {
        let has_headers = section.has("headers");
        let headers = headers(&section);
        let ca_file = files::certificates(&section, "ca_file");
        Self {
            endpoint: endpoint(&section),
            protocol: protocol(&section),
            headers: has_headers.then_some(headers),
            compression: section.choice("compression", &COMPRESSIONS),
            timeout: section.duration("timeout", Zero::Refused),
            ca_file: section.has("ca_file").then_some(ca_file),
            section,
        }
    }

    fn note(&self, outside: &mut Outside, what: &str) {
        outside.note(format!("`{}` {what}", self.section.path_of("endpoint")));
    }
}

/// One signal's collector; `None` where it has none.
fn target(
    general: &Layer<'_>,
    own: &Layer<'_>,
    signal: Signal,
    outside: &mut Outside,
) -> Option<OtlpTarget> {
    let protocol = own.protocol.or(general.protocol).unwrap_or(OtlpProtocol::Http);
    let is_own = !matches!(own.endpoint, Endpoint::Unwritten);
    let layer = if is_own { own } else { general };
    let (url, is_near) = match (&layer.endpoint, protocol) {
        (Endpoint::Nowhere, _) => return None,
        (Endpoint::Unwritten | Endpoint::Wrong, OtlpProtocol::Http) => {
            (format!("{COLLECTOR}{}", signal.path()), true)
        }
        (Endpoint::Unwritten | Endpoint::Wrong, OtlpProtocol::Grpc) => {
            (GRPC_COLLECTOR.to_owned(), true)
        }
        (Endpoint::Bare(url), OtlpProtocol::Http) => {
            let help = "write http:// or https:// before it; only with protocol = \"grpc\" it may be missing";
            let label = url::UrlError::Malformed;
            layer.section.refuse("endpoint", "is not a usable URL", label, Some(help));
            (url.authority.clone(), is_near(url))
        }
        (Endpoint::Url(text, url), OtlpProtocol::Http) => {
            warn_of_port(layer, url, (4317, "gRPC", "http/protobuf", "4318"), outside);
            let url_text = if is_own { text.clone() } else { with_path(url, signal) };
            (url_text, is_near(url))
        }
        (Endpoint::Url(_, url) | Endpoint::Bare(url), OtlpProtocol::Grpc) => {
            warn_of_port(layer, url, (4318, "http/protobuf", "grpc", "4317"), outside);
            (grpc(layer, url, signal, outside), is_near(url))
        }
    };
    let mut target = OtlpTarget::new(url, protocol);
    target.is_configured = !matches!(layer.endpoint, Endpoint::Unwritten);
    target.compress = match own.compression.or(general.compression).unwrap_or(Compression::Auto) {
        Compression::Auto => !is_near,
        Compression::Gzip => true,
        Compression::None => false,
    };
    lay(&mut target.timeout, own.timeout.or(general.timeout));
    lay(&mut target.headers, own.headers.as_ref().or(general.headers.as_ref()).cloned());
    lay(&mut target.ca_file, own.ca_file.as_ref().or(general.ca_file.as_ref()).cloned());
    Some(target)
}

fn endpoint(section: &Section<'_>) -> Endpoint {
    let Some(text) = section.text("endpoint") else {
        return if section.has("endpoint") { Endpoint::Wrong } else { Endpoint::Unwritten };
    };
    if text.is_empty() {
        return Endpoint::Nowhere;
    }
    if !text.contains("://")
        && let Ok(url) = url::parse(&format!("https://{text}"))
    {
        return Endpoint::Bare(url);
    }
    match section.parsed("endpoint", "a usable URL", url::parse) {
        Some(url) => Endpoint::Url(text.to_owned(), url),
        None => Endpoint::Wrong,
    }
}

fn protocol(section: &Section<'_>) -> Option<OtlpProtocol> {
    if section.text("protocol") == Some("http/json") {
        let label = "expected \"http/protobuf\" or \"grpc\"";
        let help = "a collector that takes JSON takes protobuf at the same address";
        section.refuse("protocol", "is not spoken here: http/json", label, Some(help));
        return None;
    }
    section.choice("protocol", &PROTOCOLS)
}

/// A base gets the signal's path, in the place of another signal's if it ends with one.
fn with_path(url: &Url, signal: Signal) -> String {
    let (path, query) = url.path.split_once('?').unwrap_or((&url.path, ""));
    let path = path.trim_end_matches('/');
    let signals = [Signal::Traces, Signal::Metrics, Signal::Logs];
    let base = signals.iter().find_map(|signal| path.strip_suffix(signal.path())).unwrap_or(path);
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    format!("{}://{}{base}{}{query}", scheme(url), url.authority, signal.path())
}

/// Scheme, host and port; where no scheme was written, `OTEL_EXPORTER_OTLP_INSECURE` chooses it.
fn grpc(layer: &Layer<'_>, url: &Url, signal: Signal, outside: &mut Outside) -> String {
    let insecure = outside.is_insecure(signal).cloned();
    let is_bare = matches!(layer.endpoint, Endpoint::Bare(_));
    let scheme = match &insecure {
        _ if !is_bare => scheme(url),
        Some((_, true)) => "http",
        Some((_, false)) => "https",
        None => {
            layer.note(
                outside,
                "has no scheme: https is used. Write http:// for gRPC in the clear.",
            );
            "https"
        }
    };
    if let (Some((name, _)), false) = (insecure, is_bare) {
        let path = layer.section.path_of("endpoint");
        outside.note(format!("{name} is ignored: `{path}` has a scheme of its own."));
    }
    if url.path != "/" {
        layer.note(outside, "has a path, which gRPC does not use.");
    }
    format!("{scheme}://{}", url.authority)
}

fn warn_of_port(
    layer: &Layer<'_>,
    url: &Url,
    (port, owner, protocol, other): (u16, &str, &str, &str),
    outside: &mut Outside,
) {
    if url.port == port {
        let what = format!(
            "has port {port}, by custom that of {owner}, but the protocol is {protocol}. \
             Set protocol = \"{owner}\", or use port {other}."
        );
        layer.note(outside, &what.replace("\"gRPC\"", "\"grpc\""));
    }
}

fn scheme(url: &Url) -> &'static str {
    if url.scheme == Scheme::Https { "https" } else { "http" }
}

/// Whether the place is on this machine, as far as its name tells.
pub(super) fn is_near(url: &Url) -> bool {
    let host = url.host.to_ascii_lowercase();
    let is_loopback = host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback());
    is_loopback || host == "localhost" || host.ends_with(".localhost")
}

fn headers(section: &Section<'_>) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    for (name, value) in section.pairs("headers") {
        let refuse = |origin, what: &str, label: &str| {
            let title = format!("`{}.{}` {what}", section.path_of("headers"), name.text);
            section.problems.push(Problem::at(origin, title).label(label));
        };
        let Ok(key) = names::header_name(&name.text) else {
            // It may be a whole header, value and all.
            let title = format!("`{}` has a name that is not a header", section.path_of("headers"));
            let label = "expected letters, digits and `-`";
            section.problems.push(Problem::at(&name.origin, title).label(label));
            continue;
        };
        if OURS.contains(&&*key) || key.starts_with("grpc-") {
            refuse(&name.origin, "is not for you to set", "the transport sets it");
            continue;
        }
        if http::HeaderValue::from_str(&value.text).is_err() {
            refuse(&value.origin, "is not a header's value", "expected visible ASCII characters");
            continue;
        }
        headers.push((key.as_ref().to_owned(), Secret::new(value.text)));
    }
    headers
}

#[cfg(test)]
mod tests;
