//! What goes through and what does not. That the parser behind agrees about it is a property test,
//! `tests/framing.rs`.

use super::*;

const LIMITS: Limits = Limits { head_bytes: 8 * 1024, fields: 20, target_bytes: 1024 };

/// The length of the first message, or why it was refused; `None` where it is not complete.
fn judge(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut framing = Framing::new(LIMITS);
    let passed = framing.check(bytes)?;
    Ok(framing.is_done().then_some(passed))
}

/// The same, with the bytes coming in pieces.
fn judge_pieces(bytes: &[u8], cuts: &[usize]) -> Result<Option<usize>, Refusal> {
    let mut framing = Framing::new(LIMITS);
    let (mut released, mut seen, mut ends) = (0, 0, cuts.iter().copied());
    while seen < bytes.len() && !framing.is_done() {
        seen = (seen + ends.next().unwrap_or(1).max(1)).min(bytes.len());
        released += framing.check(&bytes[released..seen])?;
    }
    Ok(framing.is_done().then_some(released))
}

fn kind(text: &str) -> Kind {
    judge(text.as_bytes()).expect_err(text).kind
}

#[test]
fn a_message_ends_where_its_framing_says() {
    for (message, rest) in [
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET"),
        ("\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", "\r\n"),
        ("GET / HTTP/1.0\r\n\r\n", "x"),
        ("OPTIONS * HTTP/1.1\r\nHOST:a\r\n\r\n", ""),
        ("GET http://a HTTP/1.1\r\nhost: b\r\n\r\n", ""),
        ("GET HTTPS://a:1/b?c HTTP/1.1\r\nhost: a\r\nx:\r\n\r\n", ""),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 005\r\n\r\nhello", "world"),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\t0 \r\n\r\n", "world"),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n", "0"),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
          5;a=\"b\"\r\nhello\r\n0A\r\n0123456789\r\n000\r\nx-sum: 1\r\n\r\n",
            "GET",
        ),
        (
            "PUT /a?{b}|c HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\ncontent-length: 1\r\n\r\n1",
            "",
        ),
    ] {
        let bytes = [message, rest].concat();
        assert_eq!(judge(bytes.as_bytes()), Ok(Some(message.len())), "{message:?}");
        assert_eq!(judge_pieces(bytes.as_bytes(), &[]), Ok(Some(message.len())), "{message:?}");
        let half = &message.as_bytes()[..message.len() - 1];
        assert_eq!(judge(half), Ok(None), "{message:?} without its last byte");
    }
}

#[test]
fn mistakes_are_told_apart() {
    let with = |field: &str| format!("GET / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n");
    assert_eq!(kind("GET / HTTP/2.0\r\nhost: a\r\n\r\n"), Kind::Malformed);
    assert_eq!(kind("GET / HTTP/1.2\r\nhost: a\r\n\r\n"), Kind::Malformed);
    assert_eq!(kind("CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n"), Kind::NotImplemented);
    assert_eq!(kind(&format!("{} / HTTP/1.1\r\n", "A".repeat(33))), Kind::NotImplemented);
    assert_eq!(kind(&with("transfer-encoding: gzip, chunked")), Kind::NotImplemented);
    assert_eq!(kind(&with("transfer-encoding: chunked, gzip")), Kind::Malformed);
    assert_eq!(kind(&with("transfer-encoding: chunked, chunked")), Kind::Malformed);
    assert_eq!(kind(&with("expect: wonders")), Kind::UnknownExpectation);
    assert_eq!(kind(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(1024))), Kind::TargetTooLong);
    assert_eq!(kind(&format!("GET /{}", "a".repeat(1024))), Kind::TargetTooLong);
    assert_eq!(kind(&with(&format!("x: {}", "y".repeat(8192)))), Kind::HeadTooLarge);
    assert_eq!(kind(&with(&"x: y\r\n".repeat(20))), Kind::HeadTooLarge);
    assert_eq!(kind(&with(&format!("{}: y", "x".repeat(257)))), Kind::HeadTooLarge);
    assert_eq!(judge(with(&"x: y\r\n".repeat(19)).trim_end().as_bytes()), Ok(None));
    assert_eq!(kind("\x16\x03\x01"), Kind::Malformed, "TLS is refused at its first byte");
}

