//! The answers of the doors: JSON, problem documents, pages of numbers. None is to be cached.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

pub(super) type Answer = Response<Full<Bytes>>;

/// Bytes of a type.
pub(super) fn page(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A JSON document.
pub(super) fn json(status: StatusCode, document: &Value) -> Answer {
    page(status, "application/json", format!("{document}\n").into_bytes())
}

/// A problem document (RFC 9457).
pub(super) fn problem(status: StatusCode, detail: &str) -> Answer {
    let document = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    page(status, "application/problem+json", format!("{document}\n").into_bytes())
}

/// Why a request got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// The Host is not one of ours. Usually a name that this machine is also known by.
    ForeignHost,
    /// A change asked for from another origin.
    CrossSite,
    /// No token, or a wrong one.
    Unauthorized,
    /// No such page at this door.
    NotFound,
    /// An exchange of that id is not, or no longer, remembered.
    Forgotten,
    /// Not with this method.
    MethodNotAllowed {
        /// The methods that the page has.
        allow: &'static str,
    },
    /// A body, where none or a small one was expected.
    BodyTooLarge,
    /// A collector of numbers failed.
    Unencodable,
}

impl Problem {
    fn words(self) -> (StatusCode, &'static str) {
        match self {
            Self::ForeignHost => (
                StatusCode::FORBIDDEN,
                "The Host is not a loopback name or the address this door listens on.",
            ),
            Self::CrossSite => {
                (StatusCode::FORBIDDEN, "A page of another origin may change nothing here.")
            }
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "This door asks for its bearer token.")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "There is no such page at this door."),
            Self::Forgotten => (
                StatusCode::NOT_FOUND,
                "No exchange of that id is remembered: it is not over yet, too long ago, or was \
                 another replica's.",
            ),
            Self::MethodNotAllowed { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, "This page does not have that method.")
            }
            Self::BodyTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "This door takes no body of that size.")
            }
            Self::Unencodable => {
                (StatusCode::INTERNAL_SERVER_ERROR, "The metrics could not be written.")
            }
        }
    }

    /// As `application/problem+json` (RFC 9457).
    pub(super) fn answer(self) -> Answer {
        let (status, detail) = self.words();
        let mut answer = problem(status, detail);
        let header = match self {
            Self::MethodNotAllowed { allow } => Some((ALLOW, allow)),
            Self::Unauthorized => Some((WWW_AUTHENTICATE, "Bearer")),
            _ => None,
        };
        if let Some((name, value)) = header {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}
