//! A consumer of the feed: it reads all along, goes away for a while, comes back to where it was, and holds what the feed
//! told it. Where nothing lies before it, that is what the store holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::Rng;

use super::watcher::as_shown;
use super::world::{World, lock};
use crate::documents::{Batch, Position, Watch};
use crate::store::feed::{FeedFilter, ReadLimit};
use crate::store::memory::Data;

/// A document as the consumer has it: envelope and text.
type Held = (Vec<u8>, Option<String>);

/// What a consumer holds.
#[derive(Debug)]
pub(super) struct Reader {
    name: &'static str,
    held: BTreeMap<(String, String), Held>,
    /// What the snapshot under way has shown.
    shown: Option<BTreeSet<(String, String)>>,
    position: String,
}

/// Reads to the end of the history. `away`: how long it goes away at most.
pub(super) async fn read_on(world: Arc<World>, reader: Arc<Mutex<Reader>>, away: Duration) {
    loop {
        let pages = world.choose(|chance| chance.random_range(1..8_usize));
        let position: Position = lock(&reader).position.parse().expect("the feed gave it");
        let limit = ReadLimit { rows: world.choose(|chance| chance.random_range(1..9)), bytes: 1 << 20 };
        let mut watch =
            Watch::new(Arc::new(world.store.clone()), FeedFilter::default(), position, true, limit);
        for _ in 0..pages {
            match watch.next(true).await {
                Ok(batch) => lock(&reader).take(&world, batch),
                Err(error) => world.accuse(format!("the feed cannot be read: {error}")),
            }
            tokio::time::sleep(world.while_up_to(Duration::from_secs(3))).await;
        }
        tokio::time::sleep(world.while_up_to(away)).await;
    }
}

impl Reader {
    pub(super) fn new(name: &'static str) -> Arc<Mutex<Self>> {
        let (held, position) = (BTreeMap::new(), String::new());
        Arc::new(Mutex::new(Self { name, held, shown: None, position }))
    }

    /// Reads all that there is.
    pub(super) async fn catch_up(world: &Arc<World>, reader: &Arc<Mutex<Self>>) {
        let position: Position = lock(reader).position.parse().expect("the feed gave it");
        let limit = ReadLimit { rows: 5, bytes: 1 << 20 };
        let mut watch =
            Watch::new(Arc::new(world.store.clone()), FeedFilter::default(), position, true, limit);
        loop {
            match watch.next(true).await {
                Ok(batch) => {
                    let caught_up = batch.caught_up;
                    lock(reader).take(world, batch);
                    if caught_up {
                        break;
                    }
                }
                Err(error) => return world.accuse(format!("the feed cannot be read: {error}")),
            }
        }
        let reader = lock(reader);
        world.store.look(|data| reader.compare(world, data));
    }

    fn take(&mut self, world: &World, batch: Batch) {
        if batch.snapshot_begin {
            world.tell(format_args!("{} gets a snapshot", self.name));
            self.shown = Some(BTreeSet::new());
        }
        for row in batch.rows {
            let key = (row.connection, row.id);
            if row.gone {
                self.held.remove(&key);
                if let Some(shown) = &mut self.shown {
                    shown.remove(&key);
                }
                continue;
            }
            let known = self.held.remove(&key);
            let text = if row.content_offset > batch.known_to {
                row.text
            } else {
                match known {
                    Some((_, text)) => text,
                    None => {
                        world.accuse(format!(
                            "I7: {} is told that a text it never had is unchanged: {key:?}",
                            self.name
                        ));
                        None
                    }
                }
            };
            if let Some(shown) = &mut self.shown {
                shown.insert(key.clone());
            }
            self.held.insert(key, (row.envelope, text));
        }
        if batch.snapshot_end
            && let Some(shown) = self.shown.take()
        {
            self.held.retain(|key, _| shown.contains(key));
        }
        self.position = batch.position;
        if batch.caught_up
            && !batch.in_snapshot
            && let Ok(Position::After { offset, .. }) = self.position.parse()
        {
            world.store.look(|data| {
                if data.bounds().head == offset {
                    self.compare(world, data);
                }
            });
        }
    }

    /// Whether it holds what the store holds.
    fn compare(&self, world: &World, data: &Data) {
        let mut left: BTreeSet<_> = self.held.keys().collect();
        for connection in data.every_connection() {
            for row in data.live(connection.key) {
                let key = (connection.id.clone(), row.document.id.clone());
                left.remove(&key);
                let shown = |body: &Held| (as_shown(&body.0), body.1.clone());
                match (row.body.as_ref().map(shown), self.held.get(&key).map(shown)) {
                    (Some(stored), Some(held)) if stored == held => {}
                    (stored, held) => world.accuse(format!(
                        "I4: {} holds {held:?} of {key:?}, and there is {stored:?}",
                        self.name
                    )),
                }
            }
        }
        if let Some(key) = left.first() {
            world.accuse(format!("I6: {} still holds {key:?}, which is gone", self.name));
        }
    }
}
