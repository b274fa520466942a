//! Requests of callers with tokens: marks in every claim, in the header, in what should be a token, and
//! in the tenants that a request names besides.

use serde_json::{Value, json};

use super::markers::Shape;
use super::traffic::{Ask, End, Writer};
use crate::support::issuer::{AUDIENCE, ISSUER, base64url, hs256, now};

/// The tenant of every good token. Telemetry may show it.
pub(super) const TENANT: &str = "acme";

/// What else a configuration needs, so that these callers are known. `keys` is a key of `[identity.jwt]`.
pub(super) fn known_by(keys: &str) -> String {
    format!(
        r#"
[identity]
source = "jwt"
tenant_body = "/tenant"
tenant_path_param = "tenant"
[identity.jwt]
{keys}
algorithms = ["HS256"]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
[identity.forward]
x-user-id = "sub"
x-user-email = "email"
x-user-plan = "plan"
"#
    )
}

/// Routes that only callers have.
pub(super) const ROUTES: &str = r#"
[rate_limits.by-caller]
key = ["user", "tenant", "claim:/email"]
rate = "1/day"
burst = 1
mode = "shadow"
max_keys = 10
[[routes]]
match = "* /mine/{id}/{what}"
identity = "required"
audit = "DATA_ACCESS"
rate_limits = ["by-caller"]
[[routes]]
match = "* /tenants/{tenant}/{what}"
identity = "required"
audit = "DATA_ACCESS"
"#;

/// Callers whose tokens this secret signs.
pub(super) struct Callers<'a> {
    pub(super) writer: &'a Writer,
    pub(super) secret: &'a str,
}

impl Callers<'_> {
    fn mint(&self, place: &str) -> String {
        self.writer.markers.mint(place, self.writer.shape)
    }

    /// Every claim that an issuer may set, marked.
    fn claims(&self, sub: &str, tenant: &str) -> Value {
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "exp": now() + 600, "iat": now(),
            "sub": self.mint(sub), "tenant_id": tenant, "email": self.mint("email"),
            "plan": self.mint("plan"), "jti": self.mint("jti"), "name": self.mint("name"),
            "realm": {"roles": [self.mint("a role")]}, self.mint("a claim's name"): 1,
        })
    }

    fn sign(&self, secret: &str, claims: &Value) -> String {
        let header = json!({
            "alg": "HS256", "typ": "JWT", "kid": self.mint("kid"),
            "jku": format!("https://{}.example", self.mint("jku")),
        });
        let token = hs256(secret.as_bytes(), &header, claims);
        let signature = token.rsplit('.').next().expect("a signature");
        self.writer.markers.note("signature", signature);
        token
    }

    fn good(&self) -> String {
        self.sign(self.secret, &self.claims("sub", TENANT))
    }

    /// The same request of a caller with this token, who names no other tenant.
    fn by(ask: Ask, token: &str) -> Ask {
        let text = String::from_utf8(ask.bytes).expect("UTF-8");
        let mut said = String::with_capacity(text.len() + token.len());
        for line in text.split_inclusive("\r\n") {
            if line.starts_with("authorization: ") {
                said.extend(["authorization: Bearer ", token, "\r\n"]);
            } else if !line.starts_with("x-tenant-id: ") {
                said += line;
            }
        }
        // It may name a tenant to a reader who forgives what JSON does not.
        let is_odd = ask.about.starts_with("a body that is no JSON");
        let end = if is_odd { End::Status(400) } else { ask.end };
        Ask { bytes: said.into(), about: format!("{}, of a caller", ask.about), end }
    }

    /// Requests of verified callers, one token each.
    pub(super) fn verified(&self) -> Vec<Ask> {
        let own = format!("/mine/{}/fine?{}", self.mint("path"), self.writer.query());
        let tenant = format!("/tenants/{TENANT}/fine?{}", self.writer.query());
        let mut asks = [self.writer.served(), self.writer.refused()].concat();
        for target in [own, tenant] {
            asks.push(self.writer.ask(
                "a caller's own",
                self.writer.get(&target),
                End::Status(200),
            ));
        }
        asks.into_iter().map(|ask| Self::by(ask, &self.good())).collect()
    }

    /// Requests of verified callers that end late, or that nobody waits for.
    pub(super) fn late(&self) -> Vec<Ask> {
        self.writer.late().into_iter().map(|ask| Self::by(ask, &self.good())).collect()
    }

    /// Tokens that do not hold.
    pub(super) fn unverified(&self) -> Vec<Ask> {
        let claims = || self.claims("an unverified sub", &self.mint("tenant_id"));
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            self.sign(self.secret, &claims)
        };
        let foreign = self.writer.markers.mint("another secret", Shape::Long);
        let unsigned = format!(
            "{}.{}.",
            base64url(json!({"alg": "none", "kid": self.mint("kid")}).to_string().as_bytes()),
            base64url(claims().to_string().as_bytes())
        );
        [
            ("another secret", self.sign(&foreign, &claims())),
            ("no signature", unsigned),
            ("an expired token", with("exp", json!(now() - 600))),
            ("a token of tomorrow", with("nbf", json!(now() + 6000))),
            ("another issuer", with("iss", self.mint("iss").into())),
            ("another audience", with("aud", json!([self.mint("aud"), self.mint("aud")]))),
            ("no user", with("sub", Value::Null)),
            ("a user that is a list", with("sub", json!([self.mint("an unverified sub")]))),
            ("no token at all", self.mint("bearer token")),
        ]
        .into_iter()
        .flat_map(|(about, token)| {
            let ask = |target| self.writer.ask(about, self.writer.get(target), End::Status(401));
            [
                ask(&format!("/mine/{}/fine", self.mint("path"))),
                ask(&self.writer.known("fine").replace("/api/", "/elsewhere/")),
            ]
            .map(|ask| Self::by(ask, &token))
        })
        .collect()
    }

    /// Verified callers that name a tenant that is not theirs: in a field, in the path, in the body.
    pub(super) fn strayed(&self) -> Vec<Ask> {
        let refused = |about, request: String| {
            Self::by(self.writer.ask(about, request, End::Status(403)), &self.good())
        };
        let own = |what: &str| format!("/mine/{}/{what}", self.mint("path"));
        let path =
            format!("/tenants/{}/fine", self.writer.markers.token("path", self.writer.shape));
        let body = json!({"tenant": self.mint("body, a tenant"), "query": self.mint("body")});
        let mut field = refused("another tenant in a field", self.writer.get(&own("fine")));
        let end = field.bytes.len() - 2;
        field.bytes.truncate(end);
        field.bytes.extend(format!("x-tenant-id: {}\r\n\r\n", self.mint("x-tenant-id")).bytes());
        vec![
            field,
            refused("another tenant in the path", self.writer.get(&path)),
            refused(
                "another tenant in the body",
                self.writer.post(&own("fine"), "", &body.to_string()),
            ),
        ]
    }
}
