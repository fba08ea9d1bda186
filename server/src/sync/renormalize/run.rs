//! The run that makes documents anew: batch by batch in the order of their ids, each in one transaction with the last id
//! that it has done, from which it goes on after a crash.

use std::sync::Arc;

use superfasttt_proto::connector::v1::{Progress, log_record::Level};
use superfasttt_proto::error::{ConnectorError, reason_info};

use super::renew::{Batch, Renewed, renew};
use super::{BATCH_BYTES, BATCH_ITEMS, InFlight};
use crate::store::connections::Connection;
use crate::store::documents::Commit;
use crate::store::item_errors::Target;
use crate::store::raw_items::{RawItem, RawWrite};
use crate::store::runs::{RunCounts, RunProgress};
use crate::sync::RunContext;
use crate::sync::change::item_error;
use crate::sync::commit::check_share;
use crate::sync::normalize::Normalizer;
use crate::sync::outcome::{Treatment, backoff, treatment};
use crate::sync::plan::Plan;
use crate::sync::port::{Connectors, Session};
use crate::sync::run::{Finished, OpenSession, Stop, listen};

/// An item about which the connector failed so often, the last times alone, is passed over.
const MAX_FAILURES: u32 = 3;
/// After so many in a row it is not the items.
const MAX_PASSED_OVER: u32 = 3;

/// One re-normalization at work.
pub struct Renormalizer {
    context: Arc<RunContext>,
    connection: Connection,
    connectors: Arc<dyn Connectors>,
    normalizer: Normalizer,
    in_flight: InFlight,
    session: Option<OpenSession>,
    counts: RunCounts,
    /// Failures that count towards the share over which the run fails.
    failures: u64,
    /// The last id that is done.
    after: String,
    /// The item about which the connector failed, and how often. It is asked about alone.
    failing: Option<(String, u32)>,
    /// Items that were passed over in a row.
    passed_over: u32,
    /// How often the connector could not be asked at all, in a row.
    attempts: u32,
}

impl Renormalizer {
    /// Gets ready to go on from where the run is.
    pub fn new(
        context: Arc<RunContext>,
        connection: Connection,
        connectors: Arc<dyn Connectors>,
        normalizer: Normalizer,
        in_flight: InFlight,
    ) -> Self {
        let run = context.report.run();
        Self {
            context,
            connection,
            connectors,
            normalizer,
            in_flight,
            session: None,
            counts: run.counts,
            failures: 0,
            after: run.renormalized_to,
            failing: None,
            passed_over: 0,
            attempts: 0,
        }
    }

