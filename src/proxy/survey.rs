//! One look over the fields of a request head.
//!
//! Several stages ask a head several questions, and each look-up in a header map costs as much as
//! passing over three fields of it. So every question is asked of every field once, here, before the
//! first stage: what the exchange notes, and which fields end at this hop.
//!
//! It judges nothing; ambiguous heads are refused by `target`.

use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    TE, TRAILER, USER_AGENT,
};

use super::peer::Peer;
use super::plan::Plan;
use super::trace::{self, Field};
use crate::config::model::{LogHeader, Propagators};
use crate::http::b3::B3;
use crate::http::ids::ClientRequestId;
use crate::http::sanitise::{HeaderText, UserAgent};
use crate::http::traceparent::TraceParent;
use crate::http::{forwarded, hop, problem};
use crate::record::LoggedHeader;

/// Where the page stands that made a browser ask (Fetch Metadata §2.4).
pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What the fields of a request head say to us.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "answers to questions that have nothing to do with each other"
)]
pub struct Survey {
    /// Whether the peer is believed.
    pub is_trusted: bool,
    /// Whether its trace context is believed.
    pub is_believed: bool,
    /// The `Host` field.
    pub host: Option<HeaderValue>,
    /// The `User-Agent` field, sanitised.
    pub user_agent: Option<UserAgent>,
    /// The fields whose values may be logged, in the order of the configuration.
    pub logged: Box<[LoggedHeader]>,
    /// The request id that was sent, where it is well formed.
    pub proposed_id: Option<ClientRequestId>,
    /// The one `traceparent`. Several are as good as none (W3C Trace Context §3.2.1).
    pub parent: Option<TraceParent>,
    /// What B3 fields say, where B3 is spoken.
    pub b3: Option<B3>,
    /// Whether a page reads better to the client than JSON.
    pub prefers_html: bool,
    /// Whether it waits for a go-ahead, or for something else, before its body.
    pub has_expectation: bool,
    /// Whether a browser may have sent it: it says where its page comes from.
    pub is_of_browser: bool,
    /// Whether the client understands trailers (RFC 9110 §10.1.4).
    pub accepts_trailers: bool,
    /// Whether it says which trailers its body will have (RFC 9110 §6.6.2).
    pub announces_trailers: bool,
    /// The fields that end at this hop, each once: hop-by-hop fields (RFC 9110 §7.6.1), what we write
    /// anew, claims of an identity, words of the service to us, and forwarding fields of a peer that is not believed.
    pub ending: Vec<HeaderName>,
}

impl Survey {
    /// Looks over the fields of a head that this peer sent.
    pub fn of(headers: &HeaderMap, plan: &Plan, peer: &Peer) -> Self {
        let is_trusted = plan.trusts(peer.ip);
        let is_believed = plan.believes(is_trusted);
        let mut survey = Self { is_trusted, is_believed, ..Self::default() };
        let (mut names_html, mut context) = (false, Context::default());
        for (name, value) in headers {
            if *name == plan.request_id_header {
                if survey.end(name) {
                    survey.proposed_id = ClientRequestId::parse(value.as_bytes());
                }
                continue;
            }
            match *name {
                HOST => drop(survey.host.get_or_insert_with(|| value.clone())),
                USER_AGENT => drop(survey.user_agent.get_or_insert_with(|| peer.link.agent(value))),
                ORIGIN => survey.is_of_browser = true,
                ACCEPT => names_html |= problem::may_name_html(value),
                TE => {
                    survey.accepts_trailers |= names_trailers(value);
                    survey.end(name);
                }
                EXPECT => {
                    survey.has_expectation = true;
                    survey.end(name);
                }
                _ if hop::is_usual(name) => {}
                TRAILER => survey.announces_trailers = true,
                _ if *name == SEC_FETCH_SITE => survey.is_of_browser = true,
                _ => match Field::of(name) {
                    Some(field) => {
                        context.note(field, value);
                        if !(is_believed && field.passes(plan.propagators)) {
                            survey.end(name);
                        }
                    }
                    None if ends_here(name, is_trusted) => drop(survey.end(name)),
                    // CGI-like servers take it for the id, and it is not ours.
                    None if hop::is_twin(name.as_str(), plan.request_id_header.as_str()) => {
                        survey.end(name);
                    }
                    None => {}
                },
            }
        }
        survey.conclude(&context, headers, plan.propagators);
        if let Some(removed) = &plan.removed_fields {
            for name in hop::named(headers, removed.all()) {
                survey.end(name);
            }
        }
        if let Some(logged) = &plan.log_headers {
            survey.logged = logged.iter().filter_map(|header| note(headers, header)).collect();
        }
        survey.prefers_html = names_html && problem::prefers_html(headers);
        // Only `Connection` can list more, and it ends here itself.
        if survey.ending.contains(&CONNECTION) {
            for name in hop::listed(headers) {
                survey.end(&name);
            }
        }
        survey
    }

    /// What the fields of a trace context mean together.
    fn conclude(&mut self, context: &Context, headers: &HeaderMap, spoken: Propagators) {
        let is_one = context.parents == 1 && spoken.tracecontext;
        self.parent = context.parent.filter(|_| is_one);
        if context.has_b3 && spoken.speaks_b3() {
            self.b3 = trace::read_b3(headers);
        }
        if context.has_baggage && !trace::is_baggage_sound(headers) {
            self.end(&trace::BAGGAGE);
        }
    }

