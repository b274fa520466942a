//! Why the spans of an exchange leave: decided at its start, or at its end for a reason. Where nobody gets
//! spans none leave, and the reason is still worth remembering.

/// Why the spans of an exchange are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The head decision, which the upstream was told.
    Head,
    /// The head decision said no, and the ending gave a reason to keep them after all.
    End(Reason),
    /// The ending gave a reason, but there is no collector: nothing leaves.
    Unsent(Reason),
}

/// A reason that shows only at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An error of the service.
    Error,
    /// An answer that had begun was cut.
    Aborted,
    /// It took too long.
    Slow,
    /// Its status is one of those asked for.
    Status,
}

impl Kept {
    /// The reason for which spans leave, where it was found at the end.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Head | Self::Unsent(_) => None,
            Self::End(reason) => Some(reason),
        }
    }
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Error, Self::Aborted, Self::Slow, Self::Status];

    /// The value of `sampling.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Aborted => "aborted",
            Self::Slow => "slow",
            Self::Status => "status",
        }
    }

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}
