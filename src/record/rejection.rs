//! Why a request was refused for who sent it, for logs, metrics and the audit.
//!
//! A closed set: it says which check failed, and nothing of what was checked. The client is told less.

/// Why nobody is known to have sent a request that had to say so, or that said so in vain; or in which
/// place whoever sent it spoke of another tenant. Such a place has the name of its key in `[identity]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// Nothing in it says who sent it.
    NoToken,
    /// Its `Authorization` is of another scheme than Bearer.
    Scheme,
    /// Its token is no compact JWS over an object, is too long or says a thing twice; or there are two.
    Malformed,
    /// Its token wants something that is not done here: an extension, encryption, another `typ`.
    Unsupported,
    /// No key may check the algorithm that the token names.
    Algorithm,
    /// The token names a key that nobody has here.
    UnknownKey,
    /// No key made the token's signature.
    Signature,
    /// Somebody else has issued it (`iss`).
    Issuer,
    /// It is meant for somebody else (`aud`).
    Audience,
    /// It is over (`exp`).
    Expired,
    /// It does not hold yet (`nbf`).
    NotYetValid,
    /// A claim that must be there is not, is of the wrong type, or could not arrive as it is.
    Claims,
    /// The keys that would tell are not there, or too old.
    NoKeys,
    /// `identity.tenant_header` names another tenant.
    TenantHeader,
    /// `identity.tenant_path_param` does.
    TenantPathParam,
    /// `identity.tenant_body` does.
    TenantBody,
}

impl Rejection {
    /// The value in logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Scheme => "scheme",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Claims => "claims",
            Self::NoKeys => "no_keys",
            Self::TenantHeader => "tenant_header",
            Self::TenantPathParam => "tenant_path_param",
            Self::TenantBody => "tenant_body",
        }
    }
}
