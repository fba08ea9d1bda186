//! How documents are written in PostgreSQL: all of a commit in a handful of statements over arrays.
//!
//! The feed's offsets are given out under the lock of one row, which is held until the commit, so offsets become visible
//! in their order (I4). That row is taken as late as can be: what is heavy, the bodies, is written before it.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::sqlite::content_state_number;
use super::{DocumentPut, DocumentWrite, FeedEntryKind, TextWrite};
use crate::store::columns::micros;
use crate::store::postgres::{Outcome, Text, Tx};
use crate::store::{ConnectionKey, StoreError, raw_items};

const SEEN: &str = "UPDATE documents d SET generation = u.generation, \
     message_hash = coalesce(u.message_hash, d.message_hash) \
     FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS u(pk, generation, message_hash) WHERE d.pk = u.pk \
     AND (d.generation <> u.generation OR u.message_hash IS NOT NULL)";
const BODIES: &str = "INSERT INTO document_bodies (pk, envelope, text) \
     SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) \
     ON CONFLICT (pk) DO UPDATE SET envelope = excluded.envelope, text = excluded.text";
const ENVELOPES: &str = "UPDATE document_bodies b SET envelope = u.envelope \
     FROM unnest($1::bigint[], $2::bytea[]) AS u(pk, envelope) WHERE b.pk = u.pk";
const NO_BODIES: &str = "DELETE FROM document_bodies WHERE pk = ANY($1)";
const COUNT: &str = "UPDATE connections SET document_count = document_count + $1 WHERE pk = $2";
const HEAD: &str = "UPDATE meta SET value = value + $1 WHERE name = 'feed_head' RETURNING value";
/// The head before this transaction moved it by `$1`.
const BASE: &str = "(SELECT value - $1::bigint AS base FROM meta WHERE name = 'feed_head') AS head";
const FIELDS: &str = "pk, place, id, scope, generation, version, content_version, content_state, extractor, \
     text_hash, text_bytes, envelope_hash, message_hash, parent_id, locator, entry";
const UNNEST: &str = "unnest($4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::text[], \
     $10::text[], $11::int[], $12::bigint[], $13::bytea[], $14::bigint[], $15::bytea[], $16::bytea[], $17::text[], \
     $18::text[], $19::int[])";
const GONE: &str = "UPDATE documents d SET gone = TRUE, feed_offset = base + u.place, content_offset = base + u.place, \
     committed_at = $2, content_version = NULL, content_state = 0, text_hash = NULL, text_bytes = 0, \
     message_hash = NULL, parent_id = '', locator = '' FROM ";

/// Puts of one statement, field by field.
#[derive(Default)]
struct Puts<'a> {
    pks: Vec<i64>,
    /// The offset of the entry, counted from the head before this commit.
    places: Vec<i64>,
    ids: Vec<Text<'a>>,
    scopes: Vec<Text<'a>>,
    generations: Vec<i64>,
    versions: Vec<Text<'a>>,
    content_versions: Vec<Option<Text<'a>>>,
    content_states: Vec<i32>,
    extractors: Vec<i64>,
    text_hashes: Vec<Option<&'a [u8]>>,
    text_bytes: Vec<i64>,
    envelope_hashes: Vec<&'a [u8]>,
    message_hashes: Vec<Option<&'a [u8]>>,
    parent_ids: Vec<Text<'a>>,
    locators: Vec<Text<'a>>,
    entries: Vec<i32>,
}

impl<'a> Puts<'a> {
    fn add(&mut self, pk: i64, place: i64, put: &'a DocumentPut) {
        self.pks.push(pk);
        self.places.push(place);
        self.ids.push(Text(&put.id));
        self.scopes.push(Text(&put.scope));
        self.generations.push(put.generation);
        self.versions.push(Text(&put.version));
        self.content_versions.push(put.content_version.as_deref().map(Text));
        self.content_states.push(i32::try_from(content_state_number(put.content_state)).unwrap_or(0));
        self.extractors.push(put.extractor.into());
        self.text_hashes.push(put.text_hash.as_ref().map(|hash| &hash[..]));
        self.text_bytes.push(i64::try_from(put.text_bytes).unwrap_or(i64::MAX));
        self.envelope_hashes.push(&put.envelope_hash);
        self.message_hashes.push(put.message_hash.as_ref().map(|hash| &hash[..]));
        self.parent_ids.push(Text(&put.parent_id));
        self.locators.push(Text(&put.locator));
        self.entries.push(match put.entry {
            FeedEntryKind::None => 0,
            FeedEntryKind::Envelope => 1,
            FeedEntryKind::Content => 2,
        });
    }

    fn is_empty(&self) -> bool {
        self.pks.is_empty()
    }
}

