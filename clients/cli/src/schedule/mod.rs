//! When connections sync: what is typed for it (`args`, and `length` and `time` for the single values), and how it is
//! told (`words`).

pub mod args;
pub mod length;
pub mod time;
pub mod words;
