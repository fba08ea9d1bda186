//! The walk through a root: depth first, each folder's names in the order of their bytes.
//!
//! That order is the same at every walk, so the path of the last entry is all that is needed to go on later. At
//! most one folder's names are held for each level of depth, and one folder is open at a time.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use nix::dir::Dir;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag};
use nix::unistd::{AccessFlags, Uid, User, faccessat};
use superfasttt_connector::{ConnectorError, Reason};

use crate::errors::{from_errno, is_gone};
use crate::file::{self, File, Time};
use crate::path::RelativePath;
use crate::root::{Link, Root, errno_of, kind, open_folder_in, stat_in};
use crate::settings::Filter;

/// The contract's limit on ids. What lies under a folder over it could not be named either.
pub(crate) const MAX_ID_BYTES: usize = 1024;

/// One step of the walk.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) path: RelativePath,
    pub(crate) found: Found,
}

/// What the walk found at a path.
#[derive(Debug)]
pub(crate) enum Found {
    /// A folder, which the next steps go through.
    Folder,
    /// A file that is chosen.
    File { file: File, version: String },
    /// Something that could not be read, nor anything under it. It may be a folder also where that is not known.
    Failed { error: ConnectorError, is_folder: bool },
    /// Something that is no document, in words for the run's log.
    Skipped(&'static str),
    /// Something that the patterns leave out.
    Excluded,
}

/// The walk, resumable after any step.
pub(crate) struct Walk {
    root: Root,
    filter: Filter,
    /// The path of the last step of the walk that this one goes on from.
    after: Option<RelativePath>,
    levels: Vec<Level>,
    /// The folder of the last level. `None` after the walk came back up to it.
    open: Option<OwnedFd>,
    owners: HashMap<u32, Option<String>>,
}

struct Level {
    folder: RelativePath,
    names: std::vec::IntoIter<Vec<u8>>,
}

impl Walk {
    /// Begins at the root, or behind the entry `after`.
    ///
    /// # Errors
    ///
    /// When the root's names cannot be read.
    pub(crate) fn begin(
        root: Root,
        filter: Filter,
        after: Option<RelativePath>,
    ) -> Result<Self, ConnectorError> {
        let mut walk = Self { root, filter, after, levels: vec![], open: None, owners: HashMap::new() };
        let top = RelativePath::default();
        let entered = walk.root.open_folder(&top).and_then(|folder| walk.enter(folder, top));
        let what = format!("the root {} cannot be listed", walk.root.path().display());
        entered.map_err(|errno| from_errno(errno, &what))?;
        Ok(walk)
    }

    /// The root that is walked through.
    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// Goes down into a folder: reads its names and leaves out those that an earlier walk has dealt with.
    fn enter(&mut self, folder: OwnedFd, path: RelativePath) -> nix::Result<()> {
        let mut names = Vec::new();
        for entry in Dir::from_fd(folder.try_clone().map_err(errno_of)?)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        if let Some(next) = self.after.as_ref().and_then(|after| after.next_name_under(&path)) {
            names.retain(|name| name.as_slice() >= next);
        }
        names.sort_unstable();
        self.levels.push(Level { folder: path, names: names.into_iter() });
        self.open = Some(folder);
        Ok(())
    }

    /// Looks at one name of the last level. `None`: there is nothing to say of it.
    fn visit(&mut self, path: RelativePath, name: &[u8]) -> Option<Step> {
        let found = match self.look(&path, name) {
            Ok(found) => found?,
            // It went away since its folder was listed: it is simply absent.
            Err(errno) if is_gone(errno) => return None,
            Err(errno) => Found::Failed { error: from_errno(errno, "it cannot be read"), is_folder: false },
        };
        Some(Step { path, found })
    }

    fn look(&mut self, path: &RelativePath, name: &[u8]) -> nix::Result<Option<Found>> {
        let id = path.encode();
        if id.len() > MAX_ID_BYTES {
            return Ok(Some(Found::Failed { error: too_long(id.len()), is_folder: false }));
        }
        let folder = match self.open.take() {
            Some(folder) => folder,
            None => match self.reopen()? {
                Some(folder) => folder,
                None => return Ok(None),
            },
        };
        // An earlier walk has told this entry, though perhaps not all that lies under it.
        let told = self.after.as_ref().is_some_and(|after| path.is_or_holds(after));
        if !told {
            self.after = None;
        }
        let stat = stat_in(&folder, name);
        let found = match stat.map(|stat| (kind(&stat), stat)) {
            Err(errno) => Err(errno),
            Ok((SFlag::S_IFDIR, _)) => return self.look_at_folder(folder, path, name, told),
            Ok(_) if told && self.after.as_ref() == Some(path) => Ok(None),
            Ok((SFlag::S_IFREG, stat)) => self.look_at_file(&folder, path, name, id, &stat).map(Some),
            Ok((SFlag::S_IFLNK, _)) => self.look_at_link(path, id).map(Some),
            Ok(_) => Ok(Some(Found::Skipped("a FIFO, socket or device"))),
        };
        self.open = Some(folder);
        found
    }

    fn look_at_folder(
        &mut self,
        parent: OwnedFd,
        path: &RelativePath,
        name: &[u8],
        told: bool,
    ) -> nix::Result<Option<Found>> {
        if !self.filter.opens_folder(path.as_path()) {
            self.open = Some(parent);
            return Ok(Some(Found::Excluded));
        }
        let entered = open_folder_in(&parent, name).and_then(|folder| self.enter(folder, path.clone()));
        let Err(errno) = entered else { return Ok((!told).then_some(Found::Folder)) };
        self.open = Some(parent);
        if is_gone(errno) {
            return Ok(None);
        }
        let error = from_errno(errno, "the folder cannot be read");
        Ok(Some(Found::Failed { error, is_folder: true }))
    }

