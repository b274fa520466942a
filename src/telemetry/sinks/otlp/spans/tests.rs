//! What we write is what `opentelemetry-otlp` makes of the same records, byte for byte.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::trace::v1::ScopeSpans;
use proptest::prelude::*;
use prost::Message;

use super::super::envelope::{Envelope, Exporter};
use super::{Site, count, encode, reference};
use crate::config::Config;
use crate::config::model::Scheme;
use crate::http::ids::{ClientRequestId, RequestId};
use crate::http::method::Method;
use crate::http::shape::Words;
use crate::http::traceparent::{SpanId, TraceId};
use crate::http::tracestate::TraceState;
use crate::record::{
    Abort, Caller, ConfigName, Fact, Failure, Gaps, Kept, Outcome, Phase, Policy, PseudonymKey,
    Reason, Record, Refusal, RouteNames, Shown, StoreCall, StoreEnding, Stream, StreamKind, Trace,
    Trail, UpstreamLeg, User, Value,
};

fn config() -> Config {
    Config::for_upstream(SocketAddr::from(([127, 0, 0, 1], 3000)))
}

/// A deployment: each changes what is the same for all its spans.
fn configs() -> impl Strategy<Value = Config> {
    let scheme = prop_oneof![Just(Scheme::Http), Just(Scheme::H2c), Just(Scheme::Https)];
    let host = prop_oneof![Just("127.0.0.1"), Just("2001:db8::1"), Just("[::1]")];
    let host = prop_oneof![host.prop_map(str::to_owned), "[a-z.]{1,150}"];
    (scheme, host, any::<u16>(), any::<bool>()).prop_map(|(scheme, host, port, is_socket)| {
        let mut config = config();
        config.upstream.scheme = scheme;
        config.upstream.host = name(&host);
        config.upstream.port = port;
        config.upstream.socket = is_socket.then(|| "/run/app.sock".into());
        config
    })
}

fn name(text: &str) -> ConfigName {
    ConfigName::configured(text)
}

/// Words that a path may be made of.
fn words() -> Words {
    Words::of(["/a/b/c/d"].into_iter())
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Served),
        1 => Just(Outcome::Refused(Refusal::RateLimited)),
        1 => Just(Outcome::Refused(Refusal::Overloaded)),
        1 => Just(Outcome::Failed(Failure::UpstreamReset)),
        1 => any::<u8>().prop_map(|code| Outcome::Failed(Failure::GrpcStatus(code))),
        1 => Just(Outcome::Gone { phase: Phase::Upstream }),
        1 => Just(Outcome::Aborted(Abort::Drain)),
        1 => Just(Outcome::Panicked),
    ]
}

fn span_ids() -> impl Strategy<Value = SpanId> {
    (1..u64::MAX).prop_map(|id| SpanId(id.to_be_bytes()))
}

fn trace_ids() -> impl Strategy<Value = TraceId> {
    (1..u128::MAX).prop_map(|id| TraceId(id.to_be_bytes()))
}

fn traces() -> impl Strategy<Value = Trace> {
    let state = prop_oneof![Just("a=1, b=2,"), Just("not a list"), Just("k=v"), Just("A=no key")];
    // Keys of level 2 are left out: the SDK reads those of level 1 alone.
    let state = state.prop_map(|state| TraceState::parse([state.as_bytes()].into_iter()));
    let own = [span_ids(), span_ids(), span_ids()];
    let link = proptest::option::of((trace_ids(), span_ids()));
    let parent = proptest::option::of(span_ids());
    let state = prop_oneof![Just(None), state];
    (trace_ids(), own, parent, link, any::<[bool; 2]>(), state).prop_map(
        |(trace_id, [server_span, client_span, internal_span], parent, link, flags, state)| Trace {
            trace_id,
            server_span,
            client_span,
            internal_span,
            parent,
            link,
            sampled: flags[0],
            is_random: flags[1],
            state,
        },
    )
}

fn kept() -> impl Strategy<Value = Option<Kept>> {
    let reason = proptest::sample::select(&Reason::ALL[..]).prop_map(Kept::End);
    prop_oneof![Just(Some(Kept::Head)), reason.prop_map(Some)]
}

fn durations() -> impl Strategy<Value = Duration> {
    (0..1_u64 << 50).prop_map(Duration::from_nanos)
}

fn legs() -> impl Strategy<Value = UpstreamLeg> {
    let status = proptest::option::of(100_u16..600);
    (durations(), durations(), status).prop_map(|(offset, duration, status)| UpstreamLeg {
        offset,
        to_head: Duration::ZERO,
        duration,
        status,
    })
}

