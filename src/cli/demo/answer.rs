//! What the demo orchestrator answers: canned general texts in the shape of the API's
//! `OrchestrationResult`, whole or as a stream of events.
//!
//! No answer repeats anything of the question. Nothing is computed by a model: the texts are fixed
//! and the scores are chance.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::behaviour::Behaviour;
use super::body::Script;
use super::question::{Mode, Question};

/// The experts that an answer can name.
pub(super) const AGENTS: [Agent; 5] = [
    Agent { id: "general-health", name: "General health" },
    Agent { id: "nutrition", name: "Nutrition" },
    Agent { id: "physical-activity", name: "Physical activity" },
    Agent { id: "sleep", name: "Sleep" },
    Agent { id: "medication-safety", name: "Medication safety" },
];
/// A client behind a proxy hears from a slow stream at least this often.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// An expert of the orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    /// As in `/api/agents/{id}`.
    pub(super) id: &'static str,
    /// For people.
    pub(super) name: &'static str,
}

impl Agent {
    /// The agent as `/api/agents` shows it.
    pub(super) fn to_json(self) -> Value {
        json!({ "id": self.id, "name": self.name })
    }
}

/// An `OrchestrationResult` that waits only for its duration.
#[derive(Debug)]
pub(super) struct Answer {
    conversation: Uuid,
    text: &'static str,
    agents: Vec<Value>,
    mode: Mode,
    tokens: (usize, usize),
    cached: bool,
    started: Instant,
}

impl Answer {
    /// Makes up an answer.
    pub(super) fn compose(
        question: &Question,
        cached: bool,
        dice: &mut Rng,
        started: Instant,
    ) -> Self {
        let text = text(question.mode);
        let fresh = || uuid::Builder::from_random_bytes(dice.u128(..).to_be_bytes()).into_uuid();
        Self {
            conversation: question.session.unwrap_or_else(fresh),
            text,
            agents: select(question.mode, dice),
            mode: question.mode,
            // A usual rule of thumb: four characters to a token.
            tokens: (question.query.chars().count().div_ceil(4), text.len().div_ceil(4)),
            cached,
            started,
        }
    }

    /// The result as JSON; `durationMs` is the time since the request came.
    pub(super) fn to_json(&self) -> Value {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        json!({
            "conversationId": self.conversation.to_string(),
            "response": self.text,
            "selectedAgents": self.agents,
            "metadata": {
                "mode": self.mode.as_str(),
                "tokens": { "input": self.tokens.0, "output": self.tokens.1 },
                "durationMs": millis,
                "cached": self.cached,
            },
        })
    }

    /// The answer as events: `agent` for each expert, `token` for each word, `done` with the result.
    ///
    /// While it thinks there is a comment every half second. With `cut`, the stream breaks in the
    /// middle of its tokens.
    pub(super) fn stream(
        self,
        thinking: Duration,
        cut: bool,
        behaviour: &Behaviour,
        dice: &mut Rng,
    ) -> Script {
        let mut script = Script::open().then(Duration::ZERO, ": thinking\n\n");
        let mut left = thinking;
        while left > HEARTBEAT {
            script = script.then(HEARTBEAT, ": thinking\n\n");
            left -= HEARTBEAT;
        }
        for agent in &self.agents {
            script = script.then(std::mem::take(&mut left), event("agent", agent));
        }
        let words: Vec<_> = self.text.split_inclusive(' ').collect();
        let spoken = if cut { words.len() / 2 } else { words.len() };
        for word in &words[..spoken] {
            let token = event("token", &json!({ "text": word }));
            script = script.then(behaviour.between_tokens(dice), token);
        }
        let pause = behaviour.between_tokens(dice);
        if cut {
            // Never zero, so that hyper has written the tokens before the connection breaks.
            return script.cut(pause.max(Duration::from_millis(5)));
        }
        script.then_late(pause, move || event("done", &self.to_json()))
    }
}

/// One server-sent event. JSON has no bare line feed, so one `data` line holds it.
fn event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// Picks experts, the best first.
fn select(mode: Mode, dice: &mut Rng) -> Vec<Value> {
    let count = match mode {
        Mode::QueryAutomatic | Mode::QueryManual | Mode::RagQuery => 1,
        Mode::Autonomous => 2,
        Mode::MultiAgent => 3,
    };
    let mut chosen = AGENTS;
    dice.shuffle(&mut chosen);
    let mut hundredths = 100;
    chosen[..count]
        .iter()
        .map(|agent| {
            hundredths -= dice.u32(1..=12);
            json!({ "id": agent.id, "name": agent.name, "score": f64::from(hundredths) / 100.0 })
        })
        .collect()
}

fn text(mode: Mode) -> &'static str {
    match mode {
        Mode::QueryAutomatic => {
            "This is a demonstration answer. General advice is to sleep enough, to move every day \
             and to eat a varied diet. A doctor or pharmacist can answer for your own case."
        }
        Mode::QueryManual => {
            "This is a demonstration answer from the expert you chose. Keep a note of what you \
             notice and when, and bring it to your next appointment."
        }
        Mode::RagQuery => {
            "This is a demonstration answer of the kind that is looked up in reference texts. It \
             can be repeated from a cache, which is why its headers say whether it was."
        }
        Mode::MultiAgent => {
            "This is a demonstration answer that several experts would share. One looks at food, \
             one at movement and one at rest, and their advice is put together in one text."
        }
        Mode::Autonomous => {
            "This is a demonstration answer of the kind that takes several steps. A plan is made, \
             each step is taken and checked, and the result is summed up here."
        }
    }
}
