//! Who calls: tokens, the keys that check them, the tenant, and what the upstream is told.

use std::io::Write;

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use vital_sidecar::record::{Caller, Outcome, Record, Refusal};

use crate::support::client::Answer;
use crate::support::house::config;
use crate::support::issuer::{AUDIENCE, ISSUER, Key, claims, set};
use crate::support::recorder::{Recorder, recording};
use crate::support::sidecar::{self, Sidecar};

// One token per attack: each is refused, and the upstream sees nothing of it.
mod attacks;
// Client certificates as identities, over real TLS.
mod certificates;
// Which requests need an identity, and what becomes of it.
mod gates;
// Keys from a URL, through everything that can happen to it.
mod keys;
// Which check a refused request failed, as telemetry says it.
mod reasons;
// What the upstream can prove: the identity, signed.
mod signed;
// What telemetry shows of a caller, and what it must not.
mod shown;
// Whose data a request may speak of.
mod tenants;

/// Two routes: one that requires an identity, one where it is optional, one where nobody looks.
const ROUTES: &str = r#"
[[routes]]
match = "* /api/{*rest}"
identity = "required"
[[routes]]
match = "* /login"
identity = "none"
"#;

/// `[identity]` with a file of keys.
fn jwt(key: &str, file: &NamedTempFile, more: &str) -> String {
    format!(
        "[identity]\nsource = \"jwt\"\n{more}\n[identity.jwt]\n{key} = \"{}\"\n\
         issuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\n",
        file.path().display()
    )
}

fn file(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(content.as_bytes()).expect("a write");
    file
}

/// A sidecar in front of an upstream that remembers what it saw.
struct Scene {
    recorder: Recorder,
    sidecar: Sidecar,
    _file: NamedTempFile,
}

/// A sidecar that knows these keys by a JWK set.
async fn knowing(keys: &[&Key], more: &str) -> Scene {
    let file = file(&set(keys));
    let recorder = recording().await;
    let text = jwt("jwks_file", &file, more) + ROUTES;
    let sidecar = sidecar::with(&config(recorder.upstream.address, &text)).await;
    Scene { recorder, sidecar, _file: file }
}

impl Scene {
    /// A GET with these further lines in its head.
    async fn get(&self, path: &str, fields: &str) -> Answer {
        let mut client = self.sidecar.client().await;
        client.say(format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
        client.answer().await
    }

    /// A GET of the protected API with this token.
    async fn with(&self, token: &str) -> Answer {
        self.get("/api/a", &bearer(token)).await
    }

    async fn record(&mut self) -> std::sync::Arc<Record> {
        self.sidecar.record().await
    }

    /// What the upstream saw of a request.
    fn seen(&self) -> Vec<String> {
        self.recorder.upstream.heads().iter().map(|head| head.to_lowercase()).collect()
    }

    /// Asserts that a token is refused as such, and that nobody behind has seen it.
    async fn refuses(&mut self, token: &str) {
        let before = self.seen().len();
        let answer = self.with(token).await;
        assert_eq!(answer.status, 401, "{token}");
        let challenge = answer.field("www-authenticate").expect("a challenge");
        assert_eq!(challenge, "bearer realm=\"vital-orchestrator\", error=\"invalid_token\"");
        assert_eq!(answer.json()["error_type"], "unauthenticated");
        let record = self.record().await;
        assert_eq!(record.outcome, Outcome::Refused(Refusal::Unauthenticated));
        assert_eq!(record.caller, Caller::default());
        assert_eq!(self.seen().len(), before, "the upstream saw it");
    }

    /// Asserts that a token is good.
    async fn accepts(&mut self, token: &str) {
        let answer = self.with(token).await;
        assert_eq!(answer.status, 200, "{token}: {}", answer.head);
        assert!(self.record().await.caller.user.is_some());
    }
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

fn good() -> Value {
    claims(&json!({}))
}
