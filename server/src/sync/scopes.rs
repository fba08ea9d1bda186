//! Where the scopes of a connection stand, in memory, as the run moves them on. What is here was committed, or is
//! about to be.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use prost::Message;
use superfasttt_proto::connector::v1::{self, Checkpoint, PullMode};

use crate::store::sync_states::{Listing, ScopeState};

/// The scopes of one connection.
#[derive(Clone, Debug, Default)]
pub struct Scopes {
    states: BTreeMap<String, ScopeState>,
}

impl Scopes {
    /// As they are stored.
    pub fn new(states: Vec<ScopeState>) -> Self {
        Self { states: states.into_iter().map(|state| (state.scope.clone(), state)).collect() }
    }

    /// One of them.
    pub fn get(&self, scope: &str) -> Option<&ScopeState> {
        self.states.get(scope)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &ScopeState> {
        self.states.values()
    }

    /// The names of those that `test` picks.
    pub fn names(&self, test: impl Fn(&ScopeState) -> bool) -> Vec<String> {
        self.all().filter(|state| test(state)).map(|state| state.scope.clone()).collect()
    }

    /// Puts a state in the place of the one there was.
    pub fn put(&mut self, state: ScopeState) {
        self.states.insert(state.scope.clone(), state);
    }

    /// Forgets a scope.
    pub fn remove(&mut self, scope: &str) {
        self.states.remove(scope);
    }

    /// The state of a scope in which something was sent, made where the scope is new. The second value says whether
    /// it was made.
    pub fn met(&mut self, scope: &str, mode: PullMode, now: DateTime<Utc>) -> (&mut ScopeState, bool) {
        let new = !self.states.contains_key(scope);
        let state = self.states.entry(scope.to_owned()).or_insert_with(|| {
            let state = ScopeState { scope: scope.to_owned(), ..ScopeState::default() };
            if mode == PullMode::Full { begun(state, false, now) } else { state }
        });
        (state, new)
    }

    /// Begins a listing of these scopes: everything last seen before it is absent until it is named again. A listing
    /// under way is begun anew. Returns the states to save.
    pub fn begin_listing(
        &mut self,
        scopes: &[String],
        for_settings: bool,
        now: DateTime<Utc>,
    ) -> Vec<ScopeState> {
        for scope in scopes {
            if let Some(state) = self.states.remove(scope) {
                self.put(begun(state, for_settings, now));
            }
        }
        scopes.iter().filter_map(|scope| self.get(scope).cloned()).collect()
    }

    /// What a pull is told of where the scopes stand. In a FULL pull that is how far the listing is: a scope that was
    /// completed in the same run is resumed at its end, so that it is not begun again.
    pub fn for_pull(&self, mode: PullMode, scopes: &[String]) -> Vec<v1::ScopeState> {
        self.all()
            .filter(|state| scopes.is_empty() || scopes.contains(&state.scope))
            .filter_map(|state| {
                let cursor = match mode {
                    PullMode::Incremental => state.cursor.as_ref(),
                    PullMode::Full if state.listing == Listing::Complete => state.cursor.as_ref(),
                    PullMode::Full => state.listing_cursor.as_ref(),
                    PullMode::Unspecified | PullMode::List | PullMode::Targeted => None,
                };
                cursor.map(|cursor| v1::ScopeState { scope: state.scope.clone(), cursor: cursor.clone() })
            })
            .collect()
    }

    /// The scopes of each pull that `scopes` (all, where empty) take: one pull, unless the states would come to more
    /// than `max_bytes`.
    pub fn groups(&self, mode: PullMode, scopes: Vec<String>, max_bytes: usize) -> Vec<Vec<String>> {
        let sizes = self.for_pull(mode, &scopes).into_iter().map(|state| (state.encoded_len(), state.scope));
        let sizes: Vec<_> = sizes.collect();
        if sizes.iter().map(|(size, _)| size).sum::<usize>() <= max_bytes {
            return vec![scopes];
        }
        // Naming scopes leaves out those that nobody knows yet; a full pull of such a connection finds them.
        let scopes = if scopes.is_empty() { self.names(|_| true) } else { scopes };
        let stateless = scopes.into_iter().filter(|scope| !sizes.iter().any(|(_, known)| known == scope));
        let mut groups: Vec<Vec<String>> = vec![stateless.collect()];
        let mut filled = 0;
        for (size, scope) in sizes {
            if filled + size > max_bytes && filled > 0 {
                groups.push(Vec::new());
                filled = 0;
            }
            filled += size;
            groups.last_mut().expect("it began with one").push(scope);
        }
        groups
    }

    /// Moves a scope on to a checkpoint. Says whether the cursor is another one than before.
    pub fn checkpoint(
        &mut self,
        scope: &str,
        mode: PullMode,
        checkpoint: Checkpoint,
        now: DateTime<Utc>,
    ) -> bool {
        let Some(state) = self.states.get_mut(scope) else { return false };
        state.checkpoint_at = Some(now);
        if mode == PullMode::Full {
            let moved =
                state.listing_cursor.as_ref() != Some(&checkpoint.cursor) || checkpoint.listing_complete;
            if checkpoint.listing_complete {
                state.listing = Listing::Complete;
                state.listing_cursor = None;
                state.listing_completed_at = Some(now);
                state.cursor = Some(checkpoint.cursor);
            } else if state.listing != Listing::Complete {
                state.listing_cursor = Some(checkpoint.cursor);
            }
            moved
        } else {
            let moved = state.cursor.as_ref() != Some(&checkpoint.cursor);
            state.cursor = Some(checkpoint.cursor);
            moved
        }
    }
}

fn begun(mut state: ScopeState, for_settings: bool, now: DateTime<Utc>) -> ScopeState {
    state.generation += 1;
    state.listing = Listing::UnderWay;
    state.listing_cursor = None;
    state.listing_unreliable = false;
    state.listing_for_settings = for_settings;
    state.listing_started_at = Some(now);
    state
}
