//! Settings as they are typed: `--set key=value` and `--set-file key=PATH`, read by the connector's schema where
//! it says what a value is, and by their looks where it does not.

mod schema;
mod value;

use std::path::PathBuf;

use serde_json::{Map, Value};

pub use self::schema::Schema;
pub use self::value::{to_json, to_struct};

/// One `key=value`. Dots in the key go one level down: `filter.max_size`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    key: String,
    value: Typed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Typed {
    Text(String),
    File(PathBuf),
}

/// What is wrong with settings as they were typed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// There is no `=`, or nothing before it, or an empty part between dots.
    #[error("{0:?} is not KEY=VALUE, such as root=./docs or filter.max_size=10")]
    Form(String),
    /// The schema wants something else.
    #[error("{key}: expected {expected}, got {got:?}")]
    Type {
        /// The key as it was typed.
        key: String,
        /// What would have been right.
        expected: &'static str,
        /// The value as it was typed.
        got: String,
    },
    /// A key that holds one value was given two.
    #[error("{0}: given twice; only a list takes several values")]
    Twice(String),
    /// A part of the key is a value, so nothing can be under it.
    #[error("{0}: what is above it is a value, not a group of settings")]
    NotAGroup(String),
    /// A file cannot be read as text.
    #[error("{key}: cannot read {path}: {cause}")]
    File {
        /// The key as it was typed.
        key: String,
        /// The file.
        path: String,
        /// Why.
        cause: String,
    },
}

/// Reads `key=value` (for clap).
///
/// # Errors
///
/// [`SettingsError::Form`].
pub fn parse_assignment(text: &str) -> Result<Assignment, SettingsError> {
    let (key, value) = split(text)?;
    Ok(Assignment { key, value: Typed::Text(value) })
}

/// Reads `key=PATH`; the file is read when the settings are put together.
///
/// # Errors
///
/// [`SettingsError::Form`].
pub fn parse_file_assignment(text: &str) -> Result<Assignment, SettingsError> {
    let (key, path) = split(text)?;
    Ok(Assignment { key, value: Typed::File(path.into()) })
}

fn split(text: &str) -> Result<(String, String), SettingsError> {
    match text.split_once('=') {
        Some((key, value)) if key.split('.').all(|part| !part.trim().is_empty()) => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err(SettingsError::Form(text.to_owned())),
    }
}

/// The top keys that assignments touch: what an update mask names.
pub fn top_keys<'a>(assignments: impl IntoIterator<Item = &'a Assignment>) -> Vec<String> {
    let mut keys = Vec::new();
    for assignment in assignments {
        let top = assignment.key.split('.').next().unwrap_or(&assignment.key).to_owned();
        if !keys.contains(&top) {
            keys.push(top);
        }
    }
    keys
}

/// Puts assignments into settings, in their order. A list that is given several times gets all of its values.
///
/// # Errors
///
/// A value is not what the schema wants, a key is given twice, or a file cannot be read.
pub fn assign(
    settings: &mut Map<String, Value>,
    assignments: &[Assignment],
    schema: &Schema,
) -> Result<(), SettingsError> {
    let mut given: Vec<&str> = Vec::new();
    for Assignment { key, value } in assignments {
        let path: Vec<&str> = key.split('.').collect();
        let value = match value {
            Typed::Text(text) => schema.read(key, &path, text)?,
            Typed::File(file) => schema.read(key, &path, &read_file(key, file)?)?,
        };
        let slot = slot(settings, key, &path)?;
        if given.contains(&key.as_str()) {
            match (slot, value) {
                (Some(Value::Array(known)), Value::Array(more)) => known.extend(more),
                _ => return Err(SettingsError::Twice(key.clone())),
            }
        } else {
            given.push(key);
            match slot {
                Some(known) => *known = value,
                None => insert(settings, &path, value),
            }
        }
    }
    Ok(())
}

