//! Settings between JSON, in which they are put together, and the `Struct` that travels.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Map, Value};

/// JSON as a `Struct`.
pub fn to_struct(settings: Map<String, Value>) -> Struct {
    Struct { fields: settings.into_iter().map(|(key, value)| (key, to_value(value))).collect() }
}

fn to_value(value: Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        // A number of JSON always has a double next to it; only `arbitrary_precision` would say otherwise.
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.into_iter().map(to_value).collect() })
        }
        Value::Object(object) => Kind::StructValue(to_struct(object)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// A `Struct` as JSON. What JSON cannot say (a number that is none) is null.
pub fn to_json(settings: &Struct) -> Map<String, Value> {
    settings.fields.iter().map(|(key, value)| (key.clone(), from_value(value))).collect()
}

fn from_value(value: &prost_types::Value) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(*value),
        Some(Kind::NumberValue(number)) => Value::from(*number),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(from_value).collect()),
        Some(Kind::StructValue(inner)) => Value::Object(to_json(inner)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_travel_there_and_back() {
        let Value::Object(settings) = json!({"a": [1.5, "x", null], "b": {"c": true}}) else {
            unreachable!()
        };
        assert_eq!(to_json(&to_struct(settings.clone())), settings);
    }
}
