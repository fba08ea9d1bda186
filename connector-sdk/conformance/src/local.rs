//! A connector's folder and its process, for tools that an author works with: started as connectord starts it, and asked by
//! whoever started it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use prost_types::Struct;
use serde_json::{Map, Value};
use superfasttt_proto::connector::v1::Credential;
use tokio::sync::mpsc;

use crate::credential;
use crate::manifest::Manifest;
use crate::output::{Output, Stream};
use crate::process::{Launch, Process};
use crate::target::{TargetError, manifest};
use crate::wire::Client;
use crate::workbench::to_struct;

/// A folder with `manifest.json` and the program that it names.
#[derive(Debug)]
pub struct Local {
    /// What it says of itself.
    pub manifest: Manifest,
    launch: Launch,
}

/// Its process, which ends with this value.
#[derive(Debug)]
pub struct Running {
    process: Process,
}

impl Local {
    /// Reads the manifest of a folder, and finds its program.
    ///
    /// # Errors
    ///
    /// There is none, it is not valid, or there is nothing to start.
    pub fn open(folder: &Path) -> Result<Self, TargetError> {
        let folder = folder.canonicalize().map_err(|error| {
            TargetError::Usage(format!("{}: {error}; name a connector's folder", folder.display()))
        })?;
        let manifest = manifest(&folder)?;
        let command = manifest.command(&folder).map_err(TargetError::Usage)?;
        Ok(Self { manifest, launch: Launch { command, folder, replay: None, record: None, log: "info" } })
    }

    /// Has its SDK write the source's HTTP traffic to a file.
    pub fn record(&mut self, file: PathBuf) {
        self.launch.record = Some(file);
    }

    /// Has its SDK answer from such a file.
    pub fn replay(&mut self, file: PathBuf) {
        self.launch.replay = Some(file);
    }

    /// The folder, without symbolic links.
    pub fn folder(&self) -> &Path {
        &self.launch.folder
    }

    /// What is started: the program and its arguments.
    pub fn command(&self) -> &[String] {
        &self.launch.command
    }

    /// Settings as a connector is given them: with the defaults of the manifest's schema.
    ///
    /// # Errors
    ///
    /// The schema cannot be used, or does not let them through.
    pub fn settings(&self, given: Map<String, Value>) -> Result<Struct, TargetError> {
        let mut settings = Value::Object(given);
        fill_defaults(&self.manifest.settings, &mut settings);
        let problems = self.manifest.settings_problems(&settings).map_err(TargetError::Manifest)?;
        if problems.is_empty() {
            return Ok(to_struct(&settings));
        }
        Err(TargetError::Usage(format!(
            "the settings are not valid: {}; give them with --set name=value or --settings FILE",
            problems.join("; ")
        )))
    }

    /// A credential: a JSON object of its values, or its one value.
    ///
    /// # Errors
    ///
    /// It is neither. What it holds is not told.
    pub fn credential(&self, text: &str) -> Result<Credential, String> {
        let values = credential::given(&self.manifest.auth, text)?;
        credential::of_values(&self.manifest.auth, &values)
    }

    /// Starts it, and waits until it is ready. What it writes goes to `listener`, which is closed when it has ended.
    ///
    /// # Errors
    ///
    /// What went wrong, in words.
    pub async fn start(&self, listener: mpsc::Sender<(Stream, Vec<u8>)>) -> Result<Running, String> {
        let process = self.launch.start(&Output::heard_by(listener)).await?;
        Ok(Running { process })
    }
}

impl Running {
    /// A client of it.
    pub fn client(&self) -> Client {
        self.process.wire.client()
    }

    /// How it ended by itself, where it has.
    pub fn exit(&mut self) -> Option<String> {
        self.process.exit()
    }

    /// Asks it to end, and kills it after `limit`. `None`: it had to be killed.
    pub async fn stop(self, limit: Duration) -> Option<String> {
        self.process.stop(limit).await
    }
}

/// Fills in what an object's schema has a default for, at every depth.
fn fill_defaults(schema: &Value, value: &mut Value) {
    let Value::Object(object) = value else { return };
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, property) in properties {
        if let Some(default) = property.get("default")
            && !object.contains_key(name)
        {
            object.insert(name.clone(), default.clone());
        }
        if let Some(inner) = object.get_mut(name) {
            fill_defaults(property, inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_given_has_its_default() {
        let schema = json!({"properties": {
            "url": {"default": "http://a"},
            "filter": {"properties": {"size": {"default": 10}}},
            "absent": {"properties": {"deep": {"default": 1}}},
        }});
        let mut settings = json!({"url": "http://b", "filter": {}});
        fill_defaults(&schema, &mut settings);
        assert_eq!(settings, json!({"url": "http://b", "filter": {"size": 10}}));
    }
}
