//! Which header fields end at this hop (RFC 9110 §7.6.1), and which claim an identity.
//!
//! Both questions are asked once per field of a message, so the answers are comparisons without
//! allocation. They hold for trailers too.
//!
//! Nothing is removed here: the pipeline rebuilds a head from the fields that may pass.

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

use super::{b3, forwarded, tracers};

/// Its fields are about the connection alone, and many servers send it with every answer.
pub const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Where a request id is told, unless the configuration names another field.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where the sidecar says who calls, signed. What a client sends under this name is an identity claim.
pub const SIGNED_IDENTITY: HeaderName = HeaderName::from_static("x-identity");

/// Whether a field is about one connection only, whatever `Connection` says.
///
/// Proxy credentials are not hop-by-hop by the letter, but they are meant for a proxy (RFC 9110
/// §11.7), and no proxy stands behind us. `Trailer` goes through: it describes the message. `TE` ends
/// here; whoever forwards trailers says `TE: trailers` again.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    // As patterns the standard names are one comparison together, not one each.
    matches!(
        *name,
        header::CONNECTION
            | header::TRANSFER_ENCODING
            | header::TE
            | header::UPGRADE
            | header::PROXY_AUTHENTICATE
            | header::PROXY_AUTHORIZATION
    ) || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

/// Whether a field is one that most heads have and that never ends here by its name alone: it is
/// neither hop-by-hop nor a claim. It answers for the usual field before the longer questions.
pub fn is_usual(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::HOST
            | header::USER_AGENT
            | header::ACCEPT
            | header::ACCEPT_ENCODING
            | header::ACCEPT_LANGUAGE
            | header::AUTHORIZATION
            | header::CACHE_CONTROL
            | header::CONTENT_TYPE
            | header::COOKIE
            | header::DATE
            | header::ETAG
            | header::SERVER
            | header::SET_COOKIE
            | header::VARY
    )
}

/// The fields of a message that its `Connection` field makes hop-by-hop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed(Vec<HeaderName>);

/// Reads the `Connection` lines of a head. Only fields that are there are kept, each once, so the
/// answer is bounded by the head; in the usual case (`keep-alive`, `close`) nothing is allocated.
///
/// `Host` and `Content-Length` cannot be listed away: without them the message is another one.
pub fn listed(headers: &HeaderMap) -> Listed {
    let mut listed = Vec::new();
    for line in headers.get_all(header::CONNECTION) {
        if lists_nothing(line.as_bytes()) {
            continue;
        }
        for option in line.as_bytes().split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            if lists_nothing(option) {
                continue;
            }
            let Ok(name) = HeaderName::from_bytes(option) else { continue };
            let stays = name == header::HOST || name == header::CONTENT_LENGTH;
            if !stays && headers.contains_key(&name) && !listed.contains(&name) {
                listed.push(name);
            }
        }
    }
    Listed(listed)
}

/// Whether a connection option is one of the two that are about the connection and name no field.
pub fn lists_nothing(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
}

impl IntoIterator for Listed {
    type Item = HeaderName;
    type IntoIter = std::vec::IntoIter<HeaderName>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Listed {
    /// Whether `Connection` names this field.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.0.contains(name)
    }

    /// Whether it names none that is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a field claims an identity: `x-user-id`, `x-user-roles`, `x-user-email`, `x-tenant-id`, `x-identity`
/// and their twins with underscores, which CGI-like servers take for the same.
pub fn is_identity(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.as_bytes().first() == Some(&b'x') && IDENTITY.iter().any(|claimed| is_twin(name, claimed))
}

const IDENTITY: [&str; 5] =
    ["x-user-id", "x-user-roles", "x-user-email", "x-tenant-id", "x-identity"];

/// Whether a field is one that a service says to us and not to the client: `x-audit-*` refines the
/// audit record, `x-error-type` the error class. A client has no word in that: a service might echo it.
pub fn is_internal(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-audit-") || name == "x-error-type"
}

/// Whether a field is part of a trace context: W3C, baggage or B3.
pub fn is_trace_context(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "traceparent" | "tracestate" | "baggage") || b3::is_field(name)
}

/// Takes out of the trailers what may not pass in a head either, and what describes a message's
/// framing or target (RFC 9110 §6.5.1): a receiver may merge them into the head. A trace context and a
/// request id under its usual name go whoever sent them: they were told in the head, and there they are
/// ours.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    let refused: Vec<_> = trailers.keys().filter(|name| !may_trail(name)).cloned().collect();
    for name in refused {
        trailers.remove(name);
    }
}

/// Takes out of `Trailer` what [`strip_trailers`] will take out of the trailers, and what else is, so that
/// nobody waits for fields that will not come (RFC 9110 §6.6.2).
pub fn strip_announced(headers: &mut HeaderMap, is_removed: impl Fn(&HeaderName) -> bool) {
    let is_announced = |name: &[u8]| {
        HeaderName::from_bytes(name).is_ok_and(|name| may_trail(&name) && !is_removed(&name))
    };
    let lines = headers.get_all(header::TRAILER).into_iter().map(HeaderValue::as_bytes);
    let names = lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let (stay, go): (Vec<_>, Vec<_>) = names.partition(|name| is_announced(name));
    if go.is_empty() {
        return;
    }
    match HeaderValue::from_bytes(&stay.join(&b", "[..])) {
        Ok(names) if !stay.is_empty() => drop(headers.insert(header::TRAILER, names)),
        _ => drop(headers.remove(header::TRAILER)),
    }
}

