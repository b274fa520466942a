//! Tables of answers, and random ones.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// An answer with these headers, body and trailers.
fn reply(
    status: u16,
    headers: &[(&'static str, &str)],
    body: &[u8],
    trailers: &[(&'static str, &str)],
) -> Reply {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = status.try_into().unwrap();
    head.headers = fields(headers);
    let body = Bytes::copy_from_slice(body);
    Reply { head, body, trailers: fields(trailers), cut: None }
}

fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    });
    pairs.collect()
}

fn over_http(reply: &Reply) -> Answer {
    http(reply, 3, SystemTime::UNIX_EPOCH, &Warnings::default())
}

fn over_grpc(reply: &Reply) -> Answer {
    grpc(reply, 3, &Warnings::default())
}

fn seconds(answer: &Answer) -> Option<u64> {
    match answer {
        Answer::Later { after, .. } => after.map(|after| after.as_secs()),
        Answer::Taken { .. } | Answer::Never { .. } => None,
    }
}

#[test]
fn http_statuses_say_taken_later_or_never() {
    for status in 200..=599_u16 {
        let answer = over_http(&reply(status, &[], b"", &[]));
        match status {
            200..=299 => assert_eq!(answer, Answer::Taken { rejected: 0 }),
            429 | 502 | 503 | 504 => {
                assert!(matches!(answer, Answer::Later { reason: "refused", after: None, .. }));
            }
            _ => assert!(matches!(answer, Answer::Never { reason: "refused", .. }), "{status}"),
        }
    }
}

#[test]
fn a_pause_counts_only_where_another_attempt_does() {
    let after = |status| over_http(&reply(status, &[("retry-after", "7")], b"", &[]));
    assert_eq!(seconds(&after(503)), Some(7));
    assert!(matches!(after(400), Answer::Never { .. }));
    assert!(matches!(after(500), Answer::Never { .. }));
}

#[test]
fn a_part_that_was_rejected_is_told_apart_on_both_transports() {
    let partial = b"\x0a\x02\x08\x02";
    assert_eq!(over_http(&reply(200, &[], partial, &[])), Answer::Taken { rejected: 2 });
    let framed = b"\0\0\0\0\x04\x0a\x02\x08\x02";
    let answer = over_grpc(&reply(200, &[], framed, &[("grpc-status", "0")]));
    assert_eq!(answer, Answer::Taken { rejected: 2 });
}

#[test]
fn a_success_whose_message_cannot_be_read_stays_a_success() {
    let bodies: [&[u8]; 6] = [
        b"",
        b"\0\0",
        // Longer than what came.
        b"\0\xff\xff\xff\xff\x0a\x02\x08\x02",
        // Said to be compressed.
        b"\x01\0\0\0\x04\x0a\x02\x08\x02",
        b"\0\0\0\0\x02\xff\xff",
        b"<html>",
    ];
    for body in bodies {
        let answer = over_grpc(&reply(200, &[], body, &[("grpc-status", "0")]));
        assert_eq!(answer, Answer::Taken { rejected: 0 }, "{body:?}");
        let mut broken = reply(200, &[], body, &[]);
        broken.cut = Some(PostError { reason: "timeout", detail: String::new() });
        assert_eq!(over_http(&broken), Answer::Taken { rejected: 0 }, "{body:?}");
    }
}

#[test]
fn grpc_statuses_say_taken_later_or_never_wherever_they_stand() {
    let cases = [
        ("0", "taken"),
        ("1", "refused later"),
        ("2", "refused never"),
        ("3", "refused never"),
        ("4", "timeout later"),
        ("5", "refused never"),
        ("6", "refused never"),
        ("7", "refused never"),
        ("8", "refused never"),
        ("9", "refused never"),
        ("10", "refused later"),
        ("11", "refused later"),
        ("12", "refused never"),
        ("13", "refused never"),
        ("14", "refused later"),
        ("15", "refused later"),
        ("16", "refused never"),
        ("17", "refused never"),
        ("fine", "refused never"),
    ];
    for (status, expected) in cases {
        let status = [("grpc-status", status)];
        let trailing = over_grpc(&reply(200, &[], b"", &status));
        assert_eq!(told(&trailing), expected, "{status:?}");
        let alone = over_grpc(&reply(200, &status, b"", &[]));
        assert_eq!(told(&alone), expected, "{status:?}");
    }
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Taken { .. } => "taken".to_owned(),
        Answer::Later { reason, .. } => format!("{reason} later"),
        Answer::Never { reason, .. } => format!("{reason} never"),
    }
}

