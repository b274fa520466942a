//! Requests that a page of another origin makes a browser send (cross-site request forgery).
//!
//! A browser adds its cookies, and whatever else it keeps for a site, to any page's requests, and says
//! in fields that no page can set where the page came from. The rule is that of Go's
//! `http.CrossOriginProtection`: `Sec-Fetch-Site` decides where it is there, else `Origin` must name
//! the host that is asked, and a request with neither does not come from a browser. Safe methods pass,
//! except for a WebSocket handshake: it is a GET that opens a channel, and no CORS stands before it.
//!
//! It keeps no state, sets no cookies and reads no tokens. What a request without side effects may
//! show to another origin is a matter of CORS, which is the service's.

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, ORIGIN, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method};

use super::exchange::Exchange;
use super::survey::{SEC_FETCH_SITE, Survey};
use crate::config::model::Mode;
use crate::http::origin::Origin;
use crate::record::{Refusal, Step};
use crate::telemetry::metrics::{Decision, Gate};

/// Judges where a request comes from. A request that is not of a browser costs one look at a flag.
pub fn judge(exchange: &mut Exchange, head: &Parts, survey: &Survey) -> Result<(), Refusal> {
    exchange.trail.reached = Step::Csrf;
    if exchange.route.gates.csrf == Mode::Off || !is_foreign(exchange, head, survey) {
        return Ok(());
    }
    if exchange.route.gates.csrf == Mode::Enforce {
        exchange.note_gate(Gate::Csrf, Decision::Deny);
        return Err(Refusal::Csrf);
    }
    exchange.trail.note_shadow(Step::Csrf);
    exchange.would_refuse.get_or_insert(Refusal::Csrf);
    if exchange.note_gate(Gate::Csrf, Decision::WouldDeny) {
        tracing::warn!(
            route = %exchange.route.names.template,
            "A page of another origin sent a request that `csrf = \"enforce\"` would refuse; the next \
             ones of this route are only counted."
        );
    }
    Ok(())
}

/// Whether the rule is against a request, whatever its route makes of that.
pub fn is_foreign(exchange: &Exchange, head: &Parts, survey: &Survey) -> bool {
    if !survey.is_of_browser {
        return false;
    }
    let is_handshake = survey.ending.contains(&UPGRADE);
    if is_safe(&head.method) && !is_handshake {
        return false;
    }
    let asked = Asked { headers: &head.headers, authority: authority(head, survey), is_handshake };
    !asked.is_bearer_only() && asked.is_foreign(&exchange.plan.csrf_trusted_origins)
}

/// The methods without side effects (RFC 9110 §9.2.1) that pages use.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The host that is asked: an absolute target, or `:authority`, rules over `Host`.
fn authority<'a>(head: &'a Parts, survey: &'a Survey) -> Option<&'a str> {
    let named = head.uri.authority().map(http::uri::Authority::as_str);
    named.or_else(|| survey.host.as_ref().and_then(|host| host.to_str().ok()))
}

/// What of a request says where it comes from.
struct Asked<'a> {
    headers: &'a HeaderMap,
    authority: Option<&'a str>,
    is_handshake: bool,
}

