//! What one client of the demo does: its request, and whether it stays for the answer.
//!
//! The questions are fixed, general and few, so that looked-up answers repeat and hit the cache.

use bytes::Bytes;
use fastrand::Rng;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use serde_json::json;

use super::answer::AGENTS;
use super::question::Mode;

const QUESTIONS: [&str; 6] = [
    "How much water should an adult drink in a day?",
    "What helps against falling asleep late?",
    "How many steps a day are a good start?",
    "Which foods are rich in iron?",
    "What should be in a small first-aid kit, and how often should it be checked?",
    "How do I prepare for a routine check-up?",
];

/// One request and how long its client stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Act {
    wish: Wish,
    /// Whether the client leaves in the middle of the answer.
    pub(super) leaves: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Question { query: &'static str, mode: Mode, streamed: bool },
    Read(&'static str),
    Agent(&'static str),
    Post(&'static str),
    Nonsense(&'static str),
}

impl Act {
    /// Whatever chance decides.
    pub(super) fn draw(dice: &mut Rng) -> Self {
        let wish = match dice.u32(..100) {
            0..55 => return Self::question(dice),
            55..68 => Wish::Question { query: query(dice), mode: mode(dice), streamed: true },
            68..72 => {
                let wish = Wish::Question { query: query(dice), mode: mode(dice), streamed: true };
                return Self { wish, leaves: true };
            }
            72..78 => Wish::Read("/api/agents"),
            78..83 => Wish::Agent(AGENTS[dice.usize(..AGENTS.len())].id),
            83..87 => Wish::Read("/"),
            87..90 => Wish::Read("/health"),
            90..92 => Wish::Post("/api/auth/login"),
            92..94 => Wish::Post("/api/auth/logout"),
            94..96 => Wish::Nonsense("{\"query\": "),
            96..98 => Wish::Nonsense("{\"query\": \"q\", \"mode\": \"guess\"}"),
            _ => Wish::Read("/favicon.ico"),
        };
        Self { wish, leaves: false }
    }

    /// A question that wants its answer whole and waits for it.
    pub(super) fn question(dice: &mut Rng) -> Self {
        let wish = Wish::Question { query: query(dice), mode: mode(dice), streamed: false };
        Self { wish, leaves: false }
    }

    /// The request, without its `Host`.
    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        match self.wish {
            Wish::Read(path) => build(Method::GET, path, ""),
            Wish::Agent(id) => build(Method::GET, &format!("/api/agents/{id}"), ""),
            Wish::Post(path) => build(Method::POST, path, "{}"),
            Wish::Nonsense(body) => orchestrate(body),
            Wish::Question { query, mode, streamed } => {
                let body = json!({ "query": query, "mode": mode.as_str() });
                let mut request = orchestrate(&body.to_string());
                if streamed {
                    let events = HeaderValue::from_static("text/event-stream");
                    request.headers_mut().insert(ACCEPT, events);
                }
                request
            }
        }
    }
}

fn query(dice: &mut Rng) -> &'static str {
    QUESTIONS[dice.usize(..QUESTIONS.len())]
}

fn mode(dice: &mut Rng) -> Mode {
    Mode::ALL[dice.usize(..Mode::ALL.len())]
}

fn orchestrate(body: &str) -> Request<Full<Bytes>> {
    build(Method::POST, "/api/orchestrate", body)
}

fn build(method: Method, path: &str, body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *request.method_mut() = method;
    // Every path of this file is a constant of plain characters.
    *request.uri_mut() = path.parse().unwrap_or_default();
    if !body.is_empty() {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_request_occurs_and_the_seed_decides_which() {
        let draw = |seed| {
            let mut dice = Rng::with_seed(seed);
            (0..500).map(|_| Act::draw(&mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        let acts = draw(3);
        let any = |test: fn(&Wish) -> bool| acts.iter().any(|act| test(&act.wish));
        assert!(any(|wish| matches!(wish, Wish::Question { streamed: false, .. })));
        assert!(any(|wish| matches!(wish, Wish::Question { streamed: true, .. })));
        assert!(any(|wish| matches!(wish, Wish::Nonsense(_))));
        assert!(any(|wish| matches!(wish, Wish::Post(_))));
        assert!(any(|wish| matches!(wish, Wish::Read(_))));
        assert!(any(|wish| matches!(wish, Wish::Agent(_))));
        assert!(acts.iter().any(|act| act.leaves));
        assert!(acts.iter().all(|act| act.request().uri().path().starts_with('/')));
    }
}
