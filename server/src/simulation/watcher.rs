//! Looks on as the store changes, and compares each change with what the model source says may happen. It knows nothing of
//! how a change came about: only what was there before, what is there now, and with which claim it was written.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use prost::Message;
use superfasttt_proto::connector::v1::{DocumentEnvelope, Reason};
use superfasttt_proto::control::v1::run::State;

use super::source::{Event, Source};
use super::words::{covered_by, listing_of, text};
use super::world::{World, lock};
use crate::store::item_errors::Target;
use crate::store::memory::Data;
use crate::store::memory::documents::DocumentRow;
use crate::store::sync_states::{Listing, ListingMode, ScopeState};
use crate::store::{ConnectionKey, Fence};

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    /// The newest claim of each connection.
    fences: BTreeMap<ConnectionKey, i64>,
    documents: BTreeMap<ConnectionKey, BTreeMap<String, Seen>>,
    /// Up to which change the cursor of each scope was found to keep its word.
    covered: BTreeMap<(ConnectionKey, String), i64>,
    runs: BTreeMap<String, State>,
    /// How often the connector of each run's connection had gone round in a circle before the run.
    circles: BTreeMap<String, u64>,
    /// What happened under each run.
    tallies: BTreeMap<String, Tally>,
    /// How many runs of each connection went through.
    pub succeeded: BTreeMap<ConnectionKey, u64>,
}

/// A document as it was last seen.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    scope: String,
    version: i64,
    acl: i64,
    gone: bool,
    offset: i64,
    hash: [u8; 32],
    /// What a consumer sees.
    shown: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    arrived: u64,
    went: u64,
    /// Of each listing of a scope: how many documents the scope had before the first went by absence, and how many went
    /// that no person had let go.
    swept: BTreeMap<(String, i64), (u64, u64)>,
}

/// Over this share, and this many, a sweep waits for a person.
pub(super) const SWEEP_SHARE: f64 = 0.4;
pub(super) const SWEEP_MIN: u64 = 3;

/// Looks at the store after a write.
pub(super) fn look_on(world: &World, data: &Data, fence: Option<Fence>) {
    let mut watcher = lock(&world.watcher);
    let sources = lock(&world.sources);
    if let Some(fence) = fence {
        watcher.check_fence(world, data, fence);
    }
    for connection in data.present() {
        let Some(source) = sources.get(&connection.id) else { continue };
        // Documents are written with a claim.
        if fence.is_some_and(|fence| fence.connection == connection.key) {
            watcher.check_documents(world, data, connection.key, source);
            check_raw_items(world, data, connection.key);
        }
        if connection.deleting_at.is_none() {
            watcher.check_cursors(world, data, connection.key, source);
        }
    }
    for connection in data.present() {
        let newest = watcher.fences.entry(connection.key).or_default();
        if connection.fence < *newest {
            world.accuse(format!("I3: the claims of {} are counted back", connection.id));
        }
        *newest = connection.fence;
    }
    watcher.check_runs(world, data, &sources);
}

impl Watcher {
    fn check_fence(&self, world: &World, data: &Data, fence: Fence) {
        let newest = self.fences.get(&fence.connection).copied().unwrap_or_default();
        if fence.number < newest {
            world.accuse(format!("I3: a write with claim {} was taken after claim {newest}", fence.number));
        }
        let running = data.all_runs().filter(|run| run.state == State::Running);
        if running.filter(|run| run.connection == fence.connection).count() > 1 {
            world.accuse("I3: two runs of one connection are under way");
        }
    }

