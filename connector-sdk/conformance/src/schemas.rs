//! The schemas in a connector's folder: `schemas/NAME.json` for the raw items that say NAME, and `schemas/metadata.json`
//! for the metadata of documents.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

/// The schema that metadata follows.
pub(crate) const METADATA: &str = "metadata";

/// The schemas of a folder, read as they are asked for.
pub(crate) struct Schemas {
    folder: PathBuf,
    read: HashMap<String, Result<Option<Validator>, String>>,
}

impl Schemas {
    /// Those of a connector; `None`: it has none.
    pub(crate) fn of(connector: &Path) -> Option<Self> {
        let folder = connector.join("schemas");
        folder.is_dir().then(|| Self { folder, read: HashMap::new() })
    }

    /// Whether there is a schema of this name.
    ///
    /// # Errors
    ///
    /// There is one that cannot be used.
    pub(crate) fn has(&mut self, name: &str) -> Result<bool, String> {
        self.validator(name).map(|validator| validator.is_some())
    }

    /// What is wrong with a value; nothing where there is no such schema.
    pub(crate) fn problem(&mut self, name: &str, value: &Value) -> Option<String> {
        let validator = self.validator(name).ok()??;
        let error = validator.iter_errors(value).next()?;
        Some(format!("at {:?}: {error}", error.instance_path().as_str()))
    }

    fn validator(&mut self, name: &str) -> Result<Option<&Validator>, String> {
        let folder = &self.folder;
        let read = self.read.entry(name.to_owned()).or_insert_with(|| read(folder, name));
        read.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }
}

fn read(folder: &Path, name: &str) -> Result<Option<Validator>, String> {
    // The name comes from the connector, and is not to lead anywhere else.
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\\');
    if !name.split('/').all(plain) {
        return Err(format!("{name:?} cannot be the name of a schema"));
    }
    let file = folder.join(format!("{name}.json"));
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let schema: Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    jsonschema::validator_for(&schema).map(Some).map_err(|error| format!("{}: {error}", file.display()))
}
