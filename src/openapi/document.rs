//! The document as a table: which operation a method and a path belong to.
//!
//! A path without parameters goes before one with them (`OpenAPI` 3.1 §4.8.8.2); of two with
//! parameters, the one whose literal segment comes first. A `HEAD` that is not described is the
//! `GET`'s. Every server's path is a beginning of every path.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderValue, Method};
use serde_json::Value;

use super::fault::{Fault, Findings, below};
use super::operation::{self, Operation};
use super::reference::Spot;
use super::schema::{Version, Workshop};
use super::{servers, text};
use crate::http::template::{Table, Template};
use crate::record::ConfigName;

/// Paths of a document, each server's counted.
const MAX_PATHS: usize = 2000;

/// The members of a path that are operations.
const METHODS: [(&str, Method); 8] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("options", Method::OPTIONS),
    ("head", Method::HEAD),
    ("patch", Method::PATCH),
    ("trace", Method::TRACE),
];

/// A document, read and checked.
#[derive(Debug)]
pub struct Document {
    paths: Vec<Path>,
    table: Table,
    notices: Vec<String>,
}

/// The operations of one template.
#[derive(Debug)]
pub struct Path {
    /// The template, with the server's path before it.
    pub template: Template,
    /// The template as a name.
    pub name: ConfigName,
    /// The operations by their methods.
    pub operations: Vec<(Method, Arc<Operation>)>,
    /// What `Allow` says of it.
    pub allow: HeaderValue,
}

/// What a document knows of a method and a path. Numbers are places in [`Document::paths`] and
/// [`Path::operations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An operation.
    Known {
        /// Its path.
        path: usize,
        /// Which of its operations.
        operation: usize,
    },
    /// A path, but not this method of it.
    MethodNotAllowed {
        /// The path.
        path: usize,
    },
    /// Nothing.
    Unknown,
}

impl Document {
    /// Reads a document of `OpenAPI` 3.0 or 3.1, or says what is wrong with it: at least one fault,
    /// in no particular order.
    pub fn read(bytes: &[u8]) -> Result<Self, Vec<Fault>> {
        let value = text::read(bytes).map_err(|fault| vec![fault])?;
        let mut findings = Findings::default();
        let document = read(&value, &mut findings);
        if let (true, Some((paths, table))) = (findings.is_clean(), document) {
            return Ok(Self { paths, table, notices: findings.notices });
        }
        let mut faults = findings.into_faults();
        for fault in &mut faults {
            fault.line = fault.line.or_else(|| text::line_of(bytes, &fault.pointer));
        }
        Err(faults)
    }

    /// What belongs to a method and a canonical path.
    pub fn find(&self, method: &Method, path: &str) -> Found {
        let Some(path) = self.table.find(method, path) else { return Found::Unknown };
        let Some(Path { operations, .. }) = self.paths.get(path) else { return Found::Unknown };
        let place = |wanted: &Method| operations.iter().position(|(method, _)| method == wanted);
        let operation = place(method)
            .or_else(|| (*method == Method::HEAD).then(|| place(&Method::GET)).flatten());
        match operation {
            Some(operation) => Found::Known { path, operation },
            None => Found::MethodNotAllowed { path },
        }
    }

    /// All paths.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// What the document asks for and nobody checks, in sentences.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }
}

fn read(document: &Value, findings: &mut Findings) -> Option<(Vec<Path>, Table)> {
    let root = Spot::root(document);
    let version = findings.keep(version(&root))?;
    let bases = findings.keep(servers::bases(&root))?.unwrap_or_else(|| vec![String::new()]);
    let paths = root.member("paths");
    let Some(paths) = paths.filter(|paths| paths.value.is_object()) else {
        return findings.refuse(root.fault("the document has no `paths`"));
    };
    let mut workshop = Workshop::new(document, version);
    let (mut found, mut ids) = (Vec::new(), HashMap::new());
    for (name, spot) in paths.members().filter(|(name, _)| !name.starts_with("x-")) {
        let item = findings.keep(spot.clone().resolve(document));
        let Some(item) = item else { continue };
        for spot in METHODS.iter().filter_map(|(word, _)| item.member(word)) {
            operation::tell_apart(&spot, &mut ids, findings);
        }
        if read_path(document, name, &item, &bases, &mut workshop, findings, &mut found).is_none() {
            continue;
        }
        if found.len() > MAX_PATHS {
            return findings.refuse(paths.fault(format!("more than {MAX_PATHS} paths")));
        }
    }
    findings.notices.extend(workshop.notices);
    found.sort_by(|left: &Path, right: &Path| order(&left.template, &right.template));
    for pair in found.windows(2) {
        if order(&pair[0].template, &pair[1].template).is_eq()
            && without_names(&pair[0].template) == without_names(&pair[1].template)
        {
            let (one, other) = (pair[0].template.as_str(), pair[1].template.as_str());
            let what = format!("`{one}` and `{other}` are the same path");
            findings.refuse::<()>(paths.fault(what));
        }
    }
    let entries = found.iter().map(|path| (None, path.template.clone())).collect();
    Some((found, Table::new(entries)))
}

