//! The bare side of ingest: a plain SQLite client that upserts the same rows into the same tables, with the same
//! indexes, transaction size and durability, and does nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, TransactionBehavior, params_from_iter};

/// connectord's own schema.
const SCHEMA: &str = include_str!("../../server/src/store/migrations/sqlite/0001_first.up.sql");

/// Rows in a transaction: connectord's `sync.commit_max_changes`.
const ROWS_PER_TRANSACTION: usize = 2000;

/// Rows as connectord has stored them, ready to be bound.
#[derive(Debug)]
pub struct Rows {
    /// `documents` and `document_bodies` of each document.
    rows: Vec<(Vec<Value>, Vec<Value>)>,
}

impl Rows {
    /// Reads everything out of a database of connectord's, in the order in which it was written.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(database: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(database)?;
        let mut select = connection.prepare(
            "SELECT d.*, b.* FROM documents d JOIN document_bodies b ON b.pk = d.pk ORDER BY d.pk",
        )?;
        let columns = select.column_count();
        let body_columns = 3;
        let rows = select.query_map([], |row| {
            let values = (0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>();
            let mut document = values?;
            let body = document.split_off(columns - body_columns);
            Ok((document, body))
        })?;
        Ok(Self { rows: rows.collect::<rusqlite::Result<_>>()? })
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
        connection.pragma_update(None, "wal_autocheckpoint", 4_096)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.execute_batch(SCHEMA)?;
        let begun = Instant::now();
        for rows in self.rows.chunks(ROWS_PER_TRANSACTION) {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut document = transaction.prepare_cached(
                    "INSERT INTO documents VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, \
                     ?16, ?17) ON CONFLICT (connection, id) DO UPDATE SET scope = excluded.scope, \
                     gone = excluded.gone, generation = excluded.generation, version = excluded.version, \
                     content_version = excluded.content_version, content_state = excluded.content_state, \
                     text_hash = excluded.text_hash, text_bytes = excluded.text_bytes, \
                     envelope_hash = excluded.envelope_hash, parent_id = excluded.parent_id, \
                     locator = excluded.locator, feed_offset = excluded.feed_offset, \
                     content_offset = excluded.content_offset, committed_at = excluded.committed_at",
                )?;
                let mut body = transaction.prepare_cached(
                    "INSERT INTO document_bodies VALUES (?1, ?2, ?3) ON CONFLICT (pk) DO UPDATE SET \
                     envelope = excluded.envelope, text = excluded.text",
                )?;
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
