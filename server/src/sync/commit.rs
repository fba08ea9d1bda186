//! Commits the parts of a pull: in stream order, as many at once as are ready, each group in one transaction with the
//! cursors that cover it. While one group is being committed, the next one gathers and is made ready.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{DateTime, Utc};
use superfasttt_proto::connector::v1::{PullMode, Reason, log_record::Level, scope_removed::Cause};
use superfasttt_proto::error::{ConnectorError, reason_info};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::change::{Change, Part, PartEnd, item_error};
use super::draft::{Draft, Drafted, Rules, shield};
use super::group::{Group, Wide, deletions, id_of, is_wide};
use super::in_flight::{Ids, InFlight, Standing};
use super::loops::Loops;
use super::plan::{Plan, cannot_ask};
use super::run::Stop;
use super::scopes::Scopes;
use super::{Limits, RunContext};
use crate::content::{ContentTotals, Pending};
use crate::store::StoreError;
use crate::store::documents::Commit;
use crate::store::item_errors::{ItemError, Target};
use crate::store::runs::{RunCounts, RunProgress};
use crate::store::sync_states::ScopeState;
use crate::store::wanted::Leftovers;
use crate::telemetry::metrics::ITEM_ERRORS;

/// How long checkpoints without a change may wait to be written: so much is asked for again after a crash.
const UNSAVED_AT_MOST: Duration = Duration::from_secs(10);

/// How a pull went.
#[derive(Debug, Default)]
pub struct PullOutcome {
    /// Why it was cut; `None` where it ended by itself.
    pub cut: Option<ConnectorError>,
    /// Something was read of it.
    pub received: bool,
    /// A checkpoint was committed that moved a cursor.
    pub progressed: bool,
    /// Scopes that want another pull at once.
    pub has_more: BTreeSet<String>,
    /// Scopes that stopped, and why.
    pub scope_errors: Vec<(String, ConnectorError)>,
    /// Ids that were answered, whatever the answer.
    pub answered: HashSet<String>,
    /// It was cut off at a checkpoint, because something else is to go first.
    pub yielded: bool,
}

/// Commits one run's parts.
#[derive(Debug)]
pub struct Committer {
    context: Arc<RunContext>,
    totals: Arc<ContentTotals>,
    /// Where the scopes stand.
    pub scopes: Scopes,
    /// What the run did so far.
    pub counts: RunCounts,
    /// Ids wait in the store to be asked for.
    pub wanted_stand: bool,
    /// When a listing lets others go first.
    pub yields_at: Option<DateTime<Utc>>,
    /// Item errors stand in the store, so that reading an item has to clear them.
    pub errors_stand: bool,
    /// Failures that count towards the share over which the run fails.
    failures: u64,
    /// What the last group was: see [`super::pull::Reading::mostly_known`].
    mostly_known: Arc<AtomicBool>,
    /// The connector's id.
    connector: String,
    /// What notices that the connector goes round in a circle.
    loops: Loops,
    /// Scopes whose checkpoints came with no change: they are written with the next commit, or with the run's end.
    unsaved: BTreeSet<String>,
    /// Since when.
    unsaved_since: Instant,
    /// The connection keeps raw items.
    pub keeps_raw: bool,
    /// That nothing is kept of some documents was told.
    told_unkept: bool,
    /// What is being committed. Everything above counts it as committed already.
    in_flight: Option<InFlight>,
}

impl Committer {
    /// Begins with what is stored.
    pub fn new(
        context: Arc<RunContext>,
        totals: Arc<ContentTotals>,
        scopes: Scopes,
        counts: RunCounts,
        leftovers: Leftovers,
        connector: String,
    ) -> Self {
        // What was listed before is most likely as it was.
        let mostly_known = Arc::new(AtomicBool::new(scopes.all().next().is_some()));
        Self {
            context,
            totals,
            scopes,
            counts,
            wanted_stand: leftovers.wanted,
            yields_at: None,
            errors_stand: leftovers.item_errors,
            failures: 0,
            mostly_known,
            connector,
            loops: Loops::default(),
            unsaved: BTreeSet::new(),
            unsaved_since: Instant::now(),
            keeps_raw: false,
            told_unkept: false,
            in_flight: None,
        }
    }

    /// Takes the states that were not written yet.
    pub fn take_unsaved(&mut self) -> Vec<ScopeState> {
        std::mem::take(&mut self.unsaved).iter().filter_map(|scope| self.scopes.get(scope).cloned()).collect()
    }