#[test]
fn a_head_may_be_exactly_as_large_as_its_bounds() {
    let fields = "x: y\r\n".repeat(LIMITS.fields - 1);
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
    assert_eq!(judge(head.as_bytes()), Ok(Some(head.len())));
    let start = "GET / HTTP/1.1\r\nhost: a\r\nx: ";
    let value = "y".repeat(LIMITS.head_bytes - start.len() - 4);
    assert!(judge(format!("{start}{value}\r\n\r\n").as_bytes()).is_ok());
    assert_eq!(kind(&format!("{start}{value}y\r\n\r\n")), Kind::HeadTooLarge);
    let target = "a".repeat(LIMITS.target_bytes - 1);
    assert!(judge(format!("GET /{target} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).is_ok());
}

#[test]
fn chunks_that_two_readers_could_cut_differently_are_refused() {
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    for body in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        "1 \r\n",
        " 1\r\n",
        "1\n",
        "1\ra",
        "1;a\nb",
        "1;a\0b\r\n",
        "1;a\x7f\r\n",
        "1 ;a\r\n",
        "10000000000000000\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "1\r\nab\r\n",
        "1\r\na\n",
        "1\r\na\rb",
        "2\r\na\r\n0\r\n\r\n",
        "0\r\nx\r\n\r\n",
        "0\r\n x: y\r\n\r\n",
        "0\r\ncontent-length: 1\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\nhost: b\r\n\r\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\nx: y\n\r\n",
        "0\r\nx : y\r\n\r\n",
    ] {
        let bytes = [head, body].concat();
        assert_eq!(kind(&bytes), Kind::Malformed, "{body:?}");
        assert!(judge_pieces(bytes.as_bytes(), &[]).is_err(), "{body:?} in pieces");
    }
    let long = format!("{head}1;{}\r\n", "a".repeat(300));
    assert_eq!(kind(&long), Kind::Malformed);
    let many = format!("{head}{}", format!("1;{}\r\nx\r\n", "a".repeat(200)).repeat(100));
    assert_eq!(kind(&many), Kind::HeadTooLarge);
    let trailers = format!("{head}0\r\n{}", "x: y\r\n".repeat(21));
    assert_eq!(kind(&trailers), Kind::HeadTooLarge);
    let endless = format!("{head}0\r\nx: {}", "y".repeat(20_000));
    assert_eq!(kind(&endless), Kind::HeadTooLarge);
}

#[test]
fn every_odd_byte_in_a_name_or_a_value_is_refused() {
    for byte in 0..=u8::MAX {
        for at in 0..20 {
            let mut head =
                b"GET / HTTP/1.1\r\nhost: a\r\nx-y: 0123456789abcdefghijklmnop\r\n\r\n".to_vec();
            head[30 + at] = byte;
            let is_value = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
            assert_eq!(judge(&head).is_ok(), is_value, "{byte} at {at} of a value");
        }
        let head = [b"GET / HTTP/1.1\r\nhost: a\r\nx", &[byte][..], b"y: z\r\n\r\n"].concat();
        let is_name = is_token(byte) || byte == b':';
        assert_eq!(judge(&head).is_ok(), is_name, "{byte} in a name");
        let head = [b"GET /", &[byte][..], b" HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
        let is_uri = http::Uri::try_from(&[b'/', byte][..]).is_ok();
        assert!(is_uri || judge(&head).is_err(), "{byte} in a target");
    }
}

#[test]
fn the_method_of_a_broken_head_is_known_where_it_has_one() {
    assert_eq!(method(b"HEAD / odd"), Some(&b"HEAD"[..]));
    assert_eq!(method(b"\r\nGET "), Some(&b"GET"[..]));
    for none in [&b""[..], b"GET", b"G(T /", b" GET /", b"\x16\x03"] {
        assert_eq!(method(none), None);
    }
    assert_eq!(method(&[b'A'; 40]), None);
    assert!(!is_begun(b"") && !is_begun(b"\r") && !is_begun(b"\r\n"));
    assert!(is_begun(b"\r\nG") && is_begun(b"G"));
}
