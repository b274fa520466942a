//! The promise of the codec towards the upstream, over almost-right answers: it does not matter where
//! reads cut, and a parser that forgives reads the same. The check itself is the fuzz target's.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

use crate::fuzz_corpus::answers::{End, check, understand};
use crate::support::edits::{apply, edit};

const ODD: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"0",
    b"\x0b",
    b"\r\n ",
    b"0\r\n\r\n",
    b"content-length: 5\r\n",
    b"transfer-encoding: chunked\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
];

/// A status line, fields and a body, most of them almost right.
fn answer() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        8 => "HTTP/1\\.[01] (200 OK|204|304 |404 [ -~]{0,5}|[1-5][0-9]{2})",
        1 => "HTTP/1\\.1 10[0-4] [ -~]{0,5}",
        1 => "[ -~]{0,16}",
    ];
    let field = prop_oneof![
        3 => "[a-z-]{1,9}:[ -~]{0,12}",
        1 => "[Cc]onnection: (close|keep-alive|x, Close|[ -~]{0,9})",
        1 => "[ -~]{0,12}",
    ];
    let end =
        prop_oneof![30 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\r\n")];
    let fields = proptest::collection::vec((field, end), 0..3);
    (line, fields, framed()).prop_map(|(line, fields, (framing, body))| {
        let fields: String = fields.into_iter().map(|(field, end)| field + end).collect();
        format!("{line}\r\n{framing}{fields}\r\n{body}")
    })
}

/// The fields that say where a body ends, and the body.
fn framed() -> impl Strategy<Value = (String, String)> {
    let chunk = prop_oneof![
        6 => (1_usize..20, "(0{0,20}|)", "( ?;[ -~]{0,6}|[ \t]|)").prop_map(
            |(size, zeros, extra)| format!("{zeros}{size:x}{extra}\r\n{}\r\n", "z".repeat(size))
        ),
        1 => "1;[ab\r\n]{1,3}\r\nz\r\n",
        1 => "[0-9a-f]{0,3};?[ -~]{0,6}\r\n[ -~]{0,9}\r\n",
    ];
    let last = "0{1,20}( ?;[ -~]{0,6}|)\r\n([a-z]{1,5}: [ -~]{0,6}\r\n){0,2}\r\n";
    let chunks = (proptest::collection::vec(chunk, 0..4), last);
    prop_oneof![
        3 => "[ -~\r\n]{0,40}".prop_map(|body| {
            (format!("Content-Length: {}\r\n", body.len()), body)
        }),
        3 => chunks.prop_map(|(chunks, last)| {
            ("transfer-encoding: chunked\r\n".to_owned(), chunks.concat() + &last)
        }),
        1 => ("((content-length|transfer-encoding): ?(chunked|[ -~]{0,4})\r\n){0,2}", "[ -~]{0,20}"),
    ]
}

fn asked_and_told() -> impl Strategy<Value = Vec<u8>> {
    let interim = prop_oneof![5 => Just(""), 1 => Just("HTTP/1.1 103 Early Hints\r\na: b\r\n\r\n")];
    let behind = prop_oneof![3 => Just(""), 1 => Just("HTTP/1.1 200 OK\r\n\r\n")];
    let asked = prop_oneof![4 => Just("G"), 1 => Just("H")];
    let edits = proptest::collection::vec(edit(ODD), 0..3);
    (asked, interim, answer(), behind, edits).prop_map(|(asked, interim, answer, behind, edits)| {
        let mut said = format!("{interim}{answer}{behind}").into_bytes();
        for edit in &edits {
            apply(edit, &mut said);
        }
        [asked.as_bytes(), &said].concat()
    })
}

#[test]
fn what_is_understood_is_what_everybody_understands() {
    const CASES: u32 = 8192;
    let cases = Cases { cases: CASES, failure_persistence: None, ..Cases::default() };
    let (whole, broken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let run = TestRunner::new(cases).run(&asked_and_told(), |bytes| {
        check(&bytes);
        let count = match understand(&bytes[1..], bytes[0] == b'H').end {
            End::At(_) => &whole,
            End::Broken => &broken,
            End::Unfinished | End::WithConnection | End::Switched(_) => return Ok(()),
        };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    for count in [whole, broken] {
        let count = count.into_inner();
        assert!(count > CASES as usize / 10, "only {count}: too little was compared");
    }
}

proptest! {
    #![proptest_config(Cases { cases: 2048, failure_persistence: None, ..Cases::default() })]

    #[test]
    fn no_answer_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
        check(&[b"GHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &*bytes].concat());
    }
}
