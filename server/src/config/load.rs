//! The root of the configuration, and how it is put together.

use std::path::Path;

use secrecy::SecretString;

use super::args::Args;
use super::environment::Environment;
use super::layers::Layers;
use super::problem::{Checks, ConfigError, ConfigProblem, Origin};
use super::{
    AuditConfig, ConnectorsConfig, ContentConfig, CredentialsConfig, DataConfig, DatabaseConfig,
    DocumentsConfig, LogConfig, OAuthConfig, ProcessConfig, RunsConfig, ServerConfig, SyncConfig,
    TelemetryConfig, VaultConfig,
};

/// The commented default file: the documentation of every key.
pub const DEFAULT_FILE: &str = include_str!("connectord.default.toml");

/// Read where `--config` names no other file, if it is there.
const CONVENTIONAL_FILE: &str = "connectord.toml";

/// Every setting of connectord.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where it listens and who may call it.
    pub server: ServerConfig,
    /// Where it keeps what must outlive it.
    pub data: DataConfig,
    /// PostgreSQL, where it is used.
    pub database: DatabaseConfig,
    /// The master keys of secrets.
    pub vault: VaultConfig,
    /// How accounts are connected at providers.
    pub oauth: OAuthConfig,
    /// What the values that people enter may refer to.
    pub credentials: CredentialsConfig,
    /// Where the connectors are.
    pub connectors: ConnectorsConfig,
    /// How connectors are run.
    pub process: ProcessConfig,
    /// How runs go.
    pub sync: SyncConfig,
    /// How documents' bytes are fetched and turned into text.
    pub content: ContentConfig,
    /// The feed.
    pub documents: DocumentsConfig,
    /// How much of past runs is kept.
    pub runs: RunsConfig,
    /// How long it is known who did what.
    pub audit: AuditConfig,
    /// What connectord says on stderr.
    pub log: LogConfig,
    /// Where its traces go.
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// Puts the configuration together and checks it.
    ///
    /// # Errors
    ///
    /// All problems at once: unknown keys, wrong types, values that cannot work, a control listener that other
    /// machines can reach without a token.
    pub fn load(args: &Args, environment: &Environment) -> Result<Self, ConfigError> {
        let mut layers = Layers::default();
        let mut problems = Vec::new();
        match &args.config {
            Some(path) => read_file(path, &mut layers, &mut problems),
            None if Path::new(CONVENTIONAL_FILE).exists() => {
                read_file(Path::new(CONVENTIONAL_FILE), &mut layers, &mut problems);
            }
            None => {}
        }
        layers.add_environment(environment.variables(), &mut problems);
        if let Some(path) = &args.data_dir {
            layers.add_argument("--data-dir", "data", "dir", path);
        }
        if let Some(path) = &args.connectors_dir {
            layers.add_argument("--connectors-dir", "connectors", "dir", path);
        }
        Self::from_layers(&layers, problems)
    }

    /// The secrets in it: they are never to be written anywhere.
    pub fn secrets(&self) -> Vec<SecretString> {
        [self.server.token.clone(), self.database.password()].into_iter().flatten().collect()
    }

    fn from_layers(layers: &Layers, mut problems: Vec<ConfigProblem>) -> Result<Self, ConfigError> {
        let known = [
            "server",
            "server.tls",
            "server.public_tls",
            "data",
            "database",
            "vault",
            "oauth",
            "credentials",
            "connectors",
            "process",
            "sync",
            "content",
            "documents",
            "runs",
            "audit",
            "log",
            "telemetry",
        ];
        layers.check_sections(&known, "connectors", &mut problems);
        let mut config = Self {
            server: layers.section("server", &mut problems),
            data: layers.section("data", &mut problems),
            database: layers.section("database", &mut problems),
            vault: layers.section("vault", &mut problems),
            oauth: layers.section("oauth", &mut problems),
            credentials: layers.section("credentials", &mut problems),
            connectors: layers.section("connectors", &mut problems),
            process: layers.section("process", &mut problems),
            sync: layers.section("sync", &mut problems),
            content: layers.section("content", &mut problems),
            documents: layers.section("documents", &mut problems),
            runs: layers.section("runs", &mut problems),
            audit: layers.section("audit", &mut problems),
            log: layers.section("log", &mut problems),
            telemetry: layers.section("telemetry", &mut problems),
        };
        for id in layers.names_within("connectors") {
            let connector = layers.section(&format!("connectors.{id}"), &mut problems);
            config.connectors.by_id.insert(id, connector);
        }
        config.server.tls = layers.section("server.tls", &mut problems);
        config.server.public_tls = layers.section("server.public_tls", &mut problems);
        config.resolve_token(layers, &mut problems);
        config.resolve_database_url(layers, &mut problems);
        config.validate(layers, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }

    fn resolve_token(&mut self, layers: &Layers, problems: &mut Vec<ConfigProblem>) {
        let both = self.server.token.is_some() && self.server.token_file.is_some();
        let result = if both {
            Err("server.token is given as well; keep one of the two".to_owned())
        } else {
            self.server.read_token_file()
        };
        if let Err(message) = result {
            let origin = layers.origin("server", "token_file");
            problems.push(ConfigProblem { key: "server.token_file".to_owned(), message, origin });
        }
    }

    fn resolve_database_url(&mut self, layers: &Layers, problems: &mut Vec<ConfigProblem>) {
        let both = self.database.url.is_some() && self.database.url_file.is_some();
        let result = if both {
            Err("database.url is given as well; keep one of the two".to_owned())
        } else {
            self.database.read_url_file()
        };
        if let Err(message) = result {
            let origin = layers.origin("database", "url_file");
            problems.push(ConfigProblem { key: "database.url_file".to_owned(), message, origin });
        }
    }

    fn validate(&self, layers: &Layers, problems: &mut Vec<ConfigProblem>) {
        // A value of the wrong type was noted already and stands at its default here, which passes.
        self.server.validate(&mut Checks::new("server", layers, problems));
        self.server.tls.validate(&mut Checks::new("server.tls", layers, problems), false);
        self.server.public_tls.validate(&mut Checks::new("server.public_tls", layers, problems), true);
        self.data.validate(&mut Checks::new("data", layers, problems));
        self.database.validate(&mut Checks::new("database", layers, problems));
        self.vault.validate(&mut Checks::new("vault", layers, problems));
        self.oauth.validate(&mut Checks::new("oauth", layers, problems));
        self.credentials.validate(&mut Checks::new("credentials", layers, problems));
        self.connectors.validate(&mut Checks::new("connectors", layers, problems));
        self.process.validate(&mut Checks::new("process", layers, problems));
        self.sync.validate(&mut Checks::new("sync", layers, problems));
        self.content.validate(&mut Checks::new("content", layers, problems));
        self.documents.validate(&mut Checks::new("documents", layers, problems));
        self.runs.validate(&mut Checks::new("runs", layers, problems));
        self.audit.validate(&mut Checks::new("audit", layers, problems));
        self.log.validate(&mut Checks::new("log", layers, problems));
        self.telemetry.validate(&mut Checks::new("telemetry", layers, problems));
    }
}

fn read_file(path: &Path, layers: &mut Layers, problems: &mut Vec<ConfigProblem>) {
    match std::fs::read_to_string(path) {
        Ok(text) => layers.add_file(path, &text, problems),
        Err(error) => problems.push(ConfigProblem {
            key: String::new(),
            message: format!("the file cannot be read: {error}"),
            origin: Origin::File(path.to_owned()),
        }),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
