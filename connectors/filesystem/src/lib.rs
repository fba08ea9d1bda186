//! Documents in a folder: the connector that others are copied from.
//!
//! [`Filesystem`] says what is pulled and what an envelope looks like. A pull is a [`walk`] of the [`root`] in
//! sorted order on a thread of its own, because the file system blocks; its cursor is the [`path`] where the walk
//! stood. Bytes are read only by [`fetch`].

mod connector;
mod discover;
mod errors;
mod fetch;
mod file;
mod path;
mod root;
mod settings;
mod walk;

pub use connector::Filesystem;
