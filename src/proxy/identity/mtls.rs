//! Identities that client certificates state.
//!
//! A certificate comes here once the handshake has verified its chain, is read once per connection, and
//! ends when it says so: a connection, or a resumed session, may outlive it.
//!
//! It verifies no signature and reads no revocation list.

use std::sync::Arc;

use serde_json::{Map, Value};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::Identity;
use super::policy::Policy;
use crate::record::Rejection;

/// What a connection's certificate says.
#[derive(Debug)]
pub struct Certified {
    identity: Result<Arc<Identity>, Rejection>,
    /// The last second of its time, since 1970.
    until: u64,
}

impl Certified {
    /// Reads a certificate (DER).
    pub(super) fn of(policy: &Policy, certificate: &[u8]) -> Self {
        let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
            return Self { identity: Err(Rejection::Claims), until: u64::MAX };
        };
        // Before 1970 is over.
        let until = certificate.validity().not_after.timestamp().try_into().unwrap_or(0);
        let identity = claims(&certificate).and_then(|claims| policy.identity(claims));
        Self { identity: identity.map(Arc::new).ok_or(Rejection::Claims), until }
    }

    /// Whose it is, at so many seconds since 1970.
    pub(super) fn holds_at(&self, unix: u64) -> Result<Arc<Identity>, Rejection> {
        if unix > self.until { Err(Rejection::Expired) } else { self.identity.clone() }
    }
}

/// `sub`, `san` and `cn`; none where two readers could read different names.
fn claims(certificate: &X509Certificate<'_>) -> Option<Map<String, Value>> {
    let extension = certificate.subject_alternative_name().ok()?;
    let names = extension.map_or(&[][..], |extension| &extension.value.general_names);
    let uri = |name: &GeneralName<'_>| matches!(name, GeneralName::URI(_));
    let dns = |name: &GeneralName<'_>| matches!(name, GeneralName::DNSName(_));
    let first = names.iter().find(|name| uri(name)).or_else(|| names.iter().find(|name| dns(name)));
    let first = first.and_then(text).or_else(|| names.iter().find_map(text));
    let common = common_name(certificate);
    let mut claims = Map::new();
    if let Some(subject) = first.or(common) {
        claims.insert("sub".to_owned(), subject.into());
    }
    if let Some(common) = common {
        claims.insert("cn".to_owned(), common.into());
    }
    claims.insert("san".to_owned(), names.iter().filter_map(text).collect());
    Some(claims)
}

/// A name that is a text.
fn text<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::URI(text) | GeneralName::DNSName(text) | GeneralName::RFC822Name(text) => {
            Some(text)
        }
        _ => None,
    }
}

/// The common name of the subject, where there is just one.
fn common_name<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?;
    names.next().is_none().then(|| name.as_str().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, date_time_ymd};
    use serde_json::json;

    use super::*;
    use crate::config::Config;
    use crate::record::PseudonymKey;

    fn certified(names: Vec<SanType>, common: &[&str]) -> Certified {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name = DistinguishedName::new();
        for name in common {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.not_after = date_time_ymd(2030, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        of(certificate.der())
    }

    fn of(certificate: &[u8]) -> Certified {
        let config = Config::for_upstream(([127, 0, 0, 1], 1).into());
        Certified::of(&Policy::compile(&config.identity, &PseudonymKey::random()), certificate)
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    fn mail(text: &str) -> SanType {
        SanType::Rfc822Name(text.try_into().unwrap())
    }

    #[test]
    fn the_user_is_the_first_uri_else_a_dns_name_else_an_address_else_the_common_name() {
        let spiffe = "spiffe://a.example/worker";
        for (names, common, user) in [
            (vec![mail("a@b.example"), dns("d.example"), uri(spiffe)], "c", spiffe),
            (vec![uri(spiffe), uri("spiffe://a.example/b")], "c", spiffe),
            (vec![mail("a@b.example"), dns("d.example")], "c", "d.example"),
            (vec![mail("a@b.example")], "c", "a@b.example"),
            (vec![SanType::IpAddress([127, 0, 0, 1].into())], "c", "c"),
            (vec![], "c", "c"),
        ] {
            let identity = certified(names, &[common]).holds_at(0).unwrap();
            assert_eq!(identity.user(), Some(user));
            assert_eq!(identity.tenant(), None);
        }
    }

    #[test]
    fn its_names_are_claims() {
        let identity = certified(vec![mail("a@b.example"), dns("d.example")], &["c"]);
        let identity = identity.holds_at(0).unwrap();
        assert_eq!(identity.claim("san"), Some(&json!(["a@b.example", "d.example"])));
        assert_eq!(identity.claim("/san/1"), Some(&json!("d.example")));
        assert_eq!(identity.claim("cn"), Some(&json!("c")));
    }

    #[test]
    fn a_certificate_that_names_nobody_is_nobodys() {
        for bad in [certified(vec![], &[]), certified(vec![], &[" c"]), of(b""), of(b"\x30\x80")] {
            assert_eq!(bad.holds_at(0).unwrap_err(), Rejection::Claims);
        }
    }

    #[test]
    fn a_certificate_is_over_when_it_says_so() {
        let certified = certified(vec![], &["c"]);
        let last = 1_893_456_000; // 2030-01-01T00:00:00Z
        assert!(certified.holds_at(last).is_ok());
        assert_eq!(certified.holds_at(last + 1).unwrap_err(), Rejection::Expired);
    }
}
