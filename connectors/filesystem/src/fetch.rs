//! The bytes of a file, and the proof that they belong to one version of it.

use bytes::BytesMut;
use nix::errno::Errno;
use nix::sys::stat::{FileStat, fstat};
use superfasttt_connector::{ConnectorError, ContentHeader, ContentWriter, FetchContent, Reason};
use tokio::io::AsyncReadExt;

use crate::errors::{from_errno, from_io, is_gone};
use crate::file::{left_out, media_type, version};
use crate::path::RelativePath;
use crate::root::Root;
use crate::settings::Settings;

const READ_BYTES: usize = 256 * 1024;

/// Streams a file. One that changes meanwhile ends with an error that asks to come again, so that no mixture of two
/// versions is ever taken for one.
pub(crate) async fn fetch(
    request: FetchContent<Settings>,
    content: &mut ContentWriter,
) -> Result<(), ConnectorError> {
    let path = RelativePath::decode(&request.content_ref).ok_or_else(|| {
        let message = "the content_ref names no path below the root";
        ConnectorError::new(Reason::AccessDenied, message).with_code("filesystem.outside_root")
    })?;
    let settings = request.settings.clone();
    let type_of_name = media_type(path.as_path()).unwrap_or_default().to_owned();
    let opened = tokio::task::spawn_blocking(move || open(&settings, &path)).await;
    let (file, stat) = opened.map_err(|_| stopped())??;

    let length = stat.st_size as u64;
    if let Some(why) = left_out(length, &request.settings) {
        return Err(ConnectorError::new(Reason::ContentTooLarge, why));
    }
    let header =
        ContentHeader { media_type: type_of_name, length_bytes: Some(length), version: version(&stat) };
    content.header(header).await?;

    let mut file = tokio::fs::File::from_std(file);
    let mut left = length;
    while left > 0 {
        let mut chunk = BytesMut::with_capacity(READ_BYTES);
        let read =
            file.read_buf(&mut chunk).await.map_err(|error| from_io(&error, "the file cannot be read"))?;
        if read == 0 {
            return Err(changed());
        }
        // A file that grows meanwhile has another version at the end, so what is beyond is not needed.
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= chunk.len() as u64;
        content.write(chunk.freeze()).await?;
    }
    let file = file.into_std().await;
    let now = fstat(&file).map_err(|errno| from_errno(errno, "the file cannot be read"))?;
    if version(&now) == version(&stat) { Ok(()) } else { Err(changed()) }
}

fn open(settings: &Settings, path: &RelativePath) -> Result<(std::fs::File, FileStat), ConnectorError> {
    let root = Root::open(&settings.root)?;
    let (file, stat) = root.open_file(path).map_err(|errno| match errno {
        errno if is_gone(errno) => from_errno(Errno::ENOENT, "the file is no longer there"),
        errno => from_errno(errno, "the file cannot be opened"),
    })?;
    Ok((file.into(), stat))
}

fn changed() -> ConnectorError {
    ConnectorError::new(Reason::SourceUnavailable, "the file changed while it was read: fetch it again")
        .with_code("filesystem.changed_while_read")
}

fn stopped() -> ConnectorError {
    ConnectorError::new(Reason::Internal, "the thread that opens files ended: the connector's log says why")
}
