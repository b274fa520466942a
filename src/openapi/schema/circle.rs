//! Circles that no value could ever leave: a schema that applies itself to the very same value.
//!
//! A schema may lead back to itself through a member or an item; each step then uses the value up.

use serde_json::Value;

/// Keywords that apply schemas to the same value.
const SAME_ONE: [&str; 4] = ["else", "if", "not", "then"];
const SAME_LISTED: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Whether a schema that stands alone holds such a circle.
pub(super) fn leads_nowhere(schema: &Value) -> bool {
    let mut edges = Vec::new();
    let Some(Value::Object(parts)) = schema.get("$defs") else { return false };
    for number in 0..parts.len() {
        let mut targets = Vec::new();
        if let Some(part) = parts.get(&number.to_string()) {
            gather(part, &mut targets);
        }
        edges.push(targets);
    }
    has_circle(&edges)
}

/// The parts that a schema applies to the same value.
fn gather(schema: &Value, targets: &mut Vec<usize>) {
    let reference = schema.get("$ref").and_then(Value::as_str);
    let number = reference.and_then(|reference| reference.strip_prefix("#/$defs/"));
    targets.extend(number.and_then(|number| number.parse::<usize>().ok()));
    let one = SAME_ONE.iter().filter_map(|keyword| schema.get(*keyword));
    let listed = SAME_LISTED.iter().filter_map(|keyword| schema.get(*keyword)?.as_array());
    let named = schema.get("dependentSchemas").and_then(Value::as_object).into_iter();
    let below = one.chain(listed.flatten()).chain(named.flat_map(|named| named.values()));
    below.for_each(|schema| gather(schema, targets));
}

/// Takes away what leads nowhere else until nothing is left, or only circles are.
fn has_circle(edges: &[Vec<usize>]) -> bool {
    let mut incoming = vec![0_usize; edges.len()];
    for target in edges.iter().flatten() {
        if let Some(count) = incoming.get_mut(*target) {
            *count += 1;
        }
    }
    let mut free: Vec<usize> = (0..edges.len()).filter(|part| incoming[*part] == 0).collect();
    let mut left = edges.len();
    while let Some(part) = free.pop() {
        left -= 1;
        for target in &edges[part] {
            if let Some(count) = incoming.get_mut(*target) {
                *count -= 1;
                if *count == 0 {
                    free.push(*target);
                }
            }
        }
    }
    left > 0
}
