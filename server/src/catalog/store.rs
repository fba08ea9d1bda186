//! The catalogue in memory: what the last scan found, and a signal for whoever wants to know of changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use superfasttt_conformance_proof::Level;
use tokio::sync::watch;

use super::entry::ConnectorEntry;
use super::load;
use super::proofs::Proofs;

/// The connectors directory cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the connectors directory {} cannot be read: {source}; create it or name another one with --connectors-dir", folder.display())]
pub struct CatalogError {
    folder: PathBuf,
    source: std::io::Error,
}

/// All connectors of the connectors directory.
#[derive(Debug)]
pub struct Catalog {
    root: PathBuf,
    entries: RwLock<Vec<Arc<ConnectorEntry>>>,
    version: watch::Sender<u64>,
    /// One scan at a time: two at once could each take the other's result for what was there before.
    scanning: Mutex<()>,
    /// The ids of connectors that an administrator disabled.
    disabled: Vec<String>,
    /// What an administrator asks to be proved.
    proofs: Proofs,
}

impl Catalog {
    /// Reads the connectors directory.
    ///
    /// # Errors
    ///
    /// The directory itself cannot be listed. What is wrong inside a connector's folder is in its entry.
    pub fn load(root: &Path) -> Result<Arc<Self>, CatalogError> {
        Self::load_with(root, Vec::new(), None)
    }

    /// As [`Self::load`], where an administrator disabled some, or asks for a level of conformance: the others are listed,
    /// and nothing of them is to be started.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn load_with(
        root: &Path,
        disabled: Vec<String>,
        required_conformance: Option<Level>,
    ) -> Result<Arc<Self>, CatalogError> {
        // Absolute, so that a connector started in another folder finds its program.
        let root =
            std::path::absolute(root).map_err(|source| CatalogError { folder: root.to_owned(), source })?;
        let proofs = Proofs::new(required_conformance);
        let entries = load::scan(&root, &[], &proofs)
            .map_err(|source| CatalogError { folder: root.clone(), source })?;
        for entry in &entries {
            report(entry);
        }
        for id in &disabled {
            if entries.iter().any(|entry| entry.id == *id) {
                tracing::info!(connector.id = %id, "connector is disabled by connectors.{id}.enabled");
            } else {
                tracing::warn!(connector.id = %id, "connectors.{id}.enabled disables a connector that is not there");
            }
        }
        Ok(Arc::new(Self {
            root,
            entries: RwLock::new(entries),
            version: watch::Sender::new(0),
            scanning: Mutex::new(()),
            disabled,
            proofs,
        }))
    }

    /// The directory that is read.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All connectors, sorted by id, broken ones included.
    pub fn list(&self) -> Vec<Arc<ConnectorEntry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connector of this id.
    pub fn get(&self, id: &str) -> Option<Arc<ConnectorEntry>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().find(|entry| entry.id == id).cloned()
    }

    /// The ids of the connectors that an administrator disabled.
    pub fn disabled(&self) -> &[String] {
        &self.disabled
    }

    /// Whether an administrator disabled this connector.
    pub fn is_disabled(&self, id: &str) -> bool {
        self.disabled.iter().any(|disabled| disabled == id)
    }

    /// A number that grows with each change of the catalogue.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Reads the directory again and says whether anything changed. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// The directory cannot be listed; the catalogue stays as it was.
    pub fn rescan(&self) -> Result<bool, CatalogError> {
        let _one_at_a_time = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.list();
        let after = load::scan(&self.root, &before, &self.proofs)
            .map_err(|source| CatalogError { folder: self.root.clone(), source })?;
        let same = before.len() == after.len()
            && before.iter().zip(&after).all(|(before, after)| Arc::ptr_eq(before, after));
        if same {
            return Ok(false);
        }
        for entry in after.iter().filter(|entry| !before.iter().any(|before| Arc::ptr_eq(before, entry))) {
            report(entry);
        }
        for gone in before.iter().filter(|before| !after.iter().any(|entry| entry.folder == before.folder)) {
            tracing::info!(connector.id = %gone.id, "connector removed");
        }
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = after;
        self.version.send_modify(|version| *version += 1);
        Ok(true)
    }
}

fn report(entry: &ConnectorEntry) {
    for problem in &entry.problems {
        tracing::warn!(connector.id = %entry.id, folder = %entry.folder.display(), "manifest not loaded: {problem}");
    }
    if entry.problems.is_empty() {
        tracing::info!(connector.id = %entry.id, folder = %entry.folder.display(), "connector loaded");
    }
}
