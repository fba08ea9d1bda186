//! Deletion by absence: after a complete listing, what the scope owned before it began and nothing named since is
//! gone, but for what an error shields, and unless it is suspiciously much: of one scope, or of all that are swept together.

use std::collections::BTreeMap;
use std::sync::Arc;

use superfasttt_proto::connector::v1::log_record::Level;

use super::RunContext;
use super::shields::Shields;
use crate::store::Result;
use crate::store::documents::{Absent, DocumentKey};
use crate::store::runs::{HeldSweep, RunCounts, RunProgress};
use crate::store::sync_states::{Held, Listing, ListingMode, ScopeState};

/// Held sweeps that a run tells one by one. Each scope shows its own.
const MAX_TOLD: usize = 100;

/// What sweeping came to.
#[derive(Debug)]
pub struct Swept {
    /// The scopes' states after it.
    pub states: Vec<ScopeState>,
    /// What waits for a person.
    pub held: Vec<HeldSweep>,
}

/// The documents of one scope, as far as the guard cares.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// All of them.
    total: u64,
    /// Those that would go.
    absent: u64,
    /// Those of them that nobody approved.
    unapproved: u64,
    /// A person asked for this listing, by changing the settings.
    for_settings: bool,
}

/// Sweeps scopes whose listings are complete. `counts` are the run's; deletions are added to them. Where it
/// `keeps_raw` items, those that nothing became of and that the listing did not send are forgotten.
///
/// # Errors
/// Where the store fails; what was deleted by then is deleted, and the next run goes on.
#[tracing::instrument(name = "sync.scopes.sweep", level = "debug", skip_all, fields(scopes = states.len()))]
pub async fn sweep(
    context: &Arc<RunContext>,
    states: Vec<ScopeState>,
    keeps_raw: bool,
    counts: &mut RunCounts,
) -> Result<Swept> {
    let (tallies, proven) = weigh(context, &states).await?;
    let holds = guard(context, &tallies);
    let together = holds.iter().filter(|holds| **holds).count() > 1;
    if together {
        tell_together(context, &tallies, &holds);
    }
    let mut swept = Swept { states: Vec::with_capacity(states.len()), held: Vec::new() };
    for (place, mut state) in states.into_iter().enumerate() {
        if proven[place] {
            let held = holds[place].then(|| hold(context, &state, tallies[place]));
            state.held = held.as_ref().map(|held| Held {
                generation: state.generation,
                absent: held.absent,
                total: held.total,
                at: held.at,
            });
            let before = if held.is_some() { approved(&state) } else { state.generation };
            let mut shields = Shields::load(context, &state).await?;
            if tallies[place].absent > 0 {
                delete(context, &state, &mut shields, before, counts).await?;
            }
            // What a listing that waits for a person did not name is not known to be gone.
            if held.is_none() {
                forget(context, &state, &mut shields).await?;
                if keeps_raw && shields.is_empty() {
                    let before = Some(state.generation);
                    context.store.forget(context.fence, &state.scope, Vec::new(), Vec::new(), before).await?;
                }
            }
            swept.held.extend(held.filter(|_| swept.held.len() < MAX_TOLD));
        } else {
            // What waits for a person, or was approved, is not decided by a listing that proves nothing.
            let fields = [("scope", state.scope.clone())];
            let message =
                "something could not be read that nobody can name: nothing is deleted for being absent";
            context.report.log(Level::Warn, message, fields);
        }
        end(context, &mut state).await?;
        swept.states.push(state);
    }
    Ok(swept)
}