fn read_path<'d>(
    document: &'d Value,
    name: &str,
    item: &Spot<'d>,
    bases: &[String],
    workshop: &mut Workshop<'d>,
    findings: &mut Findings,
    found: &mut Vec<Path>,
) -> Option<()> {
    findings.keep(item.object())?;
    let own = findings.keep(servers::bases(item))?;
    let shared = findings.keep(operation::parameters(document, item))?;
    operation::fit(name, &shared, findings);
    let mut operations = Vec::new();
    for (word, method) in METHODS {
        let Some(spot) = item.member(word) else { continue };
        operation::fit(name, &operation::parameters(document, &spot).unwrap_or_default(), findings);
        let title = format!("{method} {name}");
        let read = Operation::read(document, &spot, &shared, &title, workshop, findings);
        operations.extend(read.map(|operation| (method, operation)));
    }
    for base in own.as_deref().unwrap_or(bases) {
        let template = Template::parse(&format!("{base}{name}"))
            .map_err(|error| Fault::at(below("/paths", name), error.to_string()));
        let template = findings.keep(template)?;
        let operations = operations.clone();
        let allow = allow(&operations);
        let name = ConfigName::configured(template.as_str());
        found.push(Path { template, name, operations, allow });
    }
    Some(())
}

fn version(root: &Spot<'_>) -> Result<Version, Fault> {
    let version = root.member("openapi");
    let Some(version) = version else {
        let what = match root.value.get("swagger") {
            Some(_) => "Swagger 2.0 is not supported; convert it to OpenAPI 3",
            None => "the document does not say which `openapi` it is",
        };
        return Err(root.fault(what));
    };
    match version.value.as_str() {
        Some(text) if text.starts_with("3.0.") => Ok(Version::V3_0),
        Some(text) if text.starts_with("3.1.") => Ok(Version::V3_1),
        Some(_) => Err(version.fault("only OpenAPI 3.0 and 3.1 are supported")),
        None => Err(version.fault("expected the version in quotes, such as \"3.1.0\"")),
    }
}

/// `GET` is never there without `HEAD` (RFC 9110 §9.1).
fn allow(operations: &[(Method, Arc<Operation>)]) -> HeaderValue {
    let has = |wanted: &Method| operations.iter().any(|(method, _)| method == wanted);
    let mut names: Vec<&str> = operations.iter().map(|(method, _)| method.as_str()).collect();
    if has(&Method::GET) && !has(&Method::HEAD) {
        names.push("HEAD");
    }
    // Names of methods are made of letters.
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

/// What is more literal comes first, segment by segment; what has a tail comes last.
fn order(left: &Template, right: &Template) -> Ordering {
    let rank = |segment: &str| match segment.find('{') {
        None => 0,
        Some(_) if segment.starts_with("{*") => 3,
        Some(_) if segment.starts_with('{') && segment.ends_with('}') => 2,
        Some(_) => 1,
    };
    let ranks =
        |template: &Template| -> Vec<u8> { template.as_str().split('/').map(rank).collect() };
    ranks(left).cmp(&ranks(right)).then_with(|| without_names(left).cmp(&without_names(right)))
}

/// A template in which all parameters have the same name.
fn without_names(template: &Template) -> String {
    let mut out = String::new();
    let mut left = template.as_str();
    while let Some((literal, rest)) = left.split_once('{') {
        out.push_str(literal);
        out.push_str(if rest.starts_with('*') { "{*}" } else { "{}" });
        left = rest.split_once('}').map_or("", |(_, rest)| rest);
    }
    out + left
}
