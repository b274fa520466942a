//! The values of `error.type`.
//!
//! The set is closed: words of this program, an upstream's 5xx as its status, and the classes that the
//! configuration names. So it is safe as a metric label.

/// A value of `error.type`: a member of a closed set, or an upstream 5xx as its status string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorType(&'static str);

impl ErrorType {
    /// A client that left.
    pub const CLIENT_ABORT: Self = Self("client_abort");
    /// A panic in a stage.
    pub const PANIC: Self = Self("panic");

    /// A word of this program.
    pub(super) const fn own(word: &'static str) -> Self {
        Self(word)
    }

    /// The label value.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Names an upstream 5xx by its status, as the HTTP semantic conventions ask.
    pub fn upstream_status(status: u16) -> Self {
        const NAMES: [&str; 12] =
            ["500", "501", "502", "503", "504", "505", "506", "507", "508", "509", "510", "511"];
        let index = usize::from(status).wrapping_sub(500);
        Self(NAMES.get(index).copied().unwrap_or("_OTHER"))
    }
}
