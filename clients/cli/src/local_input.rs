//! What a connector is given where no server keeps it: settings and a credential, as `dev` and `conformance` take them.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::secret_input;
use crate::settings::{Assignment, Schema, assign, parse_assignment};

/// Settings and a credential.
#[derive(Debug, clap::Args)]
pub struct LocalInput {
    /// Settings from a JSON file
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// A setting; it wins over the file's
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_assignment)]
    pub assignments: Vec<Assignment>,
    /// The credential from a file, - being standard input: its one value, or a JSON object of its values
    #[arg(long, value_name = "FILE", conflicts_with = "credential_env")]
    pub credential: Option<String>,
    /// The credential from a variable of the environment
    #[arg(long, value_name = "NAME")]
    pub credential_env: Option<String>,
}

impl LocalInput {
    /// The settings. What is typed is read by the schema, where there is one.
    ///
    /// # Errors
    ///
    /// The file is no JSON object, or a value is not what the schema says.
    pub fn settings(&self, schema: Option<Value>) -> Result<Map<String, Value>> {
        let mut settings = match &self.settings {
            Some(file) => read_object(file)?,
            None => Map::new(),
        };
        assign(&mut settings, &self.assignments, &Schema::new(schema))
            .map_err(|error| Error::Usage(error.to_string()))?;
        Ok(settings)
    }

    /// The credential as it was given.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the environment has no such variable.
    pub fn credential(&self) -> Result<Option<String>> {
        match (&self.credential, &self.credential_env) {
            (Some(file), _) => secret_input::read(file).map(Some),
            (None, Some(name)) => std::env::var(name)
                .map(Some)
                .map_err(|_| Error::Usage(format!("the environment has no {name}"))),
            (None, None) => Ok(None),
        }
    }
}

fn read_object(file: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::Usage(format!("cannot read {}: {error}", file.display())))?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(settings)) => Ok(settings),
        _ => Err(Error::Usage(format!("{} is not a JSON object", file.display()))),
    }
}
