//! Connections to the database, all set up alike, and the feed's histories that begin with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::Connect;
use futures::future::BoxFuture;
use secrecy::ExposeSecret;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, Error, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use super::transaction::Outcome;
use crate::config::DatabaseConfig;
use crate::store::feed::{MAX_HISTORIES, new_number};
use crate::store::{Result, StoreError};

/// The oldest server that has all that is used here.
const OLDEST: i32 = 150_000;

/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(5);

/// A connection that is silent is asked whether it is still there: a machine that vanished is noticed in about half a
/// minute, and what it was sent and did not confirm in as long.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const UNCONFIRMED: Duration = Duration::from_secs(30);

/// Makes connections.
#[derive(Clone)]
pub(super) struct Sessions {
    config: Config,
    tls: MakeRustlsConnect,
    setup: Arc<str>,
    lives: Arc<Lives>,
}

/// What is known of the database behind the connections.
#[derive(Default)]
struct Lives {
    /// Connections that are open.
    open: AtomicUsize,
    /// Which server's life the newest history was begun in.
    known: Mutex<Option<String>>,
}

/// A connection, without a pool around it.
pub(super) struct Session {
    pub(super) client: Client,
    /// What it is told by others.
    pub(super) notifications: mpsc::UnboundedReceiver<Notification>,
    task: AbortOnDropHandle<()>,
}

impl Sessions {
    /// Connections as the configuration says.
    pub(super) fn new(config: &DatabaseConfig) -> Result<Self> {
        let unusable = |text: String| StoreError::Database(format!("database.url cannot be used: {text}"));
        let target = config.target().map_err(unusable)?;
        let mut settings: Config = target
            .url
            .expose_secret()
            .parse()
            .map_err(|error| unusable(super::transaction::describe(&error)))?;
        settings
            .ssl_mode(target.sslmode.negotiated())
            .connect_timeout(ATTEMPT.min(config.connect_timeout))
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(UNCONFIRMED);
        if settings.get_application_name().is_none() {
            settings.application_name("connectord");
        }
        // Every statement here goes through an index, row by row, however large the tables are and whatever is known of
        // them: so it is planned once, and never by figures of when a table was still small.
        let setup = format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
             SET default_transaction_isolation = 'read committed'; SET client_min_messages = warning; \
             SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; \
             SET enable_mergejoin = off; SET jit = off",
            config.statement_timeout.as_millis(),
            config.lock_timeout.as_millis(),
            config.idle_in_transaction_timeout.as_millis(),
        );
        let tls = super::tls::connector(target.sslmode, target.root_certificates.as_deref())?;
        Ok(Self { config: settings, tls, setup: setup.into(), lives: Arc::default() })
    }

    /// Where connections go.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// A connection before the schema is known to be there.
    pub(super) async fn connect_bare(&self) -> std::result::Result<Session, Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let (tell, notifications) = mpsc::unbounded_channel();
        self.lives.open.fetch_add(1, Ordering::SeqCst);
        let open = OpenLife(self.lives.clone());
        let task = tokio::spawn(async move {
            let _open = open;
            loop {
                match std::future::poll_fn(|context| connection.poll_message(context)).await {
                    // Nobody listens on a connection of the pool.
                    Some(Ok(AsyncMessage::Notification(notification))) => drop(tell.send(notification)),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        let error = super::transaction::describe(&error);
                        return tracing::debug!(error, "a connection to the database ended");
                    }
                    None => return,
                }
            }
        });
        let session = Session { client, notifications, task: AbortOnDropHandle::new(task) };
        session.client.batch_execute(&self.setup).await?;
        Ok(session)
    }

    /// A connection to a database whose schema is there. The first one, the first after all were lost, and the first to
    /// another server's life (a restart, a restored backup, a standby that took over) begins a history of the feed, so
    /// that offsets which are given twice are told apart.
    pub(super) async fn connect(&self) -> std::result::Result<Session, Error> {
        let session = self.connect_bare().await?;
        let sql = "SELECT pg_postmaster_start_time()::text || ' ' || oid FROM pg_database \
                   WHERE datname = current_database()";
        let life: String = session.client.query_one(sql, &[]).await?.get(0);
        let mut known = self.lives.known.lock().await;
        let alone = self.lives.open.load(Ordering::SeqCst) == 1;
        if alone || known.as_ref() != Some(&life) {
            begin_history(&session.client).await?;
            *known = Some(life);
        }
        Ok(session)
    }
}

/// Counts a connection as long as it is open.
struct OpenLife(Arc<Lives>);

impl Drop for OpenLife {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Connect for Sessions {
    fn connect(
        &self,
        _config: &Config,
    ) -> BoxFuture<'_, std::result::Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(async move {
            let session = Sessions::connect(self).await?;
            Ok((session.client, session.task.detach()))
        })
    }
}

impl Session {
    /// Refuses a server that is too old.
    pub(super) async fn check_server(&self) -> Outcome<()> {
        let sql = "SELECT current_setting('server_version_num')::int";
        let found: i32 = self.client.query_one(sql, &[]).await?.get(0);
        if found >= OLDEST {
            return Ok(());
        }
        let text = format!("the server is PostgreSQL {}: this needs 15 or newer", found / 10_000);
        Err(StoreError::Database(text).into())
    }
}

/// Begins a new history behind the feed's head. One that nothing was written in gives way to it.
async fn begin_history(client: &Client) -> std::result::Result<(), Error> {
    // All in one message: nobody waits for this connection to go on while it holds the head.
    let sql = format!(
        "BEGIN; \
         SELECT value FROM meta WHERE name = 'feed_head' FOR UPDATE; \
         INSERT INTO feed_histories (from_offset, number) \
           SELECT value + 1, {number} FROM meta WHERE name = 'feed_head' \
           ON CONFLICT (from_offset) DO UPDATE SET number = excluded.number; \
         WITH joined AS (DELETE FROM feed_histories \
           WHERE from_offset > (SELECT min(from_offset) FROM feed_histories) AND from_offset <= \
           (SELECT from_offset FROM feed_histories ORDER BY from_offset DESC LIMIT 1 OFFSET {others}) RETURNING 1) \
         UPDATE feed_histories SET number = {joint} WHERE EXISTS (SELECT 1 FROM joined) \
           AND from_offset = (SELECT min(from_offset) FROM feed_histories); \
         COMMIT",
        number = new_number(),
        others = MAX_HISTORIES - 1,
        joint = new_number(),
    );
    client.batch_execute(&sql).await
}
