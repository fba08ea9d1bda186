//! A file as the walk finds it, and the envelope that is made of it.

use std::path::Path;

use nix::sys::stat::FileStat;
use serde::{Deserialize, Serialize};
use superfasttt_connector::{DocumentEnvelope, Metadata, Permissions, Timestamp};

use crate::path::{RelativePath, file_uri};
use crate::settings::Settings;

/// What a listing knows of a file. Nothing of it comes from the file's bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct File {
    /// The id: the path below the root.
    pub(crate) path: String,
    pub(crate) size_bytes: u64,
    pub(crate) modified: Time,
    /// `None`: the file system does not keep it.
    pub(crate) created: Option<Time>,
    /// The owner's user name. `None`: the system knows no name for the user's number.
    pub(crate) owner: Option<String>,
}

/// Seconds and nanoseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanos: i32,
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Timestamp { seconds: time.seconds, nanos: time.nanos }
    }
}

/// When the file's bytes last changed.
pub(crate) fn modified(stat: &FileStat) -> Time {
    // Nanoseconds are under 10^9 by definition.
    Time { seconds: stat.st_mtime, nanos: stat.st_mtime_nsec as i32 }
}

/// What changes whenever the bytes do: size and time, and the inode, because programs write a new file and rename
/// it over the old one within one tick of the clock.
pub(crate) fn version(stat: &FileStat) -> String {
    format!("{:x}-{:x}.{:09}-{:x}", stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ino)
}

/// The media type that a name suggests. `None` lets the engine look at the bytes.
pub(crate) fn media_type(path: &Path) -> Option<&'static str> {
    // Registered for video, and in folders of documents nearly always TypeScript.
    if path.extension().is_some_and(|extension| extension == "ts") {
        return None;
    }
    mime_guess::from_path(path).first_raw()
}

/// Why a file's text is left out, if it is.
pub(crate) fn left_out(size_bytes: u64, settings: &Settings) -> Option<String> {
    let max = settings.max_size_bytes;
    (size_bytes > max).then(|| format!("the file has {size_bytes} bytes and max_size_bytes is {max}"))
}

/// The envelope of a file; the SDK adds id, version and content_ref.
pub(crate) fn envelope(file: File, path: &RelativePath, settings: &Settings) -> DocumentEnvelope {
    let (folder, name) = path.split();
    let media_type = media_type(path.as_path());
    let metadata = Metadata::new()
        .with_some("mime_type", media_type)
        .with_count("size", file.size_bytes)
        .with("path", file.path.as_str())
        .with_some("owner", file.owner)
        .with_some("created_at", file.created.map(|time| Timestamp::from(time).to_string()))
        .with_time("modified_at", file.modified.into())
        .with_some("content_left_out", left_out(file.size_bytes, settings));
    DocumentEnvelope {
        title: String::from_utf8_lossy(name).into_owned(),
        url: file_uri(&Path::new(&settings.root).join(path.as_path())),
        metadata: metadata.into(),
        // A file's mode says who may read it on this machine, and nothing of the people of the organisation.
        permissions: Some(Permissions { visibility: "private".to_owned(), ..Permissions::default() }),
        media_type: media_type.unwrap_or_default().to_owned(),
        created_at: file.created.map(Timestamp::from),
        updated_at: Some(file.modified.into()),
        parent_id: folder.encode(),
        locator: file.path,
        ..DocumentEnvelope::default()
    }
}
