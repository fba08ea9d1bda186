//! How a connector's program is found, started and looked at. connectord and the conformance kit do it alike: what passes
//! with the one runs with the other.

mod launch;
mod processes;
mod program;

pub use launch::{Launch, RunAs};
pub use processes::{Processes, Usage};
pub use program::command;
