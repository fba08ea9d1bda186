//! The HTTP client: an author asks the source, and limits, waits, retries, reasons and redaction are kept by themselves.
//!
//! A [`HttpClient`] belongs to one call (`pull.http`, `request.http`). What all calls of a process share, the rules of the
//! manifest and the connections, is in `source`.

mod client;
mod har;
mod hosts;
mod network;
mod rates;
mod record;
mod redaction;
mod refusal;
mod replay;
mod request;
mod response;
mod source;
mod tape;
mod waits;

#[cfg(test)]
mod tests;

pub use client::HttpClient;
pub use request::HttpRequest;
pub use response::HttpResponse;
pub(crate) use source::HttpSource;
