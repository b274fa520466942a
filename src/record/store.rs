//! The calls to the shared rate-limit store that one exchange waited for.

use std::time::Duration;

use crate::http::traceparent::SpanId;

/// One call: its span, when it was made, and what became of it. Neither key nor value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreCall {
    /// Its CLIENT span.
    pub span: SpanId,
    /// From the start of the exchange to the call.
    pub offset: Duration,
    /// How long the exchange waited for it.
    pub duration: Duration,
    /// What became of it.
    pub ending: StoreEnding,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreEnding {
    /// The store decided.
    Answered,
    /// No answer within the budget.
    Late,
    /// The connection broke, or the store answered with an error or nonsense.
    Failed,
}

impl StoreEnding {
    /// Every ending.
    pub const ALL: [Self; 3] = [Self::Answered, Self::Late, Self::Failed];

    /// As metrics and spans show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "ok",
            Self::Late => "timeout",
            Self::Failed => "error",
        }
    }
}