    /// How far the run is.
    pub fn progress(&self) -> RunProgress {
        RunProgress { counts: self.counts, ..self.context.report.run().progress() }
    }

    /// Whether most of what comes is known, as far as was seen.
    pub fn mostly_known(&self) -> Arc<AtomicBool> {
        self.mostly_known.clone()
    }

    /// Commits everything that a pull brings.
    ///
    /// # Errors
    /// [`Stop`] where the run cannot go on: what was not committed is forgotten.
    pub async fn run(
        &mut self,
        mode: PullMode,
        mut pending: mpsc::Receiver<Pending>,
    ) -> Result<PullOutcome, Stop> {
        let mut outcome = PullOutcome::default();
        let mut group = Group::default();
        let limits = self.context.limits;
        self.loops.begin_pull();
        loop {
            let next = match pending.try_recv() {
                Ok(next) => Some(next),
                Err(mpsc::error::TryRecvError::Disconnected) => None,
                Err(mpsc::error::TryRecvError::Empty) => match &mut self.in_flight {
                    None if group.parts.is_empty() => pending.recv().await,
                    // The store has nothing to do: what is there goes.
                    None => {
                        self.write(mode, &mut group, &mut outcome).await?;
                        continue;
                    }
                    Some(in_flight) => tokio::select! {
                        biased;
                        next = pending.recv() => next,
                        done = in_flight.done() => {
                            self.settled(done)?;
                            continue;
                        }
                    },
                },
            };
            let part = match next {
                None => {
                    self.settle().await?;
                    return Err(Stop::Cancelled);
                }
                Some(Pending::Ended(end)) => {
                    self.flush(mode, &mut group, &mut outcome).await?;
                    outcome.cut = end.err();
                    return Ok(outcome);
                }
                Some(Pending::Ready(part)) => part,
                Some(Pending::Fetching(fetching)) => {
                    if !fetching.is_finished() {
                        self.write(mode, &mut group, &mut outcome).await?;
                    }
                    let fetched = fetching.await.map_err(|error| {
                        Stop::Failed(ConnectorError::new(
                            Reason::Internal,
                            format!("fetching failed: {error}"),
                        ))
                    })?;
                    match fetched {
                        Ok(part) => part,
                        Err(error) => {
                            self.flush(mode, &mut group, &mut outcome).await?;
                            outcome.cut = Some(error);
                            return Ok(outcome);
                        }
                    }
                }
            };
            outcome.received = true;
            let may_end = matches!(part.end, PartEnd::Checkpoint(_));
            self.take(mode, part, &mut group, &mut outcome).await?;
            if may_end && self.yields_at.is_some_and(|at| at <= self.context.clock.now()) {
                self.flush(mode, &mut group, &mut outcome).await?;
                // Only what came further can wait: else it would go round without end.
                if outcome.progressed {
                    outcome.yielded = true;
                    return Ok(outcome);
                }
            }
            if group.changes >= limits.commit_max_changes || group.bytes >= limits.commit_max_bytes {
                self.write(mode, &mut group, &mut outcome).await?;
            }
        }
    }

    /// Adds a part to the group. A deletion of more than one named document, or the end of a scope, needs everything
    /// before it to be in the store: then the group is committed first.
    async fn take(
        &mut self,
        mode: PullMode,
        mut part: Part,
        group: &mut Group,
        outcome: &mut PullOutcome,
    ) -> Result<(), Stop> {
        let page = self.loops.page(&part);
        self.stop_at(page).await?;
        if mode == PullMode::Targeted {
            outcome.answered.extend(part.changes.iter().filter_map(id_of).map(str::to_owned));
        }
        while let Some(place) = part.changes.iter().position(is_wide) {
            let rest = part.changes.split_off(place + 1);
            let wide = part.changes.pop();
            let before = Part {
                scope: part.scope.clone(),
                changes: std::mem::take(&mut part.changes),
                end: PartEnd::None,
                message_bytes: std::mem::take(&mut part.message_bytes),
                permits: part.permits.clone(),
            };
            group.add(before);
            self.flush(mode, group, outcome).await?;
            if let Some(Change::Deletion { target, with_descendants }) = wide {
                let wide = Wide { scope: part.scope.clone(), target, with_descendants };
                self.delete_wide(mode, wide, group, outcome).await?;
            }
            part.changes = rest;
        }
        let removed = match part.end {
            PartEnd::ScopeRemoved(cause) => Some((part.scope.clone(), cause)),
            _ => None,
        };
        group.add(part);
        if let Some((scope, cause)) = removed {
            self.flush(mode, group, outcome).await?;
            self.remove_scope(&scope, cause).await?;
        }
        Ok(())
    }

