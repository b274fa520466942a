//! B3 and baggage through the whole sidecar: what is believed of whom, and in which form it goes on.

use crate::support::recorder::Seen;
use crate::trace_context::{Visit, visits};
use crate::tracing::hex;

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";
const W3C: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
const EVERYTHING: &str = "propagators = [\"tracecontext\", \"b3\", \"b3multi\", \"baggage\"]\n";

async fn believed(propagators: &str, heads: &[String]) -> Vec<Visit> {
    let more = format!("[tracing]\ntrust = \"always\"\n{propagators}");
    visits(&more, heads.iter().cloned()).await
}

async fn unbelieved(propagators: &str, heads: &[String]) -> Vec<Visit> {
    visits(&format!("[tracing]\n{propagators}"), heads.iter().cloned()).await
}

fn multi(sampled: &str) -> String {
    format!(
        "X-B3-TraceId: {TRACE}\r\nX-B3-SpanId: {SPAN}\r\nX-B3-ParentSpanId: {SPAN}\r\n{sampled}"
    )
}

/// Every field of a B3 context in what the service received.
fn b3_fields(told: &Seen) -> Vec<String> {
    let fields = told.head.lines().filter_map(|line| line.split_once(':'));
    let names = fields.map(|(name, _)| name.to_ascii_lowercase().replace('_', "-"));
    let mut names: Vec<_> = names.filter(|name| name == "b3" || name.contains("b3-")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn b3_of_a_believed_caller_is_continued_and_written_in_its_form() {
    let short = "e457b5a2e4d86bd1";
    let padded = format!("0000000000000000{short}");
    // What is sent; the trace that goes on; the decision that goes on.
    let cases = [
        (format!("b3: {TRACE}-{SPAN}-1\r\n"), Some(TRACE), "1"),
        (format!("b3: {TRACE}-{SPAN}-0\r\n"), Some(TRACE), "0"),
        (format!("b3: {TRACE}-{SPAN}-d\r\n"), Some(TRACE), "d"),
        (format!("b3: {TRACE}-{SPAN}-1-05e3ac9a4f6e3b90\r\n"), Some(TRACE), "1"),
        (format!("b3: {TRACE}-{SPAN}\r\n"), Some(TRACE), "1"),
        (format!("b3: {short}-{SPAN}-1\r\n"), Some(padded.as_str()), "1"),
        ("b3: 0\r\n".to_owned(), None, "0"),
        ("b3: d\r\n".to_owned(), None, "d"),
        (format!("b3: {TRACE}-{SPAN}-2\r\n"), None, "1"),
        (format!("b3: {TRACE}-{SPAN}-1\r\nb3: {TRACE}-{SPAN}-1\r\n"), None, "1"),
        (multi("X-B3-Sampled: 1\r\n"), Some(TRACE), "1"),
        (multi("X-B3-Sampled: 0\r\n"), Some(TRACE), "0"),
        (multi("X-B3-Sampled: false\r\n"), Some(TRACE), "0"),
        (multi("X-B3-Flags: 1\r\n"), Some(TRACE), "d"),
        (multi(""), Some(TRACE), "1"),
        ("X-B3-Sampled: 0\r\n".to_owned(), None, "0"),
        (format!("X-B3-TraceId: {TRACE}\r\n"), None, "1"),
    ];
    let heads: Vec<_> = cases.iter().map(|(head, ..)| head.clone()).collect();
    let all = believed("propagators = [\"b3\"]\n", &heads).await;
    for ((sent, trace, decision), visit) in cases.iter().zip(&all) {
        let b3 = visit.told.field("b3").expect("a b3 of ours");
        let parts: Vec<_> = b3.split('-').collect();
        assert_eq!(parts.len(), 3, "{sent:?}: {b3}");
        assert_eq!(parts[2], *decision, "{sent:?}");
        assert_eq!(parts[0], trace.unwrap_or(parts[0]), "{sent:?}: {b3}");
        assert_eq!(trace.is_none(), parts[0] != TRACE && parts[0] != padded, "{sent:?}: {b3}");
        assert_ne!(parts[1], SPAN, "the parent is ours");
        assert_eq!(b3_fields(&visit.told), ["b3"], "{sent:?}: in the configured form alone");
        assert_eq!(visit.told.field("traceparent"), None, "not configured");
        assert_eq!(visit.server.is_some(), *decision != "0", "{sent:?}");
        if let Some(server) = &visit.server {
            assert_eq!(hex(&server.trace_id), parts[0], "{sent:?}");
            let parent = trace.map(|_| SPAN.to_owned()).unwrap_or_default();
            assert_eq!(hex(&server.parent_span_id), parent, "{sent:?}");
            assert_eq!(hex(&visit.client.as_ref().expect("a CLIENT").span_id), parts[1]);
        }
    }
}

#[tokio::test]
async fn every_configured_form_is_written_and_says_the_same() {
    let heads = [multi("X-B3-Flags: 1\r\n"), multi("X-B3-Sampled: 0\r\n"), String::new()];
    let all = believed(EVERYTHING, &heads).await;
    for visit in &all {
        let field = |name: &str| visit.told.field(name).unwrap_or("").to_owned();
        let [trace, span] = ["x-b3-traceid", "x-b3-spanid"].map(field);
        assert!(field("b3").starts_with(&format!("{trace}-{span}-")), "{}", visit.told.head);
        assert!(field("traceparent").starts_with(&format!("00-{trace}-{span}-")));
    }
    let decisions = all.iter().map(|visit| {
        let field = |name: &str| visit.told.field(name).map(str::to_owned);
        let last =
            |name: &str| field(name).and_then(|value| value.rsplit('-').next().map(str::to_owned));
        (field("x-b3-sampled"), field("x-b3-flags"), last("b3"), last("traceparent"))
    });
    let some = |text: &str| Some(text.to_owned());
    let expected = [
        (None, some("1"), some("d"), some("01")),
        (some("0"), None, some("0"), some("00")),
        (some("1"), None, some("1"), some("03")),
    ];
    assert_eq!(decisions.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn w3c_is_believed_before_b3_and_one_header_before_several() {
    let other = format!("b3: {}-{SPAN}-0\r\n", "ab".repeat(16));
    let heads = [
        format!("{W3C}b3: {TRACE}-{SPAN}-d\r\n"),
        format!("{other}{}", multi("X-B3-Sampled: 1\r\n")),
        format!("traceparent: 00-bad\r\nb3: {TRACE}-{SPAN}-1\r\n"),
        format!("{}b3: bad\r\n", multi("X-B3-Sampled: 1\r\n")),
    ];
    let all = believed(EVERYTHING, &heads).await;
    let told: Vec<_> = all.iter().map(|visit| visit.told.field("b3").expect("b3")).collect();
    let begins = |at: usize, trace: &str, end: &str| {
        assert!(told[at].starts_with(trace) && told[at].ends_with(end), "{at}: {}", told[at]);
    };
    begins(0, "0af7651916cd43dd8448eb211c80319c", "-1");
    begins(1, &"ab".repeat(16), "-0");
    begins(2, TRACE, "-1");
    begins(3, TRACE, "-1");
}

#[tokio::test]
async fn a_strangers_b3_is_linked_where_it_is_spoken_and_never_goes_on() {
    let heads = [
        format!("b3: {TRACE}-{SPAN}-0\r\n"),
        multi("X-B3-Sampled: 0\r\nX-B3-Anything: 1\r\n"),
        "b3: 0\r\n".to_owned(),
        // What a CGI-like service takes for `X-B3-TraceId`.
        format!("X_B3_TraceId: {TRACE}\r\nX-B3_SpanId: {SPAN}\r\nx_b3_sampled: 1\r\n"),
    ];
    for (propagators, forms) in
        [("", 0), ("propagators = [\"b3\"]\n", 1), ("propagators = []\n", 0)]
    {
        for (at, visit) in unbelieved(propagators, &heads).await.into_iter().enumerate() {
            assert_eq!(b3_fields(&visit.told).len(), forms, "{propagators}{}", visit.told.head);
            assert!(
                visit.told.field("b3").is_none_or(|b3| !b3.contains(TRACE) && b3.ends_with("-1"))
            );
            let server = visit.server.expect("neither forced nor suppressed");
            assert_ne!(hex(&server.trace_id), TRACE);
            let links: Vec<_> = server.links.iter().map(|link| hex(&link.trace_id)).collect();
            assert_eq!(links, if forms == 1 && at < 2 { vec![TRACE] } else { vec![] });
        }
    }
}

#[tokio::test]
async fn what_is_not_spoken_passes_from_a_believed_caller_alone() {
    let heads = [format!("{W3C}tracestate: foo=1\r\nb3: {TRACE}-{SPAN}-1\r\n")];
    // B3 is not spoken.
    let told = believed("", &heads).await.remove(0).told;
    assert_eq!(told.field("b3"), Some(&*format!("{TRACE}-{SPAN}-1")));
    assert_eq!(told.field("tracestate"), Some("foo=1"));
    // Nothing is spoken.
    let visit = believed("propagators = []\n", &heads).await.remove(0);
    assert!(W3C.contains(visit.told.field("traceparent").expect("as it came")));
    assert_eq!(visit.told.field("tracestate"), Some("foo=1"));
    assert!(visit.server.expect("a span").parent_span_id.is_empty(), "and nothing is read");
    let told = unbelieved("propagators = []\n", &heads).await.remove(0).told;
    for field in ["traceparent", "tracestate", "b3"] {
        assert_eq!(told.field(field), None, "{field}");
    }
}

#[tokio::test]
async fn the_fields_of_other_tracers_pass_from_a_believed_caller_alone() {
    let fields = [
        "sentry-trace: 0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
        "x-datadog-trace-id: 1",
        "x-datadog-parent-id: 2",
        "x-datadog-sampling-priority: 2",
        "x-datadog-tags: _dd.p.dm=-4",
        "x-datadog-origin: rum",
        "grpc-trace-bin: AAA",
        "traceparent-bin: AAA",
        "uber-trace-id: 1:2:0:1",
        "uberctx-user: eve",
        "x-cloud-trace-context: 105445aa7843bc8bf206b12000100000/1;o=1",
        "x-amzn-trace-id: Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
        // What a CGI-like service takes for `sentry-trace`.
        "sentry_trace: 0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
    ];
    let heads = [fields.map(|field| format!("{field}\r\n")).concat() + "x-datacenter: b\r\n"];
    let passed = |visit: &Visit| fields.map(|field| visit.told.head.contains(field));
    let friend = believed("", &heads).await.remove(0);
    assert_eq!(passed(&friend), [true; 13], "{}", friend.told.head);
    for propagators in ["", "propagators = []\n", EVERYTHING] {
        let stranger = unbelieved(propagators, &heads).await.remove(0);
        assert_eq!(passed(&stranger), [false; 13], "{}", stranger.told.head);
        assert_eq!(stranger.told.field("x-datacenter"), Some("b"), "which only looks like one");
    }
}

#[tokio::test]
async fn baggage_passes_from_believed_callers_where_it_is_asked_for_and_is_sound() {
    let fits = format!("baggage: k={}\r\n", "v".repeat(8190));
    let sound = "baggage: userId=alice;p=1, b = 2\r\nbaggage: c=%20\r\n".to_owned();
    let heads = [
        sound.clone(),
        fits.clone(),
        fits.replace("k=", "kk="),
        "baggage: no value\r\n".to_owned(),
        "baggage: a=1\r\nbaggage: a b=1\r\n".to_owned(),
        format!("baggage: {}\r\n", vec!["k=v"; 64].join(",")),
        format!("baggage: {}\r\n", vec!["k=v"; 65].join(",")),
    ];
    let lines = |visit: &Visit| -> Vec<String> {
        let lines = visit.told.head.lines().filter(|line| line.starts_with("baggage:"));
        lines.map(|line| format!("{line}\r\n")).collect()
    };
    let passed: Vec<String> =
        believed(EVERYTHING, &heads).await.iter().map(|visit| lines(visit).concat()).collect();
    let none = String::new;
    assert_eq!(passed, [sound, fits, none(), none(), none(), heads[5].clone(), none()]);
    for visits in [believed("", &heads).await, unbelieved(EVERYTHING, &heads).await] {
        assert!(visits.iter().all(|visit| lines(visit).is_empty()));
        assert!(visits.iter().all(|visit| visit.server.is_some()));
    }
}
