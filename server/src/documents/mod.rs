//! The documents feed: positions, and the stream that a reader gets from one.

mod position;
mod watch;

pub use position::{Position, UnknownPosition};
pub use watch::{Batch, Watch, entry_position, lag_offset};
