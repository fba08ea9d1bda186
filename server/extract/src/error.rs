//! Why a document gave no text. Every reason but one is a verdict on the bytes: the same version of the document
//! would end the same way again, so the server stores the verdict instead of trying for ever.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The reason why no text came out of a document.
///
/// `Display` is a sentence for a person: what happened, who must act and how. No variant carries text of the
/// document, so an error may be logged and shown freely.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ExtractError {
    /// A kind of file that holds no text we read: images, sound, video, archives, programs. Not a fault: the
    /// document is kept with its name and details.
    #[error(
        "no text is read from files of type {media_type}: nobody needs to act, name and details are kept"
    )]
    Unsupported {
        /// The media type found in the bytes, or given by the hints.
        media_type: String,
    },
    /// Opening the document needs a password.
    #[error(
        "the document is protected by a password: its owner must save a copy without one for its text to be read"
    )]
    Encrypted,
    /// The bytes are not a whole, well-formed document of their format.
    #[error("the document is damaged ({reason}): its owner must replace it with a copy that opens")]
    Damaged {
        /// What is wrong, in a few words.
        reason: Cow<'static, str>,
    },
    /// The file, or what it unpacks to, is over a limit.
    #[error(
        "{what} is over the limit of {limit}: its owner must split it, or an administrator raise the limit"
    )]
    TooLarge {
        /// What was measured.
        what: Cow<'static, str>,
        /// The limit, in bytes or in entries as `what` says.
        limit: u64,
    },
    /// Reading took longer than the time limit of one document.
    #[error(
        "reading the text took over {limit_ms} ms: its owner must simplify the document, or an administrator raise the time limit"
    )]
    TimedOut {
        /// The time limit, in milliseconds.
        limit_ms: u64,
    },
    /// Reading needed more memory than a worker may use.
    #[error(
        "reading the text took more memory than a reader may use: its owner must split the document, or an administrator raise the memory limit"
    )]
    OutOfMemory,
    /// The worker died while it read this document.
    #[error(
        "the text reader stopped on this document ({how}): an administrator should report it to the maintainers, name and details are kept"
    )]
    Crashed {
        /// How the worker ended.
        how: Cow<'static, str>,
    },
    /// No verdict: the worker could not be started or the file not be opened. Trying again later can help.
    #[error(
        "the text could not be read for now ({reason}): it is tried again later, and an administrator should look at the server"
    )]
    Unavailable {
        /// What failed on our side.
        reason: Cow<'static, str>,
    },
}

impl ExtractError {
    /// Whether the same bytes would end the same way again, so that the verdict can be stored for this version of
    /// the document.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::Unavailable { .. })
    }

    /// The stable name of the reason, for stored item errors and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "unsupported",
            Self::Encrypted => "encrypted",
            Self::Damaged { .. } => "damaged",
            Self::TooLarge { .. } => "too_large",
            Self::TimedOut { .. } => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::Crashed { .. } => "crashed",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    pub(crate) fn damaged(reason: &'static str) -> Self {
        Self::Damaged { reason: reason.into() }
    }

    /// The verdict of a failed read: readers that grow a buffer report the lack of memory as an I/O error.
    pub(crate) fn of_read(error: &std::io::Error, otherwise: Self) -> Self {
        if error.kind() == std::io::ErrorKind::OutOfMemory { Self::OutOfMemory } else { otherwise }
    }

    /// The file itself could not be read.
    pub(crate) fn unreadable(error: &std::io::Error) -> Self {
        Self::of_read(error, Self::unavailable("the file could not be read", error))
    }

    pub(crate) fn unavailable(what: &str, error: &dyn std::fmt::Display) -> Self {
        Self::Unavailable { reason: format!("{what}: {error}").into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_on_the_wire_is_the_code_in_rust() {
        let all = [
            ExtractError::Unsupported { media_type: "image/png".into() },
            ExtractError::Encrypted,
            ExtractError::damaged("cut short"),
            ExtractError::TooLarge { what: "the file".into(), limit: 1 },
            ExtractError::TimedOut { limit_ms: 1 },
            ExtractError::OutOfMemory,
            ExtractError::Crashed { how: "signal 11".into() },
            ExtractError::Unavailable { reason: "no worker".into() },
        ];
        for error in all {
            let wire = serde_json::to_value(&error).unwrap();
            assert_eq!(wire["code"], error.code());
            assert_eq!(serde_json::from_value::<ExtractError>(wire).unwrap(), error);
            assert_eq!(error.is_permanent(), error.code() != "unavailable");
        }
    }
}