/// For each of these scopes, whose listings are complete, the listing before which documents were last seen that a sweep
/// would delete now: all absent ones, or those alone that a person approved. Scopes in which nothing would be deleted
/// are left out.
///
/// # Errors
/// Where the store cannot be read.
pub async fn would_delete(context: &Arc<RunContext>, states: &[ScopeState]) -> Result<Vec<(String, i64)>> {
    let (tallies, _) = weigh(context, states).await?;
    let holds = guard(context, &tallies);
    let scopes = states.iter().zip(tallies).zip(holds);
    let scopes = scopes.filter(|((_, tally), holds)| match holds {
        true => tally.absent > tally.unapproved,
        false => tally.absent > 0,
    });
    let scopes = scopes.map(|((state, _), holds)| {
        (state.scope.clone(), if holds { approved(state) } else { state.generation })
    });
    Ok(scopes.collect())
}

/// Ends a scope's listing.
async fn end(context: &RunContext, state: &mut ScopeState) -> Result<()> {
    state.listing = Listing::None;
    state.listing_for_settings = false;
    state.listing_cursor = None;
    if state.held.is_none() {
        state.approved_generation = None;
    }
    context.store.save_sync_states(context.fence, vec![state.clone()], None).await
}

/// The listing before which documents were last seen that a person let go; 0 for none.
fn approved(state: &ScopeState) -> i64 {
    state.approved_generation.unwrap_or(0)
}

/// Counts what would go of each scope, and says whether its listing proves anything: what is shielded does not go, and of
/// a listing that proves nothing, nothing does.
async fn weigh(context: &Arc<RunContext>, states: &[ScopeState]) -> Result<(Vec<Tally>, Vec<bool>)> {
    let mut tallies = count(context, states).await?;
    let mut proven = Vec::with_capacity(states.len());
    for (state, tally) in states.iter().zip(&mut tallies) {
        let mut shields = Shields::load(context, state).await?;
        let proves = !state.listing_unreliable && !shields.unresolved;
        if !proves {
            *tally = Tally::default();
        } else if tally.absent > 0 {
            (tally.absent, tally.unapproved) = count_unshielded(context, state, &mut shields).await?;
        }
        proven.push(proves);
    }
    Ok((tallies, proven))
}

/// Counts what each scope has, were nothing shielded.
async fn count(context: &RunContext, states: &[ScopeState]) -> Result<Vec<Tally>> {
    if states.is_empty() {
        return Ok(Vec::new());
    }
    let mut generations: BTreeMap<String, Vec<(i64, u64)>> = BTreeMap::new();
    for found in context.store.generations(context.fence.connection).await? {
        generations.entry(found.scope).or_default().push((found.generation, found.documents));
    }
    let tally = |state: &ScopeState| {
        let mut tally = Tally { for_settings: state.listing_for_settings, ..Tally::default() };
        for (generation, documents) in generations.get(&state.scope).into_iter().flatten() {
            tally.total += documents;
            if *generation < state.generation {
                tally.absent += documents;
                tally.unapproved += if *generation >= approved(state) { *documents } else { 0 };
            }
        }
        tally
    };
    Ok(states.iter().map(tally).collect())
}

/// Of which scopes a person is to be asked first: those of which too much would go by itself, and all of them where too
/// much would go of all together: many small scopes that vanish at once are as suspicious as a large one.
fn guard(context: &RunContext, tallies: &[Tally]) -> Vec<bool> {
    let mut all = Tally::default();
    for tally in tallies.iter().filter(|tally| !tally.for_settings) {
        all.total += tally.total;
        all.absent += tally.absent;
        all.unapproved += tally.unapproved;
    }
    let all_held = is_held(context, all);
    let holds =
        |tally: &Tally| is_held(context, *tally) || (all_held && !tally.for_settings && tally.unapproved > 0);
    tallies.iter().map(holds).collect()
}

fn is_held(context: &RunContext, tally: Tally) -> bool {
    let limits = &context.limits;
    let everything = tally.absent == tally.total;
    if tally.unapproved == 0 {
        return false;
    }
    if tally.for_settings {
        // A person asked, by changing the settings; but nobody asks for an empty feed by mistake twice.
        return everything;
    }
    let share = tally.unapproved as f64 / tally.total.max(1) as f64;
    (share > limits.sweep_share && tally.unapproved > limits.sweep_min)
        || (everything && tally.absent >= limits.sweep_all_min)
}

