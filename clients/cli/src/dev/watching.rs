//! Waits until a file of the connector's folder changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::error::{Error, Result};

/// What tools write, and nobody edits. So is whatever begins with a dot.
const TOOLS_OWN: [&str; 3] = ["node_modules", "target", "__pycache__"];
/// An editor or a compiler has done when nothing came for so long.
const QUIET: Duration = Duration::from_millis(300);
/// Where something writes all the time, it is enough once.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How many changes may wait; of more than that nothing new is learnt.
const MOST_WAITING: usize = 64;

/// Hears of changes from its beginning on.
pub struct Watching {
    folder: PathBuf,
    changes: mpsc::Receiver<PathBuf>,
    _watcher: notify::RecommendedWatcher,
}

impl Watching {
    /// Begins to watch a folder; of what tools write in it only the connector's program. `but` is not watched.
    ///
    /// # Errors
    ///
    /// The system does not let us.
    pub fn begin(folder: &Path, program: &Path, but: &[PathBuf]) -> Result<Self> {
        let failed = |error: notify::Error| {
            Error::Failed(format!("{} cannot be watched: {error}; run without --watch", folder.display()))
        };
        let (told, changes) = mpsc::channel(MOST_WAITING);
        let filter = Filter { folder: folder.to_owned(), program: program.to_owned(), but: but.to_vec() };
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Looking at a file is an event too.
            let Some(event) = event.ok().filter(|event| !event.kind.is_access()) else { return };
            for path in event.paths.into_iter().filter(|path| filter.counts(path)) {
                let _ = told.try_send(path);
            }
        })
        .map_err(failed)?;
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            folders.extend(inner_folders(&next));
            watcher.watch(&next, RecursiveMode::NonRecursive).map_err(failed)?;
        }
        if let Some(bin) = program.parent().filter(|bin| bin.starts_with(folder)) {
            watcher.watch(bin, RecursiveMode::NonRecursive).map_err(failed)?;
        }
        Ok(Self { folder: folder.to_owned(), changes, _watcher: watcher })
    }

    /// Waits for a change, and until no more come. Gives the first file, relative to the folder.
    pub async fn changed(&mut self) -> PathBuf {
        let Some(first) = self.changes.recv().await else {
            // The watcher lives as long as this, so its end never closes.
            return PathBuf::new();
        };
        let deadline = tokio::time::Instant::now() + LONGEST_WAIT;
        while tokio::time::Instant::now() < deadline
            && tokio::time::timeout(QUIET, self.changes.recv()).await.is_ok()
        {}
        first.strip_prefix(&self.folder).map(Path::to_owned).unwrap_or(first)
    }
}

fn inner_folders(folder: &Path) -> impl Iterator<Item = PathBuf> {
    // One that is gone meanwhile, or may not be read, has nothing to tell.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    // Links are not followed: they may lead in a circle.
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.filter(|entry| is_edited(&entry.file_name().to_string_lossy())).map(|entry| entry.path())
}

/// Which paths count.
struct Filter {
    folder: PathBuf,
    program: PathBuf,
    but: Vec<PathBuf>,
}

impl Filter {
    fn counts(&self, path: &Path) -> bool {
        if path == self.program {
            return true;
        }
        let Ok(inside) = path.strip_prefix(&self.folder) else { return false };
        let parts_count = inside.components().all(|part| is_edited(&part.as_os_str().to_string_lossy()));
        parts_count && !self.but.iter().any(|other| other == path)
    }
}

/// Whether people edit what has this name: not tools, and not editors for themselves.
fn is_edited(name: &str) -> bool {
    !name.starts_with('.') && !name.ends_with('~') && !TOOLS_OWN.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_edit_counts_and_what_tools_write_does_not() {
        let filter = Filter {
            folder: "/c".into(),
            program: "/c/target/release/connector".into(),
            but: vec!["/c/traffic.har".into()],
        };
        for path in
            ["/c/manifest.json", "/c/src/main.ts", "/c/dist/src/main.js", "/c/target/release/connector"]
        {
            assert!(filter.counts(Path::new(path)), "{path}");
        }
        for path in [
            "/c/.dev-state.json",
            "/c/.git/index",
            "/c/target/release/deps/x.o",
            "/c/node_modules/a/b.js",
            "/c/src/__pycache__/a.pyc",
            "/c/src/.main.ts.swp",
            "/c/src/main.ts~",
            "/c/traffic.har",
            "/elsewhere/a",
        ] {
            assert!(!filter.counts(Path::new(path)), "{path}");
        }
    }

    #[tokio::test]
    async fn a_change_after_the_beginning_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("src")).unwrap();
        let mut watching = Watching::begin(&root, Path::new("/nowhere/program"), &[]).unwrap();
        std::fs::write(root.join(".hidden"), "").unwrap();
        std::fs::write(root.join("src/main.py"), "").unwrap();
        assert_eq!(watching.changed().await, Path::new("src/main.py"));
    }
}
