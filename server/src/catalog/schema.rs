//! JSON Schema as the catalogue uses it: the published schema of manifests, the schemas that manifests carry, and
//! how a failed keyword is told to the person who has to mend it.

use std::str::FromStr;
use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use super::frequency::Frequency;
use super::problem::Problem;

/// The published schema of manifests, draft 2020-12. Its descriptions are the documentation of each field.
pub const MANIFEST_SCHEMA: &str = include_str!("../../schema/manifest.schema.json");

/// A value in a message is cut here, so that a manifest of a megabyte makes no message of a megabyte.
const MAX_SHOWN_CHARS: usize = 80;

static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(MANIFEST_SCHEMA).expect("a constant; a test reads it"));

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .with_format("frequency", |text: &str| Frequency::from_str(text).is_ok())
        .with_format("time-zone", |text: &str| chrono_tz::Tz::from_str(text).is_ok())
        .with_format("duration-text", |text: &str| {
            humantime::parse_duration(text).is_ok_and(|duration| !duration.is_zero())
        })
        .build(&SCHEMA)
        .expect("a constant; a test compiles it")
});

/// Checks a manifest against the published schema.
pub(super) fn check(manifest: &Value) -> Vec<Problem> {
    let mut problems: Vec<Problem> =
        VALIDATOR.iter_errors(manifest).flat_map(|error| problems_of(&error)).collect();
    problems.sort_by(|a, b| a.path.cmp(&b.path));
    problems.dedup();
    problems
}

/// Compiles a schema that a manifest carries.
///
/// # Errors
///
/// What is wrong with it, at a path within it. A `$ref` to another file or host is wrong: nothing is fetched.
pub(super) fn compile(schema: &Value) -> Result<Validator, Problem> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        // A pattern from a manifest meets values from a person: no pattern may take for ever.
        .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(100_000))
        .build(schema)
        .map_err(|error| {
            let message = format!("it is not a valid JSON Schema: {}", shorten(&error.to_string()));
            Problem::new(path_of(error.instance_path()), message, "mend it as JSON Schema draft 2020-12 says")
        })
}

/// The dotted path of a location, such as `auth.scopes[2]`.
pub(super) fn path_of(location: &Location) -> String {
    let mut path = String::new();
    for segment in location {
        match segment {
            LocationSegment::Property(name) => push_name(&mut path, &name),
            LocationSegment::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

/// `path` and then `name` in it.
pub(super) fn path_with(path: &str, name: &str) -> String {
    let mut path = path.to_owned();
    push_name(&mut path, name);
    path
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// What a failed keyword says, without the value where that is a secret.
pub(super) fn message_of(error: &ValidationError<'_>, secret: bool) -> String {
    let shown = if secret { "the value".to_owned() } else { shorten(&error.instance().to_string()) };
    match error.kind() {
        ValidationErrorKind::Required { .. } => "it is missing".to_owned(),
        ValidationErrorKind::Type { kind } => {
            let wanted = match kind {
                TypeKind::Single(one) => one.to_string(),
                TypeKind::Multiple(several) => {
                    several.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or ")
                }
            };
            format!("{shown} is not of type {wanted}")
        }
        ValidationErrorKind::Enum { options } => format!("{shown} is not one of {}", listed(options)),
        ValidationErrorKind::Format { format } if format == "frequency" && !secret => {
            // It knows which field of a cron expression is wrong.
            let text = error.instance().as_str().unwrap_or_default();
            Frequency::from_str(text).err().map(|error| error.to_string()).unwrap_or_default()
        }
        ValidationErrorKind::Format { format } => format!("{shown} is not a {}", format.replace('-', " ")),
        ValidationErrorKind::Pattern { pattern } => {
            format!("{shown} does not have the form {}", shorten(pattern))
        }
        _ if secret => shorten(&error.masked_with("the value").to_string()),
        _ => shorten(&error.to_string()),
    }
}

fn problems_of(error: &ValidationError<'_>) -> Vec<Problem> {
    let path = path_of(error.instance_path());
    let keyword_at = error.schema_path().as_str();
    let (node_at, _) = keyword_at.rsplit_once('/').unwrap_or(("", keyword_at));
    let node = SCHEMA.pointer(node_at).unwrap_or(&Value::Null);
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().map(|name| unknown_property(&path, name, node)).collect()
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let fix = fix_of(property_schema(node, name)).unwrap_or_else(|| "add it".to_owned());
            vec![Problem::new(path_with(&path, name), message_of(error, false), fix)]
        }
        ValidationErrorKind::Enum { options } => {
            let fix = closest(error.instance().as_str(), options.as_array().into_iter().flatten())
                .map_or_else(
                    || "write one of these".to_owned(),
                    |option| format!("did you mean {option:?}?"),
                );
            vec![Problem::new(path, message_of(error, false), fix)]
        }
        _ => {
            let fix = fix_of(Some(node)).unwrap_or_else(|| match node["description"].as_str() {
                Some(description) => format!("it is meant so: {description}"),
                None => "compare it with the manifest schema".to_owned(),
            });
            vec![Problem::new(path, message_of(error, false), fix)]
        }
    }
}

fn unknown_property(path: &str, name: &str, node: &Value) -> Problem {
    let known: Vec<Value> =
        node["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str().into()).collect();
    let fix = match closest(Some(name), known.iter()) {
        Some(close) => format!("did you mean {close:?}?"),
        None => "remove it, or begin its name with \"x-\" if it is a note for another tool".to_owned(),
    };
    Problem::new(path_with(path, name), "there is no such property", fix)
}

/// The schema of a property, through one `$ref` within the document.
fn property_schema<'a>(node: &'a Value, name: &str) -> Option<&'a Value>
where
    'static: 'a,
{
    let schema = node.get("properties")?.get(name)?;
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => SCHEMA.pointer(reference.strip_prefix('#')?),
        None => Some(schema),
    }
}

fn fix_of(node: Option<&Value>) -> Option<String> {
    node?.get("x-fix")?.as_str().map(str::to_owned)
}

/// The option that looks like what was written, if one does.
fn closest<'a>(written: Option<&str>, options: impl Iterator<Item = &'a Value>) -> Option<&'a str> {
    let written = written?;
    options
        .filter_map(Value::as_str)
        .map(|option| (strsim::jaro_winkler(written, option), option))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, option)| option)
}

fn listed(options: &Value) -> String {
    options.as_array().into_iter().flatten().map(Value::to_string).collect::<Vec<_>>().join(", ")
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN_CHARS * 3 {
        return text.to_owned();
    }
    let start: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    format!("{start}…")
}
