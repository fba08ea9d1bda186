//! A walk over a settings schema, to find the places that it marks (`x-secret`, `x-picker`).

use jsonschema::paths::LocationSegment;
use serde_json::Value;

/// Where a value may be within settings.
pub(super) type Place = Vec<Step>;

/// One step from a value into a value that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The property of this name.
    Name(String),
    /// Any property.
    AnyName,
    /// Any item of a list.
    Items,
}

/// A schema may refer to itself; deeper than this nobody marks a secret.
const MAX_DEPTH: usize = 16;

/// Calls `visit` with each sub-schema that can apply to a value, and the place of that value. A sub-schema that
/// applies only under a condition counts too: a secret is better removed once too often.
pub(super) fn walk(schema: &Value, visit: &mut dyn FnMut(&Place, &Value)) {
    // The number of visits is bounded as well as the depth: references can fan out.
    let mut visits_left = 10_000;
    walk_node(schema, schema, &mut Vec::new(), 0, &mut visits_left, visit);
}

/// The dotted path of a place.
pub(super) fn dotted(place: &Place) -> String {
    let mut path = String::new();
    for step in place {
        match step {
            Step::Items => path.push_str("[]"),
            Step::Name(name) => push(&mut path, name),
            Step::AnyName => push(&mut path, "*"),
        }
    }
    path
}

/// Whether a value at `path` is at the place, or within it.
pub(super) fn covers(place: &Place, path: &[LocationSegment<'_>]) -> bool {
    path.len() >= place.len()
        && place.iter().zip(path).all(|(step, segment)| match (step, segment) {
            (Step::Name(name), LocationSegment::Property(property)) => name == property,
            (Step::AnyName, LocationSegment::Property(_)) | (Step::Items, LocationSegment::Index(_)) => true,
            _ => false,
        })
}

fn push(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

fn walk_node(
    root: &Value,
    node: &Value,
    place: &mut Place,
    depth: usize,
    visits_left: &mut usize,
    visit: &mut dyn FnMut(&Place, &Value),
) {
    let Some(object) = node.as_object() else { return };
    if depth > MAX_DEPTH || *visits_left == 0 {
        return;
    }
    *visits_left -= 1;
    visit(place, node);
    let mut descend = |child: &Value, step: Option<Step>| {
        let steps = step.is_some();
        place.extend(step);
        walk_node(root, child, place, depth + 1, visits_left, visit);
        if steps {
            place.pop();
        }
    };
    for (keyword, value) in object {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, child) in properties {
                    descend(child, Some(Step::Name(name.clone())));
                }
            }
            ("patternProperties", Value::Object(patterns)) => {
                for child in patterns.values() {
                    descend(child, Some(Step::AnyName));
                }
            }
            ("additionalProperties" | "unevaluatedProperties", child) => descend(child, Some(Step::AnyName)),
            ("items" | "contains" | "unevaluatedItems", child) => descend(child, Some(Step::Items)),
            ("prefixItems", Value::Array(children)) => {
                for child in children {
                    descend(child, Some(Step::Items));
                }
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(children)) => {
                for child in children {
                    descend(child, None);
                }
            }
            ("if" | "then" | "else", child) => descend(child, None),
            ("dependentSchemas", Value::Object(children)) => {
                for child in children.values() {
                    descend(child, None);
                }
            }
            ("$ref", Value::String(reference)) => {
                if let Some(child) = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) {
                    descend(child, None);
                }
            }
            _ => {}
        }
    }
}
