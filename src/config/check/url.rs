//! The URLs a configuration may hold: absolute, of a scheme we speak, without credentials.

use thiserror::Error;

use crate::config::discretion;
use crate::config::model::Scheme;

/// An absolute URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Its scheme.
    pub(super) scheme: Scheme,
    /// Host name or address, an IPv6 address without its brackets.
    pub(super) host: String,
    /// The port, or the scheme's.
    pub(super) port: u16,
    /// Host and port as written.
    pub(super) authority: String,
    /// Path and query, at least `/`.
    pub(super) path: String,
}

/// Why a URL was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum UrlError {
    /// Not a URL, or without scheme or host.
    #[error("expected a URL such as \"http://127.0.0.1:3000\"")]
    Malformed,
    /// A scheme that means nothing here; these would.
    #[error("expected a URL that begins with {0}")]
    Scheme(&'static str),
    /// `user:password@`.
    #[error("credentials do not belong in a URL")]
    Credentials,
    /// A port that is not from 1 to 65535.
    #[error("expected a port from 1 to 65535")]
    Port,
}

/// Reads an absolute `http` or `https` URL.
pub(super) fn parse(text: &str) -> Result<Url, UrlError> {
    const SCHEMES: &str = "http:// or https://";
    let url = parse_any(text, SCHEMES)?;
    if url.scheme == Scheme::H2c { Err(UrlError::Scheme(SCHEMES)) } else { Ok(url) }
}

/// Reads the URL of a service: `http`, `https` or `h2c`.
pub(super) fn parse_upstream(text: &str) -> Result<Url, UrlError> {
    parse_any(text, "http://, https://, h2c:// or unix:/")
}

fn parse_any(text: &str, schemes: &'static str) -> Result<Url, UrlError> {
    if !text.contains("://") {
        return Err(UrlError::Malformed);
    }
    if authority_of(text).contains('@') {
        return Err(UrlError::Credentials);
    }
    let uri: http::Uri = text.parse().map_err(|_| UrlError::Malformed)?;
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some("h2c") => Scheme::H2c,
        _ => return Err(UrlError::Scheme(schemes)),
    };
    let authority = uri.authority().ok_or(UrlError::Malformed)?;
    let host = authority.host();
    let after = authority.as_str().strip_prefix(host).unwrap_or_default();
    let port = match after.strip_prefix(':') {
        None if scheme == Scheme::Https => 443,
        None => 80,
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(UrlError::Port)?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(UrlError::Malformed);
    }
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    Ok(Url {
        scheme,
        host: host.to_owned(),
        port,
        authority: authority.as_str().to_owned(),
        path: path.to_owned(),
    })
}

/// The URL of a text that has all of it but its beginning: `localhost:3000`, `:3000`, `3000`. Nothing where
/// it may hold a secret, for the text is repeated.
pub(super) fn meant(text: &str) -> Option<String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let place = if is_number { format!("127.0.0.1:{port}") } else { text.to_owned() };
    let url = format!("http://{place}");
    let is_place = !port.is_empty() && !text.contains("://") && !discretion::hides("url", text);
    let is_readable = is_place && parse(&url).is_ok_and(|url| url.path == "/");
    is_readable.then(|| format!("write \"{url}\""))
}

fn authority_of(text: &str) -> &str {
    let after = text.split_once("://").map_or(text, |(_, after)| after);
    after.split(['/', '?', '#']).next().unwrap_or(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = parse("http://127.0.0.1:3000").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("127.0.0.1", 3000, "/"));
        let url = parse("http://[::1]:3000/").unwrap();
        assert_eq!((url.host.as_str(), url.authority.as_str()), ("::1", "[::1]:3000"));
        let url = parse("https://collector/v1/traces?a").unwrap();
        assert_eq!((url.scheme, url.port), (Scheme::Https, 443));
        assert_eq!(url.path, "/v1/traces?a");
        let url = parse_upstream("h2c://app:50051").unwrap();
        assert_eq!((url.scheme, url.host.as_str(), url.port), (Scheme::H2c, "app", 50051));
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in ["", "localhost", "localhost:3000", "http://", "http://:80", "http:// a", "/x"]
        {
            assert_eq!(parse(text), Err(UrlError::Malformed), "{text}");
        }
        let of_port = meant(":3000");
        assert_eq!(of_port.as_deref(), Some("write \"http://127.0.0.1:3000\""));
        assert_eq!(of_port, meant("3000"));
        assert_eq!(meant("app:3000").as_deref(), Some("write \"http://app:3000\""));
        for text in ["", "app:x", "u:p@app", "app/path", "http://", "$URL", "99999"] {
            assert_eq!(meant(text), None, "{text}");
        }
        assert_eq!(parse("ftp://a"), Err(UrlError::Scheme("http:// or https://")));
        assert_eq!(parse("h2c://a"), Err(UrlError::Scheme("http:// or https://")));
        assert_eq!(parse("http://a:b@c"), Err(UrlError::Credentials));
        assert_eq!(parse("http://a:0"), Err(UrlError::Port));
        assert_eq!(parse("http://a:99999"), Err(UrlError::Port));
    }
}
