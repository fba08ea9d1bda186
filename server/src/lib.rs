//! connectord, part by part: what each module holds is told at its top.

pub mod catalog;
pub mod clock;
pub mod config;
pub mod process;
