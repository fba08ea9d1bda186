//! The text behind a `content_ref`: fetched from the connector and extracted by a worker process, only where the
//! version differs from the one whose content is stored, several at once, and handed on in stream order.

mod fetch;
mod stage;

pub use fetch::{ContentTotals, Fetcher, Source, Suspects};
pub use stage::{Pending, stage};
