//! CORS preflights: a browser's question whether a page may send the request that it describes.
//!
//! The question comes without credentials, and its answer is the service's: CORS is left to it. So a
//! preflight goes past the gates that it could not satisfy, and past limits that are for what follows
//! it. Anybody can write one, therefore it must be nothing else: with credentials, a body, an offer to
//! switch protocols or the name of another method it is an ordinary request.
//!
//! It answers nothing. Denied routes, unknown paths and the permits of `[overload]` hold for preflights
//! too.

use http::Method;
use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, COOKIE, HeaderMap, HeaderName, ORIGIN, UPGRADE,
};
use http::request::Parts;

use super::survey::Survey;
use crate::http::hop;

/// Fields by which some frameworks take a request for one of another method.
const OTHER_METHOD: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// Whether this is a preflight (Fetch §4.8). `has_body` says whether a body follows the head.
pub fn is_preflight(head: &Parts, survey: &Survey, has_body: bool) -> bool {
    // Other methods, and OPTIONS of programs, need no closer look.
    head.method == Method::OPTIONS
        && survey.is_of_browser
        && !has_body
        && asks_for_leave(&head.headers)
}

fn asks_for_leave(headers: &HeaderMap) -> bool {
    let (mut origins, mut methods) = (0, 0);
    for (name, _) in headers {
        match *name {
            ORIGIN => origins += 1,
            ACCESS_CONTROL_REQUEST_METHOD => methods += 1,
            COOKIE | AUTHORIZATION | UPGRADE => return false,
            _ if names_other_method(name) => return false,
            _ => {}
        }
    }
    (origins, methods) == (1, 1)
}

fn names_other_method(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with('x') && OTHER_METHOD.iter().any(|other| hop::is_twin(name, other))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asks(fields: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for name in fields {
            headers.append(*name, HeaderValue::from_static("x"));
        }
        asks_for_leave(&headers)
    }

    #[test]
    fn a_preflight_has_one_origin_and_one_method_and_nothing_to_act_with() {
        const METHOD: &str = "access-control-request-method";
        assert!(asks(&["host", "origin", METHOD, "access-control-request-headers"]));
        for ordinary in [
            &["origin"][..],
            &[METHOD],
            &["origin", "origin", METHOD],
            &["origin", METHOD, METHOD],
            &["origin", METHOD, "cookie"],
            &["origin", METHOD, "authorization"],
            &["origin", METHOD, "upgrade"],
            &["origin", METHOD, "x-http-method-override"],
            &["origin", METHOD, "x_http_method_override"],
            &["origin", METHOD, "x-http-method"],
            &["origin", METHOD, "x-method-override"],
        ] {
            assert!(!asks(ordinary), "{ordinary:?}");
        }
    }
}
