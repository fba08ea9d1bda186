//! What the author of a connector imports.
//!
//! A connector reads one kind of source and yields documents. The author writes [`Connector::pull`], which reads
//! the source and gives items to a [`Sink`], and [`Connector::normalize`], which makes an envelope of an item.
//! Everything else is here: serving on the socket, the token check, health, reflection, page splitting, the order
//! of checkpoints, raw items or envelopes as asked, errors, panics, cancellation and logs.
//!
//! # A first connector
//!
//! The manifest says who the connector is and what it can do. It lies beside the program as `manifest.json`:
//!
//! ```json
//! {
//!   "id": "notes",
//!   "name": "Notes",
//!   "auth": { "type": "none" },
//!   "sync": { "mode": "full", "frequency": "15m" },
//!   "capabilities": ["full_listing"],
//!   "settings": {
//!     "type": "object",
//!     "required": ["file"],
//!     "properties": { "file": { "type": "string", "title": "File with one note a line" } }
//!   }
//! }
//! ```
//!
//! The program (`examples/notes`; a test runs it):
//!
//! ```ignore
#![doc = include_str!("../examples/notes/main.rs")]
//! ```
//!
//! Three things to know about `pull`:
//!
//! - **It may be cut anywhere**, and is then called again with the cursor of the last checkpoint that was
//!   committed: [`Pull::cursor`]. Sending something twice is harmless.
//! - **One bad item ends nothing.** Give [`Sink::item_error`] and go on; what failed is not taken as deleted.
//! - **Absence means deletion** only after [`Sink::complete_listing`]. Call it when you are sure that everything
//!   was named.
//!
//! # Asking a source over HTTP
//!
//! [`Pull::http`] and its like in the other requests is a client for the call: it sets the credential, goes only to the
//! manifest's `allowed_hosts`, keeps its `rate_limits`, waits where the source says so, tries again what is safe, and makes an
//! error with its reason of an answer of 400 and above. `examples/tracker` reads a JSON API with it. It is the default
//! feature `http`.
//!
//! # Trying it
//!
//! The program of a connector has commands for its author: `info`, `test` and `pull` (`--help` tells their options). With
//! CONNECTOR_HTTP_RECORD, or `--record`, the HTTP traffic is written to a file without secrets; with CONNECTOR_HTTP_REPLAY,
//! or `--replay`, it is answered from there.
//!
//! [`testing`] drives a connector in a test, over the real protocol and without a process.

mod auth;
mod call;
mod change;
mod checks;
mod connector;
mod content;
mod credential;
#[cfg(feature = "http")]
mod http;
mod item;
mod limits;
mod listing;
mod log;
mod manifest;
mod normalizing;
mod outlet;
mod page;
mod program;
mod redact;
mod request;
mod serve;
mod service;
mod sink;
mod stream;
pub mod testing;
mod trace;
mod traffic;
mod values;

pub use checks::Checks;
pub use connector::Connector;
pub use content::ContentWriter;
pub use credential::Credential;
#[cfg(feature = "http")]
pub use http::{HttpClient, HttpRequest, HttpResponse};
pub use item::{Item, ItemKey, Target};
pub use manifest::ManifestError;
pub use program::serve;
pub use request::{Action, Discover, Event, FetchContent, Mode, Pull, SigningSecret, TestConnection};
pub use serve::{ServeError, ServeOptions, serve_with};
pub use sink::Sink;
pub use trace::{TraceParent, TraceParentError};
pub use traffic::Traffic;
pub use values::{Metadata, json_to_struct, struct_to_json};

pub use prost_types::{Struct, Timestamp};
#[cfg(feature = "http")]
pub use reqwest::{Method, StatusCode, header::HeaderMap};
pub use superfasttt_proto::connector::v1::{
    AccountIdentity, Container, ContentHeader, DiscoverResponse, DocumentEnvelope, HandleEventResponse,
    HttpAnswer, Permissions, Reason, Resource, log_record::Level as LogLevel,
    scope_removed::Cause as RemovalCause,
};
pub use superfasttt_proto::error::ConnectorError;
pub use tokio_util::sync::CancellationToken;
