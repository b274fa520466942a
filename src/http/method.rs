//! Request methods as a closed set, safe as a metric label.
//!
//! Which of them are allowed is decided elsewhere; here every token is a method.

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

/// The method that a reader without regard to case takes this one for. Methods are case-sensitive
/// (RFC 9110 §9.1), `post` is none of HTTP's; but some frameworks write what they get in capitals, so
/// policy is found by this reading, too. The request goes on as it was written.
pub fn in_capitals(method: &http::Method) -> &http::Method {
    static KNOWN: [http::Method; 9] = [
        http::Method::CONNECT,
        http::Method::DELETE,
        http::Method::GET,
        http::Method::HEAD,
        http::Method::OPTIONS,
        http::Method::PATCH,
        http::Method::POST,
        http::Method::PUT,
        http::Method::TRACE,
    ];
    if Method::from(method) != Method::Other {
        return method;
    }
    let is_same = |known: &&http::Method| known.as_str().eq_ignore_ascii_case(method.as_str());
    KNOWN.iter().find(is_same).unwrap_or(method)
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_in_another_case_is_read_as_the_one_of_http() {
        let read = |text: &str| {
            let method = http::Method::from_bytes(text.as_bytes()).unwrap();
            in_capitals(&method).to_string()
        };
        for (written, expected) in [
            ("POST", "POST"),
            ("post", "POST"),
            ("Get", "GET"),
            ("pAtCh", "PATCH"),
            ("PROPFIND", "PROPFIND"),
            ("posts", "posts"),
        ] {
            assert_eq!(read(written), expected);
        }
    }
}