#[test]
fn an_exhausted_collector_is_asked_again_only_if_it_says_when() {
    // A google.rpc.Status with an ErrorInfo, and one with a RetryInfo of 1.5 s behind it.
    let without = "CAgSBHNsb3caKgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLkVycm9ySW5mbw==";
    let with = "CAgSBHNsb3caKgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLkVycm9ySW5mbxo2Cih0eXBlLmdvb2\
                dsZWFwaXMuY29tL2dvb2dsZS5ycGMuUmV0cnlJbmZvEgoKCAgBEIDKte4B";
    let answer = |status, details| {
        let trailers = [("grpc-status", status), ("grpc-status-details-bin", details)];
        over_grpc(&reply(200, &[], b"", &trailers))
    };
    for details in [without, "", "!", "AAAA", "////"] {
        assert!(matches!(answer("8", details), Answer::Never { .. }), "{details}");
    }
    let expected = Some(Duration::from_millis(1500));
    assert!(matches!(answer("8", with), Answer::Later { after, .. } if after == expected));
    assert!(matches!(answer("14", with), Answer::Later { after, .. } if after == expected));
    assert!(matches!(answer("14", without), Answer::Later { after: None, .. }));
    assert!(matches!(answer("3", with), Answer::Never { .. }));
}

#[test]
fn without_a_grpc_status_the_http_status_stands_for_it() {
    let cases = [
        (200, "refused never"),
        (302, "refused never"),
        (400, "refused never"),
        (401, "refused never"),
        (403, "refused never"),
        (404, "refused never"),
        (429, "refused later"),
        (500, "refused never"),
        (502, "refused later"),
        (503, "refused later"),
        (504, "refused later"),
    ];
    for (status, expected) in cases {
        assert_eq!(told(&over_grpc(&reply(status, &[], b"<html>", &[]))), expected, "{status}");
    }
    // A status that is there counts more.
    let answer = over_grpc(&reply(404, &[("grpc-status", "14")], b"", &[]));
    assert_eq!(told(&answer), "refused later");
}

#[test]
fn an_answer_that_breaks_off_before_its_status_is_no_answer() {
    for (reason, expected) in [
        ("unreachable", "unreachable later"),
        ("timeout", "timeout later"),
        ("refused", "refused never"),
    ] {
        let mut broken = reply(200, &[], b"\0\0\0\0\0", &[]);
        broken.cut = Some(PostError { reason, detail: String::new() });
        assert_eq!(told(&over_grpc(&broken)), expected);
    }
}

#[test]
fn what_a_collector_says_is_not_repeated() {
    let hostile = [
        ("grpc-status", "13"),
        ("grpc-message", "hunter2"),
        ("x-secret", "hunter2"),
        ("retry-after", "hunter2"),
    ];
    for status in [200, 400, 503] {
        let reply = reply(status, &hostile, b"hunter2", &hostile);
        for answer in [over_http(&reply), over_grpc(&reply)] {
            assert!(!format!("{answer:?}").contains("hunter2"), "{answer:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_answer_is_too_odd_to_judge(
        status in 200..=599_u16,
        code in "[0-9]{0,3}|.{0,5}",
        details in "[A-Za-z0-9+/]{0,64}={0,3}",
        pause in "[0-9]{0,30}|.{0,40}",
        body in vec(any::<u8>(), 0..200),
        is_trailing in any::<bool>(),
    ) {
        let mut answer = reply(status, &[], &body, &[]);
        let block = if is_trailing { &mut answer.trailers } else { &mut answer.head.headers };
        for (name, value) in
            [("grpc-status", &code), ("grpc-status-details-bin", &details), ("retry-after", &pause)]
        {
            if let Ok(value) = HeaderValue::from_str(value) {
                block.insert(HeaderName::from_static(name), value);
            }
        }
        for judged in [over_http(&answer), over_grpc(&answer)] {
            match judged {
                Answer::Taken { rejected } => prop_assert!(rejected <= 3),
                Answer::Later { .. } | Answer::Never { .. } => {}
            }
        }
    }
}
