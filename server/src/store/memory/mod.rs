//! A store in memory, for tests alone: maps behind one lock, without threads, files, real time or chance. The simulation
//! (`crate::simulation`) stands on it, because what it does follows from what it is asked and in which order; and it passes
//! the same suite as the others, so that a history in it says something of them.
//!
//! There is nothing to roll back here, so each write checks all that could refuse it before it changes anything.

mod api_tokens;
mod audit;
mod connections;
mod credentials;
mod defaults;
pub(crate) mod documents;
mod feed;
mod item_errors;
mod oauth_apps;
mod oauth_sessions;
mod overview;
mod raw_items;
mod runs;
mod secrets;
mod sync_states;
mod wanted;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::api_tokens::{ApiToken, TokenHash};
use super::audit::AuditEvent;
use super::documents::{ContainerPut, DocumentKey};
use super::feed::{Consumer, FeedBounds, Histories, History};
use super::item_errors::{StoredItemError, Target};
use super::oauth_apps::OAuthApp;
use super::raw_items::RawItem;
use super::sync_states::ScopeState;
use super::wanted::Wanted;
use super::{ConnectionKey, Fence, Maintenance, Result, Store, StoreError};
use crate::vault::{Place, Sealed};
use connections::ConnectionRow;
use credentials::CredentialRow;
use documents::DocumentRow;
use oauth_sessions::SessionRow;
use runs::RunRow;

/// Looks on as each write is done: everything as it is then, and the claim that the write was made with.
pub(crate) type Onlooker = Box<dyn Fn(&Data, Option<Fence>) + Send + Sync>;

/// The store in memory. Clones are the same store.
#[derive(Clone)]
pub struct MemoryStore {
    data: Arc<Mutex<Data>>,
    onlooker: Arc<OnceLock<Onlooker>>,
    feed_head: watch::Sender<i64>,
    /// One for each who listens: a channel with many wakes them in any order.
    run_changes: Arc<Mutex<Vec<watch::Sender<u64>>>>,
    shared: bool,
}

/// All that is stored.
#[derive(Debug)]
pub(crate) struct Data {
    closed: bool,
    away: bool,
    /// The last write of documents was one of [`super::documents::DocumentStore::bury`].
    pub(crate) buried: bool,
    bounds: FeedBounds,
    /// The last key that was given to anything.
    last_key: i64,
    connections: BTreeMap<ConnectionKey, ConnectionRow>,
    documents: BTreeMap<DocumentKey, DocumentRow>,
    document_keys: BTreeMap<(ConnectionKey, String), DocumentKey>,
    feed: BTreeMap<i64, DocumentKey>,
    containers: BTreeMap<(ConnectionKey, String), ContainerPut>,
    item_errors: BTreeMap<item_errors::ErrorKey, StoredItemError>,
    shields: BTreeMap<(ConnectionKey, String, Target), bool>,
    raw_items: BTreeMap<(ConnectionKey, String), RawItem>,
    states: BTreeMap<(ConnectionKey, String), ScopeState>,
    wanted: BTreeMap<(ConnectionKey, String), Wanted>,
    /// Each with its row's key.
    secrets: BTreeMap<Place, (i64, Sealed)>,
    credentials: BTreeMap<ConnectionKey, CredentialRow>,
    oauth_apps: BTreeMap<String, OAuthApp>,
    oauth_sessions: BTreeMap<String, SessionRow>,
    api_tokens: BTreeMap<String, (ApiToken, TokenHash)>,
    audit_log: BTreeMap<i64, AuditEvent>,
    defaults: BTreeMap<(String, String), ConnectionKey>,
    runs: BTreeMap<String, RunRow>,
    consumers: BTreeMap<String, Consumer>,
}

