//! `conformance.json`: what a connector is tried with. `docs/conformance.md` tells each field.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

/// The name of the file in a connector's folder.
pub const PLAN_FILE: &str = "conformance.json";

/// What a connector is tried with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// The settings of the connection.
    pub settings: Map<String, Value>,
    /// Its credential: the values by the names that the manifest's kind has.
    pub credential: Option<BTreeMap<String, String>>,
    /// A second connection, whose documents are others.
    pub another: Option<Another>,
    /// How many documents a listing brings, where that is known.
    pub documents: Option<usize>,
    /// A program that is the source while the kit runs.
    pub source: Option<Source>,
    /// What is done before the first call.
    pub prepare: Vec<Step>,
    /// What is changed in the source, so that changes and deletions can be seen.
    pub changes: Vec<Step>,
    /// A recording that the connector's SDK answers from, instead of a source.
    pub replay: Option<PathBuf>,
}

/// A second connection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Another {
    /// Its settings; absent: those of the first.
    pub settings: Option<Map<String, Value>>,
    /// Its credential; absent: that of the first.
    pub credential: Option<BTreeMap<String, String>>,
}

/// A program that is the source.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The program and its arguments, in the connector's folder. Its first line on stdout is a JSON object whose values
    /// are there as `$SOURCE:name`.
    pub command: Vec<String>,
}

/// One thing that is done to the source. Exactly one field.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Runs a program in the connector's folder.
    Run(Vec<String>),
    /// Sends an HTTP request to this machine.
    Request(HttpRequest),
    /// Goes on with another recording.
    Replay(PathBuf),
}

/// An HTTP request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// The method.
    #[serde(default = "post")]
    pub method: String,
    /// Where to; only `http://`.
    pub url: String,
    /// The body.
    #[serde(default)]
    pub json: Option<Value>,
}

fn post() -> String {
    "POST".to_owned()
}

impl Plan {
    /// Reads the file of a folder; one that is not there is an empty plan.
    ///
    /// # Errors
    ///
    /// It cannot be read, or says what is not known.
    pub fn read(file: &Path) -> Result<Self, String> {
        match std::fs::read_to_string(file) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{} cannot be read: {error}", file.display())),
        }
    }
}

/// What stands for something else in a plan: `$ENV:NAME`, `$SOURCE:name` and `$WORK`.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    /// What the source said of itself.
    pub(crate) source: Map<String, Value>,
    /// A fresh folder for this run.
    pub(crate) work: PathBuf,
}

impl Values {
    /// The text with what its placeholders stand for.
    ///
    /// # Errors
    ///
    /// A placeholder stands for nothing.
    pub(crate) fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$WORK") {
                filled.push_str(&self.work.to_string_lossy());
                rest = after;
            } else if let Some(after) = rest.strip_prefix("$ENV:") {
                let (name, after) = split_name(after);
                let value = std::env::var(name)
                    .map_err(|_| format!("the environment has no {name}, which $ENV:{name} asks for"))?;
                filled.push_str(&value);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("$SOURCE:") {
                let (name, after) = split_name(after);
                match self.source.get(name) {
                    Some(Value::String(value)) => filled.push_str(value),
                    Some(value) => filled.push_str(&value.to_string()),
                    None => {
                        return Err(format!(
                            "the source's first line has no {name:?}, which $SOURCE:{name} asks for"
                        ));
                    }
                }
                rest = after;
            } else {
                filled.push('$');
                rest = &rest[1..];
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// A JSON value with every text in it filled.
    ///
    /// # Errors
    ///
    /// A placeholder stands for nothing.
    pub(crate) fn fill_json(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.fill(text)?),
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.fill_json(item)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let fill = |(name, value): (&String, &Value)| Ok((name.clone(), self.fill_json(value)?));
                Value::Object(fields.iter().map(fill).collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }

    /// Every word of a command filled.
    ///
    /// # Errors
    ///
    /// A placeholder stands for nothing.
    pub(crate) fn fill_all(&self, words: &[String]) -> Result<Vec<String>, String> {
        words.iter().map(|word| self.fill(word)).collect()
    }
}

fn split_name(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let source = serde_json::json!({"url": "http://127.0.0.1:9", "port": 9});
        let Value::Object(source) = source else { unreachable!("an object") };
        Values { source, work: "/tmp/w".into() }
    }

    #[test]
    fn placeholders_are_filled_and_other_dollars_stay() {
        let filled = values().fill("$SOURCE:url/x $WORK/y costs 5$ at $SOURCE:port").unwrap();
        assert_eq!(filled, "http://127.0.0.1:9/x /tmp/w/y costs 5$ at 9");
        assert!(values().fill("$SOURCE:none").unwrap_err().contains("none"));
        assert!(values().fill("$ENV:SURELY_NOT_SET_ANYWHERE").is_err());
    }

    #[test]
    fn a_plan_with_an_unknown_field_is_refused() {
        let refused = serde_json::from_str::<Plan>(r#"{"setings": {}}"#).unwrap_err();
        assert!(refused.to_string().contains("setings"), "{refused}");
        let plan: Plan =
            serde_json::from_str(r#"{"changes": [{"run": ["true"]}, {"request": {"url": "http://x"}}]}"#)
                .unwrap();
        assert_eq!(plan.changes.len(), 2);
    }
}
