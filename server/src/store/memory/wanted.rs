//! Wanted ids in memory.

use async_trait::async_trait;

use super::{Data, MemoryStore};
use crate::store::item_errors::Target;
use crate::store::wanted::{Leftovers, Retried, Wanted, WantedStore, Why};
use crate::store::{ConnectionKey, Fence, Result};

#[async_trait]
impl WantedStore for MemoryStore {
    async fn wanted(&self, connection: ConnectionKey, after: &str, limit: usize) -> Result<Vec<Wanted>> {
        self.read(|data| {
            let wanted =
                data.wanted.iter().filter(|((key, id), _)| *key == connection && id.as_str() > after);
            wanted.take(limit).map(|(_, wanted)| wanted.clone()).collect()
        })
        .await
    }

    async fn count_attempts(&self, fence: Fence, ids: Vec<String>) -> Result<()> {
        self.write_fenced(fence, |data| {
            for id in ids {
                if let Some(wanted) = data.wanted.get_mut(&(fence.connection, id)) {
                    wanted.attempts += 1;
                }
            }
            Ok(())
        })
        .await
    }

    async fn retry_item_errors(&self, connection: ConnectionKey, errors: Vec<i64>) -> Result<Retried> {
        self.write(|data| {
            let mut retried = Retried::default();
            let asked =
                data.errors_of(connection).filter(|error| errors.is_empty() || errors.contains(&error.key));
            for error in asked.map(|stored| stored.error.clone()).collect::<Vec<_>>() {
                match (error.target, error.with_descendants) {
                    (Target::Unnamed, _) => retried.unnamed += 1,
                    (Target::Id(_) | Target::Locator(_), true) => retried.subtrees += 1,
                    (Target::Locator(_), false) => retried.locators += 1,
                    (Target::Id(id), false) => {
                        retried.items += 1;
                        let wanted = data.wanted.entry((connection, id.clone()));
                        let (scope, version) = (String::new(), String::new());
                        let new = Wanted { id, scope, version, why: Why::Retry, attempts: 0 };
                        let wanted = wanted.or_insert(new);
                        (wanted.scope, wanted.why, wanted.attempts) = (error.scope, Why::Retry, 0);
                    }
                }
            }
            Ok(retried)
        })
        .await
    }

    async fn leftovers(&self, connection: ConnectionKey) -> Result<Leftovers> {
        self.read(|data| data.leftovers(connection)).await
    }
}

impl Data {
    pub(super) fn leftovers(&self, connection: ConnectionKey) -> Leftovers {
        Leftovers {
            item_errors: self.errors_of(connection).next().is_some(),
            wanted: self.wanted.keys().any(|(key, _)| *key == connection),
        }
    }

    /// Whether an id waits to be asked for.
    pub(crate) fn is_wanted(&self, connection: ConnectionKey, id: &str) -> bool {
        self.wanted.contains_key(&(connection, id.to_owned()))
    }

    /// Wants an id. What is wanted already at the same version keeps its attempts.
    pub(super) fn want(&mut self, connection: ConnectionKey, mut wanted: Wanted) {
        let place = (connection, wanted.id.clone());
        if let Some(known) = self.wanted.get(&place).filter(|known| known.version == wanted.version) {
            wanted.attempts = known.attempts;
        }
        self.wanted.insert(place, wanted);
    }
}
