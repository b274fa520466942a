//! What a template and a path say about the resource, and the names captured facts get in a record.
//!
//! Pure look-ups; nothing is decoded, so what is written is what the canonical path says.

use super::Evidence;
use crate::record::{ConfigName, Fact, Value};

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
pub fn resource_type(template: &ConfigName) -> Option<ConfigName> {
    let literal = |segment: &&str| !segment.is_empty() && !segment.contains('{');
    template.part(|template| template.rsplit('/').find(literal))
}

/// The value of the template's last parameter in this path, else a captured `conversationId`.
///
/// `{*rest}` takes the whole tail. `None` where the path does not fit the template.
pub fn resource_id(template: &str, path: &Evidence, facts: &[Fact]) -> Option<Evidence> {
    let found = last_parameter(template, path.as_str()).or_else(|| {
        facts.iter().find_map(|fact| match &fact.value {
            Value::Member(value) if last_part(&fact.name) == "conversationId" => Some(&**value),
            _ => None,
        })
    });
    found.map(Evidence::of)
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
    use super::*;

    fn kind(template: &'static str) -> Option<String> {
        resource_type(&template.into()).map(|kind| kind.to_string())
    }

    fn id(template: &str, path: &str, facts: &[Fact]) -> Option<String> {
        let found = resource_id(template, &Evidence::of(path), facts);
        found.map(|id| id.as_str().to_owned())
    }

    #[test]
    fn the_resource_type_is_the_last_literal_segment() {
        assert_eq!(kind("/api/users/{id}").as_deref(), Some("users"));
        assert_eq!(kind("/api/users/{id}/notes/{note}").as_deref(), Some("notes"));
        assert_eq!(kind("/api/orchestrate").as_deref(), Some("orchestrate"));
        assert_eq!(kind("/api/{*rest}").as_deref(), Some("api"));
        assert_eq!(kind("/{id}"), None);
        assert_eq!(kind("/"), None);
    }

    #[test]
    fn the_resource_id_is_the_last_parameter_then_the_conversation() {
        let none: [Fact; 0] = [];
        assert_eq!(id("/api/users/{id}", "/api/users/4711", &none).as_deref(), Some("4711"));
        assert_eq!(id("/a/{x}/b/{y}/c", "/a/1/b/2/c", &none).as_deref(), Some("2"));
        assert_eq!(id("/files/{*rest}", "/files/a/b", &none).as_deref(), Some("a/b"));
        assert_eq!(id("/r/{id}.json", "/r/7.json", &none).as_deref(), Some("7"));
        assert_eq!(id("/api/users/{id}", "/api", &none), None);
        let facts = [Fact {
            name: "orchestration.conversationId".into(),
            value: Value::Member("c-1".into()),
        }];
        assert_eq!(id("/api/orchestrate", "/api/orchestrate", &facts).as_deref(), Some("c-1"));
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
