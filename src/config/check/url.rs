//! The URLs a configuration may hold: absolute, `http` or `https`, without credentials.

use thiserror::Error;

/// An absolute URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Whether its scheme is `https`.
    pub(super) is_https: bool,
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
    /// A scheme that other tools know and we do not yet.
    #[error("`{0}` is not built yet; expected http://")]
    NotBuilt(&'static str),
    /// A scheme that means nothing here.
    #[error("expected a URL that begins with http://")]
    Scheme,
    /// `user:password@`.
    #[error("credentials do not belong in a URL")]
    Credentials,
    /// A port that is not from 1 to 65535.
    #[error("expected a port from 1 to 65535")]
    Port,
}

/// Reads an absolute `http` or `https` URL.
pub(super) fn parse(text: &str) -> Result<Url, UrlError> {
    match text.split_once(':') {
        Some(("unix", _)) => return Err(UrlError::NotBuilt("unix:")),
        Some(("h2c", _)) => return Err(UrlError::NotBuilt("h2c://")),
        _ => {}
    }
    if !text.contains("://") {
        return Err(UrlError::Malformed);
    }
    if authority_of(text).contains('@') {
        return Err(UrlError::Credentials);
    }
    let uri: http::Uri = text.parse().map_err(|_| UrlError::Malformed)?;
    let is_https = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(UrlError::Scheme),
    };
    let authority = uri.authority().ok_or(UrlError::Malformed)?;
    let host = authority.host();
    let after = authority.as_str().strip_prefix(host).unwrap_or_default();
    let port = match after.strip_prefix(':') {
        None => {
            if is_https {
                443
            } else {
                80
            }
        }
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(UrlError::Port)?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(UrlError::Malformed);
    }
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    Ok(Url {
        is_https,
        host: host.to_owned(),
        port,
        authority: authority.as_str().to_owned(),
        path: path.to_owned(),
    })
}

/// Whether a text may hold credentials, so that it must not be quoted.
pub(super) fn may_hold_credentials(text: &str) -> bool {
    text.contains('@')
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
        assert_eq!((url.is_https, url.port, url.path.as_str()), (true, 443, "/v1/traces?a"));
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in ["", "localhost", "localhost:3000", "http://", "http://:80", "http:// a", "/x"]
        {
            assert_eq!(parse(text), Err(UrlError::Malformed), "{text}");
        }
        assert_eq!(parse("ftp://a"), Err(UrlError::Scheme));
        assert_eq!(parse("h2c://a"), Err(UrlError::NotBuilt("h2c://")));
        assert_eq!(parse("unix:/run/app"), Err(UrlError::NotBuilt("unix:")));
        assert_eq!(parse("http://a:b@c"), Err(UrlError::Credentials));
        assert_eq!(parse("http://a:0"), Err(UrlError::Port));
        assert_eq!(parse("http://a:99999"), Err(UrlError::Port));
    }
}
