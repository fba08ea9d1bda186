//! The control API: one thin file per service, the listener they share, and health.

pub mod health;
pub mod listener;
pub mod not_served;
