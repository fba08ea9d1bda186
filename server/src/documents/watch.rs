//! What one reader of the feed gets, batch by batch. It holds one batch in memory, however far behind the reader is.

use std::sync::Arc;

use tokio::sync::watch;

use super::Position;
use crate::store::feed::{FeedBounds, FeedFilter, FeedRow, ReadLimit, Texts};
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
    /// Where the reader stands; the first look decides whether it can be gone on from.
    position: Position,
    /// The head when the snapshot under way began: tombstones up to there are of before it.
    snapshot: Option<i64>,
    /// Up to where it has read.
    offset: i64,
    /// Up to where the reader was told that it has.
    told_to: i64,
}

/// Entries for the reader.
#[derive(Debug, Default, PartialEq)]
pub struct Batch {
    /// In order.
    pub rows: Vec<FeedRow>,
    /// The offset that the reader stood at: texts that changed up to here are known to it.
    pub known_to: i64,
    /// A snapshot begins with them.
    pub snapshot_begin: bool,
    /// The snapshot ends with them.
    pub snapshot_end: bool,
    /// Where a reader stands that has processed them.
    pub position: String,
    /// Nothing lies behind them for now.
    pub caught_up: bool,
    /// The feed's epoch.
    pub epoch: i64,
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
        Self { store, changes, filter, texts, limit, position, snapshot: None, offset: 0, told_to: 0 }
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
        let bounds = self.store.feed_bounds().await?;
        let mut batch = Batch { epoch: bounds.epoch, ..Batch::default() };
        match (self.snapshot, self.position.resume(bounds)) {
            (Some(_), _) => {}
            (None, Some(offset)) => self.offset = offset,
            (None, None) => {
                self.snapshot = Some(bounds.head);
                self.offset = 0;
                batch.snapshot_begin = true;
            }
        }
        batch.known_to = if self.snapshot.is_some() { 0 } else { self.offset };
        batch.in_snapshot = self.snapshot.is_some();
        let texts = if self.texts { Texts::ChangedAfter(batch.known_to) } else { Texts::Omit };
        let page = self.store.read_feed(self.filter.clone(), self.offset, texts, self.limit).await?;
        self.offset = page.read_to;
        batch.caught_up = page.caught_up;
        batch.rows = page.rows;
        if let Some(began_at) = self.snapshot {
            batch.rows.retain(|row| !row.gone || row.offset > began_at);
            batch.snapshot_end = page.caught_up;
        }
        let ended = batch.snapshot_end || self.snapshot.is_none();
        if ended {
            self.snapshot = None;
            self.position = Position::After { epoch: bounds.epoch, offset: self.offset };
        } else {
            self.position = Position::InSnapshot { epoch: bounds.epoch };
        }
        batch.position = self.position.to_string();
        Ok(batch)
    }
}

/// The position of one entry. Inside a snapshot it is one from which the snapshot begins again.
pub fn entry_position(bounds_epoch: i64, offset: i64, in_snapshot: bool) -> String {
    if in_snapshot {
        Position::InSnapshot { epoch: bounds_epoch }.to_string()
    } else {
        Position::After { epoch: bounds_epoch, offset }.to_string()
    }
}

/// Where a consumer at `position` stands as an offset, for its lag; one that needs a snapshot has everything before it.
pub fn lag_offset(position: Position, bounds: FeedBounds) -> i64 {
    position.resume(bounds).unwrap_or(0)
}