    fn check_documents(&mut self, world: &World, data: &Data, key: ConnectionKey, source: &Source) {
        let known = self.documents.entry(key).or_default();
        let run = data.all_runs().find(|run| run.connection == key && run.state == State::Running);
        let tally = run.map(|run| self.tallies.entry(run.id.clone()).or_default());
        let mut nobody = Tally::default();
        let tally = tally.unwrap_or(&mut nobody);
        let states = data.states_of(key);
        let deleting = data.connection_row(key).is_some_and(|row| row.connection.deleting_at.is_some());
        let mut live_before = None;
        for row in data.documents_of(key) {
            let document = &row.document;
            let before = known.get(&document.id);
            if before.is_some_and(|seen| unchanged(seen, row)) {
                continue;
            }
            let now = see(row, before);
            let was_there = before.filter(|seen| !seen.gone);
            match (was_there, now.gone) {
                (None, true) => {}
                (None, false) => tally.arrived += 1,
                (Some(seen), true) => {
                    tally.went += 1;
                    let errs = data
                        .errors_of(key)
                        .any(|error| error.error.target == Target::Id(document.id.clone()));
                    // Moved into a folder that cannot be read: it is under a shield that nobody knows to be over it.
                    let hidden = source.items.get(&document.id).is_some_and(|item| {
                        item.version > seen.version && source.bad_folders.contains(&item.folder)
                    });
                    let swept = states.iter().find(|state| state.scope == seen.scope);
                    let swept = swept.filter(|state| data.buried && by_absence(state, row));
                    // A listing that left it out and said that it was complete is believed, where nobody can be asked.
                    let denied = !source.kind.targeted
                        && swept.is_some_and(|state| source.denied(listing(state), &document.id));
                    let left = source.left_since(&seen.scope, &document.id, seen.version);
                    if !(deleting || errs || hidden || denied || left) {
                        world.accuse(format!(
                            "I5: {} was deleted in {:?} at version {}, and the source never took it away from there",
                            document.id, seen.scope, seen.version
                        ));
                    }
                    let approved = |state: &&ScopeState| {
                        state.approved_generation.is_some_and(|approved| document.generation < approved)
                    };
                    if let Some(state) = swept.filter(|state| !approved(state)) {
                        let live_before = live_before.get_or_insert_with(|| live_in_each(known));
                        let total = live_before.get(&seen.scope).copied().unwrap_or_default();
                        let place = (seen.scope.clone(), state.generation);
                        let (total, went) = tally.swept.entry(place).or_insert((total, 0));
                        *went += 1;
                        let share = *went as f64 / (*total).max(1) as f64;
                        // A person who changes the settings wants less, and not nothing.
                        let many = match state.listing_for_settings {
                            true => *went == *total,
                            false => share > SWEEP_SHARE && *went > SWEEP_MIN,
                        };
                        if many && !deleting && source.logs.contains_key(&seen.scope) {
                            world.accuse(format!("I5: {went} of {total} went from {:?} unasked", seen.scope));
                        }
                    }
                }
                (Some(seen), false) => {
                    if now.version < seen.version || now.acl < seen.acl {
                        world.accuse(format!("{} goes back: {seen:?} to {now:?}", document.id));
                    }
                    let told = now.offset != seen.offset;
                    let again = told && world.repeats.load(Ordering::Relaxed);
                    if told != (now.shown != seen.shown) && !again {
                        let rule = if told { "I2: an entry for nothing" } else { "I4: no entry" };
                        world.accuse(format!("{rule}: {} in {:?}", document.id, now.scope));
                    }
                }
            }
            known.insert(document.id.clone(), now);
        }
        let live = data.live(key).count() as i64;
        if data.connection_row(key).is_some_and(|row| row.documents != live) {
            world.accuse(format!("the count of documents is not {live}"));
        }
    }

    /// I1: what a cursor says is covered is there.
    fn check_cursors(&mut self, world: &World, data: &Data, key: ConnectionKey, source: &Source) {
        for state in data.states_of(key) {
            check_kinds(world, &state);
            let Some(cursor) = &state.cursor else { continue };
            let to = covered_by(cursor);
            let from = self.covered.entry((key, state.scope.clone())).or_default();
            if to <= *from {
                continue;
            }
            let log = source.logs.get(&state.scope).map(Vec::as_slice).unwrap_or_default();
            for (at, event) in log.iter().filter(|(at, _)| *at > *from && *at <= to) {
                if let Some(fault) = missing(data, key, source, &state, *at, event) {
                    let cursor = text(cursor);
                    world.accuse(format!(
                        "I1: the cursor {cursor} of {:?} covers {event:?} at {at}, but {fault}",
                        state.scope
                    ));
                }
            }
            *from = to;
        }
    }

