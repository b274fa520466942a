//! The two ways to a collector: OTLP over http/protobuf and OTLP over gRPC; and the way to Datadog.
//!
//! A [`Parcel`](super::Parcel) of OTLP is the same bytes on both. What an answer means is decided in
//! `verdict`, by the OTLP specification, on values alone; the carriers only fetch it. Whatever a
//! collector answers, nothing here panics, waits longer than it was allowed to, or repeats the
//! collector's own words in our log: they are free text, and may hold anything.
//!
//! It does not retry, count or spool; an outbox does.

use http::header::{HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Uri};
use thiserror::Error;

use self::datadog::Intake;
use self::grpc::Grpc;
use self::http_protobuf::HttpProtobuf;
use super::Carrier;
use crate::config::model::{Datadog, OtlpProtocol, OtlpTarget, Signal};
use crate::telemetry::export_client::CaFileError;

mod datadog;
mod grpc;
mod grpc_status;
mod http_protobuf;
mod partial;
mod pause;
mod verdict;

const SIDECAR: &str = concat!("vital-sidecar/", env!("CARGO_PKG_VERSION"));

/// A target that no carrier can be made for.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// `ca_file` cannot be used.
    #[error("ca_file: {0}")]
    CaFile(#[from] CaFileError),
    /// The endpoint is not an http or https URL. It is not shown: it may hold a password.
    #[error("endpoint is not an http or https URL")]
    Endpoint,
    /// A header cannot be sent. Its value is not shown.
    #[error("headers: `{0}` is not a valid header name, or its value is not valid")]
    Header(String),
}

/// Makes the carrier of a signal's parcels. Reads `ca_file`; connects to nobody yet.
pub fn connect(target: &OtlpTarget, signal: Signal) -> Result<Box<dyn Carrier>, ConnectError> {
    let uri: Uri = target.url.parse().map_err(|_| ConnectError::Endpoint)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(ConnectError::Endpoint);
    }
    let headers = headers(target)?;
    let ca_file = target.ca_file.as_deref();
    Ok(match target.protocol {
        OtlpProtocol::Http => Box::new(HttpProtobuf::new(uri, headers, ca_file)?),
        OtlpProtocol::Grpc => Box::new(Grpc::new(&uri, headers, ca_file, signal)?),
    })
}

/// Makes the carrier of parcels of entries, JSON arrays, to Datadog. Connects to nobody yet.
pub fn to_datadog(datadog: &Datadog) -> Result<Box<dyn Carrier>, ConnectError> {
    Ok(Box::new(Intake::new(datadog)?))
}

/// The configured headers: secrets, so each is marked sensitive.
fn headers(target: &OtlpTarget) -> Result<HeaderMap, ConnectError> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(SIDECAR));
    for (name, value) in &target.headers {
        let invalid = || ConnectError::Header(name.clone());
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| invalid())?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}
