//! Requests with a marker in every place a client can write to, through every ending.

use std::fmt::Write;
use std::sync::Arc;

use super::markers::{Markers, Shape};

/// One conversation on a connection of its own.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// What it is about, for messages.
    pub(super) about: String,
    /// What the client says.
    pub(super) bytes: Vec<u8>,
    /// How it ends.
    pub(super) end: End,
}

/// How a conversation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With an answer of this status, whole or torn.
    Status(u16),
    /// The client leaves once the upstream has seen a head with this text in it.
    LeaveUnanswered(String),
    /// The client leaves once these bytes of an answer have come.
    LeaveAfter(&'static str),
}

/// Writes requests with markers of one shape.
pub(super) struct Writer {
    pub(super) markers: Arc<Markers>,
    pub(super) shape: Shape,
    /// Whether the sidecar believes the client: then its request id and tracestate are those of a
    /// proxy, and meant to be kept.
    pub(super) is_believed: bool,
}

impl Writer {
    fn mint(&self, place: &str) -> String {
        self.markers.mint(place, self.shape)
    }

    fn token(&self, place: &str) -> String {
        self.markers.token(place, self.shape)
    }

    pub(super) fn ask(&self, about: &str, request: impl Into<Vec<u8>>, end: End) -> Ask {
        Ask { about: format!("{about} ({:?})", self.shape), bytes: request.into(), end }
    }

    /// Every field that a client sends or makes up, but for the ones that frame the message.
    pub(super) fn fields(&self) -> String {
        let mut fields = format!("host: {}.example\r\n", self.token("host"));
        for name in [
            "referer",
            "origin",
            "proxy-authorization",
            "accept",
            "accept-language",
            "accept-charset",
            "if-none-match",
            "if-modified-since",
            "from",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-user",
            "x-real-ip",
            "true-client-ip",
            "via",
            "traceparent",
            "baggage",
            "b3",
            "x-b3-traceid",
            "x-correlation-id",
            "x-user-id",
            "x-user-email",
            "x-user-roles",
            "x_user_id",
            "x-tenant-id",
            "x-audit-event",
            "x-audit-resource-id",
            "x-error-type",
            "x-api-key",
            "idempotency-key",
            "last-event-id",
            "sec-fetch-site",
            "sec-ch-ua",
            "priority",
            "cache-control",
            "x-http-method-override",
        ] {
            write!(fields, "{name}: {}\r\n", self.mint(name)).ok();
        }
        if !self.is_believed {
            write!(fields, "x-request-id: {}\r\n", self.mint("x-request-id")).ok();
            write!(fields, "tracestate: a={}\r\n", self.mint("tracestate")).ok();
        }
        let (agent, comment) = (self.mint("user-agent"), self.mint("user-agent"));
        write!(fields, "user-agent: {agent}/1.0 ({comment})\r\n").ok();
        let (name, value) = (self.token("cookie"), self.mint("cookie"));
        write!(fields, "cookie: {name}={value}; session={}\r\n", self.mint("cookie")).ok();
        write!(fields, "authorization: Bearer {}\r\n", self.mint("bearer token")).ok();
        // A name that a hop ends, and one that it passes on.
        let hop = self.markers.token("connection", Shape::Word);
        write!(fields, "connection: x-{hop}\r\nx-{hop}: {}\r\n", self.mint("own field")).ok();
        let own = self.markers.token("names of own fields", Shape::Word);
        fields + &format!("x-{own}: {}\r\n", self.mint("own field"))
    }

    /// A target no route knows.
    fn stray(&self, what: &str) -> String {
        format!("/{}/{}/{what}?{}", self.mint("path"), self.mint("path"), self.query())
    }

    /// A target of a route, captured, audited and limited by a header.
    pub(super) fn known(&self, what: &str) -> String {
        format!("/api/orchestrate/{}/{what}?{}", self.mint("path"), self.query())
    }

    pub(super) fn query(&self) -> String {
        format!("{}={}&token={}", self.token("query"), self.mint("query"), self.mint("query"))
    }

