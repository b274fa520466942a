//! `log.headers`: whose values may be logged.
//!
//! What proves who somebody is, or says who or where, is never let in.

use http::HeaderName;

use crate::config::error::Problem;
use crate::config::model::{Identity, LogHeader};
use crate::config::section::Section;
use crate::http::{forwarded, hop};
use crate::record::ConfigName;

const KEY: &str = "headers";
/// Each is looked up in every request.
const MOST: usize = 16;
/// Fields with which somebody proves who they are.
const SECRET: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-xsrf-token",
];

/// The headers that may be logged.
pub(super) fn log_headers(section: &Section<'_>) -> Option<Vec<LogHeader>> {
    let words = section.words(KEY)?;
    if words.len() > MOST {
        let label = format!("expected at most {MOST} names, found {}", words.len());
        section.refuse(KEY, "has too many names", label, None);
    }
    let mut headers: Vec<LogHeader> = Vec::new();
    for word in words {
        let refuse = |label: &str| {
            let title = format!("`{}` holds a header that cannot be logged", section.path_of(KEY));
            section.problems.push(Problem::at(&word.origin, title).label(label));
        };
        let Ok(field) = HeaderName::from_bytes(word.text.as_bytes()) else {
            refuse("expected a header's name, as in \"accept-language\"");
            continue;
        };
        if SECRET.contains(&field.as_str()) {
            refuse("its value lets whoever reads it in");
        } else if hop::is_identity(&field) {
            refuse("it says who somebody is; lines have `userId` and `tenantId`");
        } else if forwarded::is_forwarding(&field) {
            refuse("it says where somebody is; lines have `clientIp`");
        } else if headers.iter().any(|known| known.field == field) {
            refuse("named before");
        } else {
            headers.push(LogHeader { name: ConfigName::configured(field.as_str()), field });
        }
    }
    Some(headers)
}

/// Refuses headers that say who somebody is by the configuration's own word.
pub(super) fn across(root: &Section<'_>, headers: &[LogHeader], identity: &Identity) {
    let claims = identity.forward.iter().map(|(name, _)| name).chain(&identity.tenant_header);
    for claim in claims {
        if headers.iter().any(|header| header.field.as_str().eq_ignore_ascii_case(claim)) {
            let label = format!("`[identity]` has `{claim}` say who somebody is");
            root.section("log").refuse(KEY, "holds a header that cannot be logged", label, None);
        }
    }
}
