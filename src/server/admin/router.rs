//! From a request to its answer: the gate, then the page.
//!
//! Only a reload waits, and no GET changes anything.

use http::header::{ACCEPT, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, SizeHint};
use serde_json::json;

use super::answer::{Answer, Problem, json, page, problem};
use super::{Door, House, Visit, gate};
use crate::server::reload::{Cause, NotReloaded};
use crate::telemetry::metrics::Format;

/// Bytes of a request body that are tolerated, and not read.
const MAX_BODY: u64 = 4096;

/// Answers a request. To HEAD with the headers of GET and an empty body.
pub(super) async fn answer(visit: &Visit, request: &Request<SizeHint>) -> Answer {
    let answer = enter(visit, request).await.unwrap_or_else(Problem::answer);
    if *request.method() == Method::HEAD { without_body(answer) } else { answer }
}

async fn enter(visit: &Visit, request: &Request<SizeHint>) -> Result<Answer, Problem> {
    if visit.door == Door::Operators {
        if !gate::is_addressed_to_us(request, visit.local) {
            return Err(Problem::ForeignHost);
        }
        if let Some(token) = &*visit.house.token.load()
            && !gate::carries(request, token)
        {
            return Err(Problem::Unauthorized);
        }
    }
    let page = Page::find(request.uri().path(), visit.door).ok_or(Problem::NotFound)?;
    page.admit(request)?;
    page.show(visit, request).await
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Metrics,
    Live,
    Ready,
    Started,
    Status,
    Explain,
    Drain,
    Reload,
}

impl Page {
    fn find(path: &str, door: Door) -> Option<Self> {
        match (path, door) {
            ("/metrics", _) => Some(Self::Metrics),
            ("/livez", _) => Some(Self::Live),
            ("/readyz", _) => Some(Self::Ready),
            ("/startupz", _) => Some(Self::Started),
            ("/status", Door::Operators) => Some(Self::Status),
            (path, Door::Operators) if explained(path).is_some() => Some(Self::Explain),
            ("/drain", Door::Operators) => Some(Self::Drain),
            ("/reload", Door::Operators) => Some(Self::Reload),
            _ => None,
        }
    }

    fn admit(self, request: &Request<SizeHint>) -> Result<(), Problem> {
        let method = request.method();
        if matches!(self, Self::Drain | Self::Reload) {
            if *method != Method::POST {
                return Err(Problem::MethodNotAllowed { allow: "POST" });
            }
            if gate::is_cross_site(request) {
                return Err(Problem::CrossSite);
            }
        } else if *method != Method::GET && *method != Method::HEAD {
            return Err(Problem::MethodNotAllowed { allow: "GET, HEAD" });
        }
        // A chunked body has no upper bound.
        let is_small = request.body().upper().is_some_and(|size| size <= MAX_BODY);
        if is_small { Ok(()) } else { Err(Problem::BodyTooLarge) }
    }

    async fn show<B>(self, visit: &Visit, request: &Request<B>) -> Result<Answer, Problem> {
        let house = &*visit.house;
        match self {
            Self::Metrics => numbers(house, request),
            Self::Live => Ok(json(StatusCode::OK, &json!({ "alive": true }))),
            Self::Ready => Ok(readiness(house, visit.door)),
            Self::Started => {
                let is_started = house.health.is_started();
                Ok(json(ok_if(is_started), &json!({ "started": is_started })))
            }
            Self::Status => Ok(json(StatusCode::OK, &(house.status)())),
            Self::Explain => {
                let document = explained(request.uri().path()).and_then(|id| (house.explain)(id));
                Ok(json(StatusCode::OK, &document.ok_or(Problem::Forgotten)?))
            }
            Self::Drain => {
                house.drain.cancel();
                Ok(json(StatusCode::ACCEPTED, &json!({ "draining": true })))
            }
            Self::Reload => Ok(reloaded(house.reload.reload(Cause::Admin).await)),
        }
    }
}

/// The id that a path asks about.
fn explained(path: &str) -> Option<&str> {
    path.strip_prefix("/explain/").filter(|id| !id.is_empty())
}

fn reloaded(outcome: Result<Vec<String>, NotReloaded>) -> Answer {
    let error = match outcome {
        Ok(changed) => {
            return json(StatusCode::OK, &json!({ "reloaded": true, "changed": changed }));
        }
        Err(error) => error,
    };
    let status = match error {
        NotReloaded::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        NotReloaded::Unheard | NotReloaded::Late => StatusCode::SERVICE_UNAVAILABLE,
    };
    problem(status, &error.to_string())
}

fn numbers<B>(house: &House, request: &Request<B>) -> Result<Answer, Problem> {
    let mut accept = String::new();
    for value in request.headers().get_all(ACCEPT) {
        // Several lines are one list (RFC 9110 §5.3).
        accept.push(',');
        accept.push_str(value.to_str().unwrap_or_default());
    }
    let format = Format::negotiate(Some(&accept));
    let exposition = house.metrics.expose(format).map_err(|_| Problem::Unencodable)?;
    Ok(page(StatusCode::OK, exposition.content_type, exposition.body))
}

fn readiness(house: &House, door: Door) -> Answer {
    let mut reasons = house.health.readiness().reasons;
    if house.drain.is_cancelled() && !house.health.is_draining() {
        reasons.push(("draining", "a drain was asked for".to_owned()));
    }
    let reasons: Vec<_> = reasons
        .into_iter()
        .map(|(name, reason)| match door {
            Door::Operators => json!({ "check": name, "reason": reason }),
            // Anybody may stand here: which check it is must do.
            Door::Scrapers => json!({ "check": name }),
        })
        .collect();
    let is_ready = reasons.is_empty();
    json(ok_if(is_ready), &json!({ "ready": is_ready, "reasons": reasons }))
}

fn ok_if(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn without_body(answer: Answer) -> Answer {
    let length = answer.body().size_hint().exact().unwrap_or(0);
    let (mut head, _) = answer.into_parts();
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Answer::from_parts(head, Full::default())
}
