//! Which operation of the API's document a request is one of.
//!
//! Independent of the routes: a request takes its operation from the document and its policy from
//! `[[routes]]`. Where no route knows the path, the document's template stands in for the route's in
//! all that is told of the request; its policy stays that of every unmatched request.
//!
//! It refuses nothing.

use std::sync::Arc;

use http::{HeaderValue, Method};

use super::plan::{Plan, RoutePlan};
use crate::http::template::Template;
use crate::openapi::{Document, Found, Operation, Path};

/// The document, compiled for the data path.
#[derive(Debug)]
pub struct Operations {
    document: Arc<Document>,
    paths: Vec<PathPlan>,
}

#[derive(Debug)]
struct PathPlan {
    /// The policy where no route knows the path.
    unmatched: Arc<RoutePlan>,
    operations: Vec<Arc<OperationPlan>>,
}

/// An operation, and the template it was found by.
#[derive(Debug)]
pub struct OperationPlan {
    /// The operation.
    pub operation: Arc<Operation>,
    /// The template, with the server's path before it.
    pub template: Template,
}

/// What the document says of a method and a path.
#[derive(Clone, Copy, Debug)]
pub enum Known<'p> {
    /// An operation, and the policy where no route knows the path.
    Operation(&'p Arc<OperationPlan>, &'p Arc<RoutePlan>),
    /// A path, but not with this method; and what `Allow` says of it.
    MethodNotAllowed(&'p HeaderValue, &'p Arc<RoutePlan>),
    /// Nothing.
    Unknown,
}

/// What the plan's document says of a method and a canonical path.
pub fn find<'p>(plan: &'p Plan, method: &Method, path: &str) -> Known<'p> {
    plan.operations.as_ref().map_or(Known::Unknown, |operations| operations.find(method, path))
}

impl Operations {
    /// Compiles a document. `unmatched` makes the policy of a path that no route knows.
    pub fn compile(document: &Arc<Document>, unmatched: impl Fn(&Path) -> RoutePlan) -> Self {
        let operation = |path: &Path, operation: &Arc<Operation>| {
            Arc::new(OperationPlan {
                operation: Arc::clone(operation),
                template: path.template.clone(),
            })
        };
        let plan = |path: &Path| PathPlan {
            unmatched: Arc::new(unmatched(path)),
            operations: path.operations.iter().map(|(_, own)| operation(path, own)).collect(),
        };
        let paths = document.paths().iter().map(plan).collect();
        Self { document: Arc::clone(document), paths }
    }

    /// What belongs to a method and a canonical path.
    pub fn find(&self, method: &Method, path: &str) -> Known<'_> {
        let found = self.document.find(method, path);
        let (Found::Known { path, .. } | Found::MethodNotAllowed { path }) = found else {
            return Known::Unknown;
        };
        let Some(plan) = self.paths.get(path) else { return Known::Unknown };
        match found {
            Found::Known { operation, .. } => plan
                .operations
                .get(operation)
                .map_or(Known::Unknown, |own| Known::Operation(own, &plan.unmatched)),
            _ => self.document.paths().get(path).map_or(Known::Unknown, |path| {
                Known::MethodNotAllowed(&path.allow, &plan.unmatched)
            }),
        }
    }
}

impl<'p> Known<'p> {
    /// The operation, if it is one.
    pub fn operation(self) -> Option<&'p Arc<OperationPlan>> {
        match self {
            Self::Operation(operation, _) => Some(operation),
            Self::MethodNotAllowed(..) | Self::Unknown => None,
        }
    }

    /// The policy: the route's where one matched, else that of the unmatched, under the name of
    /// whatever is known of the path.
    pub fn policy(self, route: &'p Arc<RoutePlan>) -> &'p Arc<RoutePlan> {
        match self {
            Self::Operation(_, unmatched) | Self::MethodNotAllowed(_, unmatched)
                if route.template.is_none() =>
            {
                unmatched
            }
            _ => route,
        }
    }
}