impl Asked<'_> {
    /// Whether its only credential is one that no browser adds by itself.
    fn is_bearer_only(&self) -> bool {
        let is_bearer = |value: &HeaderValue| {
            let scheme = value.as_bytes().split(|b| *b == b' ').next().unwrap_or_default();
            scheme.eq_ignore_ascii_case(b"bearer")
        };
        let mut credentials = self.headers.get_all(AUTHORIZATION).iter();
        credentials.next().is_some_and(is_bearer)
            && credentials.next().is_none()
            && !self.headers.contains_key(COOKIE)
    }

    /// Whether a page of another origin, and not of a trusted one, made it.
    fn is_foreign(&self, trusted: &[Box<str>]) -> bool {
        let sites = self.headers.get_all(SEC_FETCH_SITE).iter().map(HeaderValue::as_bytes);
        let mut sites = sites.filter(|site| !site.is_empty()).peekable();
        let names_site = sites.peek().is_some();
        if names_site && sites.all(|site| matches!(site, b"same-origin" | b"none")) {
            return false;
        }
        let mut origins = self.headers.get_all(ORIGIN).iter().filter(|line| !line.is_empty());
        let Some(origin) = origins.next() else { return names_site };
        let (None, Ok(origin)) = (origins.next(), origin.to_str()) else { return true };
        let Ok(origin) = Origin::parse(origin) else { return true };
        // Browsers do not agree on what site a handshake comes from, its scheme being `wss`; they all
        // name the page's origin (RFC 6455 §4.1).
        let may_be_at = !names_site || self.is_handshake;
        let is_ours = may_be_at && self.authority.is_some_and(|authority| origin.is_at(authority));
        let is_trusted = trusted
            .iter()
            .any(|friend| Origin::parse(friend).is_ok_and(|friend| friend.is_same(&origin)));
        !is_ours && !is_trusted
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn is_foreign(is_handshake: bool, authority: Option<&str>, fields: &[(&str, &str)]) -> bool {
        let headers = head(fields);
        let trusted = ["https://sso.example".into(), "chrome-extension://abc".into()];
        Asked { headers: &headers, authority, is_handshake }.is_foreign(&trusted)
    }

    fn head(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[track_caller]
    fn judged(fields: &[(&str, &str)], expected: bool) {
        assert_eq!(is_foreign(false, Some("app.example"), fields), expected, "{fields:?}");
    }

    #[test]
    fn what_the_browser_says_of_the_site_decides() {
        judged(&[("sec-fetch-site", "same-origin")], false);
        judged(&[("sec-fetch-site", "none")], false);
        judged(&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], false);
        for site in ["cross-site", "same-site", "Same-Origin", "same-origin, none", "x"] {
            judged(&[("sec-fetch-site", site)], true);
            judged(&[("sec-fetch-site", site), ("origin", "https://app.example")], true);
            judged(&[("sec-fetch-site", site), ("origin", "https://sso.example")], false);
            judged(&[("sec-fetch-site", site), ("origin", "chrome-extension://abc")], false);
        }
        judged(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], true);
        judged(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")], false);
    }

    #[test]
    fn without_it_the_origin_must_be_the_host_that_is_asked() {
        for ours in [
            "https://app.example",
            "http://app.example",
            "https://APP.example:443",
            "HTTP://app.example:80",
        ] {
            judged(&[("origin", ours)], false);
            judged(&[("origin", ours), ("sec-fetch-site", "")], false);
        }
        for other in [
            "null",
            "https://evil.example",
            "https://app.example.evil.example",
            "https://app.example:8443",
            "https://app.example@evil.example",
            "https://evil.example@app.example",
            "https://app.example/",
            "app.example",
            "https://app.example, https://app.example",
            "https://\u{430}pp.example",
        ] {
            judged(&[("origin", other)], true);
        }
        judged(&[("origin", "https://sso.example")], false);
        judged(&[("origin", "http://sso.example")], true);
    }

    #[test]
    fn neither_field_is_no_browser_and_two_origins_are_nobodys() {
        judged(&[], false);
        judged(&[("origin", ""), ("sec-fetch-site", "")], false);
        judged(&[("origin", "https://app.example"), ("origin", "https://app.example")], true);
        judged(&[("origin", "https://sso.example"), ("origin", "https://sso.example")], true);
    }

    #[test]
    fn an_unusual_host_is_compared_as_it_is_written() {
        let at = |authority, origin| is_foreign(false, authority, &[("origin", origin)]);
        assert!(!at(Some("[::1]:8080"), "http://[::1]:8080"));
        assert!(at(Some("[::1]:8080"), "http://[::1]"));
        assert!(!at(Some("app.example:443"), "https://app.example"));
        assert!(at(Some("app.example:443"), "http://app.example"));
        assert!(!at(Some("xn--bcher-kva.example"), "https://xn--bcher-kva.example"));
        assert!(at(None, "https://app.example"));
        assert!(at(Some(""), "https://app.example"));
    }

    #[test]
    fn a_handshake_is_believed_by_its_origin() {
        let handshake = |fields: &[(&str, &str)]| is_foreign(true, Some("app.example"), fields);
        assert!(!handshake(&[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")]));
        assert!(handshake(&[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]));
        assert!(handshake(&[("origin", "https://evil.example")]));
        assert!(handshake(&[("sec-fetch-site", "same-site")]));
    }

    #[test]
    fn a_bearer_token_alone_is_no_credential_of_the_browsers() {
        let bearer_only = |fields: &[(&str, &str)]| {
            let headers = head(fields);
            Asked { headers: &headers, authority: None, is_handshake: false }.is_bearer_only()
        };
        assert!(bearer_only(&[("authorization", "Bearer abc")]));
        assert!(bearer_only(&[("authorization", "bEARER abc")]));
        assert!(!bearer_only(&[("authorization", "Bearer abc"), ("cookie", "session=1")]));
        assert!(!bearer_only(&[("authorization", "Basic abc")]));
        assert!(!bearer_only(&[("authorization", "Bearerabc")]));
        assert!(!bearer_only(&[("authorization", "Bearer a"), ("authorization", "Basic b")]));
        assert!(!bearer_only(&[]));
    }
}
