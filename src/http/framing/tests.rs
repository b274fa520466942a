//! What goes through, what does not, and that a lenient parser behind agrees about what went.

use proptest::prelude::*;

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
        let is_name = fields::is_token(byte) || byte == b':';
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

/// A request line, fields and a body, most of them almost right.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof!["GET", "POST", "[A-Z]{1,8}", "[ -~]{0,4}"];
    let target =
        prop_oneof!["/[!-~]{0,12}", "http://[a-z0-9._:\\[\\]@-]{0,9}[/?]?[!-~]{0,6}", r"\*"];
    let version =
        prop_oneof![8 => Just("HTTP/1.1".to_owned()), 1 => "HTTP/[0-9].[0-9]", 1 => "[ -~]{0,9}"];
    let field = prop_oneof![
        4 => Just("host: a".to_owned()),
        2 => "[Cc]ontent-[Ll]ength: ?[0-9]{1,2}",
        2 => Just("Transfer-Encoding: chunked".to_owned()),
        1 => "transfer-encoding: [ -~]{0,12}",
        3 => "[a-z-]{1,9}:[ -~]{0,12}",
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
        prop_oneof![20 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\r\n")];
    let fields = proptest::collection::vec((field, end), 0..5);
    (method, target, version, fields, body).prop_map(|(method, target, version, fields, body)| {
        let fields: String = fields.into_iter().map(|(field, end)| field + end).collect();
        format!("{method} {target} {version}\r\n{fields}\r\n{body}").into_bytes()
    })
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 0..3);
    (message(), edits).prop_map(|(mut bytes, edits)| {
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

/// What hyper's parsers make of a message that was let through: its whole length.
fn reread(bytes: &[u8]) -> Result<usize, String> {
    let mut fields = [httparse::EMPTY_HEADER; 20];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(bytes).map_err(|error| error.to_string())?;
    let httparse::Status::Complete(head) = parsed else { return Err("partial".to_owned()) };
    http::Uri::try_from(request.path.unwrap_or_default()).map_err(|error| error.to_string())?;
    http::Method::from_bytes(request.method.unwrap_or_default().as_bytes())
        .map_err(|error| error.to_string())?;
    let values = |name: &str| {
        let named = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named
            .map(|field| String::from_utf8_lossy(field.value).trim().to_owned())
            .collect::<Vec<_>>()
    };
    for field in request.headers.iter() {
        http::HeaderName::from_bytes(field.name.as_bytes()).map_err(|error| error.to_string())?;
        http::HeaderValue::from_bytes(field.value).map_err(|error| error.to_string())?;
    }
    if values("host").len() > 1 {
        return Err("two hosts".to_owned());
    }
    match (&*values("content-length"), &*values("transfer-encoding")) {
        ([], []) => Ok(head),
        ([length], []) => Ok(head + length.parse::<usize>().map_err(|error| error.to_string())?),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => {
            Ok(head + reread_chunks(&bytes[head..])?)
        }
        other => Err(format!("{other:?}")),
    }
}

fn reread_chunks(bytes: &[u8]) -> Result<usize, String> {
    let mut at = 0;
    loop {
        let parsed = httparse::parse_chunk_size(&bytes[at..]).map_err(|error| error.to_string())?;
        let httparse::Status::Complete((line, size)) = parsed else { return Err("partial".into()) };
        at += line;
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; 20];
            let trailers = httparse::parse_headers(&bytes[at..], &mut fields);
            return match trailers.map_err(|error| error.to_string())? {
                httparse::Status::Complete((end, _)) => Ok(at + end),
                httparse::Status::Partial => Err("partial".into()),
            };
        }
        at += usize::try_from(size).map_err(|error| error.to_string())?;
        if bytes.get(at..at + 2) != Some(b"\r\n") {
            return Err("no line break behind a chunk".into());
        }
        at += 2;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_through_means_the_same_to_the_parser_behind(bytes in mutated()) {
        if let Ok(Some(length)) = judge(&bytes) {
            prop_assert_eq!(reread(&bytes[..length]), Ok(length));
        }
    }

    #[test]
    fn how_the_bytes_are_cut_changes_nothing(
        bytes in mutated(),
        cuts in proptest::collection::vec(0_usize..40, 0..20),
    ) {
        let whole = judge(&bytes);
        let pieces = judge_pieces(&bytes, &cuts);
        match (&whole, &pieces) {
            // A mistake behind the end of the message is the next one's.
            (Ok(whole), Ok(pieces)) => prop_assert_eq!(whole, pieces),
            (Err(whole), Err(pieces)) => prop_assert_eq!(whole.kind, pieces.kind),
            // A line that comes in pieces is judged once it is complete, and here it never was.
            (Err(_), Ok(None)) => {}
            _ => prop_assert!(false, "{whole:?} as a whole, {pieces:?} in pieces"),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _judged = judge(&bytes);
    }
}
