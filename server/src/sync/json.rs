//! Settings between JSON, as people and manifests write them, and `google.protobuf.Struct`, as they travel.

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Map, Number};

/// A JSON object as a Struct.
pub fn to_struct(object: &Map<String, serde_json::Value>) -> Struct {
    Struct { fields: object.iter().map(|(name, value)| (name.clone(), to_value(value))).collect() }
}

/// A Struct as a JSON object. Numbers without a fraction become integers, as people write them.
pub fn from_struct(fields: &Struct) -> Map<String, serde_json::Value> {
    fields.fields.iter().map(|(name, value)| (name.clone(), from_value(value))).collect()
}

fn to_value(value: &serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(*value),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.iter().map(to_value).collect() })
        }
        serde_json::Value::Object(object) => Kind::StructValue(to_struct(object)),
    };
    Value { kind: Some(kind) }
}

fn from_value(value: &Value) -> serde_json::Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => (*value).into(),
        Some(Kind::NumberValue(number)) => from_number(*number),
        Some(Kind::StringValue(text)) => text.as_str().into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(from_value).collect(),
        Some(Kind::StructValue(fields)) => from_struct(fields).into(),
    }
}

fn from_number(number: f64) -> serde_json::Value {
    // Integers up to here are exact in a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        (number as i64).into()
    } else {
        Number::from_f64(number).map_or(serde_json::Value::Null, serde_json::Value::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_as_they_were_written() {
        let written = serde_json::json!({
            "root": "/srv/données", "max_size_bytes": 1048576, "ratio": 0.5, "deep": {"list": [1, "two", null, true]},
        });
        let object = written.as_object().unwrap();
        assert_eq!(&from_struct(&to_struct(object)), object);
    }
}
