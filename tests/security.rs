//! `[security]` as clients and services meet it: pages of other origins, preflights, header fields,
//! paths that nobody knows.

mod csrf;
mod headers;
mod page;
mod preflight;
mod unmatched;

use crate::support::client::Answer;
use crate::support::house::config;
use crate::support::recorder::{Recorder, recording};
use crate::support::sidecar::{self, Sidecar};

/// A recording upstream behind a sidecar with this policy.
async fn scene(policy: &str) -> (Recorder, Sidecar) {
    let recorder = recording().await;
    let sidecar = sidecar::with(&config(recorder.upstream.address, policy)).await;
    (recorder, sidecar)
}

/// Sends a request without a body to `app.example`; each field is a line.
async fn ask(sidecar: &Sidecar, line: &str, fields: &[&str]) -> Answer {
    let mut request = format!("{line} HTTP/1.1\r\nhost: app.example\r\n");
    for field in fields {
        request.push_str(field);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let mut client = sidecar.client().await;
    client.say(request).await;
    client.answer().await
}