/// Bodies of one statement.
#[derive(Default)]
struct Bodies<'a> {
    pks: Vec<i64>,
    envelopes: Vec<&'a [u8]>,
    texts: Vec<Option<&'a [u8]>>,
}

impl<'a> Bodies<'a> {
    fn add(&mut self, pk: i64, envelope: &'a [u8], text: Option<&'a str>) {
        self.pks.push(pk);
        self.envelopes.push(envelope);
        self.texts.push(text.map(str::as_bytes));
    }
}

/// All writes of a commit, sorted by what is to be done.
#[derive(Default)]
struct Writes<'a> {
    new: Puts<'a>,
    known: Puts<'a>,
    set: Bodies<'a>,
    kept: Bodies<'a>,
    seen: Vec<i64>,
    seen_generations: Vec<i64>,
    seen_hashes: Vec<Option<&'a [u8]>>,
    gone: Vec<i64>,
    gone_places: Vec<i64>,
    /// How many entries the feed gets.
    entries: i64,
    /// How many documents there are more.
    more: i64,
}

impl<'a> Writes<'a> {
    /// Sorts them; `keys` are for those that are new, `alive` are those that can become tombstones.
    fn sort(
        writes: &'a [DocumentWrite],
        mut keys: impl Iterator<Item = i64>,
        mut alive: HashSet<i64>,
    ) -> Self {
        let mut sorted = Writes::default();
        for write in writes {
            match write {
                DocumentWrite::Seen { key, generation, message_hash } => {
                    sorted.seen.push(key.0);
                    sorted.seen_generations.push(*generation);
                    sorted.seen_hashes.push(message_hash.as_ref().map(|hash| &hash[..]));
                }
                DocumentWrite::Put(put) => {
                    sorted.more += i64::from(put.arrives);
                    sorted.entries += i64::from(put.entry != FeedEntryKind::None);
                    let (puts, pk) = match put.key {
                        Some(key) => (&mut sorted.known, Some(key.0)),
                        None => (&mut sorted.new, keys.next()),
                    };
                    let Some(pk) = pk else { continue };
                    puts.add(pk, sorted.entries, put);
                    match (&put.text, put.key) {
                        (TextWrite::Set(text), _) => sorted.set.add(pk, &put.envelope, text.as_deref()),
                        (TextWrite::Keep, None) => sorted.set.add(pk, &put.envelope, None),
                        (TextWrite::Keep, Some(_)) => sorted.kept.add(pk, &put.envelope, None),
                    }
                }
                // One that is a tombstone already, or comes twice, makes no further entry.
                DocumentWrite::Gone(key) => {
                    if alive.remove(&key.0) {
                        sorted.entries += 1;
                        sorted.more -= 1;
                        sorted.gone.push(key.0);
                        sorted.gone_places.push(sorted.entries);
                    }
                }
            }
        }
        sorted
    }
}

/// Makes documents tombstones.
pub(in crate::store) async fn bury(
    tx: &Tx,
    connection: ConnectionKey,
    keys: &[i64],
    now: DateTime<Utc>,
) -> Outcome<()> {
    let writes: Vec<_> = keys.iter().map(|key| DocumentWrite::Gone(super::DocumentKey(*key))).collect();
    raw_items::postgres::remove_of_documents(tx, keys).await?;
    let known = look_up(tx, connection, &writes).await?;
    write_documents(tx, connection, &writes, known, now).await
}

