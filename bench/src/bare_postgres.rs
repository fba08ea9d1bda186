//! The bare side of ingest on PostgreSQL: a plain client that upserts the same rows into the same tables, with the same
//! indexes, transaction size and durability, and does nothing else. It knows two ways, of which the faster counts: COPY
//! into a table of its own session and on from there, or one statement that unnests arrays.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, TryStreamExt};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use crate::postgres::connect;

/// Rows in a transaction: connectord's `sync.commit_max_changes`.
const ROWS_PER_TRANSACTION: usize = 2000;

/// What a copy in binary begins and ends with: a signature, no flags and no extension; and no more fields.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_TRAILER: &[u8] = &[0xff, 0xff];

/// The two tables of documents, and what tells a row from another.
const TABLES: [(&str, &str); 2] = [("documents", "connection, id"), ("document_bodies", "pk")];

/// Rows as connectord has stored them, encoded as they go to the server.
#[derive(Debug)]
pub struct Rows {
    tables: Vec<Table>,
}

#[derive(Debug)]
struct Table {
    name: &'static str,
    columns: Vec<(String, Type)>,
    upsert: Upsert,
    /// The fields of each row, with their lengths before them.
    rows: Vec<Bytes>,
}

/// `ON CONFLICT …`, for all columns but the row's own number.
#[derive(Debug)]
struct Upsert(String);

/// How rows go to the server.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// COPY to a temporary table, then INSERT … SELECT.
    Copy,
    /// INSERT … SELECT from arrays.
    Unnest,
}

/// An array as it is on the wire.
#[derive(Debug)]
struct Array(BytesMut);

impl Rows {
    /// Reads everything out of a database of connectord's, in the order in which it was written.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn read(url: &str) -> anyhow::Result<Self> {
        let client = connect(url).await?;
        let mut tables = Vec::new();
        for (name, key) in TABLES {
            let columns = client.prepare(&format!("SELECT * FROM {name}")).await?;
            let columns: Vec<_> = columns
                .columns()
                .iter()
                .map(|column| (column.name().to_owned(), column.type_().clone()))
                .collect();
            let updates: Vec<_> =
                columns[1..].iter().map(|(name, _)| format!("{name} = excluded.{name}")).collect();
            let upsert = Upsert(format!("ON CONFLICT ({key}) DO UPDATE SET {}", updates.join(", ")));
            let copy = format!("COPY (SELECT * FROM {name} ORDER BY pk) TO STDOUT (FORMAT binary)");
            let messages: Vec<Bytes> = client.copy_out(&copy).await?.try_collect().await?;
            // Each message is one row; the first begins with the header, the last one is the trailer.
            let rows = messages.into_iter().enumerate().map(|(number, mut message)| {
                if number == 0 {
                    message = message.slice(COPY_HEADER.len()..);
                }
                message
            });
            let rows = rows.filter(|row| row.as_ref() != COPY_TRAILER && !row.is_empty()).collect();
            tables.push(Table { name, columns, upsert, rows });
        }
        Ok(Self { tables })
    }

    /// How many documents they are.
    pub fn len(&self) -> usize {
        self.tables[0].rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Upserts all of them into a database whose tables are empty; says how long that took, from the first row to the
    /// last commit.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn write(&self, url: &str, way: Way) -> anyhow::Result<Duration> {
        let mut client = connect(url).await?;
        let mut statements = Vec::new();
        for table in &self.tables {
            statements.push(table.prepare(&client, way).await?);
        }
        let begun = Instant::now();
        for begin in (0..self.len()).step_by(ROWS_PER_TRANSACTION) {
            let transaction = client.transaction().await?;
            for (table, statement) in self.tables.iter().zip(&statements) {
                let rows = &table.rows[begin..(begin + ROWS_PER_TRANSACTION).min(table.rows.len())];
                match way {
                    Way::Copy => table.copy(&transaction, rows, statement).await?,
                    Way::Unnest => table.unnest(&transaction, rows, statement).await?,
                }
            }
            transaction.commit().await?;
        }
        let took = begun.elapsed();
        for table in &self.tables {
            let count = client.query_one(&format!("SELECT count(*) FROM {}", table.name), &[]).await?;
            ensure!(count.get::<_, i64>(0) as usize == self.len(), "not every row was written");
        }
        Ok(took)
    }
}

impl Table {
    async fn prepare(&self, client: &Client, way: Way) -> anyhow::Result<Statement> {
        let (name, upsert) = (self.name, &self.upsert.0);
        let from = match way {
            Way::Copy => {
                let staging = format!("CREATE TEMP TABLE staged_{name} (LIKE {name}) ON COMMIT DELETE ROWS");
                client.batch_execute(&staging).await?;
                format!("staged_{name}")
            }
            Way::Unnest => {
                let arrays = self.columns.iter().enumerate();
                let arrays: Vec<_> =
                    arrays.map(|(place, (_, kind))| format!("${}::{kind}[]", place + 1)).collect();
                format!("unnest({})", arrays.join(", "))
            }
        };
        Ok(client.prepare(&format!("INSERT INTO {name} SELECT * FROM {from} {upsert}")).await?)
    }

    async fn copy(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
        rows: &[Bytes],
        insert: &Statement,
    ) -> anyhow::Result<()> {
        let copy = format!("COPY staged_{} FROM STDIN (FORMAT binary)", self.name);
        let mut data = BytesMut::with_capacity(rows.iter().map(Bytes::len).sum::<usize>() + 64);
        data.put_slice(COPY_HEADER);
        rows.iter().for_each(|row| data.put_slice(row));
        data.put_slice(COPY_TRAILER);
        let mut sink = std::pin::pin!(transaction.copy_in(&copy).await?);
        sink.send(data.freeze()).await?;
        sink.finish().await?;
        transaction.execute(insert, &[]).await?;
        Ok(())
    }

    async fn unnest(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
        rows: &[Bytes],
        insert: &Statement,
    ) -> anyhow::Result<()> {
        let mut arrays: Vec<Array> =
            self.columns.iter().map(|(_, element)| Array::new(element, rows.len())).collect();
        for row in rows {
            // The number of fields, then each with its length; -1 is NULL.
            let mut rest = row.get(2..).context("a row has a number of fields")?;
            for array in &mut arrays {
                let length: [u8; 4] = rest.get(..4).context("a field has a length")?.try_into()?;
                let end = 4 + usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
                let (field, behind) = rest.split_at_checked(end).context("a field is whole")?;
                array.0.put_slice(field);
                rest = behind;
            }
        }
        let parameters: Vec<&(dyn ToSql + Sync)> =
            arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect();
        transaction.execute(insert, &parameters).await?;
        Ok(())
    }
}

impl Array {
    /// One dimension, with NULLs, counted from 1.
    fn new(element: &Type, length: usize) -> Self {
        let mut bytes = BytesMut::new();
        bytes.put_i32(1);
        bytes.put_i32(1);
        bytes.put_u32(element.oid());
        bytes.put_i32(length as i32);
        bytes.put_i32(1);
        Self(bytes)
    }
}

impl ToSql for Array {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }

    to_sql_checked!();
}
