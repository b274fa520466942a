//! The header fields that make browsers careful, on every answer: the service's and our own.
//!
//! A preset, and over it what the configuration says of single fields, become lists of finished values
//! when the plan is compiled. The service's own field always wins, HSTS is said over TLS only (RFC 6797
//! §7.2), and a content policy only of HTML. Cookies are never touched.
//!
//! It does not know what a page needs: a policy beyond the least one is the operator's to write.

use http::HeaderValue;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY, CONTENT_TYPE, Entry, HeaderMap,
    HeaderName, REFERRER_POLICY, SERVER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};

use crate::config::model::{Preset, Security};

/// Says what a service is made of; not a field of any standard.
pub const X_POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");

/// What `basic` says.
const BASIC: [(HeaderName, &str); 2] =
    [(X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "no-referrer")];
/// What `strict` says besides.
const STRICT: [(HeaderName, &str); 5] = [
    (STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains"),
    (CONTENT_SECURITY_POLICY, "frame-ancestors 'none'; object-src 'none'; base-uri 'self'"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What answers get and lose, compiled.
#[derive(Clone, Debug, Default)]
pub struct SecurityHeaders {
    /// Whether the service's `Server` is kept to ourselves.
    pub hides_server: bool,
    /// Whether its `X-Powered-By` is.
    pub hides_powered_by: bool,
    always: Box<[Field]>,
    over_tls: Box<[Field]>,
    of_html: Box<[Field]>,
}

type Field = (HeaderName, HeaderValue);

impl SecurityHeaders {
    /// Compiles a preset and what goes over it.
    pub fn compile(security: &Security) -> Self {
        let preset: &[&[(HeaderName, &'static str)]] = match security.headers {
            Preset::Off => &[],
            Preset::Basic => &[&BASIC],
            Preset::Strict => &[&BASIC, &STRICT],
        };
        let is_overridden = |name: &HeaderName| security.overrides.iter().any(|(n, _)| n == name);
        let fixed = |(name, value): &(HeaderName, &'static str)| {
            (name.clone(), HeaderValue::from_static(value))
        };
        let mut fields: Vec<Field> = preset.iter().copied().flatten().map(fixed).collect();
        fields.retain(|(name, _)| !is_overridden(name));
        let own = |(name, value): &(HeaderName, Option<HeaderValue>)| {
            value.clone().map(|value| (name.clone(), value))
        };
        fields.extend(security.overrides.iter().filter_map(own));

        let hides = |name| security.headers != Preset::Off && !is_overridden(name);
        let take = |fields: &mut Vec<Field>, is_such: fn(&HeaderName) -> bool| {
            fields.extract_if(.., |(name, _)| is_such(name)).collect()
        };
        Self {
            hides_server: hides(&SERVER),
            hides_powered_by: hides(&X_POWERED_BY),
            over_tls: take(&mut fields, |name| *name == STRICT_TRANSPORT_SECURITY),
            of_html: take(&mut fields, |name| {
                *name == CONTENT_SECURITY_POLICY || *name == CONTENT_SECURITY_POLICY_REPORT_ONLY
            }),
            always: fields.into(),
        }
    }

    /// Adds what the answer does not say itself.
    pub fn add_to(&self, headers: &mut HeaderMap, is_tls: bool) {
        add(headers, &self.always);
        if is_tls {
            add(headers, &self.over_tls);
        }
        if !self.of_html.is_empty() && headers.get(CONTENT_TYPE).is_some_and(is_html) {
            add(headers, &self.of_html);
        }
    }
}

fn add(headers: &mut HeaderMap, fields: &[Field]) {
    for (name, value) in fields {
        // A map that can hold no more fields is not worth a failure.
        if let Ok(Entry::Vacant(place)) = headers.try_entry(name) {
            let _full = place.try_insert(value.clone());
        }
    }
}

fn is_html(media_type: &HeaderValue) -> bool {
    let media_type = media_type.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
    let media_type = media_type.trim_ascii();
    media_type.eq_ignore_ascii_case(b"text/html")
        || media_type.eq_ignore_ascii_case(b"application/xhtml+xml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn dressed(security: &str, is_tls: bool, own: &[(&'static str, &'static str)]) -> Vec<String> {
        let text = format!("upstream.url = \"http://127.0.0.1:1\"\n[security]\n{security}");
        let config = Config::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let mut headers = HeaderMap::new();
        for (name, value) in own {
            headers.append(*name, HeaderValue::from_static(value));
        }
        SecurityHeaders::compile(&config.security).add_to(&mut headers, is_tls);
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    const HTML: (&str, &str) = ("content-type", "Text/HTML; charset=utf-8");

    #[test]
    fn basic_is_the_default_and_says_two_things() {
        let basic = ["referrer-policy: no-referrer", "x-content-type-options: nosniff"];
        assert_eq!(dressed("", false, &[]), basic);
        assert_eq!(dressed("headers = \"basic\"", true, &[]), basic);
        assert!(dressed("headers = \"off\"", true, &[]).is_empty());
    }

    #[test]
    fn strict_speaks_of_transport_over_tls_and_of_content_with_html() {
        let plain = dressed("headers = \"strict\"", false, &[]);
        assert_eq!(
            plain,
            [
                "cross-origin-opener-policy: same-origin",
                "cross-origin-resource-policy: same-origin",
                "permissions-policy: camera=(), microphone=(), geolocation=()",
                "referrer-policy: no-referrer",
                "x-content-type-options: nosniff",
            ]
        );
        let over_tls = dressed("headers = \"strict\"", true, &[]);
        let hsts = "strict-transport-security: max-age=31536000; includeSubDomains".to_owned();
        assert!(over_tls.contains(&hsts) && over_tls.len() == plain.len() + 1);
        let page = dressed("headers = \"strict\"", false, &[HTML]);
        let policy =
            "content-security-policy: frame-ancestors 'none'; object-src 'none'; base-uri 'self'";
        assert!(page.contains(&policy.to_owned()), "{page:?}");
        for (name, value) in [("content-type", "application/json"), ("content-type", "text/htmlx")]
        {
            let other = dressed("headers = \"strict\"", false, &[(name, value)]);
            assert!(!other.iter().any(|line| line.contains("security-policy")), "{other:?}");
        }
    }

    #[test]
    fn the_services_own_field_wins() {
        let own = [
            HTML,
            ("content-security-policy", "default-src 'self'"),
            ("referrer-policy", "origin"),
        ];
        let lines = dressed("headers = \"strict\"", true, &own);
        let of = |name: &str| lines.iter().filter(|line| line.starts_with(name)).count();
        assert!(lines.contains(&"content-security-policy: default-src 'self'".to_owned()));
        assert!(lines.contains(&"referrer-policy: origin".to_owned()));
        assert_eq!((of("content-security-policy:"), of("referrer-policy:")), (1, 1));
    }

    #[test]
    fn single_fields_go_over_the_preset() {
        let text = "headers = \"strict\"\n[security.override]\n\"Referrer-Policy\" = \"origin\"\n\
                    permissions-policy = \"\"\nstrict-transport-security = \"max-age=60\"\n\
                    content-security-policy-report-only = \"default-src 'self'\"\n\
                    x-frame-options = \"DENY\"\n";
        let lines = dressed(text, true, &[]);
        for expected in [
            "referrer-policy: origin",
            "strict-transport-security: max-age=60",
            "x-frame-options: DENY",
        ] {
            assert!(lines.contains(&expected.to_owned()), "{lines:?}");
        }
        let is_there = |name: &str, lines: &[String]| lines.iter().any(|l| l.starts_with(name));
        assert!(!is_there("permissions-policy", &lines));
        assert!(!is_there("content-security-policy-report-only", &lines), "this is no page");
        assert!(is_there("content-security-policy-report-only", &dressed(text, false, &[HTML])));
        assert!(!is_there("strict-transport-security", &dressed(text, false, &[])));
        assert_eq!(
            dressed("headers = \"off\"\noverride.x-frame-options = \"DENY\"", false, &[]),
            ["x-frame-options: DENY"]
        );
    }

    #[test]
    fn what_a_service_is_made_of_is_hidden_unless_it_is_overridden() {
        let hides = |text: &str| {
            let text = format!("upstream.url = \"http://127.0.0.1:1\"\n[security]\n{text}");
            let config = Config::from_toml(&text).unwrap();
            let headers = SecurityHeaders::compile(&config.security);
            (headers.hides_server, headers.hides_powered_by)
        };
        assert_eq!(hides(""), (true, true));
        assert_eq!(hides("headers = \"strict\""), (true, true));
        assert_eq!(hides("headers = \"off\""), (false, false));
        assert_eq!(hides("override.server = \"\""), (false, true));
    }
}