    /// Carries out a deletion by locator, or of a subtree. What is under something goes before it, a batch at a time: cut
    /// off anywhere, the rest is still under what was named, and is found when the deletion is sent again.
    async fn delete_wide(
        &mut self,
        mode: PullMode,
        wide: Wide,
        group: &mut Group,
        outcome: &mut PullOutcome,
    ) -> Result<(), Stop> {
        let context = self.context.clone();
        let (store, key, batch) = (&context.store, context.fence.connection, context.limits.sweep_batch);
        let scope = &*wide.scope;
        let id = match wide.target {
            Target::Id(id) => id,
            Target::Locator(locator) => match store.id_of_locator(key, scope, &locator).await? {
                Some(id) => id,
                None => return Ok(()),
            },
            Target::Unnamed => return Ok(()),
        };
        let mut open = vec![id];
        let mut met: HashSet<String> = open.iter().cloned().collect();
        // Emptied, and still listed under what holds them.
        let mut empty = HashSet::new();
        while let Some(top) = open.last() {
            // What is under itself is met again, and passed over.
            let children = match wide.with_descendants {
                true => store.children(key, scope, top, batch + met.len()).await?,
                false => Vec::new(),
            };
            let children = children.into_iter().filter(|child| !met.contains(&child.id));
            let (leaves, folders): (Vec<_>, Vec<_>) =
                children.partition(|child| !child.has_children || empty.contains(&child.id));
            if !leaves.is_empty() {
                empty.retain(|id| !leaves.iter().any(|leaf| leaf.id == *id));
                group.add(deletions(&wide.scope, leaves.into_iter().map(|leaf| leaf.id)));
                self.flush(mode, group, outcome).await?;
            } else if folders.is_empty() {
                let Some(done) = open.pop() else { break };
                met.remove(&done);
                if open.is_empty() {
                    group.add(deletions(&wide.scope, [done]));
                } else {
                    empty.insert(done);
                }
            } else {
                met.extend(folders.iter().map(|folder| folder.id.clone()));
                open.extend(folders.into_iter().map(|folder| folder.id));
            }
        }
        Ok(())
    }

    /// Deletes what a removed scope owns.
    async fn remove_scope(&mut self, scope: &str, cause: Cause) -> Result<(), Stop> {
        let context = self.context.clone();
        let (store, key) = (&context.store, context.fence.connection);
        let mut after = String::new();
        loop {
            let owned = store.absent(key, scope, i64::MAX, &after, context.limits.sweep_batch).await?;
            let Some(last) = owned.last() else { break };
            last.id.clone_into(&mut after);
            self.counts.deleted += owned.len() as u64;
            let keys = owned.into_iter().map(|document| document.key).collect();
            store.bury(context.fence, keys, &context.run, self.progress(), context.clock.now()).await?;
            context.report.counts(self.counts);
        }
        store.remove_scope(context.fence, scope).await?;
        self.scopes.remove(scope);
        let fields = [("scope", scope.to_owned()), ("cause", cause.as_str_name().to_owned())];
        context.report.log(Level::Info, "the source says that a scope is gone", fields);
        Ok(())
    }

    /// Makes the group true, and everything before it.
    async fn flush(
        &mut self,
        mode: PullMode,
        group: &mut Group,
        outcome: &mut PullOutcome,
    ) -> Result<(), Stop> {
        self.write(mode, group, outcome).await?;
        Ok(self.settle().await?)
    }

    /// Waits until what is being committed is there.
    pub(super) async fn settle(&mut self) -> Result<(), StoreError> {
        match &mut self.in_flight {
            None => Ok(()),
            Some(in_flight) => {
                let done = in_flight.done().await;
                self.settled(done)
            }
        }
    }

    /// Ends the run for this reason, if there is one, once what is being committed is there.
    async fn stop_at(&mut self, fault: Result<(), ConnectorError>) -> Result<(), Stop> {
        match fault {
            Ok(()) => Ok(()),
            Err(error) => {
                self.settle().await?;
                Err(error.into())
            }
        }
    }

