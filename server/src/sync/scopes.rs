//! Where the scopes of a connection stand, in memory, as the run moves them on. What is here was committed, or is
//! about to be.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use prost::Message;
use superfasttt_proto::connector::v1::{self, Checkpoint, PullMode};

use crate::store::sync_states::{Listing, ListingMode, ScopeState};

/// The scopes that one pull is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// These only; empty for all, and new ones.
    pub scopes: BTreeSet<String>,
    /// But not these, which other pulls are for. Only where `scopes` is empty.
    pub except: BTreeSet<String>,
}

impl Group {
    /// These scopes; all, and new ones, where empty.
    pub fn of(scopes: impl IntoIterator<Item = String>) -> Self {
        Self { scopes: scopes.into_iter().collect(), except: BTreeSet::new() }
    }

    /// Whether a pull for it is for this scope.
    pub fn holds(&self, scope: &str) -> bool {
        (self.scopes.is_empty() || self.scopes.contains(scope)) && !self.except.contains(scope)
    }
}

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
            match mode {
                PullMode::Full => begun(state, ListingMode::Full, false, now),
                PullMode::List => begun(state, ListingMode::List, false, now),
                PullMode::Unspecified | PullMode::Incremental | PullMode::Targeted => state,
            }
        });
        (state, new)
    }

    /// Begins a listing of these scopes: everything last seen before it is absent until it is named again. A listing
    /// under way is begun anew. Returns the states to save.
    pub fn begin_listing(
        &mut self,
        scopes: &[String],
        mode: ListingMode,
        for_settings: bool,
        now: DateTime<Utc>,
    ) -> Vec<ScopeState> {
        for scope in scopes {
            if let Some(state) = self.states.remove(scope) {
                self.put(begun(state, mode, for_settings, now));
            }
        }
        scopes.iter().filter_map(|scope| self.get(scope).cloned()).collect()
    }

    /// What a pull is told of where the scopes stand. In a FULL pull that is how far the listing is: a scope that was
    /// completed in the same run is resumed at its end, so that it is not begun again.
    pub fn for_pull(&self, mode: PullMode, group: &Group) -> Vec<v1::ScopeState> {
        let state = |state: &ScopeState| {
            let cursor = cursor(state, mode)?.clone();
            Some(v1::ScopeState { scope: state.scope.clone(), cursor })
        };
        self.all().filter(|scope| group.holds(&scope.scope)).filter_map(state).collect()
    }

    /// The scopes without a state of which a pull is told that they are known. One that names its scopes has named them.
    pub fn known(&self, mode: PullMode, group: &Group) -> Vec<String> {
        if !group.scopes.is_empty() || mode == PullMode::Targeted {
            return Vec::new();
        }
        self.names(|state| group.holds(&state.scope) && cursor(state, mode).is_none())
    }

    /// The pulls that `scopes` (all, where empty) take: one, unless the states would come to more than `max_bytes`. Then
    /// each pull names its scopes, and where all were meant one more finds those that nobody knows yet: it is for all but
    /// the known ones, so that none of these begins from nothing.
    pub fn groups(&self, mode: PullMode, scopes: Vec<String>, max_bytes: usize) -> Vec<Group> {
        let all = scopes.is_empty();
        let meant = Group::of(scopes);
        let known = self.known(mode, &meant).into_iter().map(|scope| (scope.len(), scope));
        let states = self.for_pull(mode, &meant).into_iter();
        let sizes = states.map(|state| (state.encoded_len(), state.scope)).chain(known);
        let mut sizes: BTreeMap<String, usize> = sizes.map(|(size, scope)| (scope, size)).collect();
        if sizes.values().sum::<usize>() <= max_bytes {
            return vec![meant];
        }
        let known = if all { self.names(|_| true).into_iter().collect() } else { meant.scopes };
        let mut groups = vec![Group::default()];
        let mut filled = 0;
        for scope in &known {
            let size = sizes.remove(scope).unwrap_or_default() + scope.len();
            if filled + size > max_bytes && filled > 0 {
                groups.push(Group::default());
                filled = 0;
            }
            filled += size;
            groups.last_mut().expect("it began with one").scopes.insert(scope.clone());
        }
        // Where even the names are too many for one message, new scopes have to wait until there are fewer.
        if all && known.iter().map(String::len).sum::<usize>() <= max_bytes {
            groups.push(Group { scopes: BTreeSet::new(), except: known });
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
        if mode == PullMode::List {
            // Another listing goes on in this scope: what this one says of it moves nothing.
            if state.listing_mode != ListingMode::List || state.listing == Listing::None {
                return false;
            }
            let completes = checkpoint.listing_complete && state.listing == Listing::UnderWay;
            let moved = state.listing_cursor.as_ref() != Some(&checkpoint.cursor) || completes;
            state.listing_cursor = Some(checkpoint.cursor);
            if completes {
                state.listing = Listing::Complete;
                state.listing_completed_at = Some(now);
            }
            moved
        } else if mode == PullMode::Full {
            // A scope that is complete is resumed at its end: what it says there again is no progress, and nor is a
            // cursor that is not kept, and comes again with each pull.
            let completes = checkpoint.listing_complete && state.listing != Listing::Complete;
            let moved = match state.listing {
                Listing::Complete => {
                    checkpoint.listing_complete && state.cursor.as_ref() != Some(&checkpoint.cursor)
                }
                Listing::None | Listing::UnderWay => {
                    completes || state.listing_cursor.as_ref() != Some(&checkpoint.cursor)
                }
            };
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

/// Where a scope stands, as a pull in this mode is told.
fn cursor(state: &ScopeState, mode: PullMode) -> Option<&Vec<u8>> {
    match mode {
        PullMode::Incremental => state.cursor.as_ref(),
        PullMode::Full if state.listing_mode == ListingMode::List => None,
        PullMode::Full if state.listing == Listing::Complete => state.cursor.as_ref(),
        PullMode::Full => state.listing_cursor.as_ref(),
        PullMode::List if state.listing_mode == ListingMode::List => state.listing_cursor.as_ref(),
        PullMode::Unspecified | PullMode::List | PullMode::Targeted => None,
    }
}

fn begun(mut state: ScopeState, mode: ListingMode, for_settings: bool, now: DateTime<Utc>) -> ScopeState {
    // A listing of a person's change that is begun anew, before it led to a sweep, is still one.
    state.listing_for_settings =
        for_settings || (state.listing != Listing::None && state.listing_for_settings);
    state.generation += 1;
    state.listing_mode = mode;
    state.listing = Listing::UnderWay;
    state.listing_cursor = None;
    state.listing_unreliable = false;
    state.listing_started_at = Some(now);
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::suite::support::at;

    fn scopes(state: ScopeState) -> Scopes {
        Scopes::new(vec![state])
    }

    fn checkpoint(cursor: &str, listing_complete: bool) -> Checkpoint {
        Checkpoint { cursor: cursor.into(), has_more: false, listing_complete }
    }

    fn bytes(text: &str) -> Option<Vec<u8>> {
        Some(text.into())
    }

    #[test]
    fn a_listing_moves_its_own_cursor_until_it_is_complete() {
        let mut scopes = scopes(ScopeState { cursor: bytes("old"), ..ScopeState::default() });
        scopes.begin_listing(&[String::new()], ListingMode::Full, false, at(1));
        assert!(scopes.for_pull(PullMode::Full, &Group::default()).is_empty(), "it begins from nothing");
        assert!(scopes.checkpoint("", PullMode::Full, checkpoint("1", false), at(2)));
        let state = scopes.get("").unwrap();
        assert_eq!((&state.cursor, &state.listing_cursor), (&bytes("old"), &bytes("1")));
        assert_eq!(scopes.for_pull(PullMode::Full, &Group::default())[0].cursor, b"1");
        assert_eq!(scopes.for_pull(PullMode::Incremental, &Group::default())[0].cursor, b"old");
        assert!(scopes.checkpoint("", PullMode::Full, checkpoint("end", true), at(3)));
        let state = scopes.get("").unwrap();
        assert_eq!((&state.cursor, &state.listing_cursor), (&bytes("end"), &None));
        assert_eq!((state.listing, state.listing_completed_at), (Listing::Complete, Some(at(3))));
        assert_eq!(
            scopes.for_pull(PullMode::Full, &Group::default())[0].cursor,
            b"end",
            "resumed at its end"
        );
    }

    #[test]
    fn a_listing_of_ids_never_touches_the_cursor_of_changes_and_is_never_gone_on_with_as_another() {
        let mut scopes = scopes(ScopeState { cursor: bytes("old"), ..ScopeState::default() });
        scopes.begin_listing(&[String::new()], ListingMode::List, false, at(1));
        assert!(scopes.checkpoint("", PullMode::List, checkpoint("1", false), at(2)));
        assert_eq!(scopes.for_pull(PullMode::List, &Group::default())[0].cursor, b"1");
        assert!(scopes.for_pull(PullMode::Full, &Group::default()).is_empty(), "no FULL goes on from it");
        assert_eq!(scopes.for_pull(PullMode::Incremental, &Group::default())[0].cursor, b"old");
        assert!(scopes.checkpoint("", PullMode::List, checkpoint("end", true), at(3)));
        assert!(!scopes.checkpoint("", PullMode::List, checkpoint("end", true), at(4)), "said again");
        let state = scopes.get("").unwrap();
        assert_eq!((&state.cursor, state.listing), (&bytes("old"), Listing::Complete));
        assert_eq!(scopes.for_pull(PullMode::List, &Group::default())[0].cursor, b"end", "not begun again");
        scopes.begin_listing(&[String::new()], ListingMode::Full, false, at(5));
        assert!(scopes.checkpoint("", PullMode::Full, checkpoint("f", false), at(6)));
        assert!(scopes.for_pull(PullMode::List, &Group::default()).is_empty(), "nor a LIST from a FULL");
        assert!(!scopes.checkpoint("", PullMode::List, checkpoint("l", true), at(7)));
        let state = scopes.get("").unwrap();
        assert_eq!((state.listing, &state.listing_cursor), (Listing::UnderWay, &bytes("f")));
    }

    #[test]
    fn what_a_complete_scope_says_again_is_no_progress() {
        let complete =
            ScopeState { listing: Listing::Complete, cursor: bytes("end"), ..ScopeState::default() };
        for again in [checkpoint("end", false), checkpoint("end", true), checkpoint("later", false)] {
            let mut scopes = scopes(complete.clone());
            assert!(!scopes.checkpoint("", PullMode::Full, again, at(1)));
            let state = scopes.get("").unwrap();
            assert_eq!((state.listing, &state.cursor), (Listing::Complete, &bytes("end")));
        }
        let mut scopes = scopes(complete);
        assert!(scopes.checkpoint("", PullMode::Full, checkpoint("later", true), at(1)));
        assert_eq!(scopes.get("").unwrap().cursor, bytes("later"));
    }

    #[test]
    fn only_a_new_cursor_is_progress() {
        let mut scopes = scopes(ScopeState { cursor: bytes("1"), ..ScopeState::default() });
        assert!(!scopes.checkpoint("", PullMode::Incremental, checkpoint("1", false), at(1)));
        assert_eq!(scopes.get("").unwrap().checkpoint_at, Some(at(1)));
        assert!(scopes.checkpoint("", PullMode::Incremental, checkpoint("2", false), at(1)));
        assert!(!scopes.checkpoint("nowhere", PullMode::Incremental, checkpoint("2", false), at(1)));
    }

    #[test]
    fn a_scope_is_made_when_something_is_met_in_it() {
        let mut scopes = Scopes::default();
        let (state, new) = scopes.met("a", PullMode::Full, at(1));
        assert_eq!((state.listing, state.generation, new), (Listing::UnderWay, 1, true));
        let (state, new) = scopes.met("a", PullMode::Full, at(2));
        assert_eq!((state.listing_started_at, new), (Some(at(1)), false));
        let (state, _) = scopes.met("b", PullMode::Incremental, at(1));
        assert_eq!((state.listing, state.generation), (Listing::None, 0));
    }

    #[test]
    fn a_listing_of_a_persons_change_stays_one_until_it_is_swept() {
        let mut scopes = scopes(ScopeState::default());
        let for_settings = |states: Vec<ScopeState>| states[0].listing_for_settings;
        assert!(for_settings(scopes.begin_listing(&[String::new()], ListingMode::Full, true, at(1))));
        assert!(
            for_settings(scopes.begin_listing(&[String::new()], ListingMode::Full, false, at(2))),
            "cut off, and begun anew"
        );
        scopes.checkpoint("", PullMode::Full, checkpoint("end", true), at(3));
        assert!(
            for_settings(scopes.begin_listing(&[String::new()], ListingMode::Full, false, at(4))),
            "not swept yet"
        );
        scopes.put(ScopeState { listing: Listing::None, ..scopes.get("").unwrap().clone() });
        assert!(!for_settings(scopes.begin_listing(&[String::new()], ListingMode::Full, false, at(5))));
        assert_eq!(scopes.get("").unwrap().generation, 4);
        assert!(scopes.begin_listing(&["nowhere".to_owned()], ListingMode::Full, false, at(6)).is_empty());
    }

    #[test]
    fn a_pull_is_told_of_the_scopes_that_it_is_for() {
        let state = |name: &str| ScopeState {
            scope: name.to_owned(),
            cursor: bytes(name),
            listing_cursor: bytes("listing"),
            listing: Listing::UnderWay,
            ..ScopeState::default()
        };
        let scopes = Scopes::new(vec![
            state("b"),
            state("a"),
            ScopeState { scope: "c".into(), ..ScopeState::default() },
        ]);
        let told = |mode, names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned());
            scopes.for_pull(mode, &Group::of(names)).into_iter().map(|state| state.scope).collect::<Vec<_>>()
        };
        assert_eq!(told(PullMode::Incremental, &[]), ["a", "b"]);
        assert_eq!(told(PullMode::Full, &["b", "c"]), ["b"]);
        assert!(told(PullMode::List, &[]).is_empty() && told(PullMode::Targeted, &[]).is_empty());
    }

    #[test]
    fn a_listing_that_begins_is_told_which_scopes_are_known() {
        let state = |name: &str, listing_cursor: Option<Vec<u8>>| ScopeState {
            scope: name.to_owned(),
            cursor: bytes(name),
            listing: Listing::UnderWay,
            listing_cursor,
            ..ScopeState::default()
        };
        let scopes = Scopes::new(vec![state("begins", None), state("goes on", bytes("1"))]);
        let all = Group::default();
        assert_eq!(scopes.known(PullMode::Full, &all), ["begins"]);
        assert!(scopes.known(PullMode::Incremental, &all).is_empty(), "their states tell");
        assert!(scopes.known(PullMode::Full, &Group::of(["begins".to_owned()])).is_empty(), "it is named");
        let others = Group { except: ["begins".to_owned()].into(), ..Group::default() };
        assert!(scopes.known(PullMode::Full, &others).is_empty(), "another pull names it");
        assert!(scopes.known(PullMode::Targeted, &all).is_empty());
        // More names than fit into one message are spread over several.
        let groups = scopes.groups(PullMode::Full, vec![], 14);
        assert_eq!(groups[..2], [Group::of(["begins".to_owned()]), Group::of(["goes on".to_owned()])]);
    }

    #[test]
    fn states_that_are_too_large_for_one_pull_take_several_and_one_more_for_new_scopes() {
        let state = |name: &str| ScopeState {
            scope: name.to_owned(),
            cursor: Some(vec![0; 100]),
            ..ScopeState::default()
        };
        let scopes = Scopes::new(["a", "b", "c", "d", "e"].map(state).into());
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let only = |names: &[&str]| Group { scopes: named(names), except: BTreeSet::new() };
        let groups = |names: &[&str], max| {
            scopes.groups(PullMode::Incremental, named(names).into_iter().collect(), max)
        };
        assert_eq!(groups(&[], 1000), [Group::default()]);
        assert_eq!(groups(&["a", "b"], 1000), [only(&["a", "b"])]);
        let rest = Group { scopes: BTreeSet::new(), except: named(&["a", "b", "c", "d", "e"]) };
        assert_eq!(groups(&[], 250), [only(&["a", "b"]), only(&["c", "d"]), only(&["e"]), rest.clone()]);
        assert_eq!(
            groups(&["a", "b", "c"], 250),
            [only(&["a", "b"]), only(&["c"])],
            "no new ones were meant"
        );
        assert!(scopes.for_pull(PullMode::Incremental, &rest).is_empty());
        assert!(rest.holds("new") && !rest.holds("a"));
    }
}
