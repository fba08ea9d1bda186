//! What `make bench` measures with: a connector whose documents cost nothing to find (`source`), connectord as a
//! process of its own (`connectord`, `calls`) with its `database`, the sides that it is compared with (`bare_stream`,
//! `bare_store`, `bare_postgres`, `celery` and each `peer` in its `venv`), one module for each figure (`ingest`, `unchanged`, `feed`,
//! `languages` with each `language`, `peers`, `idle`, `claim`, `growth`, `replicas`, `memory`, `start`, `vault`), and the
//! `report`.
//!
//! Every figure that says how fast is a ratio: both sides run on the same machine, one right after the other, and do
//! the same as far as the other one does it at all. Absolute rates depend on the machine; ratios hardly do.

pub mod bare_postgres;
pub mod bare_store;
pub mod bare_stream;
pub mod calls;
pub mod celery;
pub mod claim;
/// A cluster of PostgreSQL that lives as long as this process: the one that the server's tests use.
#[path = "../../server/src/store/testing/postgres.rs"]
pub mod cluster;
pub mod connectord;
pub mod database;
pub mod feed;
pub mod growth;
pub mod idle;
pub mod ingest;
pub mod language;
pub mod languages;
pub mod machine;
pub mod memory;
pub mod peer;
pub mod peers;
pub mod postgres;
pub mod refresh;
pub mod replicas;
pub mod report;
pub mod source;
pub mod start;
pub mod unchanged;
pub mod vault;
pub mod venv;
