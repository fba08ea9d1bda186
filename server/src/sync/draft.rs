//! What a group of parts becomes in the store: made ready in memory, on copies of what stands, so that nothing has happened
//! where it is not written.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use prost::Message;
use superfasttt_proto::connector::v1::{Checkpoint, PullMode};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::OwnedSemaphorePermit;

use super::change::{self, Change, Part};
use super::group::id_of;
use super::in_flight::Standing;
use super::plan::Plan;
use super::scopes::Scopes;
use crate::content::ContentTotals;
use crate::store::documents::{Commit, ContainerPut};
use crate::store::item_errors::{ItemError, Shield, Target};
use crate::store::raw_items::RawWrite;
use crate::store::runs::RunCounts;
use crate::store::wanted::Wanted;

/// What stays the same for the whole group.
pub struct Rules {
    /// What was asked.
    pub mode: PullMode,
    /// The connector's id.
    pub connector: String,
    /// The connection keeps raw items.
    pub keeps_raw: bool,
    /// Ids wait in the store for an answer.
    pub asks: bool,
}

/// A group that is being made ready.
pub struct Draft {
    rules: Rules,
    standing: Standing,
    plan: Plan,
    now: DateTime<Utc>,
    commit: Commit,
    changed_scopes: BTreeSet<String>,
    containers: HashMap<String, ContainerPut>,
    permits: Vec<Arc<OwnedSemaphorePermit>>,
    unkept: bool,
}

/// A group that is ready.
pub struct Drafted {
    /// What is written. The states and the run's progress are not in it yet.
    pub commit: Commit,
    /// What has to be asked for.
    pub wanted: Vec<Wanted>,
    /// Where the scopes stand once it is written.
    pub scopes: Scopes,
    /// Those that moved.
    pub changed_scopes: BTreeSet<String>,
    /// What the run did once it is written.
    pub counts: RunCounts,
    /// Failures that count towards the share over which the run fails.
    pub failures: u64,
    /// They are given back when it is written.
    pub permits: Vec<Arc<OwnedSemaphorePermit>>,
}

impl Draft {
    /// Begins with where things stand; `plan` knows what is stored of the documents that the group names.
    pub fn new(rules: Rules, standing: Standing, plan: Plan, run: &str, now: DateTime<Utc>) -> Self {
        Self {
            rules,
            standing,
            plan,
            now,
            commit: Commit { run: run.to_owned(), ..Commit::default() },
            changed_scopes: BTreeSet::new(),
            containers: HashMap::new(),
            permits: Vec::new(),
            unkept: false,
        }
    }

    /// Takes a part, but not its end. Says in which listing of its scope it came.
    ///
    /// # Errors
    /// What an envelope that was not opened before is refused for.
    pub fn take(&mut self, part: Part) -> Result<i64, ConnectorError> {
        let counts = &mut self.standing.counts;
        counts.pages += u64::from(part.message_bytes > 0);
        counts.message_bytes += part.message_bytes;
        counts.changes += part.changes.len() as u64;
        self.permits.extend(part.permits);
        let (state, new) = self.standing.scopes.met(&part.scope, self.rules.mode, self.now);
        let generation = state.generation;
        if new {
            self.changed_scopes.insert(part.scope.to_string());
        }
        for change in part.changes {
            if self.rules.mode == PullMode::Targeted && self.rules.asks {
                self.commit.answered.extend(id_of(&change).map(str::to_owned));
            }
            self.change(&part.scope, generation, change)?;
        }
        Ok(generation)
    }