    fn check_runs(&mut self, world: &World, data: &Data, sources: &BTreeMap<String, Source>) {
        for run in data.all_runs() {
            let circles = sources.get(&run.connection_id).map_or(0, |source| source.circles);
            let before = match self.runs.get_mut(&run.id) {
                Some(state) if *state == run.state => continue,
                Some(state) => std::mem::replace(state, run.state),
                None => {
                    world.tell(format_args!(
                        "run {} of {} is {}",
                        run.id,
                        run.connection_id,
                        name(run.state)
                    ));
                    self.runs.insert(run.id.clone(), run.state);
                    self.circles.insert(run.id.clone(), circles);
                    continue;
                }
            };
            let error = run.error.as_ref().map(|error| format!(": {} {}", error.reason, error.message));
            world.tell(format_args!(
                "run {} of {} is {}{}",
                run.id,
                run.connection_id,
                name(run.state),
                error.unwrap_or_default()
            ));
            if !legal(before, run.state) {
                world.accuse(format!("run {} went from {} to {}", run.id, name(before), name(run.state)));
            }
            let for_a_circle =
                run.error.as_ref().is_some_and(|error| error.reason() == Reason::PaginationLoop);
            if for_a_circle && self.circles.get(&run.id) == Some(&circles) {
                world.accuse(format!(
                    "run {} failed for a circle, and the connector went straight on",
                    run.id
                ));
            }
            if matches!(run.state, State::Succeeded | State::SucceededWithErrors) {
                *self.succeeded.entry(run.connection).or_default() += 1;
                let tally = self.tallies.remove(&run.id).unwrap_or_default();
                if (run.counts.created, run.counts.deleted) != (tally.arrived, tally.went) {
                    world.accuse(format!(
                        "run {} says that {} came and {} went; it were {} and {}",
                        run.id, run.counts.created, run.counts.deleted, tally.arrived, tally.went
                    ));
                }
            }
        }
    }
}

/// How many documents each scope had.
fn live_in_each(known: &BTreeMap<String, Seen>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for seen in known.values().filter(|seen| !seen.gone) {
        *counts.entry(seen.scope.clone()).or_default() += 1;
    }
    counts
}

/// The states of a run that may follow each other; written once more than in the engine, on purpose.
fn legal(from: State, to: State) -> bool {
    match from {
        State::Queued => matches!(to, State::Running | State::Cancelled),
        State::Running => !matches!(to, State::Unspecified),
        State::Parked => matches!(to, State::Queued | State::Cancelled),
        _ => false,
    }
}

fn name(state: State) -> &'static str {
    state.as_str_name().trim_start_matches("STATE_")
}

fn unchanged(seen: &Seen, row: &DocumentRow) -> bool {
    let document = &row.document;
    seen.gone == document.gone
        && seen.offset == row.offset
        && seen.hash == document.envelope_hash
        && seen.version == number(&document.version)
        && seen.scope == document.scope
}

fn see(row: &DocumentRow, before: Option<&Seen>) -> Seen {
    let document = &row.document;
    let mut seen = Seen {
        scope: document.scope.clone(),
        version: number(&document.version),
        acl: before.map_or(0, |seen| seen.acl),
        gone: document.gone,
        offset: row.offset,
        hash: document.envelope_hash,
        shown: Vec::new(),
    };
    if let Some((envelope, text)) = &row.body {
        let mut envelope = as_shown(envelope);
        let allow = envelope.permissions.as_ref().and_then(|permissions| permissions.allow.first());
        seen.acl = allow.and_then(|user| user.strip_prefix("user:")).map_or(0, number);
        envelope.content.clone_from(text);
        seen.shown = envelope.encode_to_vec();
    }
    seen
}

/// What a consumer looks at of an envelope: the others change without an entry.
pub(super) fn as_shown(envelope: &[u8]) -> DocumentEnvelope {
    let mut envelope = DocumentEnvelope::decode(envelope).unwrap_or_default();
    envelope.version.clear();
    envelope.content_ref.clear();
    envelope
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or_default()
}