    fn body(&self) -> String {
        let body = |place: &str| self.mint(&format!("body, {place}"));
        format!(
            "{{\"mode\":\"{}\",\"query\":\"{}\",\"sessionId\":\"{}\",\"{}\":{{\"a\":[\"{}\"]}}}}",
            body("a captured value outside of the list"),
            body("a captured length"),
            body("a captured pseudonym"),
            body("a key"),
            body("nested")
        )
    }

    pub(super) fn get(&self, target: &str) -> String {
        format!("GET {target} HTTP/1.1\r\n{}\r\n", self.fields())
    }

    pub(super) fn post(&self, target: &str, more: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "POST {target} HTTP/1.1\r\n{}content-type: application/json\r\ncontent-length: \
             {length}\r\n{more}\r\n{body}",
            self.fields()
        )
    }

    /// What the upstream serves, in its own way, with and without a route.
    pub(super) fn served(&self) -> Vec<Ask> {
        let mut asks = Vec::new();
        for (what, status) in [
            ("fine", 200),
            ("broken", 500),
            ("missing", 404),
            ("moved", 302),
            ("events", 200),
            ("torn", 200),
            ("trailers", 200),
            ("hints", 200),
            ("short", 200),
            ("reset", 502),
            ("malformed", 502),
            ("nonsense", 502),
        ] {
            let end = End::Status(status);
            asks.push(self.ask(what, self.get(&self.stray(what)), end.clone()));
            let post = self.post(&self.known(what), "", &self.body());
            asks.push(self.ask(what, post, end));
        }
        let absolute = format!("http://{}.example{}", self.token("authority"), self.stray("fine"));
        asks.push(self.ask("an absolute target", self.get(&absolute), End::Status(200)));
        let method = self.token("method").replace(['@', '.'], "-");
        let own = format!("{method} {} HTTP/1.1\r\n{}\r\n", self.stray("fine"), self.fields());
        let status = if method.len() > 32 { 501 } else { 200 };
        asks.push(self.ask("a method of its own", own, End::Status(status)));
        let chunked = format!(
            "POST {} HTTP/1.1\r\n{}te: trailers\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n\
             0\r\nx-own: {}\r\n\r\n",
            self.stray("fine"),
            self.fields(),
            self.mint("trailer")
        );
        asks.push(self.ask("trailers", chunked, End::Status(200)));
        let text =
            format!("{{\"mode\": {} {}", self.mint("body, no JSON"), self.mint("body, no JSON"));
        let post = self.post(&self.known("fine"), "", &text);
        asks.push(self.ask("a body that is no JSON", post, End::Status(200)));
        asks
    }

    /// What the sidecar refuses, by its rules and by its routes.
    pub(super) fn refused(&self) -> Vec<Ask> {
        let post = |target: &str, more: &str| self.post(target, more, &self.body());
        let denied = format!("/closed/{}?{}", self.mint("path"), self.query());
        let limited = format!("/limited/{}?{}", self.mint("path"), self.query());
        let judged = format!("/judged/{}?kind={}", self.mint("path"), self.mint("query"));
        let broken = self.post("/judged/7", "", &self.body().replace(':', "="));
        let expect = format!("expect: {}\r\n", self.mint("expect"));
        let encoding = format!("content-encoding: {}\r\n", self.token("content-encoding"));
        let html = self.get(&denied).replacen("\r\n", "\r\naccept: text/html\r\n", 1);
        vec![
            self.ask("a closed route", self.get(&denied), End::Status(403)),
            self.ask("a closed route, as a page", html, End::Status(403)),
            self.ask("a rate limit", self.get(&limited), End::Status(429)),
            self.ask("an expectation", post(&self.known("fine"), &expect), End::Status(417)),
            self.ask("a coded body", post(&self.known("fine"), &encoding), End::Status(415)),
            self.ask("an invalid head", self.get(&judged), End::Status(400)),
            self.ask("an invalid body", post("/judged/7", ""), End::Status(400)),
            self.ask("a body that is no JSON", broken, End::Status(400)),
        ]
    }

    /// What the guard refuses before there is a request.
    pub(super) fn malformed(&self) -> Vec<Ask> {
        let head =
            |line: &str, more: &str| format!("{line} HTTP/1.1\r\n{}{more}\r\n", self.fields());
        let stray = format!("GET {}", self.stray("fine"));
        let spaced = format!("x-{} : {}\r\n", self.token("own field"), self.mint("own field"));
        let folded = format!("x-folded: a\r\n {}\r\n", self.mint("folded field"));
        let coding = format!("transfer-encoding: {}, chunked\r\n", self.token("transfer-encoding"));
        let codings = format!("transfer-encoding: {}\r\n", self.token("transfer-encoding"));
        let length = format!("content-length: {}x\r\n", self.token("content-length"));
        let version =
            head(&stray, "").replacen("HTTP/1.1", &format!("HTTP/{}", self.token("version")), 1);
        let long = format!("GET /{}{}", self.mint("path"), "a".repeat(9000));
        let piece = format!("x-large: {}\r\n", self.mint("large field"));
        let large = piece.repeat(40_000 / piece.len());
        let escaped =
            |escape: &str| format!("GET /{}{escape}{}", self.mint("path"), self.mint("path"));
        let connect = format!("CONNECT {}.example:443", self.token("authority"));
        let chunk =
            format!("{}\r\n", self.token("chunk size").replace(|c: char| c.is_ascii_digit(), "x"));
        let chunked = "transfer-encoding: chunked\r\n";
        let garbage = format!("GET {} {}\r\n\r\n", self.mint("garbage"), self.mint("garbage"));
        vec![
            self.ask("a spaced name", head(&stray, &spaced), End::Status(400)),
            self.ask("a folded field", head(&stray, &folded), End::Status(400)),
            self.ask("a length that is none", head(&stray, &length), End::Status(400)),
            self.ask("an unknown coding", head(&stray, &coding), End::Status(501)),
            self.ask("no last coding", head(&stray, &codings), End::Status(400)),
            self.ask("a version that is none", version, End::Status(400)),
            self.ask("no request at all", garbage, End::Status(400)),
            self.ask("an escaped slash", head(&escaped("%2F"), ""), End::Status(400)),
            self.ask("an escaped zero", head(&escaped("%00"), ""), End::Status(400)),
            self.ask("a broken escape", head(&escaped("%zz"), ""), End::Status(400)),
            self.ask("a bare line feed", head(&stray, "").replace("\r\n", "\n"), End::Status(400)),
            self.ask("a long target", head(&long, ""), End::Status(414)),
            self.ask("a large head", head(&stray, &large), End::Status(431)),
            self.ask("a tunnel", head(&connect, ""), End::Status(501)),
            self.ask("a bad chunk", head(&stray, chunked) + &chunk, End::Status(400)),
            self.ask(
                "a declared length",
                head(&stray, "content-length: 900000\r\n"),
                End::Status(413),
            ),
        ]
    }

    /// What takes until a deadline, and who does not wait for it.
    pub(super) fn late(&self) -> Vec<Ask> {
        let gone = self.mint("path");
        let asked = format!("/{gone}/slow?{}", self.query());
        let slow = format!("/slow/{}/slow?{}", self.mint("path"), self.query());
        let half = format!(
            "POST {} HTTP/1.1\r\n{}content-length: 9000\r\n\r\n{}",
            self.known("fine"),
            self.fields(),
            self.body()
        );
        let known = |what: &str| self.post(&self.known(what), "", &self.body());
        vec![
            self.ask("no answer", self.get(&slow), End::Status(504)),
            self.ask("half an answer", self.get(&self.stray("stall")), End::Status(200)),
            self.ask("a silent stream", known("silence"), End::Status(200)),
            self.ask("half a body", half, End::Status(408)),
            self.ask("a client that left", self.get(&asked), End::LeaveUnanswered(gone)),
            self.ask("a reader that left", known("stall"), End::LeaveAfter("content-length: 900")),
            self.ask("a listener that left", known("silence"), End::LeaveAfter("event")),
        ]
    }
}
