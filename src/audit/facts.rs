//! What a template and a path say about the resource, and the names captured facts get in a record.
//!
//! Pure look-ups; nothing is decoded, so what is written is what the canonical path says.

use crate::record::{Fact, Value};

/// Names that a captured fact may not take, because the record has a member of that name.
const RESERVED: [&str; 25] = [
    "timestamp",
    "event",
    "stage",
    "result",
    "userId",
    "tenantId",
    "ipAddress",
    "userAgent",
    "resourceId",
    "resourceType",
    "action",
    "method",
    "path",
    "route",
    "requestId",
    "traceId",
    "status",
    "durationMs",
    "mode",
    "queryLength",
    "reason",
    "v",
    "seq",
    "prev",
    "hash",
];

/// The last literal segment of a template: `/api/users/{id}` is about `users`.
pub fn resource_type(template: &str) -> Option<&str> {
    template.rsplit('/').find(|segment| !segment.is_empty() && !segment.contains('{'))
}

/// The value of the template's last parameter in this path, else a captured `conversationId`.
///
/// `{*rest}` takes the whole tail. `None` where the path does not fit the template.
pub fn resource_id<'a>(template: &str, path: &'a str, facts: &'a [Fact]) -> Option<&'a str> {
    last_parameter(template, path).or_else(|| {
        facts.iter().find_map(|fact| match &fact.value {
            Value::Member(value) if last_part(&fact.name) == "conversationId" => Some(&**value),
            _ => None,
        })
    })
}

/// The member a captured fact becomes: `mode` and `queryLength` for the two of the plan, else its own
/// name, or `capture.<name>` where the record has a member of that name already.
pub fn member_name(fact: &str) -> (&'static str, &str) {
    match fact {
        "orchestration.mode" => ("", "mode"),
        "orchestration.query_length" => ("", "queryLength"),
        taken if RESERVED.contains(&taken) => ("capture.", taken),
        own => ("", own),
    }
}

fn last_parameter<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    let (index, pattern) =
        template.split('/').enumerate().filter(|(_, segment)| segment.contains('{')).last()?;
    let mut rest = path;
    for _ in 0..index {
        rest = rest.split_once('/')?.1;
    }
    let (prefix, tail) = pattern.split_once('{')?;
    let (name, suffix) = tail.split_once('}')?;
    let found =
        if name.starts_with('*') { rest } else { rest.split('/').next().unwrap_or_default() };
    found.strip_prefix(prefix)?.strip_suffix(suffix).filter(|value| !value.is_empty())
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_resource_type_is_the_last_literal_segment() {
        assert_eq!(resource_type("/api/users/{id}"), Some("users"));
        assert_eq!(resource_type("/api/users/{id}/notes/{note}"), Some("notes"));
        assert_eq!(resource_type("/api/orchestrate"), Some("orchestrate"));
        assert_eq!(resource_type("/api/{*rest}"), Some("api"));
        assert_eq!(resource_type("/{id}"), None);
        assert_eq!(resource_type("/"), None);
    }

    #[test]
    fn the_resource_id_is_the_last_parameter_then_the_conversation() {
        let none: [Fact; 0] = [];
        assert_eq!(resource_id("/api/users/{id}", "/api/users/4711", &none), Some("4711"));
        assert_eq!(resource_id("/a/{x}/b/{y}/c", "/a/1/b/2/c", &none), Some("2"));
        assert_eq!(resource_id("/files/{*rest}", "/files/a/b", &none), Some("a/b"));
        assert_eq!(resource_id("/r/{id}.json", "/r/7.json", &none), Some("7"));
        assert_eq!(resource_id("/api/users/{id}", "/api", &none), None);
        let facts = [Fact {
            name: Arc::from("orchestration.conversationId"),
            value: Value::Member(Arc::from("c-1")),
        }];
        assert_eq!(resource_id("/api/orchestrate", "/api/orchestrate", &facts), Some("c-1"));
    }

    #[test]
    fn a_fact_cannot_take_the_name_of_a_member() {
        assert_eq!(member_name("orchestration.mode"), ("", "mode"));
        assert_eq!(member_name("orchestration.query_length"), ("", "queryLength"));
        assert_eq!(member_name("session.kind"), ("", "session.kind"));
        for taken in RESERVED {
            assert_eq!(member_name(taken), ("capture.", taken));
        }
    }
}
