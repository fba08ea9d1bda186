//! The settings of a connection, as its connector's manifest describes them: validated field by field, defaults
//! filled in, secrets told apart.

use std::collections::BTreeSet;
use std::fmt;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::manifest::Manifest;
use super::problem::Problem;
use super::schema;
use super::schema_walk::{self, Place, Step};

/// What is wrong with one field of a connection's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// The dotted path of the field, such as `include[0]`; empty: the settings as a whole.
    pub field: String,
    /// What is wrong, without the value where that is a secret.
    pub message: String,
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`: {}", self.field, self.message)
    }
}

/// A setting whose values Discover offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picker {
    /// The dotted path of the field, `[]` for the items of a list.
    pub field: String,
    /// The picker's name, as Discover gets it.
    pub picker: String,
}

/// The schema of a connector's settings.
#[derive(Debug)]
pub struct SettingsSchema {
    schema: Value,
    validator: Validator,
    secrets: Vec<Place>,
    pickers: Vec<Picker>,
}

impl SettingsSchema {
    /// Compiles the schema that a manifest carries.
    pub(super) fn new(schema: Value) -> Result<Self, Problem> {
        let validator = schema::compile(&schema)?;
        let mut secrets = Vec::new();
        let mut pickers = Vec::new();
        schema_walk::walk(&schema, &mut |place, node| {
            if node.get("x-secret").and_then(Value::as_bool) == Some(true) {
                secrets.push(place.clone());
            }
            if let Some(picker) = node.get("x-picker").and_then(Value::as_str) {
                pickers.push(Picker { field: schema_walk::dotted(place), picker: picker.to_owned() });
            }
        });
        Ok(Self { schema, validator, secrets, pickers })
    }

    /// The schema of a connector that takes no settings. It refuses all of them, so that a person who sets one
    /// hears that it has no effect.
    pub(super) fn nothing() -> Value {
        serde_json::json!({"type": "object", "additionalProperties": false})
    }

    /// The schema itself, for a console to make a form of.
    pub fn as_json(&self) -> &Value {
        &self.schema
    }

    /// The settings whose values Discover offers.
    pub fn pickers(&self) -> &[Picker] {
        &self.pickers
    }

    /// Whether there are secret settings.
    pub fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// The dotted paths of the secret settings, `[]` for the items of a list and `*` for any name.
    pub fn secret_fields(&self) -> Vec<String> {
        self.secrets.iter().map(schema_walk::dotted).collect()
    }

    fn is_secret(&self, path: &jsonschema::paths::Location) -> bool {
        let path: Vec<_> = path.into_iter().collect();
        self.secrets.iter().any(|place| schema_walk::covers(place, &path))
    }
}

/// Checks a connection's settings.
///
/// # Errors
///
/// Every problem, each naming its field.
pub fn validate_settings(manifest: &Manifest, settings: &Value) -> Result<(), Vec<FieldProblem>> {
    if !settings.is_object() {
        return Err(vec![FieldProblem { field: String::new(), message: "it is not an object".to_owned() }]);
    }
    let mut problems = Vec::new();
    for error in manifest.settings.validator.iter_errors(settings) {
        let path = schema::path_of(error.instance_path());
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                problems.extend(unexpected.iter().map(|name| FieldProblem {
                    field: schema::path_with(&path, name),
                    message: "there is no such setting".to_owned(),
                }));
            }
            // `additionalProperties: false` without any `properties`: whatever is there has no place.
            ValidationErrorKind::FalseSchema
                if error.schema_path().as_str().ends_with("/additionalProperties") =>
            {
                let object = settings.pointer(error.instance_path().as_str()).and_then(Value::as_object);
                problems.extend(object.into_iter().flatten().map(|(name, _)| FieldProblem {
                    field: schema::path_with(&path, name),
                    message: "there is no such setting".to_owned(),
                }));
            }
            kind => {
                let field = match kind {
                    ValidationErrorKind::Required { property } => {
                        schema::path_with(&path, property.as_str().unwrap_or_default())
                    }
                    _ => path,
                };
                let message = schema::message_of(&error, manifest.settings.is_secret(error.instance_path()));
                problems.push(FieldProblem { field, message });
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The one name in an object that stands for a secret value, sealed.
pub const SEALED: &str = "$sealed";

/// The settings without their secret values: what may be shown, and what Normalize gets.
#[must_use]
pub fn without_secrets(manifest: &Manifest, settings: &Value) -> Value {
    let mut settings = settings.clone();
    for pointer in secret_places(manifest, &settings) {
        if let Some(value) = settings.pointer_mut(&pointer) {
            *value = json!({ SEALED: null });
        }
    }
    // Also those of a setting that was secret in an earlier version of the manifest.
    if is_sealed(&settings) {
        return Value::Object(Map::new());
    }
    remove_sealed(&mut settings);
    settings
}

/// Where secret values stand in these settings, as JSON pointers; outer ones before those within them.
#[must_use]
pub fn secret_places(manifest: &Manifest, settings: &Value) -> Vec<String> {
    let mut pointers = BTreeSet::new();
    for place in &manifest.settings.secrets {
        find(settings, place, String::new(), &mut pointers);
    }
    pointers.into_iter().collect()
}

/// The values of secret settings, each text and number within them by itself.
#[must_use]
pub fn secret_values(manifest: &Manifest, settings: &Value) -> Vec<SecretString> {
    let mut values = Vec::new();
    for pointer in secret_places(manifest, settings) {
        settings.pointer(&pointer).into_iter().for_each(|value| gather(value, &mut values));
    }
    values
}

/// The settings with the schema's defaults where a person said nothing. Only objects that are there are looked
/// into: a default never brings a group of settings to life.
#[must_use]
pub fn apply_defaults(manifest: &Manifest, settings: &Value) -> Value {
    let mut settings = settings.clone();
    fill(&mut settings, &manifest.settings.schema);
    settings
}

fn is_sealed(value: &Value) -> bool {
    value.get(SEALED).is_some()
}

fn remove_sealed(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, inner| !is_sealed(inner));
            object.values_mut().for_each(remove_sealed);
        }
        Value::Array(items) => {
            items.retain(|inner| !is_sealed(inner));
            items.iter_mut().for_each(remove_sealed);
        }
        _ => {}
    }
}

fn find(value: &Value, place: &[Step], pointer: String, pointers: &mut BTreeSet<String>) {
    let Some((step, rest)) = place.split_first() else {
        pointers.insert(pointer);
        return;
    };
    let below = |name: &str| pointer_below(&pointer, name);
    match (step, value) {
        (Step::Name(name), Value::Object(object)) => {
            if let Some(inner) = object.get(name) {
                find(inner, rest, below(name), pointers);
            }
        }
        (Step::AnyName, Value::Object(object)) => {
            object.iter().for_each(|(name, inner)| find(inner, rest, below(name), pointers));
        }
        (Step::Items, Value::Array(items)) => {
            let inner = items.iter().enumerate();
            inner.for_each(|(at, inner)| find(inner, rest, below(&at.to_string()), pointers));
        }
        _ => {}
    }
}

/// The JSON pointer (RFC 6901) of what stands below another by this name.
#[must_use]
pub fn pointer_below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn gather(value: &Value, values: &mut Vec<SecretString>) {
    match value {
        Value::Array(items) => items.iter().for_each(|inner| gather(inner, values)),
        Value::Object(object) => object.values().for_each(|inner| gather(inner, values)),
        Value::String(text) => values.push(SecretString::from(text.as_str())),
        Value::Number(number) => values.push(SecretString::from(number.to_string())),
        _ => {}
    }
}

fn fill(value: &mut Value, schema: &Value) {
    let (Value::Object(object), Some(properties)) =
        (value, schema.get("properties").and_then(Value::as_object))
    else {
        return;
    };
    for (name, property) in properties {
        fill_one(object, name, property);
    }
}

fn fill_one(object: &mut Map<String, Value>, name: &str, property: &Value) {
    if let Some(inner) = object.get_mut(name) {
        fill(inner, property);
    } else if let Some(default) = property.get("default") {
        object.insert(name.to_owned(), default.clone());
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