/// Whether a document that went may have gone by the absence from this scope's listing.
fn by_absence(state: &ScopeState, row: &DocumentRow) -> bool {
    state.listing == Listing::Complete && row.document.generation < state.generation
}

/// The listing that decided what is absent from a scope.
fn listing(state: &ScopeState) -> u64 {
    let cursor = match state.listing_mode {
        ListingMode::List => &state.listing_cursor,
        _ => &state.cursor,
    };
    cursor.as_deref().map_or(0, listing_of)
}

/// The cursor of changes is never moved by a listing of ids, and no listing goes on from that of another kind.
fn check_kinds(world: &World, state: &ScopeState) {
    let kind = |cursor: &Option<Vec<u8>>| cursor.as_deref().and_then(|cursor| cursor.first().copied());
    let fits = match state.listing_mode {
        ListingMode::List => matches!(kind(&state.listing_cursor), None | Some(b'p' | b'q')),
        _ => matches!(kind(&state.listing_cursor), None | Some(b'l')),
    };
    if !fits || !matches!(kind(&state.cursor), None | Some(b'c' | b'l')) {
        world.accuse(format!("a cursor is of something else: {state:?}"));
    }
}

/// A raw item that became a document goes with it, and is of its version.
fn check_raw_items(world: &World, data: &Data, key: ConnectionKey) {
    for item in data.kept_raw_items(key).filter(|item| item.made) {
        let row = data.document(key, &item.put.id).filter(|row| !row.document.gone);
        if row.is_none_or(|row| row.document.version != item.put.version) {
            world.accuse(format!(
                "a raw item of {} at {} is kept, and its document is {:?}",
                item.put.id,
                item.put.version,
                row.map(|row| &row.document.version)
            ));
        }
    }
}

/// What is missing in the store of an event that a cursor covers.
fn missing(
    data: &Data,
    key: ConnectionKey,
    source: &Source,
    state: &ScopeState,
    at: i64,
    event: &Event,
) -> Option<String> {
    match event {
        Event::Document(id) | Event::Permissions(id) => {
            // The cursor goes on from a listing that left it out, and said that it was complete.
            let denied = state.cursor.as_deref().is_some_and(|cursor| source.denied(listing_of(cursor), id));
            if denied
                || source.left_since(&state.scope, id, at - 1)
                || excused(data, key, source, &state.scope, id)
            {
                return None;
            }
            match data.document(key, id).filter(|row| !row.document.gone) {
                None => Some(format!("{id} is not there")),
                Some(row) => {
                    let seen = see(row, None);
                    let is = if matches!(event, Event::Document(_)) { seen.version } else { seen.acl };
                    (is < at).then(|| format!("{id} is there at {is}"))
                }
            }
        }
        Event::Gone(id) => still_there(data, key, source, state, at, id),
        Event::FolderGone(_, ids) => ids.iter().find_map(|id| still_there(data, key, source, state, at, id)),
        Event::Folder(_) => None,
    }
}

fn still_there(
    data: &Data,
    key: ConnectionKey,
    source: &Source,
    state: &ScopeState,
    at: i64,
    id: &str,
) -> Option<String> {
    let row = data.document(key, id).filter(|row| !row.document.gone)?;
    let document = &row.document;
    // It came again, is elsewhere, or waits for its listing's sweep.
    let fine = number(&document.version) > at
        || document.scope != state.scope
        || document.generation < state.generation
        || excused(data, key, source, &state.scope, id);
    (!fine).then(|| format!("{id} is still there at {}", document.version))
}

/// Whether it is on record that a document could not be read.
pub(super) fn excused(data: &Data, key: ConnectionKey, source: &Source, scope: &str, id: &str) -> bool {
    let folder = source.items.get(id).map(|item| item.folder.as_str());
    // What waits to be asked for is on record as well.
    let wanted = data.is_wanted(key, id);
    wanted
        || data.errors_of(key).any(|stored| {
            let error = &stored.error;
            match &error.target {
                Target::Id(target) => {
                    target == id || (error.with_descendants && Some(target.as_str()) == folder)
                }
                Target::Locator(_) => false,
                Target::Unnamed => error.scope == scope,
            }
        })
}
