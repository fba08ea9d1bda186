//! The engine with a scripted connector in the place of a process: runs from their claim to their end, with a real
//! store and time that stands still.

mod engine;
mod failures;
mod listings;
mod raw_items;
mod reconcile;
mod stops;
