//! One operation of the document: its id, its parameters, its body.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderMap;

use super::body::Body;
use super::fault::Findings;
use super::parameter::{self, Parameter};
use super::reference::Spot;
use super::schema::Workshop;
use super::violation::{MAX_VIOLATIONS, Violation};
use crate::record::ConfigName;

/// Parameters of one operation.
const MAX_PARAMETERS: usize = 64;
/// Characters of an operation id.
const MAX_ID: usize = 128;

/// An operation.
#[derive(Debug)]
pub struct Operation {
    /// Its `operationId`.
    pub id: Option<ConfigName>,
    parameters: Vec<Parameter>,
    body: Option<Body>,
}

impl Operation {
    /// Reads an operation; `shared` are the parameters of its path.
    pub(super) fn read<'d>(
        document: &'d serde_json::Value,
        spot: &Spot<'d>,
        shared: &[Spot<'d>],
        title: &str,
        workshop: &mut Workshop<'d>,
        findings: &mut Findings,
    ) -> Option<Arc<Self>> {
        findings.keep(spot.object())?;
        let id = spot.member("operationId").and_then(|id| match id.value.as_str() {
            Some(text) if is_id(text) => Some(ConfigName::configured(text)),
            _ => findings.refuse(id.fault("expected 1 to 128 characters, none of them a control")),
        });
        let own = findings.keep(parameters(document, spot))?;
        // An operation's own parameter stands in for its path's of the same name and place.
        let mut names = Vec::new();
        for spot in &own {
            let name = findings.keep(parameter::name(spot))?;
            if names.contains(&name) {
                findings.refuse::<()>(spot.fault(format!("`{}` is there twice", name.1)));
            }
            names.push(name);
        }
        let is_new =
            |spot: &&Spot<'d>| parameter::name(spot).map_or(true, |name| !names.contains(&name));
        let inherited = shared.iter().filter(is_new).cloned();
        let spots: Vec<_> = inherited.chain(own).collect();
        if spots.len() > MAX_PARAMETERS {
            return findings.refuse(spot.fault("the operation has more than 64 parameters"));
        }
        let mut read = Vec::new();
        for spot in &spots {
            let parameter = Parameter::read(spot, title, workshop, findings);
            read.extend(findings.keep(parameter).flatten());
        }
        let body = spot.member("requestBody").and_then(|body| {
            let body = findings.keep(body.resolve(document))?;
            let body = Body::read(&body, title, workshop, findings);
            findings.keep(body)
        });
        Some(Arc::new(Self { id, parameters: read, body }))
    }

    /// Whether there is anything to ask of a head.
    pub fn has_parameters(&self) -> bool {
        !self.parameters.is_empty()
    }

    /// What it says of a request's body.
    pub fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }

    /// What is wrong with a request's head. `path` are the parameters of the template, still escaped.
    pub fn judge_head(
        &self,
        path: &[(&str, &str)],
        query: &str,
        headers: &HeaderMap,
    ) -> Vec<Violation> {
        let mut violations = Vec::new();
        for parameter in &self.parameters {
            parameter.judge(path, query, headers, &mut violations);
            if violations.len() >= MAX_VIOLATIONS {
                violations.truncate(MAX_VIOLATIONS);
                break;
            }
        }
        violations
    }
}

/// The parameters of a path or an operation, references followed.
pub(super) fn parameters<'d>(
    document: &'d serde_json::Value,
    spot: &Spot<'d>,
) -> Result<Vec<Spot<'d>>, super::Fault> {
    let Some(list) = spot.member("parameters") else { return Ok(Vec::new()) };
    if !list.value.is_array() {
        return Err(list.fault("expected a list of parameters"));
    }
    list.items().map(|parameter| parameter.resolve(document)).collect()
}

/// Refuses parameters of a path that its template does not have: nobody could ever send them.
pub(super) fn fit(template: &str, parameters: &[Spot<'_>], findings: &mut Findings) {
    for spot in parameters {
        let Ok(("path", name)) = parameter::name(spot) else { continue };
        if !template.contains(&format!("{{{name}}}")) && !template.contains(&format!("{{*{name}}}"))
        {
            let what = format!("the path `{template}` has no parameter `{name}`");
            findings.refuse::<()>(spot.fault(what));
        }
    }
}

/// Refuses an id that another operation has, too. `known` are those found so far, and where.
pub(super) fn tell_apart<'d>(
    spot: &Spot<'d>,
    known: &mut HashMap<&'d str, String>,
    findings: &mut Findings,
) {
    let Some(id) = spot.text("operationId") else { return };
    let other = known.entry(id).or_insert_with(|| spot.pointer.clone());
    // Two paths may share one item by reference.
    if *other != spot.pointer {
        let what = format!("the operation at {other} has the `operationId` `{id}`, too");
        findings.refuse::<()>(spot.fault(what));
    }
}

fn is_id(text: &str) -> bool {
    let length = text.chars().count();
    (1..=MAX_ID).contains(&length) && !text.chars().any(char::is_control)
}
