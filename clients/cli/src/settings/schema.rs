//! What the connector's JSON Schema says a setting is, and the reading of a typed text as that.
//!
//! Only what decides how a text is read is looked at (`type`, `items`, `properties`, `format`, local `$ref`s):
//! whether the settings are valid is the server's to say.

use std::path::{Component, Path, PathBuf};

use serde_json::{Number, Value};

use crate::settings::SettingsError;

/// How many `$ref`s are followed: a schema may refer to itself.
const MAX_REFS: usize = 16;

/// A connector's settings schema; of an unknown one nothing is known.
pub struct Schema(Option<Value>);

impl Schema {
    /// The schema of a connector, where it has one.
    pub fn new(schema: Option<Value>) -> Self {
        Self(schema)
    }

    /// Reads the text that was typed for the setting at `path`.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Type`], where the schema knows the setting as something else.
    pub fn read(&self, key: &str, path: &[&str], text: &str) -> Result<Value, SettingsError> {
        self.read_as(key, self.find(path), text)
    }

    /// The schema of one setting; `None` where nothing is said of it.
    fn find(&self, path: &[&str]) -> Option<&Value> {
        let mut schema = self.resolve(self.0.as_ref()?)?;
        for part in path {
            let inner = schema.get("properties").and_then(|properties| properties.get(*part));
            let inner =
                inner.or_else(|| schema.get("additionalProperties").filter(|other| other.is_object()))?;
            schema = self.resolve(inner)?;
        }
        Some(schema)
    }

    /// Follows `{"$ref": "#/…"}` within this schema.
    fn resolve<'a>(&'a self, mut schema: &'a Value) -> Option<&'a Value> {
        for _ in 0..MAX_REFS {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return Some(schema) };
            schema = self.0.as_ref()?.pointer(reference.strip_prefix('#')?)?;
        }
        None
    }

    fn read_as(&self, key: &str, schema: Option<&Value>, text: &str) -> Result<Value, SettingsError> {
        let wrong = |expected| SettingsError::Type { key: key.to_owned(), expected, got: text.to_owned() };
        let types = schema.map(types).unwrap_or_default();
        if text == "null" && types.contains(&"null") {
            return Ok(Value::Null);
        }
        match types.iter().find(|name| **name != "null").copied() {
            Some("string") => {
                Ok(Value::String(match schema.and_then(|it| it.get("format")).and_then(Value::as_str) {
                    Some("path") => absolute(text),
                    _ => text.to_owned(),
                }))
            }
            Some("integer") => integer(text).ok_or_else(|| wrong("a whole number below 2^53")),
            Some("number") => text
                .trim()
                .parse()
                .ok()
                .and_then(Number::from_f64)
                .map(Value::Number)
                .ok_or_else(|| wrong("a number")),
            Some("boolean") => match text {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(wrong("true or false")),
            },
            Some("array") => self.read_list(key, schema, text),
            Some("object") => match serde_json::from_str(text) {
                Ok(value @ Value::Object(_)) => Ok(value),
                _ => Err(wrong("a JSON object")),
            },
            _ => Ok(by_looks(text)),
        }
    }

    /// A JSON array, or values with commas between them.
    fn read_list(&self, key: &str, schema: Option<&Value>, text: &str) -> Result<Value, SettingsError> {
        if text.trim_start().starts_with('[') {
            return match serde_json::from_str(text) {
                Ok(value @ Value::Array(_)) => Ok(value),
                _ => Err(SettingsError::Type {
                    key: key.to_owned(),
                    expected: "a JSON array, or values with commas between them",
                    got: text.to_owned(),
                }),
            };
        }
        let items = schema.and_then(|schema| schema.get("items")).and_then(|items| self.resolve(items));
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| self.read_as(key, items, part)).collect::<Result<_, _>>().map(Value::Array)
    }
}

/// The types that a schema names. A choice among texts is a text.
fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => match schema.get("enum").and_then(Value::as_array) {
            Some(choices) if choices.iter().all(Value::is_string) => vec!["string"],
            _ => Vec::new(),
        },
    }
}

/// A whole number that the wire, where numbers are doubles, holds exactly.
fn integer(text: &str) -> Option<Value> {
    const EXACT: i64 = 1 << 53;
    let number: i64 = text.trim().parse().ok()?;
    (-EXACT..=EXACT).contains(&number).then(|| Value::from(number))
}