    /// Notes that a field ends here. Returns whether that is news.
    fn end(&mut self, name: &HeaderName) -> bool {
        let is_news = !self.ending.contains(name);
        if is_news {
            self.ending.push(name.clone());
        }
        is_news
    }
}

/// What was seen of a trace context on the way over the fields.
#[derive(Default)]
struct Context {
    parent: Option<TraceParent>,
    parents: usize,
    has_b3: bool,
    has_baggage: bool,
}

impl Context {
    fn note(&mut self, field: Field, value: &HeaderValue) {
        match field {
            Field::Parent => {
                self.parents += 1;
                self.parent = TraceParent::parse(value.as_bytes());
            }
            Field::State | Field::Foreign => {}
            Field::B3 => self.has_b3 = true,
            Field::Baggage => self.has_baggage = true,
        }
    }
}

/// What may be logged of a field, if it was sent.
fn note(headers: &HeaderMap, header: &LogHeader) -> Option<LoggedHeader> {
    let mut values = headers.get_all(&header.field).iter().map(HeaderValue::as_bytes).peekable();
    values.peek()?;
    Some(LoggedHeader { name: header.name.clone(), text: HeaderText::sanitised(values) })
}

/// Whether a field ends here by its name alone.
fn ends_here(name: &HeaderName, is_trusted: bool) -> bool {
    hop::is_hop_by_hop(name)
        || *name == CONTENT_LENGTH
        || hop::is_identity(name)
        || hop::is_internal(name)
        || (!is_trusted && forwarded::is_forwarding(name))
}

fn names_trailers(codings: &HeaderValue) -> bool {
    let mut codings = codings.as_bytes().split(|b| *b == b',');
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::telemetry::metrics::Metrics;

    fn survey(fields: &[(&'static str, &'static str)], is_trusted: bool) -> Survey {
        survey_with("", fields, is_trusted)
    }

    fn survey_with(
        more: &str,
        fields: &[(&'static str, &'static str)],
        is_trusted: bool,
    ) -> Survey {
        let text =
            "server.trusted_proxies = [\"192.0.2.1\"]\nupstream.url = \"http://127.0.0.1:1\"\n";
        let config = Config::from_toml(&format!("{text}{more}")).unwrap();
        let plan = Plan::compile(&config, &Metrics::new(&config.service), None, None);
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let ip = if is_trusted { "192.0.2.1" } else { "198.51.100.1" };
        Survey::of(&headers, &plan, &Peer::new(ip.parse().unwrap(), "http", Arc::default()))
    }

    #[test]
    fn the_fields_that_end_here_are_found_once_each() {
        let fields = [
            ("host", "a"),
            ("connection", "x-mine, close"),
            ("connection", "x-mine, x-absent"),
            ("x-mine", "1"),
            ("x-mine", "2"),
            ("te", "gzip"),
            ("te", "trailers"),
            ("x-user-id", "eve"),
            ("x-error-type", "mine"),
            ("x-forwarded-for", "192.0.2.1"),
            ("accept", "*/*"),
        ];
        let stranger = survey(&fields, false);
        let ending = ["connection", "te", "x-user-id", "x-error-type", "x-forwarded-for", "x-mine"];
        assert_eq!(stranger.ending, ending);
        assert!(stranger.accepts_trailers && !stranger.prefers_html);
        let friend = survey(&fields, true);
        assert_eq!(friend.ending, ["connection", "te", "x-user-id", "x-error-type", "x-mine"]);
    }

    #[test]
    fn two_parents_are_as_good_as_none_and_the_first_id_counts() {
        const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let one = survey(&[("traceparent", PARENT), ("x-request-id", "first")], true);
        assert!(one.parent.is_some());
        assert_eq!(one.proposed_id.as_ref().map(ClientRequestId::as_str), Some("first"));
        let two = [("traceparent", PARENT), ("traceparent", PARENT)];
        assert_eq!(survey(&two, true).parent, None);
        let ids = [("x-request-id", "not one"), ("x-request-id", "second")];
        assert_eq!(survey(&ids, true).proposed_id, None);
        let twin = survey(&[("x_request_id", "forged"), ("x-request", "1")], true);
        assert_eq!(twin.ending, ["x_request_id"]);
        assert_eq!(twin.proposed_id, None);
    }

    #[test]
    fn a_header_is_noted_for_the_log_only_where_the_configuration_names_it() {
        let fields = [("x-kind", "a"), ("accept-language", "de me@example.com"), ("x-kind", "b")];
        assert!(survey(&fields, false).logged.is_empty());
        let named = "log.headers = [\"X-Kind\", \"x-absent\", \"accept-language\"]";
        let found: Vec<_> = survey_with(named, &fields, false)
            .logged
            .iter()
            .map(|header| (header.name.to_string(), header.text.to_string()))
            .collect();
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(found, [pair("x-kind", "a, b"), pair("accept-language", "de ?")]);
    }

    #[test]
    fn what_the_exchange_notes_is_the_first_of_its_kind() {
        let fields = [
            ("user-agent", "curl"),
            ("user-agent", "other"),
            ("host", "a"),
            ("accept", "text/html"),
            ("expect", "100-continue"),
        ];
        let survey = survey(&fields, false);
        assert_eq!(survey.user_agent.as_deref(), Some("curl"));
        assert_eq!(survey.host, Some(HeaderValue::from_static("a")));
        assert!(survey.prefers_html && survey.has_expectation);
    }
}
