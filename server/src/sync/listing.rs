//! Which listings a run begins and goes on with: everything in full, single scopes whose cursors are gone, or a
//! comparison by ids and versions.

use std::collections::BTreeSet;

use superfasttt_proto::connector::v1::{PullMode, log_record::Level};

use super::run::{Runner, Stop};
use super::sweep;
use super::synced::Synced;
use crate::store::runs::HeldSweep;
use crate::store::sync_states::{Listing, ListingMode, ScopeState};

impl Runner {
    /// Lists everything, and once more where a listing of an earlier run was gone on with and the source cannot tell what
    /// changed since.
    pub(super) async fn list_everything(&mut self, anew: bool, synced: Synced) -> Result<(), Stop> {
        let resumed = self.list_all(anew, synced).await?;
        if resumed && !self.context.capabilities.incremental {
            // The first part of the listing is from before this run: what changed there since is seen only by a fresh
            // one, for a source that cannot tell changes.
            self.sweep_complete(&mut Vec::new()).await?;
            let message = "the listing that was cut off is done; now a fresh one";
            self.context.report.log(Level::Info, message, []);
            let scopes = self.committer.scopes.names(|_| true);
            self.begin_listings(scopes, ListingMode::Full, false, None).await?;
            self.pull_until_done(PullMode::Full, Vec::new()).await?;
        }
        Ok(())
    }

    /// Lists every scope, also those whose listing is under way where it must be `anew`. Says whether a listing of an earlier run was gone on with.
    async fn list_all(&mut self, anew: bool, synced: Synced) -> Result<bool, Stop> {
        let resumes = |state: &ScopeState| resumes(state, ListingMode::Full);
        // One that this run began itself, before it was parked or cut off, is as fresh as the run.
        let began = self.context.report.run().started_at;
        let earlier = |state: &ScopeState| state.listing_started_at < began;
        let resumed = !anew && self.committer.scopes.all().any(|state| resumes(state) && earlier(state));
        // Nor is one that this run has completed and not swept yet listed again: where the source allows only so much at
        // a time, the run would never come to the scopes behind it.
        let done = |state: &ScopeState| {
            state.listing == Listing::Complete && state.listing_mode == ListingMode::Full && !earlier(state)
        };
        let begin = self.committer.scopes.names(|state| anew || !(resumes(state) || done(state)));
        // Scopes of a person's former settings stay listings of a person's change until they are complete.
        self.begin_listings(begin, ListingMode::Full, synced.settings_changed, Some(synced.now)).await?;
        self.pull_until_done(PullMode::Full, Vec::new()).await?;
        Ok(resumed)
    }

    /// Takes what changed, after listing in full the scopes that need it: those whose listing was cut off, and those that
    /// have no cursor. A scope whose cursor the source no longer takes is listed in full, and no other; then changes go
    /// on, until no cursor is refused any more.
    pub(super) async fn take_changes(&mut self) -> Result<(), Stop> {
        let scopes = self.committer.scopes.names(|state| {
            let cut = state.listing == Listing::UnderWay && state.listing_mode == ListingMode::Full;
            cut || state.cursor.is_none()
        });
        if !scopes.is_empty() {
            self.list_scopes(scopes).await?;
        }
        let mut refused = 0;
        loop {
            self.pull_until_done(PullMode::Incremental, Vec::new()).await?;
            let Some((scopes, error)) = self.refused.take() else { return Ok(()) };
            refused += 1;
            if refused > self.context.limits.retry_attempts {
                return Err(error.into());
            }
            self.list_scopes(scopes).await?;
        }
    }

    /// Compares every scope with the source by ids and versions, after taking what changed. What is unknown, or of another
    /// version, is asked for by name afterwards, and so is what the source did not name before it is deleted. No cursor
    /// of changes is touched. Scopes that are new are listed in full.
    pub(super) async fn reconcile(&mut self) -> Result<(), Stop> {
        self.take_changes().await?;
        let began = self.context.report.run().started_at;
        let begin = self.committer.scopes.names(|state| match state.listing {
            Listing::None => true,
            // One in full that a scope error stopped is gone on with by the next run.
            Listing::UnderWay => state.listing_mode == ListingMode::List && state.listing_cursor.is_none(),
            // As fresh as this run, which was parked or cut off since.
            Listing::Complete => state.listing_started_at < began,
        });
        self.begin_listings(begin, ListingMode::List, false, None).await?;
        self.pull_until_done(PullMode::List, Vec::new()).await?;
        let new = self.committer.scopes.names(|state| state.cursor.is_none());
        if !new.is_empty() {
            self.list_scopes(new).await?;
        }
        Ok(())
    }

    /// Lists these scopes only, in full: begins those whose listing is not under way yet.
    async fn list_scopes(&mut self, scopes: Vec<String>) -> Result<(), Stop> {
        let resumed = |scope: &String| {
            self.committer.scopes.get(scope).is_some_and(|state| resumes(state, ListingMode::Full))
        };
        let begin: Vec<_> = scopes.iter().filter(|scope| !resumed(scope)).cloned().collect();
        self.begin_listings(begin, ListingMode::Full, false, None).await?;
        self.pull_until_done(PullMode::Full, scopes).await
    }

    /// Begins listings of these scopes, and keeps what settings they are of.
    pub(super) async fn begin_listings(
        &mut self,
        scopes: Vec<String>,
        mode: ListingMode,
        for_settings: bool,
        hash: Option<Vec<u8>>,
    ) -> Result<(), Stop> {
        if scopes.is_empty() && hash.is_none() {
            return Ok(());
        }
        let now = self.context.clock.now();
        let states = self.committer.scopes.begin_listing(&scopes, mode, for_settings, now);
        self.context.store.save_sync_states(self.context.fence, states, hash).await?;
        Ok(())
    }

    /// Sweeps every scope whose listing is complete.
    pub(super) async fn sweep_complete(&mut self, held_sweeps: &mut Vec<HeldSweep>) -> Result<(), Stop> {
        let complete = |runner: &Self| {
            let states = runner.committer.scopes.all().filter(|state| state.listing == Listing::Complete);
            states.cloned().collect::<Vec<_>>()
        };
        if complete(self).is_empty() {
            return Ok(());
        }
        if self.context.capabilities.targeted {
            // Answers change what is to go: with fewer absent, what was held may be held no more, and was not asked for yet.
            let mut asked = BTreeSet::new();
            loop {
                let mut scopes = sweep::would_delete(&self.context, &complete(self)).await?;
                scopes.retain(|scope| asked.insert(scope.clone()));
                if scopes.is_empty() {
                    break;
                }
                self.confirm_absent(scopes).await?;
            }
        }
        // Answers may have come in scopes that were not asked for, and item errors may have made a listing unreliable.
        let swept =
            sweep::sweep(&self.context, complete(self), self.keeping.is_some(), &mut self.committer.counts)
                .await?;
        for state in swept.states {
            self.committer.scopes.put(state);
        }
        held_sweeps.extend(swept.held);
        Ok(())
    }
}

/// Whether a listing of this kind was begun and has come somewhere.
fn resumes(state: &ScopeState, mode: ListingMode) -> bool {
    state.listing == Listing::UnderWay && state.listing_mode == mode && state.listing_cursor.is_some()
}
