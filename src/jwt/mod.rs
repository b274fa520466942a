//! Bearer tokens: JSON Web Tokens (RFC 7519) that are signed (RFC 7515), and the keys that check them.
//!
//! [`Keys`] are made once, from a JWK set, a PEM file or a secret, and say which key may check which
//! algorithm. [`verify`] judges one token by them. The algorithm is a property of the key: what a token
//! says of its own is a claim that must agree, never an instruction (RFC 8725 §3.1). Whatever a header
//! brings along to be fetched or believed (`jku`, `x5u`, `jwk`, `x5c`) is not looked at.
//!
//! The other way round, a [`Signer`] makes the tokens by which we say who calls.
//!
//! Everything here is pure: no clock, no file, no network. Nothing it says repeats a token.

mod keys;
mod sign;
mod token;

pub use jsonwebtoken::Algorithm;
pub use keys::{BadKeys, Keys};
pub use sign::{BadSigningKey, LIFETIME, Signer, Statement};
pub use token::{MAX_TOKEN, Rejected, Rules, Verified, verify};

/// Every algorithm there is here, by the name of RFC 7518 and RFC 8037.
pub const ALGORITHMS: [(&str, Algorithm); 12] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
];

/// Whether who can check a signature of this kind can also make one.
pub fn is_symmetric(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}
