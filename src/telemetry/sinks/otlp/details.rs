//! What spans and log records say of an exchange in the same words: its captured facts, its caller, its
//! stream, the client's address.
//!
//! Streams have no attributes in the semantic conventions, so those here are of our own namespace. Times
//! are in seconds, as the conventions have theirs. Each is appended as field number `field`.

use std::net::IpAddr;

use super::attribute::{write, write_shown};
use super::wire::Writer;
use crate::http::sanitise;
use crate::record::{Caller, Fact, Stream, User, Value};

/// Appends facts, each under its configured name.
pub(super) fn facts(out: &mut Writer, field: u32, facts: &[Fact]) {
    for fact in facts {
        match &fact.value {
            Value::Member(member) => write(out, field, &fact.name, &**member),
            Value::Length(count) | Value::Number(count) => write(out, field, &fact.name, *count),
            Value::Pseudonym(name) => name.with_str(|digits| write(out, field, &fact.name, digits)),
        }
    }
}

/// Appends who called: a pseudonym or the user itself, each under the name that says which.
pub(super) fn caller(out: &mut Writer, field: u32, caller: &Caller) {
    match &caller.user {
        Some(user @ User::Hash(_)) => user.with_str(|user| write(out, field, "user.hash", user)),
        Some(user @ User::Raw(_)) => user.with_str(|user| write(out, field, "user.id", user)),
        None => {}
    }
    if let Some(tenant) = &caller.tenant {
        write(out, field, "tenant.id", &**tenant);
    }
}

/// Appends what was measured of a stream.
pub(super) fn stream(out: &mut Writer, field: u32, stream: &Stream) {
    write(out, field, "sidecar.stream.kind", stream.kind.as_str());
    if stream.kind.is_counted() {
        write(out, field, "sidecar.stream.events", stream.events);
    }
    if let Some(first) = stream.first_event {
        write(out, field, "sidecar.stream.first_event", first.as_secs_f64());
    }
    if let Some(longest) = stream.gaps.longest() {
        write(out, field, "sidecar.stream.longest_gap", longest.as_secs_f64());
    }
}

/// Appends where the client is, as far as it may be told.
pub(super) fn client_address(out: &mut Writer, field: u32, ip: IpAddr) {
    let ip = sanitise::truncate_ip(ip);
    write_shown(out, field, "client.address", |text| address(text, ip));
}

fn address(text: &mut Writer, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let [first, rest @ ..] = ip.octets().map(u64::from);
            text.digits(first);
            for octet in rest {
                text.raw(b".");
                text.digits(octet);
            }
        }
        IpAddr::V6(ip) => text.raw(ip.to_string().as_bytes()),
    }
}
