//! Request methods as a closed set, safe as a metric label.

use std::fmt;

/// A method of RFC 9110 or RFC 5789; anything else is `_OTHER` (OpenTelemetry HTTP conventions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Method {
    /// CONNECT
    Connect,
    /// DELETE
    Delete,
    /// GET
    Get,
    /// HEAD
    Head,
    /// OPTIONS
    Options,
    /// PATCH
    Patch,
    /// POST
    Post,
    /// PUT
    Put,
    /// TRACE
    Trace,
    /// Any other token.
    Other,
}

impl Method {
    /// How many there are, for tables indexed by method.
    pub const COUNT: usize = 10;

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Trace => "TRACE",
            Self::Other => "_OTHER",
        }
    }

    /// This method's place in a table of [`Self::COUNT`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl From<&http::Method> for Method {
    fn from(method: &http::Method) -> Self {
        match *method {
            http::Method::CONNECT => Self::Connect,
            http::Method::DELETE => Self::Delete,
            http::Method::GET => Self::Get,
            http::Method::HEAD => Self::Head,
            http::Method::OPTIONS => Self::Options,
            http::Method::PATCH => Self::Patch,
            http::Method::POST => Self::Post,
            http::Method::PUT => Self::Put,
            http::Method::TRACE => Self::Trace,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
