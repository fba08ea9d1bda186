//! What one reader of the feed gets, batch by batch. It holds one batch in memory, however far behind the reader is.

use std::sync::Arc;

use tokio::sync::watch;

use super::Position;
use crate::store::feed::{FeedBounds, FeedFilter, FeedPage, FeedRow, ReadLimit, Texts};
use crate::store::{Result, Store};

/// A reader for whom nothing comes is told its position each time that so many entries passed by.
const TELL_EVERY: i64 = 1000;

/// A reader of the feed.
pub struct Watch {
    store: Arc<dyn Store>,
    changes: watch::Receiver<i64>,
    filter: FeedFilter,
    texts: bool,
    limit: ReadLimit,
    /// Where the reader stands; each read decides whether it can be gone on from.
    position: Position,
    /// The snapshot under way.
    snapshot: Option<Snapshot>,
    /// Up to where it has read.
    offset: i64,
    /// Texts that changed up to here are known to the reader: there it was last caught up.
    known_to: i64,
    /// Up to where the reader was told that it has.
    told_to: i64,
}

/// A snapshot under way.
#[derive(Clone, Copy)]
struct Snapshot {
    /// The head when it began: tombstones up to there are of before it.
    began_at: i64,
    /// Where it has got to.
    reached: Position,
}

/// Entries for the reader.
#[derive(Debug, PartialEq)]
pub struct Batch {
    /// In order.
    pub rows: Vec<FeedRow>,
    /// Texts that changed up to here are known to the reader, and not in the rows.
    pub known_to: i64,
    /// A snapshot begins with them.
    pub snapshot_begin: bool,
    /// The snapshot ends with them.
    pub snapshot_end: bool,
    /// Where a reader stands that has processed them.
    pub position: String,
    /// Nothing lies behind them for now.
    pub caught_up: bool,
    /// The feed's bounds as they were in the same moment.
    pub bounds: FeedBounds,
    /// They are part of a snapshot.
    pub in_snapshot: bool,
}

impl Watch {
    /// Reads on from a position.
    pub fn new(
        store: Arc<dyn Store>,
        filter: FeedFilter,
        position: Position,
        texts: bool,
        limit: ReadLimit,
    ) -> Self {
        let changes = store.feed_changes();
        let (offset, known_to) = match position {
            Position::After { offset, known_to, .. } => (offset, known_to),
            Position::Beginning | Position::InSnapshot => (0, 0),
        };
        let told_to = offset;
        Self { store, changes, filter, texts, limit, position, snapshot: None, offset, known_to, told_to }
    }

    /// The next entries. Waits while there are none, unless `until_caught_up`: then an empty batch says so.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn next(&mut self, until_caught_up: bool) -> Result<Batch> {
        loop {
            self.changes.borrow_and_update();
            let batch = self.read().await?;
            // A reader whose documents are few still moves on: else it would fall behind the tombstones that are kept.
            let moved = self.offset - self.told_to >= TELL_EVERY;
            let told = !batch.rows.is_empty() || batch.snapshot_begin || batch.snapshot_end || moved;
            if told || until_caught_up {
                self.told_to = self.offset;
                return Ok(batch);
            }
            if self.changes.changed().await.is_err() {
                return Ok(batch);
            }
        }
    }

    async fn read(&mut self) -> Result<Batch> {
        let mut snapshot_begin = false;
        let (page, known_to) = loop {
            let known_to = if self.snapshot.is_some() { 0 } else { self.known_to };
            let texts = if self.texts { Texts::ChangedAfter(known_to) } else { Texts::Omit };
            let page = self.store.read_feed(self.filter.clone(), self.offset, texts, self.limit).await?;
            // The bounds are of the same moment as the rows: tombstones cannot be forgotten in between.
            if self.goes_on(&page.bounds) {
                break (page, known_to);
            }
            self.snapshot = Some(Snapshot { began_at: page.bounds.head, reached: Position::Beginning });
            self.offset = 0;
            snapshot_begin = true;
        };
        let FeedPage { mut rows, read_to, caught_up, bounds } = page;
        let in_snapshot = self.snapshot.is_some();
        if let Some(snapshot) = self.snapshot {
            rows.retain(|row| !row.gone || row.offset > snapshot.began_at);
        }
        self.offset = read_to;
        if caught_up {
            // Only now has it met every document: before, some may have moved on from behind it to before it.
            self.known_to = self.offset;
            self.snapshot = None;
        }
        let reached = Position::after(&bounds, self.offset, self.known_to);
        self.position = match &mut self.snapshot {
            Some(snapshot) => {
                snapshot.reached = reached;
                Position::InSnapshot
            }
            None => reached,
        };
        Ok(Batch {
            rows,
            known_to,
            snapshot_begin,
            snapshot_end: in_snapshot && caught_up,
            position: self.position.to_string(),
            caught_up,
            bounds,
            in_snapshot,
        })
    }

    /// Whether a read in these bounds goes on from what was read before, with nothing forgotten in between, and in the
    /// same feed: a backup may have been restored under it.
    fn goes_on(&self, bounds: &FeedBounds) -> bool {
        match self.snapshot {
            // Tombstones of documents that the snapshot has shown must not be missed.
            Some(Snapshot { began_at, reached }) => {
                reached.is_of(bounds) && bounds.floor <= began_at.max(self.offset)
            }
            None => self.position.resume(bounds).is_some(),
        }
    }
}

/// The position of one entry, for a reader that has the texts up to `known_to` (negative: none).
pub fn entry_position(bounds: &FeedBounds, offset: i64, known_to: i64, in_snapshot: bool) -> String {
    let position = if in_snapshot { Position::InSnapshot } else { Position::after(bounds, offset, known_to) };
    position.to_string()
}

/// Where a consumer at `position` stands as an offset, for its lag; one that needs a snapshot has everything before it.
pub fn lag_offset(position: Position, bounds: &FeedBounds) -> i64 {
    position.resume(bounds).unwrap_or(0)
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