    fn change(&mut self, scope: &Arc<str>, generation: i64, change: Change) -> Result<(), ConnectorError> {
        let change = match change {
            Change::Unnormalized { mut raw, error } => {
                raw.generation = generation;
                self.commit.raw_items.push(RawWrite::Put(raw));
                Change::ItemError(error)
            }
            Change::Unopened(document) if self.plan.unopened(scope, generation, &document) => return Ok(()),
            Change::Unopened(document) => {
                change::open(&document.bytes, Some(document.hash), scope, &self.rules.connector)?
            }
            change => change,
        };
        match change {
            // They were turned into something else, above or by the raw stage.
            Change::Unopened(_) | Change::Raw(_) | Change::Unnormalized { .. } => {}
            Change::Document(mut document) => {
                match document.raw.take() {
                    Some(mut raw) => {
                        raw.generation = generation;
                        self.commit.raw_items.push(RawWrite::Put(raw));
                    }
                    None if self.rules.keeps_raw => {
                        self.unkept = true;
                        let id = document.envelope.id.clone();
                        self.commit.raw_items.push(RawWrite::Gone { id, scope: None });
                    }
                    None => {}
                }
                self.plan.document(scope, generation, *document);
            }
            Change::Present { id, version } => self.plan.present(scope, generation, &id, &version),
            Change::Permissions { id, permissions, fault } => {
                if self.rules.keeps_raw {
                    let (id, scope) = (id.clone(), scope.to_string());
                    let permissions = permissions.encode_to_vec();
                    self.commit.raw_items.push(RawWrite::Permissions { id, scope, permissions });
                }
                self.plan.permissions(scope, generation, &id, permissions);
                if let Some(fault) = fault {
                    self.item_error(*fault);
                }
            }
            Change::Deletion { target: Target::Id(id), .. } => {
                self.plan.deletion(scope, &id);
                if self.rules.keeps_raw {
                    let (id, scope) = (id.clone(), Some(scope.to_string()));
                    self.commit.raw_items.push(RawWrite::Gone { id, scope });
                }
                // A folder of this group that is gone by its end is not put either.
                if self.containers.get(&id).is_some_and(|put| put.scope == **scope) {
                    self.containers.remove(&id);
                }
                self.commit.removed_containers.push((scope.to_string(), id));
            }
            // The committer has turned these into deletions by id.
            Change::Deletion { .. } => {}
            Change::Container { id, parent_id, name, locator } => {
                let scope = scope.to_string();
                let put = ContainerPut { id: id.clone(), scope, parent_id, name, locator, generation };
                self.containers.insert(id, put);
            }
            Change::ItemError(error) => {
                if error.target == Target::Unnamed {
                    let (state, _) = self.standing.scopes.met(scope, self.rules.mode, self.now);
                    state.listing_unreliable = true;
                    self.changed_scopes.insert(scope.to_string());
                }
                self.item_error(error);
            }
        }
        Ok(())
    }

    fn item_error(&mut self, error: ItemError) {
        self.standing.failures += 1;
        self.standing.counts.item_errors += 1;
        self.commit.shields.push(shield(&error));
        self.plan.item_error(error);
    }

    /// Moves a scope on to a checkpoint. Says whether the cursor is another one than before.
    pub fn checkpoint(&mut self, scope: &str, checkpoint: Checkpoint) -> bool {
        self.changed_scopes.insert(scope.to_owned());
        self.standing.scopes.checkpoint(scope, self.rules.mode, checkpoint, self.now)
    }

    /// Whether documents came without the raw items that are to be kept.
    pub fn is_unkept(&self) -> bool {
        self.unkept
    }

    /// Ends it. `mostly_known` is told what most of the documents were.
    pub fn finish(self, totals: &ContentTotals, mostly_known: &AtomicBool) -> Drafted {
        let Self { standing, plan, mut commit, changed_scopes, containers, permits, .. } = self;
        let Standing { scopes, mut counts, mut failures } = standing;
        let planned = plan.finish();
        let documents = planned.created + planned.updated + planned.unchanged;
        if documents > 0 {
            mostly_known.store(planned.unchanged * 2 > documents, Ordering::Relaxed);
        }
        failures += planned.failed_contents;
        counts.created += planned.created;
        counts.updated += planned.updated;
        counts.unchanged += planned.unchanged;
        counts.deleted += planned.deleted;
        counts.contents_without_text += planned.without_text;
        counts.item_errors += planned.failed_contents;
        counts.contents_fetched = totals.fetched.load(Ordering::Relaxed);
        counts.content_bytes = totals.bytes.load(Ordering::Relaxed);
        counts.text_bytes = totals.text_bytes.load(Ordering::Relaxed);
        commit.item_errors = planned.errors;
        commit.cleared_items = planned.cleared;
        commit.gone_items = planned.gone;
        commit.documents = planned.writes;
        commit.containers = containers.into_values().collect();
        Drafted { commit, wanted: planned.wanted, scopes, changed_scopes, counts, failures, permits }
    }
}

/// Keeps what could not be read from being taken for deleted.
pub fn shield(error: &ItemError) -> Shield {
    Shield {
        scope: error.scope.clone(),
        target: error.target.clone(),
        with_descendants: error.with_descendants,
    }
}