fn hold(context: &RunContext, state: &ScopeState, tally: Tally) -> HeldSweep {
    let (absent, total) = (tally.unapproved, tally.total);
    let message = held_message(absent, total);
    let fields = [("scope", state.scope.clone()), ("documents", absent.to_string())];
    context.report.log(Level::Warn, message.clone(), fields);
    HeldSweep { scope: state.scope.clone(), absent, total, message, at: context.clock.now() }
}

/// Says that several scopes are held at once.
fn tell_together(context: &RunContext, tallies: &[Tally], holds: &[bool]) {
    let held = || tallies.iter().zip(holds).filter(|(_, holds)| **holds).map(|(tally, _)| tally);
    let (scopes, documents) = (held().count(), held().map(|tally| tally.unapproved).sum::<u64>());
    let message = format!(
        "{documents} documents in {scopes} scopes are no longer listed by the source: all of these scopes wait"
    );
    let fields = [("documents", documents.to_string()), ("scopes", scopes.to_string())];
    context.report.log(Level::Warn, message, fields);
}

/// Why a sweep is held, for a person.
pub fn held_message(absent: u64, total: u64) -> String {
    format!(
        "{absent} of {total} documents are no longer listed by the source. That is more than is deleted unasked (in this \
         scope, or in all that were listed together): if they are really gone, approve the deletion; if not, look \
         whether the source is complete (a folder not mounted, a permission withdrawn)"
    )
}

/// How many absent documents no shield covers; of these, how many nobody approved.
async fn count_unshielded(
    context: &Arc<RunContext>,
    state: &ScopeState,
    shields: &mut Shields,
) -> Result<(u64, u64)> {
    let mut counts = (0, 0);
    let mut after = String::new();
    while let Some(batch) = next_batch(context, state, state.generation, &mut after).await? {
        for document in batch {
            if !covers(context, shields, &document).await? {
                counts.0 += 1;
                counts.1 += u64::from(document.generation >= approved(state));
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
            if !covers(context, shields, &document).await? {
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

/// Forgets containers that the listing did not name and item errors that it did not meet, but for those under a shield:
/// the listing did not come there, and what is under a container is only found through it. A listing of ids names no
/// containers.
async fn forget(context: &Arc<RunContext>, state: &ScopeState, shields: &mut Shields) -> Result<()> {
    let (store, key, batch) = (&context.store, context.fence.connection, context.limits.sweep_batch);
    let mut errors = Vec::new();
    if let Some(began) = state.listing_started_at {
        let mut after = 0;
        loop {
            let old = store.old_item_errors(key, &state.scope, began, after, batch).await?;
            let Some((last, _)) = old.last() else { break };
            after = *last;
            for (error, target) in old {
                if !shields.cover_target(context, state, &target).await? {
                    errors.push(error);
                }
            }
            if !errors.is_empty() {
                let errors = std::mem::take(&mut errors);
                store.forget(context.fence, &state.scope, Vec::new(), errors, None).await?;
            }
        }
    }
    if state.listing_mode == ListingMode::List {
        return Ok(());
    }
    let mut after = String::new();
    loop {
        let old = store.old_containers(key, &state.scope, state.generation, &after, batch).await?;
        let Some(last) = old.last() else { return Ok(()) };
        last.id.clone_into(&mut after);
        let mut ids = Vec::new();
        for container in old {
            let covered = shields.cover(context, &container.id, &container.parent_id, &container.locator);
            if !covered.await? {
                ids.push(container.id);
            }
        }
        if !ids.is_empty() {
            store.forget(context.fence, &state.scope, ids, Vec::new(), None).await?;
        }
    }
}

async fn covers(context: &RunContext, shields: &mut Shields, document: &Absent) -> Result<bool> {
    shields.cover(context, &document.id, &document.parent_id, &document.locator).await
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

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
