//! Reads a connectors directory: each sub-folder with a `manifest.json` is a connector. Whatever is wrong in one
//! folder is told in its own entry and nowhere else.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{ConnectorEntry, Runnable, runnable};
use super::manifest::{MAX_MANIFEST_BYTES, Manifest};
use super::problem::Problem;
use super::proofs::Proofs;

/// The name of the file that makes a folder a connector.
const MANIFEST_FILE: &str = "manifest.json";

/// Reads the whole directory again. `known` is what was there before: a folder whose file is broken now keeps its
/// last good manifest, and an id stays with the folder that has it.
///
/// # Errors
///
/// The directory itself cannot be listed.
pub(super) fn scan(
    root: &Path,
    known: &[Arc<ConnectorEntry>],
    proofs: &Proofs,
) -> io::Result<Vec<Arc<ConnectorEntry>>> {
    let real_root = root.canonicalize()?;
    let known: HashMap<&Path, &Arc<ConnectorEntry>> =
        known.iter().map(|entry| (entry.folder.as_path(), entry)).collect();
    let mut folders = connector_folders(root)?;
    // Folders that hold an id come first, so that a copy of a connector never takes its id away.
    folders.sort_by_key(|folder| {
        let holds_id = known.get(folder.as_path()).is_some_and(|entry| entry.manifest.is_some());
        (!holds_id, folder.clone())
    });
    let mut folder_of_id: HashMap<String, PathBuf> = HashMap::new();
    let mut entries = Vec::new();
    for folder in folders {
        let before = known.get(folder.as_path()).copied();
        let mut entry = read_folder(&real_root, &folder, before, proofs);
        if entry.manifest.is_some() {
            if let Some(holder) = folder_of_id.get(&entry.id) {
                entry = duplicate(entry, holder);
            } else {
                folder_of_id.insert(entry.id.clone(), folder.clone());
            }
        }
        entries.push(reuse(entry, before));
    }
    // Among equal ids the one that works comes first: it is the one that a lookup finds.
    entries.sort_by(|a, b| {
        (&a.id, a.manifest.is_none(), &a.folder).cmp(&(&b.id, b.manifest.is_none(), &b.folder))
    });
    Ok(entries)
}

/// The sub-folders that have something called `manifest.json`, whatever that is. Hidden ones are left out: they
/// are where editors and package managers keep their own things.
fn connector_folders(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for item in std::fs::read_dir(root)? {
        let item = item?;
        let hidden = item.file_name().to_string_lossy().starts_with('.');
        let path = item.path();
        if !hidden && path.is_dir() && path.join(MANIFEST_FILE).symlink_metadata().is_ok() {
            folders.push(path);
        }
    }
    Ok(folders)
}

fn read_folder(
    real_root: &Path,
    folder: &Path,
    before: Option<&Arc<ConnectorEntry>>,
    proofs: &Proofs,
) -> ConnectorEntry {
    let last_good = before.and_then(|entry| entry.manifest.clone());
    let read =
        read_manifest(real_root, &folder.join(MANIFEST_FILE)).and_then(|text| match last_good.as_ref() {
            Some(manifest) if manifest.raw == text => Ok(Arc::clone(manifest)),
            _ => Manifest::parse(&text).map(Arc::new),
        });
    let (manifest, problems) = match read {
        Ok(manifest) => (Some(manifest), Vec::new()),
        Err(problems) => (last_good, problems),
    };
    let (id, runnable) = match &manifest {
        Some(manifest) => (manifest.id.clone(), proofs.admit(manifest, folder, runnable(manifest, folder))),
        None => {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, Runnable::NotRunnable("its manifest has problems".to_owned()))
        }
    };
    ConnectorEntry { id, folder: folder.to_owned(), manifest, problems, runnable }
}

fn read_manifest(real_root: &Path, path: &Path) -> Result<String, Vec<Problem>> {
    let whole = |message: String, fix: &str| vec![Problem::new("", message, fix)];
    let unreadable =
        |error: io::Error| whole(format!("it cannot be read: {error}"), "mend the file's access");
    let real = path.canonicalize().map_err(unreadable)?;
    if !real.starts_with(real_root) {
        return Err(whole(
            format!("it leads out of the connectors directory, to {}", real.display()),
            "put the connector's folder itself there",
        ));
    }
    // The kind is looked at before the file is opened: opening a FIFO would wait for ever.
    let metadata = real.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(whole("it is not a regular file".to_owned(), "put a JSON file in its place"));
    }
    let too_large = || {
        whole(
            format!("it is larger than {MAX_MANIFEST_BYTES} bytes"),
            "shorten it; documentation goes elsewhere",
        )
    };
    if metadata.len() > MAX_MANIFEST_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let file = File::open(&real).map_err(unreadable)?;
    // The file may have grown since its size was read.
    file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        whole(format!("it is not UTF-8 (byte {at})"), "save it as UTF-8")
    })
}

/// The entry of a folder whose id another folder has.
fn duplicate(entry: ConnectorEntry, holder: &Path) -> ConnectorEntry {
    let message = format!("{:?} is the id of {} already", entry.id, holder.display());
    ConnectorEntry {
        manifest: None,
        problems: vec![Problem::new(
            "id",
            message,
            "give this connector an id of its own, or remove one of the two",
        )],
        runnable: Runnable::NotRunnable("its id belongs to another connector".to_owned()),
        ..entry
    }
}

/// The entry from before where nothing changed, so that a reader can compare by identity.
fn reuse(entry: ConnectorEntry, before: Option<&Arc<ConnectorEntry>>) -> Arc<ConnectorEntry> {
    let raw = |entry: &ConnectorEntry| entry.manifest.as_ref().map(|manifest| manifest.raw.clone());
    match before {
        Some(before)
            if before.id == entry.id
                && before.problems == entry.problems
                && before.runnable == entry.runnable
                && raw(before) == raw(&entry) =>
        {
            Arc::clone(before)
        }
        _ => Arc::new(entry),
    }
}
