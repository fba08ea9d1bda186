//! A connector's folder with the wrong connector in it, and runs of the kit.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::Path;

use serde_json::{Value, json};
use superfasttt_conformance::{Level, Options, Outcome, Report, Target, run};
use tempfile::TempDir;

/// The program that is both connector and source.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_wrong-connector");

/// A folder with the connector that has this fault.
pub fn folder(fault: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = json!({
        "id": "wrong",
        "version": "1.0.0",
        "auth": { "type": "api_key" },
        "sync": { "mode": "incremental" },
        "capabilities": ["incremental", "full_listing", "list", "targeted", "fetch_content"],
        "settings": {
            "type": "object",
            "additionalProperties": false,
            "required": ["url"],
            "properties": { "url": { "type": "string" }, "space": { "type": "string" } }
        },
        "rate_limits": [{ "requests": 100, "per": "1s" }],
        "allowed_hosts": ["127.0.0.1"],
        "runtime": { "command": [PROGRAM, "serve", fault] }
    });
    let control = json!({ "put": [{ "number": 3, "title": "changed" }, { "number": 41, "title": "new" }], "delete": [5] });
    let plan = json!({
        "source": { "command": [PROGRAM, "source"] },
        "settings": { "url": "$SOURCE:url" },
        "credential": { "key": "key-of-the-test-source" },
        "another": { "settings": { "url": "$SOURCE:url", "space": "b" } },
        "documents": 39,
        "changes": [{ "request": { "url": "$SOURCE:url/control", "json": control } }]
    });
    let metadata = json!({ "required": ["owner"], "properties": { "owner": { "type": "string" } } });
    let properties = json!({ "number": {}, "title": {}, "sequence": {} });
    let item = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    write(&folder.path().join("manifest.json"), &manifest);
    write(&folder.path().join("conformance.json"), &plan);
    std::fs::create_dir_all(folder.path().join("schemas/item")).unwrap();
    write(&folder.path().join("schemas/metadata.json"), &metadata);
    write(&folder.path().join("schemas/item/1.json"), &item);
    folder
}

/// Writes a JSON file.
pub fn write(file: &Path, value: &Value) {
    std::fs::write(file, value.to_string()).unwrap();
}

/// Runs the kit on a folder, up to a level.
pub fn report(folder: &Path, level: Level) -> Report {
    report_with(folder, Options { level, ..Options::default() })
}

/// Runs the kit on a folder.
pub fn report_with(folder: &Path, options: Options) -> Report {
    // On this thread, because the kernel ends what a thread started when that ends.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(Target::Folder(folder.to_owned()), &options, |_| {})).unwrap()
}

/// The names of the checks that failed.
pub fn failed(report: &Report) -> Vec<&'static str> {
    let failed = report.checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed { .. }));
    failed.map(|check| check.name).collect()
}

/// Every check that did not hold, in words.
pub fn told(report: &Report) -> String {
    let bad = report.checks.iter().filter(|check| !check.outcome.holds());
    bad.map(|check| check.to_text()).collect::<Vec<_>>().join("\n")
}
