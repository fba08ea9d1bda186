//! Between protobuf's `Struct` and what authors like to write: typed settings, JSON, and metadata.

use prost_types::{Struct, Timestamp, Value as ProtoValue, value::Kind};
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;

/// Up to here every whole number has a double of its own, so it can be handed out as an integer.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_992.0;

/// The metadata of an envelope, built entry by entry. Conventional keys: `mime_type`, `owner`, `size`, `path`.
#[derive(Clone, Debug, Default)]
pub struct Metadata(Struct);

impl Metadata {
    /// No entry yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text, a number (as `f64`), a flag or any other protobuf value.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<ProtoValue>) -> Self {
        self.0.fields.insert(key.into(), value.into());
        self
    }

    /// Adds a count or size. Metadata numbers are doubles, so one over 2^53 loses its last digits.
    #[must_use]
    pub fn with_count(self, key: impl Into<String>, count: u64) -> Self {
        self.with(key, count as f64)
    }

    /// Adds a time as RFC 3339 text.
    #[must_use]
    pub fn with_time(self, key: impl Into<String>, time: Timestamp) -> Self {
        self.with(key, time.to_string())
    }

    /// Adds an entry where there is one.
    #[must_use]
    pub fn with_some(self, key: impl Into<String>, value: Option<impl Into<ProtoValue>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// What goes into the envelope.
    pub fn into_struct(self) -> Struct {
        self.0
    }
}

impl From<Metadata> for Option<Struct> {
    fn from(metadata: Metadata) -> Self {
        Some(metadata.0)
    }
}

/// A protobuf struct as JSON. Whole numbers come out as integers, so that they fit an integer field.
pub fn struct_to_json(value: Struct) -> Map<String, Value> {
    value.fields.into_iter().map(|(key, value)| (key, value_to_json(value))).collect()
}

fn value_to_json(value: ProtoValue) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::NumberValue(number)) => number_to_json(number),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(value_to_json).collect()),
        Some(Kind::StructValue(fields)) => Value::Object(struct_to_json(fields)),
    }
}

fn number_to_json(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER {
        return Value::Number(Number::from(number as i64));
    }
    // JSON has no word for infinity and not-a-number.
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// JSON as a protobuf struct. Numbers become doubles.
pub fn json_to_struct(fields: Map<String, Value>) -> Struct {
    Struct { fields: fields.into_iter().map(|(key, value)| (key, json_to_value(value))).collect() }
}

fn json_to_value(value: Value) -> ProtoValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => Kind::ListValue(prost_types::ListValue {
            values: values.into_iter().map(json_to_value).collect(),
        }),
        Value::Object(fields) => Kind::StructValue(json_to_struct(fields)),
    };
    ProtoValue { kind: Some(kind) }
}

/// Reads settings into the author's type.
pub(crate) fn parse_settings<S: DeserializeOwned>(settings: Option<Struct>) -> Result<S, ConnectorError> {
    let json = Value::Object(struct_to_json(settings.unwrap_or_default()));
    serde_json::from_value(json).map_err(|error| {
        let message = format!("the settings cannot be read: {}", without_values(&error.to_string()));
        ConnectorError::new(Reason::SettingsInvalid, message)
    })
}

/// A parser's message without what a person entered, which may be a secret: `invalid type: string "s3cret",
/// expected u16` keeps its second half only.
fn without_values(message: &str) -> String {
    let quotes_a_value = ["invalid type", "invalid value", "unknown variant", "invalid length"]
        .iter()
        .any(|start| message.starts_with(start));
    let safe_start = ["missing field", "unknown field", "duplicate field"];
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if quotes_a_value => format!("a value is not of its kind, expected {expected}"),
        _ if safe_start.iter().any(|start| message.starts_with(start)) => message.to_owned(),
        _ => "a value is refused".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Settings {
        root: String,
        limit: Option<u16>,
    }

    fn read(json: Value) -> Result<Settings, ConnectorError> {
        let Value::Object(fields) = json else { panic!("not an object") };
        parse_settings(Some(json_to_struct(fields)))
    }

    #[test]
    fn whole_numbers_fit_integer_settings() {
        let settings = read(serde_json::json!({"root": "/srv", "limit": 500})).unwrap();
        assert_eq!((settings.root.as_str(), settings.limit), ("/srv", Some(500)));
    }

    #[test]
    fn a_bad_setting_is_told_without_its_value() {
        let error = read(serde_json::json!({"root": "/srv", "limit": "s3cret, expected x"})).unwrap_err();
        assert_eq!(error.reason, Reason::SettingsInvalid);
        assert!(!error.message.contains("s3cret"), "{}", error.message);
        let error = read(serde_json::json!({})).unwrap_err();
        assert!(error.message.contains("missing field `root`"), "{}", error.message);
    }

    #[test]
    fn json_goes_there_and_back() {
        let Value::Object(fields) = serde_json::json!({"a": [1, 2.5, null, {"b": true}], "t": "x"}) else {
            panic!("not an object")
        };
        assert_eq!(struct_to_json(json_to_struct(fields.clone())), fields);
    }
}