    /// Runs to the end. May be dropped at any point.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn run(&mut self) -> Result<Finished, Stop> {
        let total = self.context.store.count_raw_items(self.connection.key).await?;
        loop {
            let bytes = self.in_flight.batch().await;
            let limit = if self.failing.is_some() { 1 } else { BATCH_ITEMS };
            let store = &self.context.store;
            let raws = store.raw_items(self.connection.key, &self.after, limit, BATCH_BYTES).await?;
            if raws.is_empty() {
                break;
            }
            let ids = raws.iter().map(|raw| raw.put.id.clone()).collect();
            let stored = store.stored_documents(self.connection.key, ids).await?;
            let session = match self.session().await {
                Ok(session) => session,
                Err(error) => {
                    // Nobody else waits for this one's pauses.
                    drop(bytes);
                    self.attempts += 1;
                    if self.attempts > self.context.limits.retry_attempts {
                        return Err(error.into());
                    }
                    self.pause(self.attempts, error).await?;
                    continue;
                }
            };
            self.attempts = 0;
            let Batch { renewed, failed } = renew(&self.normalizer, &*session, raws, stored).await?;
            if !renewed.is_empty() {
                self.failing = None;
                self.passed_over = 0;
                self.commit(renewed).await?;
            }
            drop(bytes);
            if let Some((raw, error)) = failed {
                self.failed(raw, error).await?;
            }
            let progress = Progress {
                items_seen: self.counts.changes,
                items_total: total,
                message: "normalizing raw items again".to_owned(),
            };
            self.context.report.progress(progress);
        }
        Ok(Finished {
            counts: self.counts,
            held_sweeps: Vec::new(),
            scope_errors: Vec::new(),
            listed_all: false,
            states: Vec::new(),
        })
    }

    /// The connector failed before it had answered about an item: that may be because of the item.
    async fn failed(&mut self, raw: RawItem, error: ConnectorError) -> Result<(), Stop> {
        let failures = match self.failing.take() {
            Some((id, failures)) if id == raw.put.id => failures + 1,
            _ => 1,
        };
        if failures >= MAX_FAILURES && treatment(error.reason) == Treatment::Retry {
            self.session = None;
            self.passed_over += 1;
            if self.passed_over > MAX_PASSED_OVER {
                return Err(error.into());
            }
            let message = format!("the connector failed each time it was asked about it: {}", error.message);
            let outcome = Err(ConnectorError { message, ..error });
            return self.commit(vec![Renewed { raw, stored: None, outcome }]).await;
        }
        self.failing = Some((raw.put.id, failures));
        self.pause(failures, error).await
    }

    /// Waits before the connector is asked again.
    async fn pause(&mut self, attempt: u32, error: ConnectorError) -> Result<(), Stop> {
        self.session = None;
        if treatment(error.reason) != Treatment::Retry {
            return Err(error.into());
        }
        let limits = self.context.limits;
        let pause = backoff(attempt, limits.retry_backoff_initial, limits.retry_backoff_max, &error);
        let fields = [
            ("reason", reason_info(error.reason).name.to_owned()),
            ("attempt", attempt.to_string()),
            ("pause_ms", pause.as_millis().to_string()),
        ];
        let message = format!("the normalization was cut off: {}", error.message);
        self.context.report.log(Level::Warn, message, fields);
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Makes true what items have come to.
    async fn commit(&mut self, renewed: Vec<Renewed>) -> Result<(), Stop> {
        let Some(last) = renewed.last().map(|item| item.raw.put.id.clone()) else { return Ok(()) };
        let stored = renewed.iter().filter_map(|item| item.stored.clone()).collect();
        let mut plan = Plan::new(stored);
        let mut counts = self.counts;
        let mut failures = self.failures;
        let mut raw_items = Vec::with_capacity(renewed.len());
        let mut failed_before = Vec::new();
        for Renewed { raw, stored, outcome } in renewed {
            counts.changes += 1;
            let (scope, id) = (raw.put.scope.as_str().into(), raw.put.id);
            if raw.put.failed {
                failed_before.push(id.clone());
            }
            let failed = outcome.is_err();
            match outcome {
                Ok(document) => {
                    // It is not a sight of the document: what a listing has seen of it stays.
                    let seen = stored.filter(|stored| stored.scope == raw.put.scope);
                    let generation = seen.map_or(raw.put.generation, |stored| stored.generation);
                    plan.document(&scope, generation, *document);
                }
                Err(error) => {
                    counts.item_errors += 1;
                    failures += 1;
                    plan.item_error(item_error(&scope, Target::Id(id.clone()), false, error));
                }
            }
            let normalizer = self.normalizer.version.clone();
            raw_items.push(RawWrite::Normalized { id, normalizer, failed });
        }
        let planned = plan.finish();
        counts.created += planned.created;
        counts.updated += planned.updated;
        counts.unchanged += planned.unchanged;
        counts.item_errors += planned.failed_contents;
        check_share(&self.context.limits, failures, &counts)?;
        // What else is wrong with an item, a re-normalization says nothing about.
        let mut cleared_items = planned.cleared;
        cleared_items.retain(|id| failed_before.contains(id));
        let commit = Commit {
            run: self.context.run.clone(),
            progress: RunProgress { counts, ..self.context.report.run().progress() },
            documents: planned.writes,
            item_errors: planned.errors,
            cleared_items,
            raw_items,
            renormalized_to: Some(last.clone()),
            ..Commit::default()
        };
        for error in &commit.item_errors {
            let item = if let Target::Id(id) = &error.target { id.clone() } else { String::new() };
            let fields = [("item", item), ("reason", reason_info(error.reason).name.to_owned())];
            let message = format!("an item could not be normalized: {}", error.message);
            self.context.report.log(Level::Warn, message, fields);
        }
        self.context.store.commit(self.context.fence, commit, self.context.clock.now()).await?;
        self.context.report.counts(counts);
        (self.counts, self.failures, self.after) = (counts, failures, last);
        Ok(())
    }

    /// The connector, found or started.
    async fn session(&mut self) -> Result<Arc<dyn Session>, ConnectorError> {
        if let Some(open) = &self.session {
            return Ok(open.session.clone());
        }
        let session = self.connectors.open(&self.connection).await?;
        let _stderr = listen(&session, &self.context.report);
        self.session = Some(OpenSession { session: session.clone(), _stderr });
        Ok(session)
    }
}
