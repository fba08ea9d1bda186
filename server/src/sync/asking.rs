//! Asks the source for items by name (TARGETED): for what is wanted, and for what a listing did not name before it counts
//! as gone.

use superfasttt_proto::connector::v1::{PullMode, Reason};
use superfasttt_proto::error::ConnectorError;

use super::change::item_error;
use super::commit::unanswered;
use super::outcome::{Treatment, treatment};
use super::plan::cannot_ask;
use super::run::{Runner, Stop};
use super::scopes::Group;
use crate::store::documents::Commit;
use crate::store::item_errors::{ItemError, Shield, Target};
use crate::store::wanted::Wanted;

/// Ids in one targeted pull.
const TARGETED_IDS: usize = 1000;
/// An id that was asked for so often together with others, and not answered, is asked for alone: perhaps it is the one
/// that brings the others down.
const TOGETHER_AT_MOST: u32 = 2;

impl Runner {
    /// Asks for everything that is wanted, a batch at a time. What is answered is wanted no more; so is what the connector
    /// does not answer, which is an item error.
    pub(super) async fn ask_for_wanted(&mut self) -> Result<(), Stop> {
        if !self.committer.wanted_stand {
            return Ok(());
        }
        let mut after = String::new();
        loop {
            let (store, key) = (&self.context.store, self.connection.key);
            let batch = store.wanted(key, &after, TARGETED_IDS).await?;
            let Some(last) = batch.last() else { break };
            last.id.clone_into(&mut after);
            if !self.context.capabilities.targeted {
                // It could when they were named.
                let errors = batch.into_iter().map(|wanted| cannot_ask(&wanted.scope, wanted.id));
                self.give_up(errors.collect()).await?;
                continue;
            }
            store
                .count_attempts(self.context.fence, batch.iter().map(|wanted| wanted.id.clone()).collect())
                .await?;
            let (together, alone): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|wanted| wanted.attempts < TOGETHER_AT_MOST);
            self.ask_for(together.into_iter().map(|wanted| (wanted.scope, wanted.id)).collect()).await?;
            for wanted in alone {
                self.ask_alone(wanted).await?;
            }
        }
        self.committer.wanted_stand = false;
        Ok(())
    }

    /// Asks for one id. Where that brings the connector down, it is this item's own error.
    async fn ask_alone(&mut self, wanted: Wanted) -> Result<(), Stop> {
        match self.ask_for(vec![(wanted.scope.clone(), wanted.id.clone())]).await {
            Err(Stop::Failed(error)) if is_the_connectors(&error) => {
                let target = Target::Id(wanted.id);
                self.give_up(vec![item_error(&wanted.scope, target, false, error)]).await
            }
            asked => asked,
        }
    }

    /// Asks for what the listings of these scopes did not name and were to delete, each with the listing before which the
    /// documents were last seen.
    pub(super) async fn confirm_absent(&mut self, scopes: Vec<(String, i64)>) -> Result<(), Stop> {
        for (scope, generation) in scopes {
            let mut after = String::new();
            loop {
                let (store, key) = (&self.context.store, self.connection.key);
                let absent = store.absent(key, &scope, generation, &after, TARGETED_IDS).await?;
                let Some(last) = absent.last() else { break };
                last.id.clone_into(&mut after);
                self.ask_for(absent.into_iter().map(|document| (scope.clone(), document.id)).collect())
                    .await?;
            }
        }
        Ok(())
    }

    /// A targeted pull for these, each with its scope, and another one for what was left when it was cut off. An item that
    /// is not answered is an item error, never a deletion.
    async fn ask_for(&mut self, mut left: Vec<(String, String)>) -> Result<(), Stop> {
        let mut attempt = 0;
        while !left.is_empty() {
            let ids = left.iter().map(|(_, id)| id.clone()).collect();
            let outcome = self.pull(PullMode::Targeted, &Group::default(), ids).await?;
            let before = left.len();
            left.retain(|(_, id)| !outcome.answered.contains(id));
            let Some(error) = outcome.cut else {
                let errors = left.into_iter().map(|(scope, id)| unanswered(&scope, id)).collect();
                return self.give_up(errors).await;
            };
            let Some(error) = self.renew(error, left.len() < before).await else { continue };
            attempt = if left.len() < before { 1 } else { attempt + 1 };
            if treatment(error.reason) != Treatment::Retry || attempt > self.context.limits.retry_attempts {
                return Err(error.into());
            }
            self.pause(attempt, &error).await?;
        }
        Ok(())
    }

    /// Records why items were not answered. They are wanted no more.
    async fn give_up(&mut self, errors: Vec<ItemError>) -> Result<(), Stop> {
        if errors.is_empty() {
            return Ok(());
        }
        self.committer.counts.item_errors += errors.len() as u64;
        self.committer.log_errors(&errors);
        let named = |error: &ItemError| match &error.target {
            Target::Id(id) => Some(id.clone()),
            Target::Locator(_) | Target::Unnamed => None,
        };
        let shields = errors.iter().map(|error| Shield {
            scope: error.scope.clone(),
            target: error.target.clone(),
            with_descendants: false,
        });
        let commit = Commit {
            run: self.context.run.clone(),
            progress: self.committer.progress(),
            shields: shields.collect(),
            answered: errors.iter().filter_map(named).collect(),
            item_errors: errors,
            ..Commit::default()
        };
        self.context.store.commit(self.context.fence, commit, self.context.clock.now()).await?;
        self.committer.errors_stand = true;
        self.context.report.counts(self.committer.counts);
        Ok(())
    }
}

/// Whether a failure may be what the connector made of one item, and says nothing of the source.
fn is_the_connectors(error: &ConnectorError) -> bool {
    matches!(
        error.reason,
        Reason::ConnectorCrashed | Reason::Internal | Reason::ProtocolViolation | Reason::PaginationLoop
    )
}
