//! The dev loop: one connector, pulled from without a server, and what it brings shown.
//!
//! `pulling` asks as connectord would and keeps the cursors in `state`; `show` prints what comes, `explain` says what went
//! wrong; `hearing` passes on what the connector writes; `watching` waits for a file to change.

mod explain;
mod hearing;
mod pulling;
mod show;
mod state;
mod watching;

pub use self::explain::explain;
pub use self::hearing::hear;
pub use self::pulling::{Asked, Mode, pull};
pub use self::show::Shown;
pub use self::state::{STATE_FILE, State};
pub use self::watching::Watching;
