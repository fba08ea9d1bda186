//! What tests of the engine are made of: a run under way in a real store, and parts of a pull as they come.

use std::sync::Arc;

use async_trait::async_trait;
use prost::Message;
use serde_json::{Map, Value};
use superfasttt_proto::connector::pulled;
use superfasttt_proto::connector::v1::{
    Capabilities, Checkpoint, DocumentEnvelope, Page, PullMode, Reason, change,
};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::mpsc;

use super::change::{Change, Part, PartEnd, from_page};
use super::commit::{Committer, PullOutcome};
use super::port::CredentialSource;
use super::report::Report;
use super::run::Stop;
use super::scopes::Scopes;
use super::{Limits, RunContext};
use crate::clock::MockClock;
use crate::config::Config;
use crate::content::{ContentTotals, Pending};
use crate::credentials::{Usable, UsedFor};
use crate::store::SqliteStore;
use crate::store::connections::Connection;
use crate::store::suite::support::{self, Shared};
use crate::store::sync_states::ScopeState;

/// For connectors that ask for nothing.
pub struct NoCredentials;

#[async_trait]
impl CredentialSource for NoCredentials {
    async fn settings(&self, connection: &Connection) -> Result<Map<String, Value>, ConnectorError> {
        Ok(connection.settings.clone())
    }

    async fn credential(
        self: Arc<Self>,
        _: &Connection,
        _: Option<&Usable>,
        _: UsedFor<'_>,
    ) -> Result<Option<Usable>, ConnectorError> {
        Ok(None)
    }

    async fn refused(&self, _: &Connection, _: &Usable, _: &ConnectorError) {}

    async fn withdraw(self: Arc<Self>, _: &Connection) {}
}

/// A run under way.
pub struct Rig {
    pub store: Shared,
    pub connection: Connection,
    pub context: Arc<RunContext>,
    _folder: tempfile::TempDir,
}

impl Rig {
    /// A run of a connector that lists everything, within the limits of the default configuration as `change`d.
    pub async fn new(change: impl FnOnce(&mut Limits, &mut Capabilities)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Shared = Arc::new(SqliteStore::open(&folder.path().join("db")).await.unwrap());
        let (connection, run, fence) = support::running(&store, "docs").await;
        let mut limits = Limits::new(&Config::default());
        let mut capabilities =
            Capabilities { full_listing: true, incremental: true, ..Capabilities::default() };
        change(&mut limits, &mut capabilities);
        let shared_clock = Arc::new(MockClock::default());
        let context = RunContext {
            store: store.clone(),
            fence,
            run: run.id.clone(),
            capabilities,
            limits,
            clock: shared_clock.clone(),
            report: Arc::new(Report::new(run, "demo", shared_clock)),
        };
        Self { store, connection, context: Arc::new(context), _folder: folder }
    }

    /// A committer that begins with what is stored.
    pub async fn committer(&self) -> Committer {
        let states = self.store.sync_states(self.connection.key).await.unwrap();
        let leftovers = self.store.leftovers(self.connection.key).await.unwrap();
        let totals = Arc::new(ContentTotals::default());
        let counts = self.context.report.run().counts;
        Committer::new(
            self.context.clone(),
            totals,
            Scopes::new(states),
            counts,
            leftovers,
            self.connection.connector.clone(),
        )
    }

    /// Commits a pull of these parts, which ends in order. All of them are there before the first is committed.
    pub async fn pull(&self, mode: PullMode, parts: Vec<Part>) -> Result<PullOutcome, Stop> {
        self.pull_with(&mut self.committer().await, mode, parts.into_iter().map(Pending::Ready).collect())
            .await
    }

    /// As [`Self::pull`], with a committer that is kept.
    pub async fn pull_with(
        &self,
        committer: &mut Committer,
        mode: PullMode,
        parts: Vec<Pending>,
    ) -> Result<PullOutcome, Stop> {
        let (sender, pending) = mpsc::channel(parts.len() + 1);
        for part in parts {
            sender.try_send(part).unwrap();
        }
        sender.try_send(Pending::Ended(Ok(()))).unwrap();
        committer.run(mode, pending).await
    }

    /// Where a scope stands.
    pub async fn state(&self, scope: &str) -> Option<ScopeState> {
        let states = self.store.sync_states(self.connection.key).await.unwrap();
        states.into_iter().find(|state| state.scope == scope)
    }

    /// The ids of the documents that are there.
    pub async fn ids(&self) -> Vec<String> {
        support::listed(&self.store).await
    }
}

/// A whole document with the text `text of <id>`.
pub fn document(id: &str) -> change::Kind {
    document_with(id, |_| {})
}

/// As [`document`], changed.
pub fn document_with(id: &str, change: impl FnOnce(&mut DocumentEnvelope)) -> change::Kind {
    let mut envelope = DocumentEnvelope {
        id: id.to_owned(),
        title: id.to_owned(),
        version: "1".to_owned(),
        content: Some(format!("text of {id}")),
        ..DocumentEnvelope::default()
    };
    change(&mut envelope);
    change::Kind::Document(envelope)
}

/// A page as a connector sends it.
pub fn page(scope: &str, changes: Vec<change::Kind>, checkpoint: Option<Checkpoint>) -> Page {
    let changes =
        changes.into_iter().map(|kind| superfasttt_proto::connector::v1::Change { kind: Some(kind) });
    Page { scope: scope.to_owned(), changes: changes.collect(), checkpoint }
}

/// A checkpoint that leaves nothing open.
pub fn cursor(cursor: &str) -> Checkpoint {
    Checkpoint { cursor: cursor.into(), has_more: false, listing_complete: false }
}

/// The checkpoint that ends a listing.
pub fn complete(cursor: &str) -> Checkpoint {
    Checkpoint { cursor: cursor.into(), has_more: false, listing_complete: true }
}

/// A page's part, as the reader passes it on.
pub fn part(scope: &str, changes: Vec<change::Kind>, checkpoint: Option<Checkpoint>) -> Part {
    part_from(page(scope, changes, checkpoint), false)
}

/// As [`part`], where most is taken to be known: documents are left as they came.
pub fn unopened_part(scope: &str, changes: Vec<change::Kind>, checkpoint: Option<Checkpoint>) -> Part {
    part_from(page(scope, changes, checkpoint), true)
}

fn part_from(page: Page, unopened: bool) -> Part {
    // The same on the wire, with documents as they came.
    let page = pulled::Page::decode(page.encode_to_vec().as_slice()).unwrap();
    let (scope, changes, end) = from_page(page, "demo", unopened, false).unwrap();
    Part { scope, changes, end, message_bytes: 100, permits: Vec::new() }
}

/// A part of changes that no page gives, or with another end.
pub fn part_of(scope: &str, changes: Vec<Change>, end: PartEnd) -> Part {
    Part { scope: scope.into(), changes, end, message_bytes: 100, permits: Vec::new() }
}

/// A failure for this reason.
pub fn failure(reason: Reason) -> ConnectorError {
    ConnectorError::new(reason, "as the test wants it")
}
