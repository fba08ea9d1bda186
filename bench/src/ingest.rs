//! *ingest*: documents from the connector's process into the feed, against a bare bulk upsert of the same rows.

use anyhow::ensure;

use crate::cluster::Cluster;
use crate::connectord::{Connectord, Programs};
use crate::database::Database;
use crate::report::{Ratio, Repetition, progress};
use crate::source::Settings;
use crate::{bare_postgres, bare_store, postgres};

/// Measures it so often on SQLite.
///
/// # Errors
/// Where a side fails.
pub async fn measure(programs: &Programs, documents: u64, repetitions: usize) -> anyhow::Result<Ratio> {
    let mut measured = Vec::new();
    for _ in 0..repetitions {
        let folder = programs.new_folder(1)?;
        nix::unistd::sync();
        let connectord = Connectord::start(programs, folder.path()).await?;
        let (_, synced) = connectord.first_sync(&Settings::new(documents)).await?;
        connectord.stop().await?;
        let bare_path = folder.path().join("bare.db");
        let stored_path = folder.path().join("data/connectord.db");
        let (rows, bare) = tokio::task::spawn_blocking(move || {
            let rows = bare_store::Rows::read(&stored_path)?;
            nix::unistd::sync();
            let took = rows.write(&bare_path)?;
            anyhow::Ok((rows.len(), took))
        })
        .await??;
        ensure!(rows as u64 == documents, "{documents} documents are {rows} rows");
        measured.push(Repetition::new(documents, synced.duration, bare, synced.cpu));
        progress("ingest", "documents", measured.last());
    }
    let bare = "bulk upsert of the same rows by a plain SQLite client";
    Ok(Ratio::new("ingest", bare, "documents", 0.7, measured))
}

/// Measures it so often on PostgreSQL.
///
/// # Errors
/// Where a side fails.
pub async fn measure_postgres(
    programs: &Programs,
    cluster: &Cluster,
    documents: u64,
    repetitions: usize,
) -> anyhow::Result<Ratio> {
    let mut measured = Vec::new();
    for _ in 0..repetitions {
        let folder = programs.new_folder(1)?;
        let stored = Database::Postgres(postgres::create(cluster, "ingest").await?);
        nix::unistd::sync();
        let connectord = Connectord::start_with(programs, folder.path(), &stored.environment()).await?;
        let (_, synced) = connectord.first_sync(&Settings::new(documents)).await?;
        connectord.stop().await?;
        let rows = bare_postgres::Rows::read(&cluster.url("ingest")).await?;
        ensure!(rows.len() as u64 == documents, "{documents} documents are {} rows", rows.len());
        // The same tables and indexes, empty.
        let admin = cluster.url("postgres");
        let empty = "TRUNCATE documents, document_bodies";
        postgres::execute(&cluster.url("ingest"), empty).await?;
        let mut bare = Vec::new();
        for way in [bare_postgres::Way::Copy, bare_postgres::Way::Unnest] {
            postgres::execute(&admin, "CREATE DATABASE bare TEMPLATE ingest").await?;
            postgres::execute(&admin, "CHECKPOINT").await?;
            let took = rows.write(&cluster.url("bare"), way).await?;
            crate::report::note(&format!("ingest, PostgreSQL: bare by {way:?}: {took:.2?}"));
            bare.push(took);
            postgres::execute(&admin, "DROP DATABASE bare WITH (FORCE)").await?;
        }
        postgres::execute(&admin, "DROP DATABASE ingest WITH (FORCE)").await?;
        let fastest = bare.into_iter().min().unwrap_or_default();
        measured.push(Repetition::new(documents, synced.duration, fastest, synced.cpu));
        progress("ingest, PostgreSQL", "documents", measured.last());
    }
    let bare = "bulk upsert of the same rows by a plain PostgreSQL client";
    Ok(Ratio::new("ingest, PostgreSQL", bare, "documents", 0.5, measured))
}
