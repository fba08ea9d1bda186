//! The PostgreSQL store (15 or newer), which several replicas may share: a pool of connections for transactions
//! (`transaction`), each set up alike (`session`), and one more that listens for what others do (`listen`).

mod listen;
mod migrate;
mod session;
mod text;
mod tls;
mod transaction;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deadpool_postgres::{
    Client, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::trouble::Trouble;
use super::{Maintenance, Result, Store, StoreError};
use crate::config::DatabaseConfig;
use session::Sessions;
pub(in crate::store) use text::{Plain, Text};
use transaction::News;
pub(in crate::store) use transaction::{Failure, Outcome, Tx};

/// The pause between two attempts to reach a database at the start.
const START_PAUSE: Duration = Duration::from_millis(250);

/// The store in a PostgreSQL database.
#[derive(Clone)]
pub struct PostgresStore {
    pool: Pool,
    trouble: Trouble,
    /// How long a transaction waits for a connection.
    acquire_timeout: Duration,
    /// The feed's newest offset, for those who wait for it to move.
    pub(super) feed_head: watch::Sender<i64>,
    /// Counts changes of runs, for those who wait for some.
    pub(super) run_changes: watch::Sender<u64>,
    /// What other replicas have to hear of.
    news: watch::Sender<News>,
    clock: LeaseClock,
    closing: CancellationToken,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PostgresStore").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}

/// Which clock leases are written and compared by.
#[derive(Clone, Debug)]
pub enum LeaseClock {
    /// The database's: the same for all replicas, whatever their own say. Tests move it by so many microseconds.
    Database(Arc<AtomicI64>),
    /// The caller's, which tests of all stores move.
    Caller,
}

impl Default for LeaseClock {
    fn default() -> Self {
        LeaseClock::Database(Arc::default())
    }
}

impl LeaseClock {
    /// The parameters of [`NOW`]: a time to take, or what to add to the database's own.
    pub(super) fn parameters(&self, now: DateTime<Utc>) -> (Option<i64>, i64) {
        match self {
            LeaseClock::Database(offset) => (None, offset.load(Ordering::Relaxed)),
            LeaseClock::Caller => (Some(now.timestamp_micros()), 0),
        }
    }
}

/// The time of leases in a statement: `$1` and `$2` are [`LeaseClock::parameters`].
pub(super) const NOW: &str =
    "coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $2::bigint)";

impl PostgresStore {
    /// Opens the database and brings its schema up to date. One that cannot be reached is tried again for
    /// `connect_timeout`.
    ///
    /// # Errors
    /// [`StoreError::TooNew`] where a newer version wrote it, [`StoreError::Unavailable`] where it cannot be reached,
    /// [`StoreError::Database`] where it refuses, or is older than PostgreSQL 15.
    pub async fn open(config: &DatabaseConfig) -> Result<Self> {
        Self::open_with(config, LeaseClock::default()).await
    }

    /// As [`Self::open`], with another clock for leases.
    ///
    /// # Errors
    /// As there.
    pub async fn open_with(config: &DatabaseConfig, clock: LeaseClock) -> Result<Self> {
        let sessions = Sessions::new(config)?;
        let patience = Instant::now() + config.connect_timeout;
        loop {
            match prepare(&sessions).await {
                Ok(()) => break,
                Err(failure) if failure.is_lost() && Instant::now() < patience => {
                    tracing::warn!(error = %failure.told(), "the database cannot be reached yet");
                    tokio::time::sleep(START_PAUSE).await;
                }
                Err(failure) => return Err(at_start(failure)),
            }
        }
        let manager = Manager::from_connect(
            sessions.config().clone(),
            sessions.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(config.max_connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(config.acquire_timeout))
            .create_timeout(Some(config.connect_timeout))
            .build()
            .map_err(|error| StoreError::Database(error.to_string()))?;
        let store = Self {
            pool,
            trouble: Trouble::default(),
            acquire_timeout: config.acquire_timeout,
            feed_head: watch::Sender::new(0),
            run_changes: watch::Sender::new(0),
            news: watch::Sender::new(News::default()),
            clock,
            closing: CancellationToken::new(),
        };
        let head = super::feed::FeedStore::feed_bounds(&store).await?.head;
        store.feed_head.send_replace(head);
        tokio::spawn(listen::listen(store.clone(), sessions));
        Ok(store)
    }

    /// A connection for a transaction.
    async fn client(&self) -> transaction::Outcome<Client> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => Failure::Database(error),
            PoolError::Closed => Failure::Store(closed()),
            PoolError::Timeout(TimeoutType::Wait) => {
                let text = format!(
                    "all {} connections to the database were in use for {}: raise database.max_connections, or see \
                     what holds them",
                    self.pool.status().max_size,
                    humantime::format_duration(self.acquire_timeout),
                );
                Failure::Store(StoreError::Unavailable(text))
            }
            other => Failure::Store(StoreError::Unavailable(other.to_string())),
        })
    }

    /// The clock that leases are written and compared by.
    pub(super) fn lease_clock(&self) -> &LeaseClock {
        &self.clock
    }

    /// The feed's head is known to be there.
    fn moved(&self, head: i64) {
        self.feed_head.send_if_modified(|known| {
            let moved = head > *known;
            *known = head.max(*known);
            moved
        });
    }

    /// Tells whoever waits, here and elsewhere, what a transaction did.
    fn tell(&self, news: News) {
        if let Some(head) = news.head {
            self.moved(head);
        }
        if news.runs {
            self.run_changes.send_modify(|count| *count += 1);
        }
        if news.head.is_some() || news.runs {
            // What was not sent yet goes with it.
            self.news.send_modify(|waiting| {
                waiting.head = news.head.max(waiting.head);
                waiting.runs |= news.runs;
            });
        }
    }
}

/// Looks whether the database can be used, and brings its schema up to date.
async fn prepare(sessions: &Sessions) -> transaction::Outcome<()> {
    let session = sessions.connect_bare().await?;
    session.check_server().await?;
    migrate::migrate(&session.client).await
}

/// What keeps the store from opening, said so that somebody can mend it.
fn at_start(failure: Failure) -> StoreError {
    match failure.told() {
        StoreError::Unavailable(text) => StoreError::Unavailable(format!(
            "{text}; see that the server of database.url is up and lets this machine in"
        )),
        StoreError::Database(text) => {
            StoreError::Database(format!("{text}; see database.url and the rights of its user"))
        }
        other => other,
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

impl Store for PostgresStore {}

#[cfg(test)]
mod tests;

#[async_trait]
impl Maintenance for PostgresStore {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_in_trouble(&self) -> bool {
        self.trouble.goes_on()
    }

    async fn close(&self) {
        self.closing.cancel();
        self.pool.close();
    }
}
