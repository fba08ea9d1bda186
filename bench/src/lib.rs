//! What `make bench` measures with: a connector whose documents cost nothing to find (`source`), connectord as a
//! process of its own (`connectord`), the bare sides that it is compared with (`bare_stream`, `bare_store`), one
//! module for each figure (`ingest`, `unchanged`, `feed`, `memory`, `start`), and the `report`.
//!
//! Every figure that says how fast is a ratio: both sides run on the same machine, one right after the other, and do
//! the same as far as the bare one does it at all. Absolute rates depend on the machine; ratios hardly do.

pub mod bare_store;
pub mod bare_stream;
pub mod connectord;
pub mod feed;
pub mod ingest;
pub mod machine;
pub mod memory;
pub mod report;
pub mod source;
pub mod start;
pub mod unchanged;
