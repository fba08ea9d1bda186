//! The catalogue of connectors: manifests found in the connectors directory, validated against the published
//! schema, and watched.
//!
//! [`Catalog::load`] reads the directory; [`Catalog::watch`] keeps it up to date. A [`Manifest`] exists only for a
//! text that passed every check, so code that holds one trusts it. Settings of connections are checked here as
//! well, because the manifest says what they may be.

mod auth;
mod check;
mod entry;
mod frequency;
mod load;
mod manifest;
mod problem;
mod proofs;
mod schema;
mod schema_walk;
mod settings;
mod store;
mod watch;

pub use auth::{Auth, AuthField, AuthKind};
pub use entry::{ConnectorEntry, Endpoint, Runnable};
pub use frequency::{Frequency, FrequencyError, MAX_INTERVAL, MIN_INTERVAL, parse_cron};
pub use manifest::{
    Action, Capabilities, Event, MAX_MANIFEST_BYTES, Manifest, RateLimit, RateLimitReach, Runtime,
    SyncDefaults, SyncMode, Tls,
};
pub use problem::Problem;
pub use schema::MANIFEST_SCHEMA;
pub use settings::{
    FieldProblem, Picker, SEALED, SettingsSchema, apply_defaults, pointer_below, secret_places,
    secret_values, validate_settings, without_secrets,
};
pub use store::{Catalog, CatalogError};
pub use watch::CatalogWatch;
