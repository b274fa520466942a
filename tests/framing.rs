//! The promise of the guard, over almost-right messages: what it lets through, the parser behind it
//! reads in the same way. The check itself is the fuzz target's.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config as Cases, TestRunner};
use vital_sidecar::http::framing::{Framing, Limits};

use crate::fuzz_corpus::framing::check;

/// A request line, fields and a body, most of them almost right.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof!["GET", "POST", "[A-Z]{1,8}", "[ -~]{0,4}"];
    let target = prop_oneof![
        3 => "/[!-~]{0,12}",
        1 => "http://[a-z0-9._:\\[\\]@-]{0,9}[/?]?[!-~]{0,6}",
        1 => r"\*",
    ];
    let version =
        prop_oneof![8 => Just("HTTP/1.1".to_owned()), 1 => "HTTP/[0-9].[0-9]", 1 => "[ -~]{0,9}"];
    let field = prop_oneof![
        2 => "[Cc]ontent-[Ll]ength: ?[0-9]{1,2}",
        2 => Just("Transfer-Encoding: chunked".to_owned()),
        1 => "transfer-encoding: [ -~]{0,12}",
        6 => "[a-z-]{1,9}:[ -~]{0,12}",
        1 => "[ -~]{0,12}",
        1 => "host: [!-~]{0,8}",
    ];
    let chunk = prop_oneof![
        4 => (0_usize..20).prop_map(|size| format!("{size:x}\r\n{}\r\n", "z".repeat(size))),
        1 => "[0-9a-f]{0,3};?[ -~]{0,6}\r\n[ -~]{0,9}\r\n",
    ];
    let body = prop_oneof![
        2 => proptest::collection::vec(chunk, 0..4).prop_map(|all| all.concat() + "0\r\n\r\n"),
        1 => "[ -~]{0,40}",
        1 => Just(String::new()),
    ];
    let end =
        prop_oneof![30 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\r\n")];
    let fields = proptest::collection::vec((field, end), 0..4);
    let host = prop_oneof![8 => Just("host: a\r\n"), 1 => Just("")];
    (method, target, version, host, fields, body).prop_map(
        |(method, target, version, host, fields, body)| {
            let fields: String = fields.into_iter().map(|(field, end)| field + end).collect();
            format!("{method} {target} {version}\r\n{host}{fields}\r\n{body}").into_bytes()
        },
    )
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edits = proptest::collection::vec((any::<Index>(), any::<u8>(), 0..3), 0..3);
    let messages = proptest::collection::vec(message(), 1..3);
    (messages, edits).prop_map(|(messages, edits)| {
        let mut bytes = messages.concat();
        for (at, byte, edit) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

#[test]
fn what_goes_through_means_the_same_to_the_parser_behind() {
    const CASES: u32 = 8192;
    let cases = Cases { cases: CASES, failure_persistence: None, ..Cases::default() };
    let accepted = AtomicUsize::new(0);
    let run = TestRunner::new(cases).run(&mutated(), |bytes| {
        check(&bytes);
        let limits = Limits { head_bytes: 8192, fields: 20, target_bytes: 1024 };
        let mut framing = Framing::new(limits);
        let is_whole = framing.check(&bytes).is_ok() && framing.is_done();
        accepted.fetch_add(usize::from(is_whole), Ordering::Relaxed);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    let accepted = accepted.into_inner();
    assert!(accepted > CASES as usize / 20, "only {accepted} went through: nothing was compared");
}

proptest! {
    #![proptest_config(Cases { cases: 2048, failure_persistence: None, ..Cases::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }
}
