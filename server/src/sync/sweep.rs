//! Deletion by absence: after a complete listing, what the scope owned before it began and nothing named since is
//! gone, but for what an error shields, and unless it is suspiciously much.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use superfasttt_proto::connector::v1::log_record::Level;

use super::RunContext;
use crate::store::Result;
use crate::store::documents::{Absent, DocumentKey};
use crate::store::item_errors::Target;
use crate::store::runs::{HeldSweep, RunCounts, RunProgress};
use crate::store::sync_states::{Held, Listing, ScopeState};

/// Parents that are remembered while shields are looked for.
const MAX_KNOWN_PARENTS: usize = 100_000;

/// What a sweep came to.
#[derive(Debug)]
pub struct Swept {
    /// The scope's state after it.
    pub state: ScopeState,
    /// What waits for a person.
    pub held: Option<HeldSweep>,
}

/// Sweeps a scope whose listing is complete. `counts` are the run's; deletions are added to them.
///
/// # Errors
/// Where the store fails; what was deleted by then is deleted, and the next run goes on.
#[tracing::instrument(name = "sync.scope.sweep", level = "debug", skip_all, fields(scope = state.scope))]
pub async fn sweep(
    context: &Arc<RunContext>,
    mut state: ScopeState,
    counts: &mut RunCounts,
) -> Result<Swept> {
    let mut shields = Shields::load(context, &state).await?;
    let approved = state.approved_generation.unwrap_or(0);
    let held_before = state.held.take();
    let mut held = None;
    let forget = !state.listing_unreliable && !shields.unresolved && shields.is_empty();
    if state.listing_unreliable || shields.unresolved {
        let fields = [("scope", state.scope.clone())];
        let message = "something could not be read that nobody can name: nothing is deleted for being absent";
        context.report.log(Level::Warn, message, fields);
        // What waits for a person, or was approved, is not decided by a listing that proves nothing.
        state.held = held_before;
    } else {
        let (total, absent) =
            context.store.count_absent(context.fence.connection, &state.scope, state.generation).await?;
        if absent > 0 {
            let (absent, unapproved) = count_unshielded(context, &state, &mut shields, approved).await?;
            let holds = is_held(context, &state, total, absent, unapproved);
            if holds {
                held = Some(hold(context, &mut state, total, unapproved));
            }
            let generation = if holds { approved } else { state.generation };
            delete(context, &state, &mut shields, generation, counts).await?;
        }
    }
    state.listing = Listing::None;
    state.listing_for_settings = false;
    if state.held.is_none() {
        state.approved_generation = None;
    }
    context.store.end_listing(context.fence, state.clone(), forget).await?;
    Ok(Swept { state, held })
}

/// The listing before which documents were last seen that a sweep would delete now, were nothing shielded: all absent
/// ones, or those alone that a person approved.
///
/// # Errors
/// Where the store cannot be read.
pub async fn would_delete(context: &RunContext, state: &ScopeState) -> Result<i64> {
    let key = context.fence.connection;
    let (total, absent) = context.store.count_absent(key, &state.scope, state.generation).await?;
    let approved = state.approved_generation.unwrap_or(0);
    let (_, approved_absent) = context.store.count_absent(key, &state.scope, approved).await?;
    let holds = is_held(context, state, total, absent, absent.saturating_sub(approved_absent));
    Ok(if holds { approved } else { state.generation })
}

/// Whether a person is to be asked first.
fn is_held(context: &RunContext, state: &ScopeState, total: u64, absent: u64, unapproved: u64) -> bool {
    let limits = &context.limits;
    let everything = absent == total;
    if unapproved == 0 {
        return false;
    }
    if state.listing_for_settings {
        // A person asked, by changing the settings; but nobody asks for an empty feed by mistake twice.
        return everything;
    }
    let share = unapproved as f64 / total.max(1) as f64;
    (share > limits.sweep_share && unapproved > limits.sweep_min)
        || (everything && absent >= limits.sweep_all_min)
}

fn hold(context: &RunContext, state: &mut ScopeState, total: u64, absent: u64) -> HeldSweep {
    let at = context.clock.now();
    state.held = Some(Held { generation: state.generation, absent, total, at });
    let message = held_message(absent, total);
    let fields = [("scope", state.scope.clone()), ("documents", absent.to_string())];
    context.report.log(Level::Warn, message.clone(), fields);
    HeldSweep { scope: state.scope.clone(), absent, total, message, at }
}

/// Why a sweep is held, for a person.
pub fn held_message(absent: u64, total: u64) -> String {
    format!(
        "{absent} of {total} documents are no longer listed by the source. That is more than is deleted unasked: if \
         they are really gone, approve the deletion; if not, look whether the source is complete (a folder not \
         mounted, a permission withdrawn)"
    )
}

/// How many absent documents no shield covers; of these, how many nobody approved.
async fn count_unshielded(
    context: &Arc<RunContext>,
    state: &ScopeState,
    shields: &mut Shields,
    approved: i64,
) -> Result<(u64, u64)> {
    let mut counts = (0, 0);
    let mut after = String::new();
    while let Some(batch) = next_batch(context, state, state.generation, &mut after).await? {
        for document in batch {
            if !shields.cover(context, &document).await? {
                counts.0 += 1;
                counts.1 += u64::from(document.generation >= approved);
            }
        }
    }
    Ok(counts)
}

/// Deletes absent documents last seen before listing `generation`.
async fn delete(
    context: &Arc<RunContext>,
    state: &ScopeState,
    shields: &mut Shields,
    generation: i64,
    counts: &mut RunCounts,
) -> Result<()> {
    let mut after = String::new();
    while let Some(batch) = next_batch(context, state, generation, &mut after).await? {
        let mut keys: Vec<DocumentKey> = Vec::with_capacity(batch.len());
        for document in batch {
            if !shields.cover(context, &document).await? {
                keys.push(document.key);
            }
        }
        counts.deleted += keys.len() as u64;
        let progress = RunProgress { counts: *counts, ..context.report.run().progress() };
        context.store.bury(context.fence, keys, &context.run, progress, context.clock.now()).await?;
        context.report.counts(*counts);
    }
    Ok(())
}

async fn next_batch(
    context: &RunContext,
    state: &ScopeState,
    generation: i64,
    after: &mut String,
) -> Result<Option<Vec<Absent>>> {
    let (store, key) = (&context.store, context.fence.connection);
    let batch = store.absent(key, &state.scope, generation, after, context.limits.sweep_batch).await?;
    let Some(last) = batch.last() else { return Ok(None) };
    last.id.clone_into(after);
    Ok(Some(batch))
}

/// What takes no part in deletion by absence.
struct Shields {
    ids: HashSet<String>,
    locators: HashSet<String>,
    /// Ids over whose descendants a shield lies as well.
    roots: HashSet<String>,
    /// A shield names a subtree by a locator that nobody knows: what is under it cannot be told.
    unresolved: bool,
    parents: HashMap<String, String>,
}

impl Shields {
    async fn load(context: &RunContext, state: &ScopeState) -> Result<Self> {
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

    fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.locators.is_empty() && self.roots.is_empty()
    }

    /// Whether a shield lies over a document.
    async fn cover(&mut self, context: &RunContext, document: &Absent) -> Result<bool> {
        if self.ids.contains(&document.id)
            || (!document.locator.is_empty() && self.locators.contains(&document.locator))
            || self.roots.contains(&document.id)
        {
            return Ok(true);
        }
        if self.roots.is_empty() {
            return Ok(false);
        }
        let mut at = document.parent_id.clone();
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

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
