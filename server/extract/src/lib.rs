//! Text out of documents, inside limits.
//!
//! [`extract()`] turns one file into text: it decides what the file is ([`Format`]), reads it with the extractor for
//! that format, and hands back normalised, capped text or an [`ExtractError`] that says whether trying the
//! same bytes again could help. Documents are hostile input, so the server never calls it in its own process:
//! [`worker::main`] is a process that answers extraction requests under resource limits, and [`Pool`] keeps a
//! few of them, kills one that takes too long and reports one that died.
//!
//! To add a format: a variant in `format.rs`, how it is recognised in `detect.rs`, its reader in `formats/`, a
//! fixture and a test in `tests/formats.rs`, and a higher [`EXTRACTOR_REVISION`].

mod charset;
mod detect;
mod error;
mod extract;
mod format;
mod formats;
mod normalize;
mod pool;
pub mod worker;

pub use error::ExtractError;
pub use extract::{Extracted, Hints, Limits, extract};
pub use format::Format;
pub use pool::{Pool, PoolConfig};

/// Raised whenever the text of some document would come out differently or better than before. The server
/// keeps the revision beside each text, so that a better extractor can read old documents again.
pub const EXTRACTOR_REVISION: u32 = 1;