    fn look_at_file(
        &mut self,
        folder: &OwnedFd,
        path: &RelativePath,
        name: &[u8],
        id: String,
        stat: &FileStat,
    ) -> nix::Result<Found> {
        if !self.filter.takes_file(path.as_path()) {
            return Ok(Found::Excluded);
        }
        // Everybody may read most files; only the others are worth another question.
        if stat.st_mode & 0o444 != 0o444 {
            faccessat(folder, name, AccessFlags::R_OK, AtFlags::AT_EACCESS)?;
        }
        Ok(self.file(path, id, stat))
    }

    fn look_at_link(&mut self, path: &RelativePath, id: String) -> nix::Result<Found> {
        if !self.filter.takes_file(path.as_path()) {
            return Ok(Found::Excluded);
        }
        match self.root.follow(path) {
            Link::Skipped(why) => Ok(Found::Skipped(why)),
            Link::File { path: target, stat } => {
                let (folder, name) = target.split();
                let folder = self.root.open_folder(&folder)?;
                faccessat(&folder, name, AccessFlags::R_OK, AtFlags::AT_EACCESS)?;
                Ok(self.file(&target, id, &stat))
            }
        }
    }

    fn file(&mut self, path: &RelativePath, id: String, stat: &FileStat) -> Found {
        let owner = self.owner(stat.st_uid);
        let created = created(&self.root, path, stat);
        let (size_bytes, modified) = (stat.st_size as u64, file::modified(stat));
        Found::File {
            file: File { path: id, size_bytes, modified, created, owner },
            version: file::version(stat),
        }
    }

    /// The user's name, asked once each: the answer may come from a directory server.
    fn owner(&mut self, uid: u32) -> Option<String> {
        let name = || User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        self.owners.entry(uid).or_insert_with(name).clone()
    }

    /// Opens the last level's folder again, after the walk was below it. `None` when it is gone, and then the rest
    /// of its names are gone with it.
    fn reopen(&mut self) -> nix::Result<Option<OwnedFd>> {
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        match self.root.open_folder(&level.folder) {
            Ok(folder) => Ok(Some(folder)),
            Err(errno) if is_gone(errno) => {
                level.names = Vec::new().into_iter();
                Ok(None)
            }
            // Each name that is left fails by itself and is spared.
            Err(errno) => Err(errno),
        }
    }
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            let level = self.levels.last_mut()?;
            let Some(name) = level.names.next() else {
                self.levels.pop();
                self.open = None;
                continue;
            };
            let path = level.folder.join(&name);
            if let Some(step) = self.visit(path, &name) {
                return Some(step);
            }
        }
    }
}

/// When the file was made. Only the standard library asks for that, and by path, so the answer counts only when
/// the path still leads to the same file.
fn created(root: &Root, path: &RelativePath, stat: &FileStat) -> Option<Time> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::symlink_metadata(root.path().join(path.as_path())).ok()?;
    if metadata.ino() != stat.st_ino || metadata.dev() != stat.st_dev {
        return None;
    }
    let since_1970 = metadata.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let seconds = i64::try_from(since_1970.as_secs()).ok()?;
    Some(Time { seconds, nanos: i32::try_from(since_1970.subsec_nanos()).ok()? })
}

fn too_long(bytes: usize) -> ConnectorError {
    let message =
        format!("the path has {bytes} bytes and ids have at most {MAX_ID_BYTES}: shorten its folders' names");
    ConnectorError::new(Reason::ContentUnreadable, message).with_code("filesystem.path_too_long")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn walk(root: &std::path::Path) -> Walk {
        let settings: Settings = serde_json::from_value(serde_json::json!({"root": root})).unwrap();
        Walk::begin(Root::open(&settings.root).unwrap(), Filter::new(&settings).unwrap(), None).unwrap()
    }

    fn paths(walk: impl Iterator<Item = Step>) -> Vec<String> {
        let paths = walk.map(|step| match step.found {
            Found::Failed { error, .. } => panic!("{} failed: {error}", step.path.encode()),
            _ => step.path.encode(),
        });
        paths.collect()
    }

    #[test]
    fn what_vanishes_during_the_walk_is_absent_and_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a", "b/1", "b/2", "c/d/1", "c/e", "f"] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), "").unwrap();
        }
        let mut walk = walk(folder.path());
        assert_eq!(paths(walk.by_ref().take(3)), ["a", "b", "b/1"]);
        // The folder that the walk is in, and a file that its folder has named before.
        std::fs::remove_dir_all(at("b")).unwrap();
        std::fs::remove_file(at("f")).unwrap();
        assert_eq!(paths(walk.by_ref().take(3)), ["c", "c/d", "c/d/1"]);
        // The folder that the walk comes back up to.
        std::fs::remove_dir_all(at("c")).unwrap();
        assert_eq!(paths(walk), [""; 0]);
    }

    #[test]
    fn a_folder_that_became_a_link_is_not_gone_into() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret"), "").unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::create_dir(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("a/c"), "").unwrap();
        let mut walk = walk(folder.path());
        assert_eq!(paths(walk.by_ref().take(2)), ["a", "a/b"]);
        std::fs::rename(folder.path().join("a"), outside.path().join("a")).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("a")).unwrap();
        assert_eq!(paths(walk), [""; 0]);
    }
}
