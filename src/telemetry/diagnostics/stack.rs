//! The stack of a panic, as a diagnostic may show it: our own functions, and where they stand.
//!
//! A frame is a function's name, its file and its line. No argument and no value is in it, so nothing of
//! a client's is. Frames of libraries are left out, and so is where the source lay when it was built.

use std::backtrace::Backtrace;
use std::cell::Cell;

use crate::record::Stack;

/// Bytes of a stack at most.
const MOST: usize = 8 * 1024;
/// How functions of ours begin.
const OURS: &str = "vital_sidecar";

/// How this one begins.
const HERE: &str = "vital_sidecar::telemetry::diagnostics::stack::stack";

thread_local! {
    /// What the last panic of this thread has left.
    static LEFT: Cell<Option<Stack>> = const { Cell::new(None) };
}

/// Keeps the stack of a panic for the exchange that it ends, in place of what this thread kept before.
/// `None` where it was not taken. For the panic hook alone: it runs on the thread that panics.
pub fn leave_stack(stack: Option<&str>) {
    // A thread that ends has no place for it any more, and no exchange.
    let stack = stack.filter(|frames| !frames.is_empty()).map(Stack::caught);
    let _is_over = LEFT.try_with(|left| left.set(stack));
}

/// The stack of the panic that this thread has just caught, or is still in. It is handed out once.
pub fn take_stack() -> Option<Stack> {
    LEFT.try_with(Cell::take).ok().flatten()
}

/// The frames of ours on this thread's stack, innermost first, one a line. Costs milliseconds: for who
/// panics.
pub fn stack() -> String {
    ours(&Backtrace::force_capture().to_string())
}

/// Of a backtrace in the standard form: `  3: name`, and below it `at file:line:column`, if known.
fn ours(backtrace: &str) -> String {
    let mut out = String::new();
    let mut lines = backtrace.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let place = lines.next_if(|next| next.starts_with("at "));
        let Some((_, name)) = line.split_once(": ").filter(|(at, _)| is_number(at)) else {
            continue;
        };
        // Also `<vital_sidecar::X as Y>::z`; ours are told by where they stand, not by a type's name.
        let is_ours = name.trim_start_matches('<').starts_with(OURS);
        // The way here is not the way to the panic.
        if !is_ours || name.starts_with(HERE) {
            continue;
        }
        let place = place.and_then(|place| place.rsplit_once("/src/")).map(|(_, place)| place);
        let frame = place.map_or_else(|| name.to_owned(), |place| format!("{name} (src/{place})"));
        if out.len() + frame.len() >= MOST {
            break;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&frame);
    }
    out
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_functions_are_shown_with_their_place_in_the_source() {
        let text = "   0: std::backtrace::Backtrace::create\n             at /rustc/1/library/std/src/backtrace.rs:331:13\n   \
                    1: vital_sidecar::telemetry::diagnostics::stack::stack\n             at ./src/telemetry/diagnostics/stack.rs:17:11\n   \
                    2: core::panicking::panic_fmt\n   \
                    3: vital_sidecar::proxy::classify::head::{{closure}}\n             at /home/x/project/src/proxy/classify.rs:40:9\n   \
                    4: <vital_sidecar::server::House as core::fmt::Debug>::fmt\n   \
                    5: tokio::runtime::park\n             at /cargo/tokio/src/runtime/park.rs:1:1\n";
        let expected = "vital_sidecar::proxy::classify::head::{{closure}} (src/proxy/classify.rs:40:9)\n\
                        <vital_sidecar::server::House as core::fmt::Debug>::fmt";
        assert_eq!(ours(text), expected);
    }

    #[test]
    fn a_stack_has_an_end() {
        let text = "1: vital_sidecar::a::b\n".repeat(1_000);
        let found = ours(&text);
        assert!(found.len() <= MOST && found.len() > MOST - 100, "{}", found.len());
    }

    #[test]
    fn a_running_thread_has_a_stack() {
        let found = stack();
        assert!(found.contains("a_running_thread_has_a_stack"), "{found}");
        assert!(!found.contains("/home") && !found.contains("/work"), "{found}");
    }

    #[test]
    fn a_stack_is_handed_out_once_and_a_later_panic_takes_its_place() {
        assert_eq!(take_stack(), None);
        leave_stack(Some("vital_sidecar::a"));
        leave_stack(Some("vital_sidecar::b"));
        assert_eq!(take_stack().as_deref(), Some("vital_sidecar::b"));
        assert_eq!(take_stack(), None);
        leave_stack(Some("vital_sidecar::c"));
        leave_stack(None);
        assert_eq!(take_stack(), None, "the one that was not taken is no other's");
        leave_stack(Some(""));
        assert_eq!(take_stack(), None, "none of the frames was ours");
    }
}