impl MemoryStore {
    /// An empty store. `shared`: as one that several replicas work on.
    pub fn new(shared: bool) -> Self {
        // Nothing restores a backup of it: there is one history.
        let histories = Histories::new(vec![History { from_offset: 1, number: 1 }]);
        let data = Data {
            closed: false,
            away: false,
            buried: false,
            bounds: FeedBounds { histories, head: 0, floor: 0 },
            last_key: 0,
            connections: BTreeMap::new(),
            documents: BTreeMap::new(),
            document_keys: BTreeMap::new(),
            feed: BTreeMap::new(),
            containers: BTreeMap::new(),
            item_errors: BTreeMap::new(),
            shields: BTreeMap::new(),
            raw_items: BTreeMap::new(),
            states: BTreeMap::new(),
            wanted: BTreeMap::new(),
            secrets: BTreeMap::new(),
            credentials: BTreeMap::new(),
            oauth_apps: BTreeMap::new(),
            oauth_sessions: BTreeMap::new(),
            api_tokens: BTreeMap::new(),
            audit_log: BTreeMap::new(),
            defaults: BTreeMap::new(),
            runs: BTreeMap::new(),
            consumers: BTreeMap::new(),
        };
        Self {
            data: Arc::new(Mutex::new(data)),
            onlooker: Arc::default(),
            feed_head: watch::Sender::new(0),
            run_changes: Arc::default(),
            shared,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at everything at one moment, without waiting.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Data) -> T) -> T {
        look(&self.lock())
    }

    /// Shows every write from here on to somebody. The first one stays.
    pub(crate) fn let_look_on(&self, onlooker: Onlooker) {
        let _ = self.onlooker.set(onlooker);
    }

    /// Answers nobody while it is away.
    pub(crate) fn set_away(&self, away: bool) {
        self.lock().away = away;
    }

    /// Does `work` at once, also where the caller stops waiting for the answer.
    async fn write<T>(&self, work: impl FnOnce(&mut Data) -> Result<T> + Send) -> Result<T> {
        self.write_as(None, work).await
    }

    async fn write_as<T>(
        &self,
        fence: Option<Fence>,
        work: impl FnOnce(&mut Data) -> Result<T> + Send,
    ) -> Result<T> {
        let answer = {
            let mut data = self.lock();
            let answer = data.open().and_then(|()| work(&mut data));
            let head = data.bounds.head;
            self.feed_head.send_if_modified(|known| std::mem::replace(known, head) != head);
            if let Some(onlooker) = self.onlooker.get().filter(|_| answer.is_ok()) {
                onlooker(&data, fence);
            }
            answer
        };
        // An answer takes a moment, as from a database: others go on meanwhile.
        tokio::task::yield_now().await;
        answer
    }

    /// As [`Self::write`], and only while `fence` is the newest claim of its connection.
    async fn write_fenced<T>(
        &self,
        fence: Fence,
        work: impl FnOnce(&mut Data) -> Result<T> + Send,
    ) -> Result<T> {
        self.write_as(Some(fence), move |data| {
            data.check(fence)?;
            work(data)
        })
        .await
    }

    async fn read<T>(&self, work: impl FnOnce(&Data) -> T + Send) -> Result<T> {
        let answer = {
            let data = self.lock();
            data.open().map(|()| work(&data))
        };
        tokio::task::yield_now().await;
        answer
    }
}

impl Data {
    fn open(&self) -> Result<()> {
        if self.away {
            return Err(StoreError::Unavailable("the store is away".to_owned()));
        }
        if self.closed { Err(StoreError::Database("the store is closed".to_owned())) } else { Ok(()) }
    }

    /// Refuses whoever lost its claim, also of a connection that is forgotten altogether.
    fn check(&self, fence: Fence) -> Result<()> {
        let newest = self.connections.get(&fence.connection).map(|row| row.connection.fence);
        if newest == Some(fence.number) { Ok(()) } else { Err(StoreError::Fenced) }
    }

    fn next_key(&mut self) -> i64 {
        self.last_key += 1;
        self.last_key
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MemoryStore").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Store for MemoryStore {}

#[async_trait]
impl Maintenance for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    async fn close(&self) {
        self.lock().closed = true;
    }
}