fn store_calls() -> impl Strategy<Value = StoreCall> {
    let ending = proptest::sample::select(&StoreEnding::ALL[..]);
    (span_ids(), durations(), durations(), ending)
        .prop_map(|(span, offset, duration, ending)| StoreCall { span, offset, duration, ending })
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let value = prop_oneof![
        ".{0,150}".prop_map(|member| Value::Member(name(&member))),
        any::<u64>().prop_map(Value::Length),
        any::<u64>().prop_map(Value::Number),
        any::<[u8; 8]>().prop_map(|text| {
            Value::Pseudonym(PseudonymKey::from_bytes(b"key").pseudonym(&text))
        }),
    ];
    let fact = ("[a-z._]{1,150}", value);
    let fact = fact.prop_map(|(key, value)| Fact { name: name(&key), value });
    proptest::collection::vec(fact, 0..4)
}

fn callers() -> impl Strategy<Value = Caller> {
    let user = prop_oneof![
        any::<[u8; 8]>()
            .prop_map(|text| User::Hash(PseudonymKey::from_bytes(b"key").pseudonym(&text))),
        ".{0,150}".prop_map(|text| User::Raw(Shown::verified(&text))),
    ];
    let tenant = ".{0,150}".prop_map(|text| Shown::verified(&text));
    (proptest::option::of(user), proptest::option::of(tenant))
        .prop_map(|(user, tenant)| Caller { user, tenant })
}

fn streams() -> impl Strategy<Value = Stream> {
    let kind = prop_oneof![Just(StreamKind::Events), Just(StreamKind::Opaque)];
    let gaps = proptest::collection::vec(durations(), 0..3).prop_map(|times| {
        let mut gaps = Gaps::default();
        for time in times {
            gaps.add(time);
        }
        gaps
    });
    (kind, any::<u64>(), proptest::option::of(durations()), gaps).prop_map(
        |(kind, events, first_event, gaps)| Stream {
            events,
            first_event,
            gaps,
            ..Stream::of(kind)
        },
    )
}

fn routes() -> impl Strategy<Value = RouteNames> {
    let span = proptest::option::of("[a-z.]{1,200}".prop_map(|span| name(&span)));
    ("/[a-z/{}]{0,200}", span).prop_map(|(template, span)| RouteNames {
        template: name(&template),
        name: None,
        span,
        audit: None,
        policy: Policy::default(),
    })
}

fn request_ids() -> impl Strategy<Value = RequestId> {
    let inherited = "[A-Za-z0-9._-]{1,128}"
        .prop_map(|id| RequestId::Inherited(ClientRequestId::parse(id.as_bytes()).unwrap()));
    prop_oneof![Just(RequestId::generate()), inherited]
}

prop_compose! {
    pub(in crate::telemetry::sinks::otlp) fn records()(
        (request_id, trace, kept, route, outcome) in
            (request_ids(), traces(), kept(), routes(), outcomes()),
        (since_1970, duration) in (durations(), durations()),
        upstream in proptest::option::of(legs()),
        method in prop_oneof![Just(Method::Get), Just(Method::Options), Just(Method::Other)],
        protocol in prop_oneof![Just("1.0"), Just("1.1"), Just("2")],
        status in proptest::option::of(100_u16..600),
        shape in proptest::option::of("[a-z/]{0,300}".prop_map(|path| words().shape(&path))),
        client_ip in any::<IpAddr>(),
        caller in callers(),
        facts in facts(),
        stream in proptest::option::of(streams()),
        store_calls in proptest::collection::vec(store_calls(), 0..3),
    ) -> Record {
        Record {
            request_id,
            client_request_id: None,
            trace,
            kept,
            started: SystemTime::UNIX_EPOCH + since_1970,
            duration,
            ttfb: None,
            overhead: Duration::ZERO,
            upstream,
            method,
            scheme: "https",
            protocol,
            route: Arc::new(route),
            shape,
            status,
            outcome,
            bytes_in: 0,
            bytes_out: 0,
            stream: stream.map(Box::new),
            user_agent: Some("curl/8.0".into()),
            client_ip,
            caller,
            operation: None,
            rejection: None,
            stack: None,
            trail: Trail::default(),
            class: None,
            would_refuse: None,
            facts,
            limited_by: None,
            headers: Box::default(),
            cache: None,
            store_calls,
        }
    }
}

proptest! {
    #[test]
    fn a_batch_is_written_as_the_exporter_writes_it(
        config in configs(),
        records in proptest::collection::vec(records().prop_map(Arc::new), 1..4),
    ) {
        let exporter = Exporter::new(&config.service).unwrap();
        let theirs = reference::Site::new(&config.service.name, &config.upstream);
        let spans = records.iter().flat_map(|record| reference::of(record, &theirs)).collect();
        let expected = exporter.encode(spans).unwrap();

        let written = encode(&records, &Site::new(&config.upstream));

        let envelope = Envelope::of(&exporter, &config.service).unwrap();
        prop_assert_eq!(envelope.around(&written), expected);
        let spans = ScopeSpans::decode(&written[..]).unwrap().spans.len() as u64;
        prop_assert_eq!(spans, records.iter().map(|record| count(record)).sum::<u64>());
    }
}
