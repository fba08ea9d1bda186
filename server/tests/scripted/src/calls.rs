//! The script of a call, and the file where every call is written down.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::Context;
use prost_types::{Struct, value::Kind};
use serde_json::{Value, json};

use crate::script::Script;

/// Appends of one process do not mix, and a pull's number is told once.
static APPENDING: Mutex<()> = Mutex::new(());

/// The file that a connection plays.
pub struct ScriptFile {
    path: PathBuf,
}

impl ScriptFile {
    pub fn of(settings: Option<&Struct>) -> anyhow::Result<Self> {
        let setting = settings.and_then(|settings| settings.fields.get("script"));
        match setting.and_then(|value| value.kind.as_ref()) {
            Some(Kind::StringValue(path)) => Ok(Self { path: path.into() }),
            _ => anyhow::bail!("the setting `script` is missing"),
        }
    }

    pub fn read(&self) -> anyhow::Result<Script> {
        let text = std::fs::read(&self.path).with_context(|| format!("reading {}", self.path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("parsing {}", self.path.display()))
    }

    /// Writes the call down and returns those of the same rpc that came before it.
    pub fn record(&self, rpc: &str, mut facts: Value) -> anyhow::Result<Vec<Value>> {
        let _alone = APPENDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut path = self.path.clone().into_os_string();
        path.push(".calls");
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        facts["rpc"] = json!(rpc);
        facts["pid"] = json!(std::process::id());
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(format!("{facts}\n").as_bytes())?;
        let calls = before.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(calls.filter(|call| call["rpc"] == rpc).collect())
    }
}
