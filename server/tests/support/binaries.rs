//! The programs under test, and a connectors folder made of them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{COMPARED, FILESYSTEM, KEYED, LEDGER, LISTING, SCRIPTED, SEVERAL, TARGETED};

/// The server.
pub fn connectord() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_connectord"))
}

/// Makes the connectors folder.
pub fn assemble_connectors(folder: &Path) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let scripted = repository.join("server/tests/scripted/manifest.json");
    let capabilities = |names: &[&str]| {
        let mut all = vec!["full_listing", "fetch_content"];
        all.extend(names);
        json!(all)
    };
    for (id, capabilities) in [
        (SCRIPTED, capabilities(&["incremental"])),
        (TARGETED, capabilities(&["incremental", "targeted"])),
        (COMPARED, capabilities(&["incremental", "targeted", "list"])),
        (LISTING, capabilities(&[])),
    ] {
        let mut manifest: Value = serde_json::from_slice(&fs::read(&scripted).unwrap()).unwrap();
        manifest["capabilities"] = capabilities;
        // A setting beside the script's path, so that a test can change settings.
        manifest["settings"]["properties"]["choice"] = json!({"type": "string"});
        add_scripted(folder, id, manifest);
    }
    let auth = [
        (KEYED, json!({"type": "api_key"})),
        (
            SEVERAL,
            json!({"type": "basic", "fields": [
                {"name": "site", "secret": false, "pattern": "^[a-z]+$", "placeholder": "acme"},
                {"name": "secret", "label": "Secret of the app"},
                {"name": "region", "secret": false, "required": false},
            ]}),
        ),
    ];
    for (id, auth) in auth {
        let mut manifest: Value = serde_json::from_slice(&fs::read(&scripted).unwrap()).unwrap();
        manifest["auth"] = auth;
        manifest["capabilities"] = capabilities(&["incremental", "discover"]);
        manifest["settings"]["properties"]["secret"] = json!({"type": "string", "x-secret": true});
        add_scripted(folder, id, manifest);
    }
    let manifest = fs::read(repository.join("server/tests/ledger/manifest.json")).unwrap();
    let manifest = serde_json::from_slice(&manifest).unwrap();
    add(folder, LEDGER, &manifest, "ledger-connector", "ledger-connector");
    let manifest = fs::read(repository.join("connectors/filesystem/manifest.json")).unwrap();
    let manifest = serde_json::from_slice(&manifest).unwrap();
    add(folder, FILESYSTEM, &manifest, "connector-filesystem", "connector-filesystem");
}

/// Adds a scripted connector that authenticates so.
pub fn add_scripted_with_auth(folder: &Path, id: &str, auth: Value) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripted = repository.join("tests/scripted/manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(scripted).unwrap()).unwrap();
    manifest["auth"] = auth;
    manifest["capabilities"].as_array_mut().unwrap().push(json!("discover"));
    add_scripted(folder, id, manifest);
}

fn add_scripted(folder: &Path, id: &str, mut manifest: Value) {
    manifest["id"] = json!(id);
    add(folder, id, &manifest, "scripted-connector", "scripted-connector");
}

fn add(folder: &Path, id: &str, manifest: &Value, program: &str, package: &str) {
    let folder = folder.join(id);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    // Cargo builds the programs of other packages only with the workspace.
    let program = connectord().with_file_name(program);
    assert!(program.exists(), "{} is missing: run `cargo build -p {package}`", program.display());
    let target = folder.join("connector");
    if fs::hard_link(&program, &target).is_err() {
        fs::copy(&program, &target).unwrap();
    }
}
