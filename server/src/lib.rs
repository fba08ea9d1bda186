//! connectord: the control service of superfasttt connectors. The folders follow one sync, step by step.

pub mod clock;
pub mod store;
