//! PostgreSQL for the figures that need it: a cluster of the benchmark's own, with what is committed on the disk as in
//! production.

use anyhow::Context;
use tokio_postgres::NoTls;

use crate::cluster::{Cluster, ClusterOptions};

/// What a machine of this size would be given, whoever works on it.
const SETTINGS: [&str; 3] = ["shared_buffers=512MB", "max_wal_size=4GB", "checkpoint_timeout=15min"];

/// Starts a cluster.
///
/// # Errors
/// What is missing, and how to install it.
pub fn start() -> Result<Cluster, String> {
    if !is_installed() {
        return Err("PostgreSQL 15 or newer is missing: apt-get install postgresql".to_owned());
    }
    let settings = SETTINGS.map(str::to_owned).to_vec();
    Ok(Cluster::start(ClusterOptions { fsync: true, settings, ..ClusterOptions::default() }))
}

fn is_installed() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin")).any(|folder| folder.join("initdb").exists())
        || crate::machine::find_program("initdb").is_some()
}

/// Makes a new database in the cluster. Gives its URL.
///
/// # Errors
/// Where the cluster refuses.
pub async fn create(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    execute(&cluster.url("postgres"), &format!("CREATE DATABASE {name}")).await?;
    Ok(cluster.url(name))
}

/// Connects.
///
/// # Errors
/// Where the server refuses.
pub async fn connect(url: &str) -> anyhow::Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("PostgreSQL refuses")?;
    tokio::spawn(connection);
    Ok(client)
}

/// Runs statements.
///
/// # Errors
/// Where the server refuses.
pub async fn execute(url: &str, statements: &str) -> anyhow::Result<()> {
    Ok(connect(url).await?.batch_execute(statements).await?)
}

/// What a query says that gives one number.
///
/// # Errors
/// Where the server refuses.
pub async fn number(url: &str, query: &str) -> anyhow::Result<i64> {
    Ok(connect(url).await?.query_one(query, &[]).await?.try_get(0)?)
}