/// Writes documents in order. Their connection's row is held by this transaction, so nobody else writes them.
pub(super) async fn write_documents(
    tx: &Tx,
    connection: ConnectionKey,
    writes: &[DocumentWrite],
    (keys, alive): Known,
    now: DateTime<Utc>,
) -> Outcome<()> {
    if writes.is_empty() {
        return Ok(());
    }
    let sorted = Writes::sort(writes, keys.into_iter(), alive);
    let insert = format!(
        "INSERT INTO documents (connection, gone, pk, id, scope, generation, version, content_version, content_state, \
         extractor, text_hash, text_bytes, envelope_hash, message_hash, parent_id, locator, feed_offset, \
         content_offset, committed_at) SELECT $3::bigint, FALSE, u.pk, u.id, u.scope, u.generation, u.version, \
         u.content_version, u.content_state, u.extractor, u.text_hash, u.text_bytes, u.envelope_hash, u.message_hash, \
         u.parent_id, u.locator, base + u.place, base + u.place, $2::bigint FROM {UNNEST} AS u({FIELDS}), {BASE}"
    );
    let update = format!(
        "UPDATE documents d SET scope = u.scope, gone = FALSE, generation = u.generation, version = u.version, \
         content_version = u.content_version, content_state = u.content_state, extractor = u.extractor, \
         text_hash = u.text_hash, text_bytes = u.text_bytes, envelope_hash = u.envelope_hash, \
         message_hash = u.message_hash, parent_id = u.parent_id, locator = u.locator, \
         feed_offset = CASE WHEN u.entry > 0 THEN base + u.place ELSE d.feed_offset END, \
         content_offset = CASE WHEN u.entry > 1 THEN base + u.place ELSE d.content_offset END, \
         committed_at = CASE WHEN u.entry > 0 THEN $2::bigint ELSE d.committed_at END \
         FROM {UNNEST} AS u({FIELDS}), {BASE} WHERE d.pk = u.pk AND d.connection = $3::bigint"
    );
    let gone = format!("{GONE} unnest($3::bigint[], $4::bigint[]) AS u(pk, place), {BASE} WHERE d.pk = u.pk");
    let sql = [SEEN, BODIES, ENVELOPES, NO_BODIES, COUNT, HEAD, &insert, &update, &gone];
    let [seen, bodies, envelopes, no_bodies, count, head, insert, update, gone] = tx.prepare(sql).await?;
    let (now, Writes { new, known, set, kept, .. }) = (micros(now), &sorted);
    let moves = sorted.entries > 0;
    // All on their way at once, done in this order.
    let (.., heads, _, updated, _) = futures::try_join!(
        async {
            tx.run_if(
                !sorted.seen.is_empty(),
                &seen,
                &[&sorted.seen, &sorted.seen_generations, &sorted.seen_hashes],
            )
            .await
        },
        async { tx.run_if(!set.pks.is_empty(), &bodies, &[&set.pks, &set.envelopes, &set.texts]).await },
        async { tx.run_if(!kept.pks.is_empty(), &envelopes, &[&kept.pks, &kept.envelopes]).await },
        async { tx.run_if(!sorted.gone.is_empty(), &no_bodies, &[&sorted.gone]).await },
        async { tx.run_if(sorted.more != 0, &count, &[&sorted.more, &connection.0]).await },
        async { tx.rows_if(moves, &head, &[&sorted.entries]).await },
        put(tx, &insert, &sorted.entries, &now, &connection.0, new),
        put(tx, &update, &sorted.entries, &now, &connection.0, known),
        async {
            tx.run_if(
                !sorted.gone.is_empty(),
                &gone,
                &[&sorted.entries, &now, &sorted.gone, &sorted.gone_places],
            )
            .await
        },
    )?;
    // A tombstone that was forgotten since the engine saw it is no document to write to.
    if updated != known.pks.len() as u64 {
        return Err(StoreError::Conflict("document").into());
    }
    if let Some(head) = heads.first() {
        tx.moves_head(head.get(0));
    }
    Ok(())
}

/// Keys for the documents that are new, and those that are to go and still there.
pub(super) type Known = (Vec<i64>, HashSet<i64>);

/// Finds out what has to be known before documents are written.
pub(super) async fn look_up(tx: &Tx, connection: ConnectionKey, writes: &[DocumentWrite]) -> Outcome<Known> {
    let mut new = 0_i64;
    let mut gone = Vec::new();
    for write in writes {
        match write {
            DocumentWrite::Put(put) => new += i64::from(put.key.is_none()),
            DocumentWrite::Gone(key) => gone.push(key.0),
            DocumentWrite::Seen { .. } => {}
        }
    }
    let [keys, alive] = tx
        .prepare([
            "SELECT nextval('documents_pk_seq') FROM generate_series(1, $1::bigint)",
            "SELECT pk FROM documents WHERE pk = ANY($1) AND connection = $2 AND NOT gone",
        ])
        .await?;
    let (keys, alive) = futures::try_join!(async { tx.rows_if(new > 0, &keys, &[&new]).await }, async {
        tx.rows_if(!gone.is_empty(), &alive, &[&gone, &connection.0]).await
    },)?;
    let numbers = |rows: Vec<tokio_postgres::Row>| rows.into_iter().map(|row| row.get(0));
    Ok((numbers(keys).collect(), numbers(alive).collect()))
}

async fn put(
    tx: &Tx,
    statement: &tokio_postgres::Statement,
    entries: &i64,
    now: &i64,
    connection: &i64,
    puts: &Puts<'_>,
) -> Outcome<u64> {
    tx.run_if(
        !puts.is_empty(),
        statement,
        &[
            entries,
            now,
            connection,
            &puts.pks,
            &puts.places,
            &puts.ids,
            &puts.scopes,
            &puts.generations,
            &puts.versions,
            &puts.content_versions,
            &puts.content_states,
            &puts.extractors,
            &puts.text_hashes,
            &puts.text_bytes,
            &puts.envelope_hashes,
            &puts.message_hashes,
            &puts.parent_ids,
            &puts.locators,
            &puts.entries,
        ],
    )
    .await
}