/// A file's text, without the line break that editors put at its end.
fn read_file(key: &str, path: &PathBuf) -> Result<String, SettingsError> {
    let mut text = std::fs::read_to_string(path).map_err(|error| SettingsError::File {
        key: key.to_owned(),
        path: path.display().to_string(),
        cause: error.to_string(),
    })?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The value that is there; `None` where nothing is.
fn slot<'a>(
    settings: &'a mut Map<String, Value>,
    key: &str,
    path: &[&str],
) -> Result<Option<&'a mut Value>, SettingsError> {
    let Some((last, groups)) = path.split_last() else { return Ok(None) };
    let mut group = settings;
    for part in groups {
        group = match group.get_mut(*part) {
            None => return Ok(None),
            Some(Value::Object(inner)) => inner,
            Some(_) => return Err(SettingsError::NotAGroup(key.to_owned())),
        };
    }
    Ok(group.get_mut(*last))
}

/// Puts a value where nothing is; [`slot`] has seen that only groups lie on the way.
fn insert(settings: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => {
            settings.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let group = settings.entry(*first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(group) = group {
                insert(group, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn built(typed: &[&str]) -> Result<Value, SettingsError> {
        let assignments: Vec<_> =
            typed.iter().map(|text| parse_assignment(text)).collect::<Result<_, _>>()?;
        let schema = Schema::new(Some(json!({"properties": {
            "name": {"type": "string"},
            "include": {"type": "array", "items": {"type": "string"}},
        }})));
        let mut settings = Map::new();
        assign(&mut settings, &assignments, &schema)?;
        Ok(Value::Object(settings))
    }

    #[test]
    fn dots_go_one_level_down() {
        assert_eq!(
            built(&["a.b=1", "a.c.d=x", "name=007"]).unwrap(),
            json!({"a": {"b": 1, "c": {"d": "x"}}, "name": "007"})
        );
    }

    #[test]
    fn a_list_takes_several_values_and_nothing_else_does() {
        assert_eq!(
            built(&["include=*.md,*.txt", "include=*.pdf"]).unwrap(),
            json!({"include": ["*.md", "*.txt", "*.pdf"]})
        );
        assert_eq!(built(&["name=a", "name=b"]), Err(SettingsError::Twice("name".into())));
    }

    #[test]
    fn what_is_not_an_assignment_is_refused() {
        for wrong in ["root", "=x", "a..b=1", ".a=1"] {
            assert_eq!(built(&[wrong]), Err(SettingsError::Form(wrong.into())));
        }
        assert_eq!(built(&["name=x", "name.y=1"]), Err(SettingsError::NotAGroup("name.y".into())));
    }

    #[test]
    fn a_new_value_replaces_what_was_saved() {
        let mut settings = Map::from_iter([("include".to_owned(), json!(["old"]))]);
        let schema = Schema::new(Some(json!({"properties": {"include": {"type": "array"}}})));
        assign(&mut settings, &[parse_assignment("include=new").unwrap()], &schema).unwrap();
        assert_eq!(Value::Object(settings), json!({"include": ["new"]}));
    }

    #[test]
    fn a_file_is_a_value_without_its_last_line_break() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one\ntwo\n").unwrap();
        let typed = format!("name={}", file.path().display());
        let mut settings = Map::new();
        assign(&mut settings, &[parse_file_assignment(&typed).unwrap()], &Schema::new(None)).unwrap();
        assert_eq!(Value::Object(settings), json!({"name": "one\ntwo"}));
        let missing = parse_file_assignment("name=/no/such/file").unwrap();
        assert!(matches!(
            assign(&mut Map::new(), &[missing], &Schema::new(None)),
            Err(SettingsError::File { .. })
        ));
    }

    #[test]
    fn an_update_names_the_top_keys_once() {
        let typed: Vec<_> =
            ["a.b=1", "a.c=2", "d=3"].iter().map(|text| parse_assignment(text).unwrap()).collect();
        assert_eq!(top_keys(&typed), ["a", "d"]);
    }
}