    /// What was being committed is there. A group that failed must leave no trace, here either.
    fn settled(&mut self, done: Result<(), StoreError>) -> Result<(), StoreError> {
        let in_flight = self.in_flight.take();
        if let (Err(_), Some(in_flight)) = (&done, in_flight) {
            let Standing { scopes, counts, failures } = in_flight.before;
            (self.scopes, self.counts, self.failures) = (scopes, counts, failures);
        }
        done
    }

    /// Begins to make the group true, once everything before it is.
    async fn write(
        &mut self,
        mode: PullMode,
        group: &mut Group,
        outcome: &mut PullOutcome,
    ) -> Result<(), Stop> {
        if group.parts.is_empty() {
            return Ok(());
        }
        let group = std::mem::take(group);
        let context = self.context.clone();
        let now = context.clock.now();
        let ids = Ids::new(group.ids());
        if self.in_flight.as_ref().is_some_and(|before| group.ids().any(|id| before.ids.may_hold(id))) {
            self.settle().await?;
        }
        let plan = self.picture(&group).await?;
        let mut draft = Draft::new(
            Rules {
                mode,
                connector: self.connector.clone(),
                keeps_raw: self.keeps_raw,
                asks: self.wanted_stand,
            },
            Standing { scopes: self.scopes.clone(), counts: self.counts, failures: self.failures },
            plan,
            &context.run,
            now,
        );
        let mut has_more = outcome.has_more.clone();
        let mut progressed = false;
        for mut part in group.parts {
            let (scope, end) = (part.scope.to_string(), std::mem::replace(&mut part.end, PartEnd::None));
            let generation = draft.take(part)?;
            match end {
                PartEnd::None | PartEnd::ScopeRemoved(_) => {}
                PartEnd::Checkpoint(mut checkpoint) => {
                    // The listing of a scope that stopped in this pull is not complete, whatever it says.
                    checkpoint.listing_complete &=
                        !outcome.scope_errors.iter().any(|(stopped, _)| *stopped == scope);
                    if checkpoint.has_more {
                        has_more.insert(scope.clone())
                    } else {
                        has_more.remove(&scope)
                    };
                    let (more, at) = (checkpoint.has_more, checkpoint.cursor.clone());
                    let moved = draft.checkpoint(&scope, checkpoint);
                    if moved || more {
                        let goes_on = self.loops.goes_on(&scope, mode, generation, &at);
                        self.stop_at(goes_on).await?;
                    }
                    progressed |= moved;
                }
                PartEnd::ScopeError(error) => {
                    has_more.remove(&scope);
                    outcome.scope_errors.push((scope, error));
                }
            }
        }
        if draft.is_unkept() {
            self.tell_unkept();
        }
        let Drafted { mut commit, wanted, scopes, mut changed_scopes, mut counts, failures, permits } =
            draft.finish(&self.totals, &self.mostly_known);
        if let Err(stop) = check_share(&self.context.limits, failures, &counts) {
            self.settle().await?;
            // What failed the run is what a person has to look at. Nothing else of the group is kept.
            self.counts.item_errors = counts.item_errors;
            self.log_errors(&commit.item_errors);
            let (run, item_errors) = (context.run.clone(), commit.item_errors);
            let commit = Commit { run, item_errors, progress: self.progress(), ..Commit::default() };
            context.store.commit(context.fence, commit, now).await?;
            context.report.counts(self.counts);
            return Err(stop.into());
        }
        for wanted in wanted {
            // A scope that a LIST met first is listed in full next: nobody need ask for its documents one by one.
            if mode == PullMode::List && scopes.get(&wanted.scope).is_some_and(|state| state.cursor.is_none())
            {
                continue;
            }
            if context.capabilities.targeted {
                commit.wanted.push(wanted);
            } else {
                counts.item_errors += 1;
                let error = cannot_ask(&wanted.scope, wanted.id);
                commit.shields.push(shield(&error));
                commit.item_errors.push(error);
            }
        }
        self.wanted_stand |= !commit.wanted.is_empty();
        self.errors_stand |= !commit.item_errors.is_empty();
        if !self.errors_stand {
            // There is nothing to clear.
            commit.cleared_items.clear();
            commit.gone_items.clear();
        }
        let now_empty = commit.is_empty() && mode == PullMode::Incremental;
        if self.unsaved.is_empty() {
            self.unsaved_since = Instant::now();
        }
        changed_scopes.append(&mut self.unsaved);
        if now_empty && self.unsaved_since.elapsed() < UNSAVED_AT_MOST {
            self.unsaved = changed_scopes;
            (self.scopes, self.counts) = (scopes, counts);
            context.report.counts(counts);
            outcome.progressed |= progressed;
            outcome.has_more = has_more;
            return Ok(());
        }
        commit.states = changed_scopes.iter().filter_map(|scope| scopes.get(scope).cloned()).collect();
        commit.progress = RunProgress { counts, ..self.progress() };
        self.log_errors(&commit.item_errors);
        self.settle().await?;
        let before = Standing {
            scopes: std::mem::replace(&mut self.scopes, scopes),
            counts: std::mem::replace(&mut self.counts, counts),
            failures: std::mem::replace(&mut self.failures, failures),
        };
        self.in_flight = Some(InFlight::start(context, commit, now, ids, before, permits));
        outcome.progressed |= progressed;
        outcome.has_more = has_more;
        Ok(())
    }

