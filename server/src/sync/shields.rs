//! Shields: what could not be read takes no part in deletion by absence, and what is under it where the error says so.

use std::collections::{HashMap, HashSet};

use super::RunContext;
use crate::store::Result;
use crate::store::item_errors::Target;
use crate::store::sync_states::ScopeState;

/// Parents that are remembered while shields are looked for.
const MAX_KNOWN_PARENTS: usize = 100_000;

/// What takes no part in deletion by absence.
pub struct Shields {
    ids: HashSet<String>,
    locators: HashSet<String>,
    /// Ids over whose descendants a shield lies as well.
    roots: HashSet<String>,
    /// A shield names a subtree by a locator that nobody knows: what is under it cannot be told.
    pub unresolved: bool,
    parents: HashMap<String, String>,
}

impl Shields {
    /// Those of a scope's listing.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn load(context: &RunContext, state: &ScopeState) -> Result<Self> {
        let (store, key) = (&context.store, context.fence.connection);
        let mut shields = Self {
            ids: HashSet::new(),
            locators: HashSet::new(),
            roots: HashSet::new(),
            unresolved: false,
            parents: HashMap::new(),
        };
        for shield in store.shields(key, &state.scope).await? {
            match shield.target {
                Target::Id(id) => {
                    if shield.with_descendants {
                        shields.roots.insert(id.clone());
                    }
                    shields.ids.insert(id);
                }
                Target::Locator(locator) => {
                    if shield.with_descendants {
                        match store.id_of_locator(key, &state.scope, &locator).await? {
                            Some(id) => {
                                shields.roots.insert(id);
                            }
                            None => shields.unresolved = true,
                        }
                    }
                    shields.locators.insert(locator);
                }
                Target::Unnamed => {}
            }
        }
        Ok(shields)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.locators.is_empty() && self.roots.is_empty()
    }

    /// Whether a shield lies over this: a document or a container, by its id, what holds it, and its locator (each empty
    /// where it is not known).
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn cover(
        &mut self,
        context: &RunContext,
        id: &str,
        parent_id: &str,
        locator: &str,
    ) -> Result<bool> {
        if self.ids.contains(id)
            || (!locator.is_empty() && self.locators.contains(locator))
            || self.roots.contains(id)
        {
            return Ok(true);
        }
        if self.roots.is_empty() {
            return Ok(false);
        }
        let mut at = parent_id.to_owned();
        let mut met = HashSet::new();
        // Parents that go round in a circle are met twice, and lead nowhere.
        while !at.is_empty() && met.insert(at.clone()) {
            if self.roots.contains(&at) {
                return Ok(true);
            }
            at = self.parent(context, at).await?;
        }
        Ok(false)
    }

    /// Whether a shield lies over what an item error is about.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn cover_target(
        &mut self,
        context: &RunContext,
        state: &ScopeState,
        target: &Target,
    ) -> Result<bool> {
        let (store, key) = (&context.store, context.fence.connection);
        let (id, locator) = match target {
            Target::Id(id) => (id.clone(), ""),
            Target::Locator(locator) => {
                let id = store.id_of_locator(key, &state.scope, locator).await?;
                // What is not stored may lie anywhere, so under any shield that has something under it.
                let Some(id) = id else {
                    return Ok(self.locators.contains(locator) || !self.roots.is_empty());
                };
                (id, locator.as_str())
            }
            Target::Unnamed => return Ok(false),
        };
        let parent = store.parent_of(key, &id).await?;
        if parent.is_none() && !self.roots.is_empty() {
            return Ok(true);
        }
        self.cover(context, &id, &parent.unwrap_or_default(), locator).await
    }

    async fn parent(&mut self, context: &RunContext, id: String) -> Result<String> {
        if let Some(parent) = self.parents.get(&id) {
            return Ok(parent.clone());
        }
        let parent = context.store.parent_of(context.fence.connection, &id).await?.unwrap_or_default();
        if self.parents.len() >= MAX_KNOWN_PARENTS {
            self.parents.clear();
        }
        self.parents.insert(id, parent.clone());
        Ok(parent)
    }
}