fn may_trail(name: &HeaderName) -> bool {
    !(is_hop_by_hop(name)
        || is_identity(name)
        || is_internal(name)
        || is_trace_context(name)
        || tracers::is_field(name.as_str())
        || forwarded::is_forwarding(name)
        || is_twin(name.as_str(), REQUEST_ID.as_str())
        || matches!(*name, header::CONTENT_LENGTH | header::HOST | header::TRAILER))
}

/// The fields of a message that have one of these names, or are an underscore twin of one.
pub fn named<'h>(
    headers: &'h HeaderMap,
    names: &[HeaderName],
) -> impl Iterator<Item = &'h HeaderName> {
    let is_named =
        |field: &&HeaderName| names.iter().any(|name| is_twin(field.as_str(), name.as_str()));
    headers.keys().filter(is_named)
}

/// Whether a lower-case name equals another once `_` is read as `-`.
pub fn is_twin(name: &str, of: &str) -> bool {
    let dash = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.len() == of.len() && name.bytes().map(dash).eq(of.bytes().map(dash))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> HeaderName {
        HeaderName::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn connection_fields_end_here_and_message_fields_do_not() {
        let ending = "connection keep-alive proxy-connection transfer-encoding te upgrade \
             proxy-authenticate proxy-authorization http2-settings";
        assert!(ending.split(' ').map(name).all(|name| is_hop_by_hop(&name)));
        let passing = "trailer content-length host authorization cookie x-keep-alive via";
        assert!(!passing.split(' ').map(name).any(|name| is_hop_by_hop(&name)));
    }

    #[test]
    fn connection_lists_only_fields_that_are_there_and_not_host() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "Keep-Alive, X-Private,, bad name"),
            ("connection", "host, content-length, x-absent, x-private"),
            ("x-private", "1"),
            ("host", "a"),
            ("content-length", "0"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        assert_eq!(listed(&headers), Listed(vec![name("x-private")]));
        assert!(listed(&HeaderMap::new()).is_empty());
    }

    #[test]
    fn usual_fields_neither_end_here_nor_claim_anything() {
        let usual = "host user-agent accept accept-encoding accept-language authorization \
             cache-control content-type cookie date etag server set-cookie vary";
        for name in usual.split(' ').map(name) {
            assert!(is_usual(&name), "{name}");
            assert!(!is_hop_by_hop(&name) && !is_identity(&name), "{name}");
            assert!(!forwarded::is_forwarding(&name), "{name}");
        }
        let others = "connection te content-length expect forwarded x-user-id traceparent";
        assert!(!others.split(' ').map(name).any(|name| is_usual(&name)));
    }

    #[test]
    fn identity_fields_are_known_with_their_underscore_twins() {
        for claim in
            ["x-user-id", "x_user_id", "X-User_Roles", "x-user-email", "x_tenant-id", "x_identity"]
        {
            assert!(is_identity(&name(claim)), "{claim}");
        }
        for other in ["x-user", "x-user-idx", "user-id", "x-tenant", "x-request-id"] {
            assert!(!is_identity(&name(other)), "{other}");
        }
    }

    #[test]
    fn trailers_keep_what_describes_the_message_and_lose_what_may_not_pass() {
        let mut trailers: HeaderMap = [
            "grpc-status",
            "grpc-message",
            "x-sum",
            "x-user-id",
            "x_tenant_id",
            "x-audit-event",
            "x-error-type",
            "x-forwarded-for",
            "traceparent",
            "tracestate",
            "baggage",
            "b3",
            "x_b3_traceid",
            "sentry-trace",
            "content-length",
            "host",
            "connection",
            "transfer-encoding",
        ]
        .map(|field| (name(field), "1".parse().unwrap()))
        .into_iter()
        .collect();

        strip_trailers(&mut trailers);

        let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["grpc-message", "grpc-status", "x-sum"]);
    }

    #[test]
    fn what_is_taken_out_of_the_trailers_is_not_announced_either() {
        for (lines, expected) in [
            (&["x-sum"][..], Some("x-sum")),
            (&["X-Error-Type"], None),
            (&["x-sum,x-error-type , grpc-status"], Some("x-sum, grpc-status")),
            (&["x-audit-event", "x-sum", "no name"], Some("x-sum")),
            (&["X-Own", "x-sum"], Some("x-sum")),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::TRAILER, line.parse().unwrap());
            }
            strip_announced(&mut headers, |name| *name == "x-own");
            let left: Vec<_> = headers.get_all(header::TRAILER).iter().collect();
            assert_eq!(left, expected.into_iter().collect::<Vec<_>>(), "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn removing_twice_removes_nothing_more(lines in proptest::collection::vec("[a-c, -]{0,12}", 0..4)) {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(header::CONNECTION, line.parse().unwrap());
            }
            for field in ["a", "b", "c", "a-b"] {
                headers.insert(name(field), "1".parse().unwrap());
            }
            let first = listed(&headers);
            first.0.iter().for_each(|name| { headers.remove(name); });
            prop_assert!(listed(&headers).is_empty());
        }
    }
}
