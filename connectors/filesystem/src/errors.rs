//! What a failure of the operating system means to the engine.

use nix::errno::Errno;
use superfasttt_connector::{ConnectorError, Reason};

/// A failure about one file or folder. `what` is a fragment such as "the folder cannot be opened".
pub(crate) fn from_errno(errno: Errno, what: &str) -> ConnectorError {
    let (reason, code) = match errno {
        Errno::EACCES | Errno::EPERM => (Reason::AccessDenied, "filesystem.access_denied"),
        Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP => (Reason::NotFound, "filesystem.not_found"),
        _ => (Reason::SourceUnavailable, "filesystem.io_error"),
    };
    ConnectorError::new(reason, format!("{what}: {}", errno.desc())).with_code(code)
}

/// The same for errors of the standard library.
pub(crate) fn from_io(error: &std::io::Error, what: &str) -> ConnectorError {
    from_errno(Errno::from_raw(error.raw_os_error().unwrap_or_default()), what)
}

/// Whether the entry is no longer what its folder said it was: it went away between two looks.
pub(crate) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)
}

/// A mistake in one of the settings.
pub(crate) fn bad_setting(field: &str, message: impl Into<String>) -> ConnectorError {
    ConnectorError::new(Reason::SettingsInvalid, message).with_metadata("field", field)
}
