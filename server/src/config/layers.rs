//! The layers of a configuration, merged key by key: file, environment, command line, each over the one before.
//! Every value keeps its origin, so that a problem can say where to mend it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::{ConfigProblem, Origin};

/// What every environment variable of ours begins with.
pub(super) const ENV_PREFIX: &str = "CONNECTORD_";

/// Values by section and key.
#[derive(Debug, Default)]
pub(super) struct Layers {
    sections: BTreeMap<String, BTreeMap<String, Setting>>,
}

#[derive(Debug)]
struct Setting {
    value: Written,
    origin: Origin,
}

#[derive(Debug)]
enum Written {
    /// With a type of its own.
    Typed(Value),
    /// As a text that takes the type of its key.
    Text(String),
}

impl Layers {
    /// Lays a configuration file over what is there.
    pub(super) fn add_file(&mut self, path: &Path, text: &str, problems: &mut Vec<ConfigProblem>) {
        let origin = Origin::File(path.to_owned());
        let mut problem = |key: String, message: String| {
            problems.push(ConfigProblem { key, message, origin: origin.clone() });
        };
        let table: toml::Table = match toml::from_str(text) {
            Ok(table) => table,
            // The error quotes lines of the file, and one of them may hold the token.
            Err(error) => {
                let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
                return problem(String::new(), format!("line {line} is not TOML: {}", error.message()));
            }
        };
        for (section, value) in table {
            let toml::Value::Table(keys) = value else {
                problem(section, "it is no section; write keys below a [section] line".to_owned());
                continue;
            };
            for (key, value) in keys {
                // A table in a section is a section of its own: `[connectors.filesystem]`.
                if let toml::Value::Table(keys) = value {
                    for (inner, value) in keys {
                        let value = serde_json::to_value(value).unwrap_or(Value::Null);
                        self.set(&format!("{section}.{key}"), &inner, Written::Typed(value), origin.clone());
                    }
                    continue;
                }
                // Fails for numbers that JSON lacks (nan, inf); null then fails the key's own type.
                let value = serde_json::to_value(value).unwrap_or(Value::Null);
                self.set(&section, &key, Written::Typed(value), origin.clone());
            }
        }
    }

