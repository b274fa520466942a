//! Circles of references: those that no value could ever leave, and those in which telling what is
//! wrong would cost more with every level of a value. And references that multiply: a few lines in which
//! each schema applies the next one twice would be applied more often than there is time.
//!
//! A schema may lead back to itself through a member or an item; each step then uses the value up.

use serde_json::Value;

/// Keywords that apply schemas to the same value.
const SAME_ONE: [&str; 4] = ["else", "if", "not", "then"];
const SAME_LISTED: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Keywords by which several schemas may apply to one value.
const BRANCHING: [&str; 11] = [
    "allOf",
    "anyOf",
    "contains",
    "dependentSchemas",
    "if",
    "not",
    "oneOf",
    "patternProperties",
    "prefixItems",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Whether a schema that stands alone applies itself to the very same value.
pub(super) fn leads_nowhere(schema: &Value) -> bool {
    has_circle(&edges(schema, gather_same))
}

/// Whether a schema that stands alone leads back to itself, and may do so in more than one way at once.
/// Its verdict is remembered for every value within; what is wrong, for none.
pub(super) fn multiplies(schema: &Value) -> bool {
    has_circle(&edges(schema, gather_all)) && branches(schema)
}

/// Schemas that one value may meet at most.
const MOST_AT_ONCE: u64 = 10_000;
/// Schemas that a value and all within it may meet at most, where no circle leads on for ever.
const MOST_IN_ALL: u64 = 1_000_000;

/// Whether a schema that stands alone and leads somewhere applies too many others.
pub(super) fn is_too_much(schema: &Value) -> bool {
    applications(schema, gather_same) > MOST_AT_ONCE
        || (!has_circle(&edges(schema, gather_all))
            && applications(schema, gather_all) > MOST_IN_ALL)
}

/// How many parts are applied, each as often as it is referred to, and so all that it refers to.
fn applications(schema: &Value, gather: impl Fn(&Value, &mut Vec<usize>)) -> u64 {
    let edges = edges(schema, &gather);
    let mut weights = vec![1_u64; edges.len()];
    let weigh = |weights: &[u64], targets: &[usize]| {
        let of_targets = targets.iter().filter_map(|target| weights.get(*target));
        of_targets.fold(1_u64, |sum, weight| sum.saturating_add(*weight))
    };
    for part in in_order(&edges).into_iter().rev() {
        weights[part] = weigh(&weights, &edges[part]);
    }
    let mut root = schema.clone();
    if let Some(members) = root.as_object_mut() {
        members.remove("$defs");
    }
    let mut targets = Vec::new();
    gather(&root, &mut targets);
    weigh(&weights, &targets)
}

fn branches(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            BRANCHING.iter().any(|keyword| members.contains_key(*keyword))
                || members.values().any(branches)
        }
        Value::Array(items) => items.iter().any(branches),
        _ => false,
    }
}

/// What each part leads to.
fn edges(schema: &Value, gather: impl Fn(&Value, &mut Vec<usize>)) -> Vec<Vec<usize>> {
    let Some(Value::Object(parts)) = schema.get("$defs") else { return Vec::new() };
    let targets = |number: usize| {
        let mut targets = Vec::new();
        if let Some(part) = parts.get(&number.to_string()) {
            gather(part, &mut targets);
        }
        targets
    };
    (0..parts.len()).map(targets).collect()
}

fn target(schema: &Value) -> Option<usize> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?.parse().ok()
}

/// Every part that is referred to.
fn gather_all(schema: &Value, targets: &mut Vec<usize>) {
    targets.extend(target(schema));
    match schema {
        Value::Object(members) => members.values().for_each(|below| gather_all(below, targets)),
        Value::Array(items) => items.iter().for_each(|below| gather_all(below, targets)),
        _ => {}
    }
}

/// The parts that a schema applies to the same value.
fn gather_same(schema: &Value, targets: &mut Vec<usize>) {
    targets.extend(target(schema));
    let one = SAME_ONE.iter().filter_map(|keyword| schema.get(*keyword));
    let listed = SAME_LISTED.iter().filter_map(|keyword| schema.get(*keyword)?.as_array());
    let named = schema.get("dependentSchemas").and_then(Value::as_object).into_iter();
    let below = one.chain(listed.flatten()).chain(named.flat_map(|named| named.values()));
    below.for_each(|schema| gather_same(schema, targets));
}

/// Whether parts lead back to themselves.
fn has_circle(edges: &[Vec<usize>]) -> bool {
    in_order(edges).len() < edges.len()
}

/// The parts, each before all that it leads to; those in circles, and what only they lead to, are left out.
fn in_order(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut incoming = vec![0_usize; edges.len()];
    for target in edges.iter().flatten() {
        if let Some(count) = incoming.get_mut(*target) {
            *count += 1;
        }
    }
    let mut free: Vec<usize> = (0..edges.len()).filter(|part| incoming[*part] == 0).collect();
    let mut order = Vec::with_capacity(edges.len());
    while let Some(part) = free.pop() {
        order.push(part);
        for target in &edges[part] {
            if let Some(count) = incoming.get_mut(*target) {
                *count -= 1;
                if *count == 0 {
                    free.push(*target);
                }
            }
        }
    }
    order
}
