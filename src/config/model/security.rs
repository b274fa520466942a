//! `[security]`: fields that answers get and requests lose, friends among origins, unknown paths.

use http::{HeaderName, HeaderValue};

/// `[security]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// Which header fields answers get and lose.
    pub headers: Preset,
    /// Over the preset: the value a field gets where the service says none, or `None` where it is not
    /// touched.
    pub overrides: Vec<(HeaderName, Option<HeaderValue>)>,
    /// Fields that clients may not send through.
    pub remove_request_headers: Vec<HeaderName>,
    /// Origins whose pages may ask for anything, in normal form.
    pub csrf_trusted_origins: Vec<Box<str>>,
    /// What happens to a request that no route knows.
    pub unmatched: Unmatched,
}

/// `security.headers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// What breaks no service: no guessed types, no referrers, no word about the server.
    Basic,
    /// HSTS, isolation from other origins and a minimal content policy besides.
    Strict,
    /// None.
    Off,
}

/// `security.unmatched`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// Pass it on.
    Forward,
    /// Answer 404, or 405 where the path is known for other methods.
    Deny,
}