    /// Lays environment variables over what is there: `CONNECTORD_SECTION__KEY`, or `CONNECTORD_SECTION__NAME__KEY` for
    /// a section in a section. A variable's name has no hyphens, and the names of connectors have no underscores.
    pub(super) fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        problems: &mut Vec<ConfigProblem>,
    ) {
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(ENV_PREFIX) else { continue };
            let origin = Origin::Environment(name.clone());
            let Some((section, key)) = rest.split_once("__") else {
                let message =
                    "there is no such variable; write CONNECTORD_SECTION__KEY, with two underscores between";
                problems.push(ConfigProblem { key: String::new(), message: message.to_owned(), origin });
                continue;
            };
            let (section, key) = match key.split_once("__") {
                Some((id, key)) if section == "CONNECTORS" => {
                    (format!("{section}.{}", id.replace('_', "-")), key)
                }
                Some((name, key)) => (format!("{section}.{name}"), key),
                None => (section.to_owned(), key),
            };
            let (section, key) = (section.to_lowercase(), key.to_lowercase());
            match value.into_string() {
                Ok(text) => self.set(&section, &key, Written::Text(text), origin),
                Err(_) => problems.push(ConfigProblem {
                    key: format!("{section}.{key}"),
                    message: "it is not UTF-8".to_owned(),
                    origin,
                }),
            }
        }
    }

    /// Lays one argument over what is there.
    pub(super) fn add_argument(&mut self, name: &'static str, section: &str, key: &str, value: &Path) {
        let text = value.to_string_lossy().into_owned();
        self.set(section, key, Written::Text(text), Origin::Argument(name));
    }

    fn set(&mut self, section: &str, key: &str, value: Written, origin: Origin) {
        self.sections
            .entry(section.to_owned())
            .or_default()
            .insert(key.to_owned(), Setting { value, origin });
    }

    /// Where the value of a key was written.
    pub(super) fn origin(&self, section: &str, key: &str) -> Origin {
        let setting = self.sections.get(section).and_then(|keys| keys.get(key));
        setting.map_or(Origin::Default, |setting| setting.origin.clone())
    }

    /// The names of the sections within a section.
    pub(super) fn names_within(&self, section: &str) -> Vec<String> {
        let within = |name: &String| name.strip_prefix(section)?.strip_prefix('.').map(str::to_owned);
        self.sections.keys().filter_map(within).collect()
    }

    /// Notes each section that does not exist. Those within `open` have names of their own.
    pub(super) fn check_sections(&self, known: &[&str], open: &str, problems: &mut Vec<ConfigProblem>) {
        let exists = |name: &str| {
            known.contains(&name) || name.split_once('.').is_some_and(|(outer, _)| outer == open)
        };
        for (section, keys) in self.sections.iter().filter(|(name, _)| !exists(name)) {
            let message = format!("there is no such section{}", did_you_mean(section, known.iter().copied()));
            let origin = keys.values().next().map_or(Origin::Default, |setting| setting.origin.clone());
            problems.push(ConfigProblem { key: section.clone(), message, origin });
        }
    }

    /// The section `name` with its defaults; each key that is unknown or has the wrong type is noted and left out.
    pub(super) fn section<S: Default + Serialize + DeserializeOwned>(
        &self,
        name: &str,
        problems: &mut Vec<ConfigProblem>,
    ) -> S {
        // A section's defaults name all its keys (an optional one as null) and show their types.
        let defaults = match serde_json::to_value(S::default()) {
            Ok(Value::Object(defaults)) => defaults,
            _ => Map::new(),
        };
        let mut accepted = Map::new();
        for (key, setting) in self.sections.get(name).into_iter().flatten() {
            let checked = match defaults.get(key) {
                None => Err(format!(
                    "there is no such key{}",
                    did_you_mean(key, defaults.keys().map(String::as_str))
                )),
                Some(default) => {
                    let value = match &setting.value {
                        Written::Typed(value) => value.clone(),
                        Written::Text(text) => like(default, text),
                    };
                    // Alone among defaults: serde stops at its first error, and we want the one of each key.
                    let alone = Map::from_iter([(key.clone(), value.clone())]);
                    match serde_json::from_value::<S>(alone.into()) {
                        Ok(_) => Ok(value),
                        Err(error) => Err(told(default, &value, &error)),
                    }
                }
            };
            match checked {
                Ok(value) => {
                    accepted.insert(key.clone(), value);
                }
                Err(message) => problems.push(ConfigProblem {
                    key: format!("{name}.{key}"),
                    message,
                    origin: setting.origin.clone(),
                }),
            }
        }
        serde_json::from_value(accepted.into()).unwrap_or_default()
    }
}

/// A text as the type that its key has; where it is not of that type the text stays, for the error to show.
fn like(default: &Value, text: &str) -> Value {
    let parsed = match default {
        Value::Bool(_) => text.parse().ok().map(Value::Bool),
        Value::Number(_) => serde_json::from_str(text).ok().filter(Value::is_number),
        // Written as JSON: ["one", "two"].
        Value::Array(_) => serde_json::from_str(text).ok().filter(Value::is_array),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// What is wrong with a value, in words for a person: serde's own name Rust's types.
fn told(default: &Value, value: &Value, error: &serde_json::Error) -> String {
    match default {
        Value::Bool(_) => format!("{value} is not true or false"),
        Value::Number(number) if number.is_u64() => format!("{value} is not a whole number of 0 or more"),
        Value::Number(_) => format!("{value} is not a number"),
        Value::Array(_) => "it is not a list of texts; write [\"one\", \"two\"]".to_owned(),
        _ => error.to_string(),
    }
}

fn did_you_mean<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> String {
    let close = known
        .map(|known| (strsim::jaro_winkler(written, known), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    close.map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"))
}
