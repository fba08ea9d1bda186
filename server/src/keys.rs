//! `connectord keys`: what operators do with the keys of the vault. The commands work on the store themselves, beside
//! servers that may be running; what they do to it is in `vault::rotate`.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context, bail};
use tokio::time::Instant;

use crate::config::{Config, KeysCommand};
use crate::store::{PostgresStore, SqliteStore, Store, StoreError};
use crate::vault::rotate::{Progress, rotate};
use crate::vault::{Key, KeyId, KeySource, Vault, key_file};

/// How many secrets that do not open are named.
const NAMED: usize = 20;

/// A new key, as `keys generate` prints it.
pub fn generate() -> String {
    format!("{}\n", Key::generate().to_base64().as_str())
}

/// Does what the command says; prints what came of it.
///
/// # Errors
/// What keeps it from being done, and what to do.
pub async fn run(config: &Config, command: KeysCommand) -> anyhow::Result<()> {
    let said = match command {
        KeysCommand::Generate => generate(),
        KeysCommand::Status => status(config).await?,
        KeysCommand::Rotate { generate } => rotate_all(config, generate).await?,
    };
    std::io::stdout().write_all(said.as_bytes()).context("what was found cannot be printed")
}

async fn status(config: &Config) -> anyhow::Result<String> {
    let store = open_store(config).await?;
    let counts = store.count_secrets().await;
    store.close().await;
    let mut counts = counts?;
    let mut said = format!("{:<16}  {:>10}\n", "KEY", "SECRETS");
    let mut row = |key: Option<KeyId>, secrets: u64, remark: &str| {
        let key = key.map_or("-".to_owned(), |key| key.to_string());
        // A text takes everything.
        let _ = writeln!(said, "{key:<16}  {secrets:>10}  {remark}");
    };
    if let Some(source) = KeySource::of(config) {
        for (place, key) in source.read().await?.ids().enumerate() {
            let secrets = counts.remove(&Some(key)).unwrap_or(0);
            let remark = match (place, secrets) {
                (0, _) => "newest: seals",
                (_, 0) => "seals nothing: may be removed once all servers have the newest",
                _ => "opens",
            };
            row(Some(key), secrets, remark);
        }
    }
    for (key, secrets) in counts {
        row(key, secrets, if key.is_some() { "MISSING: these secrets cannot be opened" } else { "DAMAGED" });
    }
    Ok(said)
}

async fn rotate_all(config: &Config, generate: bool) -> anyhow::Result<String> {
    let source = KeySource::of(config).context(
        "no keys are configured: give this installation some (vault.key_file in the configuration)",
    )?;
    // Before anything changes: there is a store, and its keys are these.
    let store = open_store(config).await?;
    let ring = source.read().await?;
    let counts = store.count_secrets().await?;
    if !ring.ids().any(|key| counts.contains_key(&Some(key))) && !counts.is_empty() {
        bail!("none of the keys of {} opens anything in this store: are they of another one?", source.name());
    }
    if generate {
        let Some(path) = source.file() else {
            bail!(
                "a key cannot be put into {}: put the one that `connectord keys generate` prints before the others \
                 there, then rotate without --generate",
                source.name()
            );
        };
        let newest = key_file::put_new_in_front(path)?.newest().id();
        tell(&format!("key {newest} is the newest of {} now: back it up", path.display()));
    }
    let vault = Vault::with_keys(source).await?;
    let began = Instant::now();
    let rotated = rotate(&vault, store.as_ref(), |progress| match progress {
        Progress::Resealed { done, of } => tell(&format!("{done} of {of} secrets are sealed again")),
        Progress::Settling(time) => tell(&format!(
            "running servers have {} to take up the new key; then a last look",
            humantime::format_duration(time)
        )),
    })
    .await;
    store.close().await;
    let rotated = rotated.context("the rotation did not end; run it again, and it goes on")?;
    for (place, error) in rotated.failed.iter().take(NAMED) {
        let organization = if place.organization.is_empty() { "all" } else { &place.organization };
        tell(&format!("{} of {} (organization {organization}): {error}", place.field, place.owner));
    }
    let newest = vault.ring()?.newest().id();
    let took = began.elapsed().as_secs_f64();
    if !rotated.failed.is_empty() {
        bail!(
            "{} secrets were sealed again with key {newest}, and {} could not be opened and stay as they were",
            rotated.resealed,
            rotated.failed.len()
        );
    }
    Ok(format!(
        "{} secrets were sealed again in {took:.1} s; all are sealed with key {newest}\n",
        rotated.resealed
    ))
}

/// Opens the store as a running server may have it open.
async fn open_store(config: &Config) -> anyhow::Result<Box<dyn Store>> {
    if config.database.url.is_some() {
        return Ok(Box::new(PostgresStore::open(&config.database).await?));
    }
    let path = config.data.database_path();
    match SqliteStore::open_beside(&path).await {
        Ok(store) => Ok(Box::new(store)),
        Err(StoreError::Missing(_)) => bail!(
            "there is no database {}: name the server's folder with --data-dir, or its database.url",
            path.display()
        ),
        Err(error) => Err(error.into()),
    }
}

#[expect(clippy::print_stderr, reason = "progress is for whoever watches, beside the outcome on stdout")]
fn tell(text: &str) {
    eprintln!("{text}");
}
