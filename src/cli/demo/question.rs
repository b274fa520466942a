//! The body of `POST /api/orchestrate`: read within bounds, and taken for what the API says it is.
//!
//! It is not checked against the API's schema: that is the part of the sidecar in front. What cannot be
//! read at all is said in fixed words; nothing of the body is repeated.

use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use uuid::Uuid;

/// Bytes of a body; room for 10,000 characters, even if each is written as an escape.
const MAX_BODY: usize = 128 * 1024;
/// For the whole body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// `OrchestrationRequest` of the API.
#[derive(Debug)]
pub(super) struct Question {
    /// 1 to 10,000 characters, if somebody has checked.
    pub(super) query: String,
    /// How the question is to be answered.
    pub(super) mode: Mode,
    /// The conversation it continues.
    pub(super) session: Option<Uuid>,
}

/// The five modes of the API.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    QueryAutomatic,
    QueryManual,
    RagQuery,
    MultiAgent,
    Autonomous,
}

impl Mode {
    /// All of them, in the order of the API.
    pub(super) const ALL: [Self; 5] = [
        Self::QueryAutomatic,
        Self::QueryManual,
        Self::RagQuery,
        Self::MultiAgent,
        Self::Autonomous,
    ];

    /// The mode as the API writes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::QueryAutomatic => "query_automatic",
            Self::QueryManual => "query_manual",
            Self::RagQuery => "rag_query",
            Self::MultiAgent => "multi_agent",
            Self::Autonomous => "autonomous",
        }
    }
}

/// Why a body is not a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    /// It is not JSON, or not of the schema's shape.
    #[error("the body is not a JSON object with `query` and one of the five modes as `mode`")]
    Shape,
    /// The body did not come to its end.
    #[error("the body ended early")]
    Incomplete,
    /// The body took too long.
    #[error("the body took longer than 10 seconds")]
    Slow,
    /// The body is too long.
    #[error("the body is longer than 128 KiB")]
    TooLarge,
}

impl Invalid {
    /// The status that says so.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Shape | Self::Incomplete => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// Reads and checks a question. Cancel safe: a dropped future has read from the body, nothing else.
pub(super) async fn read(body: Incoming) -> Result<Question, Invalid> {
    let bytes =
        tokio::time::timeout(BODY_TIMEOUT, read_all(body)).await.map_err(|_| Invalid::Slow)??;
    parse(&bytes)
}

async fn read_all(mut body: Incoming) -> Result<BytesMut, Invalid> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Invalid::Incomplete)?.into_data() else { continue };
        if bytes.len() + data.len() > MAX_BODY {
            return Err(Invalid::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Question, Invalid> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire {
        query: String,
        mode: Mode,
        session_id: Option<String>,
    }

    let wire: Wire = serde_json::from_slice(bytes).map_err(|_| Invalid::Shape)?;
    let session = wire.session_id.and_then(|id| Uuid::try_parse(&id).ok());
    Ok(Question { query: wire.query, mode: wire.mode, session })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_five_modes_is_known_by_the_name_it_prints() {
        for mode in Mode::ALL {
            let body = format!(r#"{{"query":"q","mode":"{}"}}"#, mode.as_str());
            assert_eq!(parse(body.as_bytes()).unwrap().mode, mode);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for body in ["", "{", "[]", "{}", r#"{"query":"q"}"#, r#"{"query":"q","mode":"other"}"#] {
            assert_eq!(parse(body.as_bytes()).unwrap_err(), Invalid::Shape, "{body}");
        }
        let body = br#"{"query":"","mode":"autonomous","sessionId":"17"}"#;
        assert!(parse(body).unwrap().session.is_none(), "the sidecar checks it");
    }
}