/// Of what nothing is known: JSON where it is JSON, else the text. A quoted text keeps its quotes, because they
/// were typed.
fn by_looks(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::String(_)) | Err(_) => Value::String(text.to_owned()),
        Ok(value) => value,
    }
}

/// A path as the server can use it, wherever it runs on this machine: `~/` and relative paths are from here.
fn absolute(text: &str) -> String {
    let path = match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ if text.is_empty() => return String::new(),
        _ => PathBuf::from(text),
    };
    let climbs = path.components().any(|component| component == Component::ParentDir);
    // Only the file system knows what `..` means after a link; else the path stays as it was typed.
    let resolved = if climbs { path.canonicalize().ok() } else { None };
    let absolute = resolved.or_else(|| std::path::absolute(&path).ok()).unwrap_or(path);
    without_trailing_slash(&absolute)
}

/// `docs/`, as shells complete it, is `docs`.
fn without_trailing_slash(path: &Path) -> String {
    let text = path.to_string_lossy();
    match text.trim_end_matches('/') {
        "" => text.into_owned(),
        trimmed => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(key: &str, text: &str) -> Result<Value, SettingsError> {
        let schema = Schema::new(Some(json!({
            "$defs": {"size": {"type": ["integer", "null"]}, "loop": {"$ref": "#/$defs/loop"}},
            "properties": {
                "text": {"type": "string"},
                "root": {"type": "string", "format": "path"},
                "size": {"$ref": "#/$defs/size"},
                "loop": {"$ref": "#/$defs/loop"},
                "ratio": {"type": "number"},
                "hidden": {"type": "boolean"},
                "globs": {"type": "array", "items": {"type": "string"}},
                "numbers": {"type": "array", "items": {"type": "integer"}},
                "choice": {"enum": ["1", "2"]},
                "map": {"type": "object", "additionalProperties": {"type": "integer"}},
            },
        })));
        schema.read(key, &key.split('.').collect::<Vec<_>>(), text)
    }

    #[test]
    fn the_schema_decides_what_a_text_is() {
        for (key, text, value) in [
            ("text", "42", json!("42")),
            ("text", "true", json!("true")),
            ("size", "42", json!(42)),
            ("size", "null", json!(null)),
            ("ratio", "0.5", json!(0.5)),
            ("hidden", "true", json!(true)),
            ("globs", "*.md, 1", json!(["*.md", "1"])),
            ("globs", "[\"a,b\"]", json!(["a,b"])),
            ("globs", "", json!([])),
            ("numbers", "1,2", json!([1, 2])),
            ("choice", "1", json!("1")),
            ("map", "{\"a\": 1}", json!({"a": 1})),
            ("map.any", "7", json!(7)),
        ] {
            assert_eq!(read(key, text).unwrap(), value, "{key}={text}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_names_the_key_and_what_is_right() {
        for (key, text) in [
            ("size", "big"),
            ("size", "9007199254740993"),
            ("ratio", "NaN"),
            ("hidden", "yes"),
            ("numbers", "1,x"),
            ("globs", "[1"),
            ("map", "[]"),
        ] {
            let error = read(key, text).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{key}: expected ")), "{error}");
        }
    }

    #[test]
    fn of_an_unknown_setting_the_looks_decide() {
        for (text, value) in [
            ("12", json!(12)),
            ("[1]", json!([1])),
            ("false", json!(false)),
            ("plain", json!("plain")),
            ("\"quoted\"", json!("\"quoted\"")),
            ("{broken", json!("{broken")),
        ] {
            assert_eq!(read("unknown", text).unwrap(), value, "{text}");
            assert_eq!(read("loop", text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn a_path_is_made_absolute() {
        let here = std::env::current_dir().unwrap();
        let joined = |tail: &str| Value::String(here.join(tail).to_string_lossy().into_owned());
        assert_eq!(read("root", "./docs/").unwrap(), joined("docs"));
        assert_eq!(read("root", "docs").unwrap(), joined("docs"));
        assert_eq!(read("root", "/").unwrap(), json!("/"));
        assert_eq!(read("root", "").unwrap(), json!(""));
        let parent = here.parent().unwrap().canonicalize().unwrap();
        assert_eq!(read("root", "..").unwrap(), Value::String(parent.to_string_lossy().into_owned()));
        assert_eq!(read("text", "./docs").unwrap(), json!("./docs"));
    }
}
