//! The folder that a connection reads, held open, and everything that is opened below it.
//!
//! Below the root every step is taken from an open folder to a name in it, without following links, so nobody can
//! lead the connector out of the root by swapping a folder for a link between two looks.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{AccessFlags, faccessat};
use superfasttt_connector::{ConnectorError, Reason};

use crate::errors::{bad_setting, from_errno, from_io};
use crate::path::RelativePath;

const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
/// `O_NONBLOCK`, so that a FIFO put in the place of a file does not hold the open.
const FILE: OFlag = OFlag::O_RDONLY.union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);

/// The root of a connection.
#[derive(Debug)]
pub(crate) struct Root {
    /// Without links in it.
    path: PathBuf,
    folder: OwnedFd,
    identity: String,
}

/// What a symbolic link leads to.
pub(crate) enum Link {
    /// A file below the root.
    File { path: RelativePath, stat: FileStat },
    /// Something that is not read, and why.
    Skipped(&'static str),
}

impl Root {
    /// Opens the folder of the setting `root`.
    ///
    /// # Errors
    ///
    /// NOT_FOUND, SETTINGS_INVALID or ACCESS_DENIED when there is no folder that can be read, SOURCE_UNAVAILABLE
    /// when the file system does not answer.
    pub(crate) fn open(setting: &str) -> Result<Self, ConnectorError> {
        let setting = Path::new(setting);
        if !setting.is_absolute() {
            return Err(bad_setting(
                "root",
                format!("the root {} is not an absolute path", setting.display()),
            ));
        }
        let what = format!("the root {} cannot be read", setting.display());
        let failed = |errno| root_error(errno, &what);
        let path = setting.canonicalize().map_err(|error| match error.raw_os_error() {
            Some(number) => failed(Errno::from_raw(number)),
            None => from_io(&error, &what),
        })?;
        let folder = open(&path, FOLDER, Mode::empty()).map_err(failed)?;
        // Without the right to search it, every file in it would fail one by one.
        faccessat(&folder, ".", AccessFlags::X_OK, AtFlags::AT_EACCESS).map_err(failed)?;
        let identity = identity(&fstat(&folder).map_err(failed)?);
        Ok(Self { path, folder, identity })
    }

    /// Tells this folder from another one at the same path, such as the empty one below a mount.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// Where the root is, without links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the root is still the folder that was opened. Asked at the end of a listing: had it been unmounted
    /// or replaced meanwhile, absence would prove nothing.
    ///
    /// # Errors
    ///
    /// SOURCE_UNAVAILABLE when it is not.
    pub(crate) fn check_still_there(&self) -> Result<(), ConnectorError> {
        match nix::sys::stat::stat(&self.path) {
            Ok(stat) if identity(&stat) == self.identity => Ok(()),
            _ => {
                let message =
                    format!("the root {} was moved or unmounted during the listing", self.path.display());
                Err(ConnectorError::new(Reason::SourceUnavailable, message)
                    .with_code("filesystem.root_changed"))
            }
        }
    }

    /// Opens a folder, name by name from the root.
    pub(crate) fn open_folder(&self, path: &RelativePath) -> nix::Result<OwnedFd> {
        let mut folder = self.folder.try_clone().map_err(errno_of)?;
        for name in path.names() {
            folder = open_folder_in(&folder, name)?;
        }
        Ok(folder)
    }

    /// Opens a file for reading and says what it is. A link is followed as far as it stays below the root.
    /// Anything but a regular file is refused, and not opened.
    pub(crate) fn open_file(&self, path: &RelativePath) -> nix::Result<(OwnedFd, FileStat)> {
        let (mut folder, mut name) = self.folder_of(path)?;
        let mut stat = stat_in(&folder, &name)?;
        if kind(&stat) == SFlag::S_IFLNK {
            let Link::File { path: target, stat: target_stat } = self.follow(path) else {
                return Err(Errno::ELOOP);
            };
            (folder, name) = self.folder_of(&target)?;
            stat = target_stat;
        }
        if kind(&stat) != SFlag::S_IFREG {
            return Err(Errno::ENOENT);
        }
        let file = openat(&folder, name.as_slice(), FILE, Mode::empty())?;
        let opened = fstat(&file)?;
        if identity(&opened) != identity(&stat) || kind(&opened) != SFlag::S_IFREG {
            return Err(Errno::ENOENT);
        }
        Ok((file, opened))
    }

    /// Looks where a symbolic link leads, without opening what is there.
    pub(crate) fn follow(&self, link: &RelativePath) -> Link {
        let Ok(target) = self.path.join(link.as_path()).canonicalize() else {
            return Link::Skipped("a link that leads nowhere");
        };
        let Some(path) = RelativePath::below(&self.path, &target) else {
            return Link::Skipped("a link that leads out of the root");
        };
        match self.folder_of(&path).and_then(|(folder, name)| stat_in(&folder, &name)) {
            Ok(stat) if kind(&stat) == SFlag::S_IFREG => Link::File { path, stat },
            Ok(stat) if kind(&stat) == SFlag::S_IFDIR => Link::Skipped("a link to a folder"),
            Ok(_) => Link::Skipped("a link to something that is not a file"),
            Err(_) => Link::Skipped("a link that leads nowhere"),
        }
    }

    fn folder_of(&self, path: &RelativePath) -> nix::Result<(OwnedFd, Vec<u8>)> {
        let (folder, name) = path.split();
        Ok((self.open_folder(&folder)?, name.to_vec()))
    }
}

/// Opens a folder in a folder, and not what a link of that name leads to.
pub(crate) fn open_folder_in(folder: impl AsFd, name: &[u8]) -> nix::Result<OwnedFd> {
    openat(folder, name, FOLDER.union(OFlag::O_NOFOLLOW), Mode::empty())
}

/// Looks at an entry of a folder, and not at what it leads to.
pub(crate) fn stat_in(folder: impl AsFd, name: &[u8]) -> nix::Result<FileStat> {
    fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// Whether an entry is a file, a folder, a link or something else.
pub(crate) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

pub(crate) fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

fn identity(stat: &FileStat) -> String {
    format!("{:x}-{:x}", stat.st_dev, stat.st_ino)
}

fn root_error(errno: Errno, what: &str) -> ConnectorError {
    match errno {
        Errno::ENOENT => {
            let message = format!(
                "{what}: it does not exist or is not mounted; mount it or correct the setting `root`"
            );
            ConnectorError::new(Reason::NotFound, message).with_code("filesystem.root_missing")
        }
        Errno::ENOTDIR => bad_setting("root", format!("{what}: it is not a folder")),
        Errno::EACCES | Errno::EPERM => {
            let message =
                format!("{what}: this program's user may not open it; grant that user reading and searching");
            ConnectorError::new(Reason::AccessDenied, message).with_code("filesystem.access_denied")
        }
        _ => from_errno(errno, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_was_replaced_during_a_listing_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root");
        std::fs::create_dir(&path).unwrap();
        let root = Root::open(path.to_str().unwrap()).unwrap();
        assert!(root.check_still_there().is_ok());
        std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        assert_eq!(root.check_still_there().unwrap_err().reason, Reason::SourceUnavailable);
        std::fs::create_dir(&path).unwrap();
        assert_eq!(root.check_still_there().unwrap_err().reason, Reason::SourceUnavailable);
    }
}
