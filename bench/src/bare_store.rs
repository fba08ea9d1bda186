//! The bare side of ingest: a plain SQLite client that upserts the same rows into the same tables, with the same
//! indexes, transaction size and durability, and does nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message;
use rusqlite::types::Value;
use rusqlite::{Connection, TransactionBehavior, params_from_iter};
use superfasttt_proto::connector::v1::DocumentEnvelope;

/// connectord's own schema.
const SCHEMA: &str = include_str!("../../server/src/store/migrations/sqlite/0001_first.up.sql");

/// Rows in a transaction: connectord's `sync.commit_max_changes`.
const ROWS_PER_TRANSACTION: usize = 2000;

/// Rows as connectord has stored them, ready to be bound.
#[derive(Debug)]
pub struct Rows {
    /// The columns of `documents` and `document_bodies`, the key first.
    columns: (Vec<String>, Vec<String>),
    /// Both rows of each document.
    rows: Vec<(Vec<Value>, Vec<Value>)>,
}

impl Rows {
    /// Reads everything out of a database of connectord's, in the order in which it was written.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(database: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(database)?;
        let columns = (columns(&connection, "documents")?, columns(&connection, "document_bodies")?);
        let mut select = connection.prepare(
            "SELECT d.*, b.* FROM documents d JOIN document_bodies b ON b.pk = d.pk ORDER BY d.pk",
        )?;
        let count = select.column_count();
        let rows = select.query_map([], |row| {
            let values = (0..count).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>();
            let mut document = values?;
            let body = document.split_off(columns.0.len());
            Ok((document, body))
        })?;
        let rows = rows.collect::<rusqlite::Result<_>>()?;
        Ok(Self { columns, rows })
    }

    /// How many documents they are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Upserts all of them into a new database; says how long that took, from the first row to the last commit.
    ///
    /// # Errors
    /// Where the database refuses.
    pub fn write(&self, database: &Path) -> rusqlite::Result<Duration> {
        let mut connection = Connection::open(database)?;
        // As connectord sets them.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "OFF")?;
        connection.pragma_update(None, "cache_size", -16_384)?;
        connection.pragma_update(None, "wal_autocheckpoint", 16_384)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.execute_batch(SCHEMA)?;
        let upserts = (
            upsert("documents", &self.columns.0, "connection, id"),
            upsert("document_bodies", &self.columns.1, "pk"),
        );
        let begun = Instant::now();
        for rows in self.rows.chunks(ROWS_PER_TRANSACTION) {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut document = transaction.prepare_cached(&upserts.0)?;
                let mut body = transaction.prepare_cached(&upserts.1)?;
                for (of_document, of_body) in rows {
                    document.execute(params_from_iter(of_document))?;
                    body.execute(params_from_iter(of_body))?;
                }
            }
            transaction.commit()?;
        }
        Ok(begun.elapsed())
    }
}

/// The first documents that a database of connectord's has, with their texts.
///
/// # Errors
/// Where it cannot be read.
pub fn documents(database: &Path, documents: u64) -> anyhow::Result<Vec<DocumentEnvelope>> {
    let connection = Connection::open(database)?;
    let mut select = connection.prepare("SELECT envelope, text FROM document_bodies ORDER BY pk LIMIT ?1")?;
    let rows = select
        .query_map([documents], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<String>>(1)?)))?;
    rows.map(|row| {
        let (envelope, content) = row?;
        Ok(DocumentEnvelope { content, ..DocumentEnvelope::decode(envelope.as_slice())? })
    })
    .collect()
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let select = connection.prepare(&format!("SELECT * FROM {table}"))?;
    Ok(select.column_names().into_iter().map(str::to_owned).collect())
}

fn upsert(table: &str, columns: &[String], key: &str) -> String {
    let values: Vec<_> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
    // The first column is the row's own number.
    let updates: Vec<_> = columns[1..].iter().map(|column| format!("{column} = excluded.{column}")).collect();
    let (columns, values, updates) = (columns.join(", "), values.join(", "), updates.join(", "));
    format!("INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT ({key}) DO UPDATE SET {updates}")
}
