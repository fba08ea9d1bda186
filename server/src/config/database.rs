//! Section `database`: PostgreSQL, where it is used. Without it the state is in a SQLite file in the data folder.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::problem::Checks;
use super::server::secret;
use super::units::duration;

/// PostgreSQL, where it is used.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `postgres://user:password@host/database`. Filled from `url_file` where that is given.
    #[serde(with = "secret")]
    pub url: Option<SecretString>,
    /// A file that holds the URL.
    pub url_file: Option<PathBuf>,
    /// Whether the connection is encrypted, and with whom. `None`: as the URL says, else [`SslMode::Prefer`].
    pub sslmode: Option<SslMode>,
    /// The authorities that certificates are checked by with [`SslMode::VerifyFull`]. `None`: those of browsers.
    pub root_certificates: Option<PathBuf>,
    /// How many transactions may be under way at once. One more connection listens.
    pub max_connections: usize,
    /// How long a database that cannot be reached is tried at the start.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long a transaction waits for a connection.
    #[serde(with = "duration")]
    pub acquire_timeout: Duration,
    /// How long a statement may take.
    #[serde(with = "duration")]
    pub statement_timeout: Duration,
    /// How long a statement waits for what another transaction holds.
    #[serde(with = "duration")]
    pub lock_timeout: Duration,
    /// When the server ends a transaction whose client is silent: nobody waits longer for one that was stopped.
    #[serde(with = "duration")]
    pub idle_in_transaction_timeout: Duration,
}

/// Whether a connection to the database is encrypted, and with whom: the words of PostgreSQL's own clients.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never.
    Disable,
    /// Where the server offers it.
    #[default]
    Prefer,
    /// Always, with whoever answers.
    Require,
    /// Always, with the server that the URL names.
    VerifyFull,
}

impl SslMode {
    /// What the client asks of the server.
    pub fn negotiated(self) -> tokio_postgres::config::SslMode {
        match self {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
        }
    }

    fn by_name(name: &str) -> Result<Self, String> {
        match name {
            "disable" => Ok(SslMode::Disable),
            "prefer" => Ok(SslMode::Prefer),
            "require" => Ok(SslMode::Require),
            "verify-full" => Ok(SslMode::VerifyFull),
            _ => Err("its sslmode is none of disable, prefer, require, verify-full".to_owned()),
        }
    }
}

/// Where the database is, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct DatabaseTarget {
    /// The URL without what is said here.
    pub url: SecretString,
    /// Whether the connection is encrypted, and with whom.
    pub sslmode: SslMode,
    /// The authorities that certificates are checked by.
    pub root_certificates: Option<PathBuf>,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            sslmode: None,
            root_certificates: None,
            max_connections: 16,
            connect_timeout: Duration::from_secs(30),
            acquire_timeout: Duration::from_secs(15),
            statement_timeout: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(15),
            idle_in_transaction_timeout: Duration::from_secs(15),
        }
    }
}

impl DatabaseConfig {
    /// Reads the URL's file, where there is one.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub(super) fn read_url_file(&mut self) -> Result<(), String> {
        let Some(path) = &self.url_file else { return Ok(()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        self.url = Some(SecretString::from(text.trim_end()));
        Ok(())
    }

    /// The password in the URL.
    pub(super) fn password(&self) -> Option<SecretString> {
        let target = self.target().ok()?;
        let parsed: tokio_postgres::Config = target.url.expose_secret().parse().ok()?;
        let password = std::str::from_utf8(parsed.get_password()?).ok()?;
        Some(SecretString::from(password))
    }

    /// Where the database is. `sslmode` and `sslrootcert` may stand in the URL, as PostgreSQL's own clients take them;
    /// the keys of the section come before them.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL, without a part of it.
    pub fn target(&self) -> Result<DatabaseTarget, String> {
        let url = self.url.as_ref().ok_or("it is not given")?.expose_secret();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("it does not begin with postgres://".to_owned());
        }
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut sslmode, mut root_certificates) = (self.sslmode, self.root_certificates.clone());
        let mut others = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", name)) => {
                    let named = SslMode::by_name(name)?;
                    sslmode = sslmode.or(Some(named));
                }
                Some(("sslrootcert", path)) => {
                    root_certificates = root_certificates.or_else(|| Some(PathBuf::from(path)));
                }
                _ => others.push(parameter),
            }
        }
        let sslmode = sslmode.unwrap_or_default();
        if root_certificates.is_some() && sslmode != SslMode::VerifyFull {
            let text = "certificates are checked only with sslmode verify-full: say so, or name no root certificates";
            return Err(text.to_owned());
        }
        let joint = if others.is_empty() { "" } else { "?" };
        let url = format!("{address}{joint}{}", others.join("&"));
        // Its errors name what is wrong and quote none of it but the names of options.
        if let Err(error) = url.parse::<tokio_postgres::Config>() {
            let cause = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
            return Err(format!("it is no URL of a database: {cause}"));
        }
        Ok(DatabaseTarget { url: SecretString::from(url), sslmode, root_certificates })
    }

    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        if self.url.is_some() {
            let key = if self.url_file.is_some() { "url_file" } else { "url" };
            let target = self.target();
            checks.require(target.is_ok(), key, || target.err().unwrap_or_default());
        }
        checks.require(self.max_connections >= 2, "max_connections", || {
            format!(
                "{} is too little: readers and writers need one each; write at least 2",
                self.max_connections
            )
        });
        for (key, value) in [
            ("connect_timeout", self.connect_timeout),
            ("acquire_timeout", self.acquire_timeout),
            ("statement_timeout", self.statement_timeout),
            ("lock_timeout", self.lock_timeout),
            ("idle_in_transaction_timeout", self.idle_in_transaction_timeout),
        ] {
            checks.not_zero(key, value);
            // The server keeps these in milliseconds, and 0 of them means never.
            let held = (1..=i32::MAX as u128).contains(&value.as_millis());
            checks.require(value.is_zero() || held, key, || "write from 1ms to 24d".to_owned());
        }
    }
}
