//! The configuration: one typed [`Config`], one file per section with its defaults and checks.
//!
//! Order: defaults, then `connectord.toml`, then environment variables `CONNECTORD_SECTION__KEY`, then the command
//! line. Unknown keys are refused, and all problems are told at once, each with its key and where it was written.
//! The commented default file beside this module is the documentation; a test keeps it equal to the defaults. To
//! add a key: a field with its default in the section's file, a check if it needs one, and a line in that file.

mod args;
mod audit;
mod connectors;
mod content;
mod credentials;
mod data;
mod database;
mod documents;
mod environment;
mod layers;
mod load;
mod log;
mod oauth;
mod problem;
mod process;
mod public_url;
mod return_url;
mod runs;
mod server;
mod sync;
mod telemetry;
mod tls;
mod units;
mod vault;

pub use args::{Args, Command, ConfigCommand, KeysCommand};
pub use audit::AuditConfig;
pub use connectors::{ConnectorConfig, ConnectorsConfig};
pub use content::ContentConfig;
pub use credentials::CredentialsConfig;
pub use data::DataConfig;
pub use database::{DatabaseConfig, DatabaseTarget, SslMode};
pub use documents::DocumentsConfig;
pub use environment::Environment;
pub use load::{Config, DEFAULT_FILE};
pub use log::{LogConfig, LogFormat};
pub use oauth::OAuthConfig;
pub use problem::{Checks, ConfigError, ConfigProblem, Origin};
pub use process::{Isolation, ProcessConfig};
pub use public_url::PublicUrl;
pub use runs::RunsConfig;
pub use server::ServerConfig;
pub use sync::SyncConfig;
pub use telemetry::TelemetryConfig;
pub use tls::TlsConfig;
pub use units::ByteSize;
pub use vault::VaultConfig;