    /// What is stored of the documents that a group names.
    async fn picture(&self, group: &Group) -> Result<Plan, StoreError> {
        let (store, key) = (&self.context.store, self.context.fence.connection);
        let ids: Vec<String> = group.ids().map(str::to_owned).collect();
        let mut permissions = Vec::new();
        for change in group.parts.iter().flat_map(|part| &part.changes) {
            if let Change::Permissions { id, .. } = change {
                permissions.push(id.as_str());
            }
        }
        let mut plan =
            Plan::new(if ids.is_empty() { Vec::new() } else { store.stored_documents(key, ids).await? });
        let keys: HashMap<_, _> = permissions.iter().filter_map(|id| Some((plan.key(id)?, *id))).collect();
        if !keys.is_empty() {
            for (key, envelope) in store.stored_envelopes(keys.keys().copied().collect()).await? {
                if let Some(id) = keys.get(&key) {
                    plan.know_envelope(id, envelope);
                }
            }
        }
        Ok(plan)
    }

    /// Tells once that a connector sends envelopes though raw items were asked for. It may.
    fn tell_unkept(&mut self) {
        if !std::mem::replace(&mut self.told_unkept, true) {
            let message = "the connector sends envelopes though raw items were asked for: nothing is kept of those \
                           documents, and they are not normalized again";
            self.context.report.log(Level::Info, message, []);
        }
    }

    /// Tells of items that could not be read.
    pub(super) fn log_errors(&self, errors: &[ItemError]) {
        for error in errors {
            let item = match &error.target {
                Target::Id(name) | Target::Locator(name) => name.clone(),
                Target::Unnamed => String::new(),
            };
            let reason = reason_info(error.reason);
            ITEM_ERRORS.add([&self.connector, reason.name], 1);
            let fields = [
                ("item", item),
                ("scope", error.scope.clone()),
                ("reason", reason.name.to_owned()),
                ("code", error.code.clone()),
                ("actor", reason.actor.as_str().to_owned()),
            ];
            self.context.report.log(
                Level::Warn,
                format!("an item could not be read: {}", error.message),
                fields,
            );
        }
    }
}

/// Fails a run where too large a share of the items could not be read: before the failing group is committed, so that no
/// cursor passes it.
///
/// # Errors
/// `TOO_MANY_ITEM_ERRORS`.
pub fn check_share(limits: &Limits, failures: u64, counts: &RunCounts) -> Result<(), ConnectorError> {
    let read = counts.created + counts.updated + counts.unchanged + counts.deleted;
    let share = failures as f64 / (failures + read).max(1) as f64;
    if failures <= limits.item_error_min || share <= limits.item_error_share {
        return Ok(());
    }
    let message = format!(
        "{failures} items could not be read, {:.0} % of what was seen; over {:.0} % and {} the run stops, because \
         something larger must be wrong: look at the item errors of the connection",
        share * 100.0,
        limits.item_error_share * 100.0,
        limits.item_error_min
    );
    Err(ConnectorError::new(Reason::TooManyItemErrors, message))
}

/// The error of an id that a targeted pull did not answer.
pub fn unanswered(scope: &str, id: String) -> ItemError {
    let error =
        ConnectorError::new(Reason::ProtocolViolation, "the connector was asked for it and did not answer");
    item_error(scope, Target::Id(id), false, error)
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
