//! What server and worker say to each other. A frame is the length of its header (four bytes, big endian), the header as
//! JSON, and the bytes that the header announces: a path after a request, a text after a reply. One request is
//! under way at a time. The server reads replies as carefully as the worker reads documents, for a worker may be in
//! the hands of a hostile one.

use std::io::{Error, ErrorKind, Read};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ExtractError, Hints, Limits};

/// A longer header is not ours.
pub(crate) const MAX_HEADER_BYTES: usize = 64 << 10;

/// A longer path is not one that a system opens.
const MAX_PATH_BYTES: usize = 16 << 10;

/// The first frame: what the worker may use.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// Memory, in bytes.
    pub(crate) memory_bytes: u64,
    /// Processor time over the worker's whole life, in seconds.
    pub(crate) cpu_seconds: u64,
    /// The path, as the system has it, of the folder below which all documents lie; no other file is then open to the
    /// worker.
    pub(crate) folder: Option<Vec<u8>>,
}

/// One document, followed by its path: the file is opened by the worker, and no other file is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) path_bytes: usize,
    pub(crate) hints: Hints,
    pub(crate) limits: Limits,
}

/// What the worker answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub(crate) enum Reply {
    /// The limits are in place.
    Ready,
    /// A text, which follows.
    Text { text_bytes: usize, truncated: bool, media_type: String, extractor: String },
    /// No text.
    Failed { error: ExtractError },
}

/// The bytes of a frame up to the end of its header.
pub(crate) fn header(message: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    if json.len() > MAX_HEADER_BYTES {
        return Err(Error::new(ErrorKind::InvalidInput, "a header is longer than the other side accepts"));
    }
    // The limit above fits into four bytes.
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    Ok([&length.to_be_bytes()[..], &json].concat())
}

/// Reads a frame and the bytes that follow it; `None` when the other side has closed.
pub(crate) fn read<T: DeserializeOwned>(
    input: &mut impl Read,
    body_bytes: fn(&T) -> usize,
) -> std::io::Result<Option<(T, Vec<u8>)>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let message: T = serde_json::from_slice(&super::read_exactly(input, checked(length)?)?)?;
    let length = body_bytes(&message);
    if length > MAX_PATH_BYTES {
        return Err(Error::new(ErrorKind::InvalidData, "a path is longer than any system opens"));
    }
    let body = super::read_exactly(input, length)?;
    Ok(Some((message, body)))
}

/// The length of a header, when it is one that this side accepts.
pub(crate) fn checked(length: [u8; 4]) -> std::io::Result<usize> {
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_HEADER_BYTES {
        return Err(Error::new(ErrorKind::InvalidData, "a header is longer than any of ours"));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let request = Request { path_bytes: 4, hints: Hints::default(), limits: Limits::default() };
        let frame = [header(&request).unwrap(), b"/a\xffb".to_vec()].concat();
        let (read, path) =
            read::<Request>(&mut frame.as_slice(), |request| request.path_bytes).unwrap().unwrap();
        assert_eq!((read.limits, path.as_slice()), (request.limits, &b"/a\xffb"[..]));
    }

    #[test]
    fn the_end_of_the_input_is_no_error_and_nonsense_is_one() {
        assert!(read::<Setup>(&mut &b""[..], |_| 0).unwrap().is_none());
        assert!(read::<Setup>(&mut &b"\xff\xff\xff\xff{}"[..], |_| 0).is_err());
        assert!(read::<Setup>(&mut &b"\0\0\0\x02[]"[..], |_| 0).is_err());
    }
}
