//! The file with the keys: read only where nobody else may, made and changed so that it is never there in part.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use super::keys::{Key, KeyRing, KeyRingError};
use super::source::SourceError;

/// The most that is read: more keys than a ring may hold, and remarks.
const MAX_BYTES: u64 = 256 * 1024;

/// The key file of an embedded installation.
pub fn in_folder(folder: &Path) -> PathBuf {
    folder.join("vault.key")
}

/// Makes the file with a new key.
///
/// # Errors
/// Where it cannot be made, or is there.
pub fn make(path: &Path) -> Result<(), SourceError> {
    let told = |error| SourceError::File { path: path.to_owned(), error };
    let _alone = lock_folder(path).map_err(told)?;
    if path.try_exists().map_err(told)? {
        return Err(told(std::io::ErrorKind::AlreadyExists.into()));
    }
    let line = Zeroizing::new(format!("{}\n", Key::generate().to_base64().as_str()));
    write_whole(path, &line, None).map_err(told)
}

/// Puts a new key before those that are there, which stay with their remarks. The file's owner and mode stay too.
/// Returns the ring that it is then.
///
/// # Errors
/// Where the file is no key ring, or cannot be written.
pub fn put_new_in_front(path: &Path) -> Result<KeyRing, SourceError> {
    let told = |error| SourceError::File { path: path.to_owned(), error };
    // What a link leads to: the link itself stays.
    let path = fs::canonicalize(path).map_err(told)?;
    let _alone = lock_folder(&path).map_err(told)?;
    let file = File::open(&path).map_err(told)?;
    let metadata = file.metadata().map_err(told)?;
    check_mode(&path, &metadata)?;
    check_length(&path, &metadata)?;
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize));
    std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_BYTES), &mut text).map_err(told)?;
    let ring = |text: &str| {
        let from = format!("the file {}", path.display());
        KeyRing::parse(text).map_err(|error| SourceError::Ring { from, error })
    };
    ring(&text)?;
    let with_new = Zeroizing::new(format!("{}\n{}", Key::generate().to_base64().as_str(), text.as_str()));
    let new = ring(&with_new)?;
    write_whole(&path, &with_new, Some(&metadata)).map_err(told)?;
    Ok(new)
}

/// Reads the file, unless others may.
pub(super) async fn read_private(path: &Path) -> Result<Zeroizing<String>, SourceError> {
    let told = |error| SourceError::File { path: path.to_owned(), error };
    let file = tokio::fs::File::open(path).await.map_err(told)?;
    let metadata = file.metadata().await.map_err(told)?;
    check_mode(path, &metadata)?;
    check_length(path, &metadata)?;
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize));
    file.take(MAX_BYTES).read_to_string(&mut text).await.map_err(told)?;
    Ok(text)
}

/// Secrets that an orchestrator mounts belong to root and are read by the service's group, so a group may read; nobody
/// else may do anything, and a group may not write.
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), SourceError> {
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o027 != 0 { Err(SourceError::Open { path: path.to_owned(), mode }) } else { Ok(()) }
}

/// What is too long for keys is another file.
fn check_length(path: &Path, metadata: &fs::Metadata) -> Result<(), SourceError> {
    let from = || format!("the file {}", path.display());
    if metadata.len() <= MAX_BYTES {
        Ok(())
    } else {
        Err(SourceError::Ring { from: from(), error: KeyRingError::TooMany })
    }
}

/// Keeps other processes that change key files in this folder waiting. The folder and not the file, which is replaced.
fn lock_folder(path: &Path) -> std::io::Result<File> {
    let folder = File::open(folder_of(path))?;
    folder.lock()?;
    Ok(folder)
}

/// Writes the text beside the file and moves it there: one that was cut off in the middle of a key would be worse than
/// none.
fn write_whole(path: &Path, text: &str, like: Option<&fs::Metadata>) -> std::io::Result<()> {
    let beside = path.with_extension("key.new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    if let Some(like) = like {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(like.permissions().mode() & 0o777))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    async fn ring(path: &Path) -> KeyRing {
        KeyRing::parse(&read_private(path).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_file_that_is_made_is_private_and_never_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = in_folder(folder.path());
        // A process that was killed while it made one.
        fs::write(path.with_extension("key.new"), "half a k").unwrap();
        make(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        let made = ring(&path).await.newest().id();
        assert!(matches!(make(&path), Err(SourceError::File { .. })));
        assert_eq!(ring(&path).await.newest().id(), made);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[tokio::test]
    async fn a_file_that_others_may_read_or_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = in_folder(folder.path());
        make(&path).unwrap();
        for open in [0o604, 0o644, 0o601, 0o602, 0o620, 0o666] {
            set_mode(&path, open);
            let refused = read_private(&path).await.unwrap_err().to_string();
            assert!(refused.contains(&format!("(mode {open:o}): `chmod 600 ")), "{refused}");
            assert!(matches!(put_new_in_front(&path), Err(SourceError::Open { .. })));
        }
        for private in [0o600, 0o400, 0o440, 0o640] {
            set_mode(&path, private);
            read_private(&path).await.unwrap();
        }
        fs::remove_file(&path).unwrap();
        assert!(read_private(&path).await.unwrap_err().to_string().contains("No such file"));
    }

    #[tokio::test]
    async fn a_new_key_comes_in_front_and_all_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = in_folder(folder.path());
        make(&path).unwrap();
        let old = ring(&path).await.newest().id();
        fs::write(&path, format!("# of March\n{}", fs::read_to_string(&path).unwrap())).unwrap();
        set_mode(&path, 0o640);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let new = put_new_in_front(&link).unwrap().newest().id();
        assert_ne!(new, old);
        assert_eq!(ring(&path).await.ids().collect::<Vec<_>>(), [new, old]);
        assert!(fs::read_to_string(&path).unwrap().contains("# of March"));
        assert_eq!(mode(&path), 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::write(&path, "nonsense").unwrap();
        assert!(matches!(put_new_in_front(&path), Err(SourceError::Ring { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "nonsense", "it is left as it was");
    }

    #[test]
    fn keys_that_are_put_in_front_at_once_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = in_folder(folder.path());
        make(&path).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| put_new_in_front(&path).unwrap());
            }
        });
        assert_eq!(KeyRing::parse(&fs::read_to_string(&path).unwrap()).unwrap().ids().count(), 9);
    }
}
