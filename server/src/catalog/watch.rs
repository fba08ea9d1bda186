//! Keeps the catalogue up to date: file system events say at once that something changed, and a scan now and
//! then finds what they missed (network mounts and some containers send none).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::store::Catalog;

/// An editor or a copy writes in several steps; the scan waits until it has been quiet this long.
const QUIET: Duration = Duration::from_millis(100);

/// A folder that never becomes quiet is scanned all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How often a scan is made whatever the events say.
const RESCAN_EVERY: Duration = Duration::from_secs(15);

/// A running watch; dropping it ends it.
#[derive(Debug)]
pub struct CatalogWatch {
    task: JoinHandle<()>,
}

impl Drop for CatalogWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Catalog {
    /// Follows the connectors directory from here on.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    #[must_use = "the watch ends when it is dropped"]
    pub fn watch(self: &Arc<Self>) -> CatalogWatch {
        self.watch_every(RESCAN_EVERY)
    }

    fn watch_every(self: &Arc<Self>, rescan_every: Duration) -> CatalogWatch {
        // One slot is enough: an event while one waits adds nothing.
        let (changed, changes) = mpsc::channel(1);
        let watched = match start_watcher(self, changed) {
            Ok(watched) => Some(watched),
            Err(error) => {
                tracing::warn!(
                    "the connectors directory sends no change events ({error}); it is scanned every {} instead",
                    humantime::format_duration(rescan_every)
                );
                None
            }
        };
        CatalogWatch { task: tokio::spawn(follow(Arc::clone(self), watched, changes, rescan_every)) }
    }
}

/// The watcher and the folders that it watches: the connectors directory and each folder in it, but nothing below.
/// A connector's folder may hold a build or a virtual environment with ten thousand folders of its own.
struct Watched {
    watcher: notify::RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
}

impl Watched {
    /// Begins to watch folders that are new. A folder that went away took its watch along.
    fn follow_folders(&mut self, root: &Path) {
        let now: BTreeSet<PathBuf> = std::fs::read_dir(root)
            .into_iter()
            .flatten()
            .filter_map(|item| item.ok().map(|item| item.path()))
            .filter(|path| path.is_dir())
            .collect();
        for folder in now.difference(&self.folders) {
            // Out of watches, or gone again: the scan now and then finds what happens in it.
            if let Err(error) = self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(folder = %folder.display(), "folder is not watched: {error}");
            }
        }
        self.folders = now;
    }
}

fn start_watcher(catalog: &Catalog, changed: mpsc::Sender<()>) -> notify::Result<Watched> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a manifest is an event of its own kind; following it would be a circle.
        let read_only = matches!(&event, Ok(event) if event.kind.is_access());
        if !read_only {
            let _ = changed.try_send(());
        }
    })?;
    watcher.watch(catalog.root(), RecursiveMode::NonRecursive)?;
    let mut watched = Watched { watcher, folders: BTreeSet::new() };
    watched.follow_folders(catalog.root());
    Ok(watched)
}

async fn follow(
    catalog: Arc<Catalog>,
    mut watched: Option<Watched>,
    mut changes: mpsc::Receiver<()>,
    rescan_every: Duration,
) {
    let mut scan_failed = false;
    loop {
        // Without a watcher the channel is closed, and `recv` would answer at once for ever.
        if let Some(watched) = &mut watched {
            if let Ok(Some(())) = tokio::time::timeout(rescan_every, changes.recv()).await {
                wait_until_quiet(&mut changes).await;
            }
            // Before the scan, so that what changes after it is heard.
            watched.follow_folders(catalog.root());
        } else {
            tokio::time::sleep(rescan_every).await;
        }
        let scanning = Arc::clone(&catalog);
        match tokio::task::spawn_blocking(move || scanning.rescan()).await {
            Ok(Ok(_)) => scan_failed = false,
            // Said once, and not at each scan until somebody mends it.
            Ok(Err(error)) if !scan_failed => {
                scan_failed = true;
                tracing::warn!("the catalogue stays as it was: {error}");
            }
            Ok(Err(_)) => {}
            Err(error) => tracing::error!("a scan of the connectors directory did not end: {error}"),
        }
    }
}

async fn wait_until_quiet(changes: &mut mpsc::Receiver<()>) {
    let deadline = tokio::time::Instant::now() + LONGEST_WAIT;
    while tokio::time::Instant::now() < deadline {
        if tokio::time::timeout(QUIET, changes.recv()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
