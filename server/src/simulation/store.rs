//! The store as one replica meets it: the one behind everybody, with everything in between that can go wrong on the way
//! there and back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rand::Rng;
use superfasttt_proto::connector::v1::log_record::Level;
use superfasttt_proto::control::v1::run::Trigger;
use tokio::sync::watch;

use super::port::{Life, Port};
use super::world::{World, lock};
use crate::store::api_tokens::{ApiToken, ApiTokenStore, NewApiToken, TokenHash};
use crate::store::audit::{AuditEvent, AuditFilter, AuditStore};
use crate::store::connections::{
    Connection, ConnectionChange, ConnectionFilter, ConnectionStore, ConnectionTotals, NewConnection,
};
use crate::store::credentials::{Credential, CredentialPut, CredentialStore, DueRefresh, RefreshClaim};
use crate::store::defaults::DefaultStore;
use crate::store::documents::{
    Absent, Child, Commit, DocumentKey, DocumentStore, Generation, OldContainer, StoredDocument,
};
use crate::store::feed::{
    Consumer, FeedBounds, FeedFilter, FeedLag, FeedPage, FeedRow, FeedStore, ReadLimit, Texts,
};
use crate::store::item_errors::{ItemErrorFilter, ItemErrorStore, Shield, StoredItemError, Target};
use crate::store::oauth_apps::{NewOAuthApp, OAuthApp, OAuthAppChange, OAuthAppStore};
use crate::store::oauth_sessions::{Ending, NewOAuthSession, OAuthSessionStore, Standing, Taking};
use crate::store::overview::{Overview, OverviewStore};
use crate::store::raw_items::{RawItem, RawItemStore};
use crate::store::runs::{
    Claiming, Claims, DueRuns, LogPart, LookedAt, Queued, Run, RunFilter, RunOutcome, RunProgress, RunStore,
    StoredLogLine, Surplus, Work,
};
use crate::store::secrets::{Resealed, SecretStore, Secrets, StoredSecret};
use crate::store::sync_states::{ScopeState, SyncStateStore};
use crate::store::wanted::{Leftovers, Retried, Wanted, WantedStore};
use crate::store::{ConnectionKey, Fence, Listed, Maintenance, Result, Store, StoreError};
use crate::vault::{KeyId, Place, Sealed};

/// One replica's way to the store.
pub(super) struct FaultyStore {
    world: Arc<World>,
    port: Arc<Port>,
    /// Word of other replicas never comes.
    deaf: Option<watch::Sender<u64>>,
}

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// It fails, and nothing was done.
    Fails,
    /// The replica dies before it.
    DiesBefore,
    /// The replica dies after it was done.
    DiesAfter,
    /// It fails, and was done.
    LosesReply,
    /// It is done twice.
    Repeats,
}

impl FaultyStore {
    pub(super) fn new(world: Arc<World>, port: Arc<Port>, deaf: bool) -> Self {
        Self { world, port, deaf: deaf.then(|| watch::Sender::new(0)) }
    }

    fn fault(&self) -> Fault {
        if self.world.store_is_down() {
            return Fault::Fails;
        }
        let weather = *lock(&self.world.weather);
        let befalls = [
            (weather.store_fails, Fault::Fails),
            (weather.store_loses_reply, Fault::LosesReply),
            (weather.store_repeats, Fault::Repeats),
            (weather.replica_dies / 2.0, Fault::DiesBefore),
            (weather.replica_dies / 2.0, Fault::DiesAfter),
        ];
        let mut left = self.world.choose(|chance| chance.random::<f64>());
        for (share, fault) in befalls {
            if left < share {
                return fault;
            }
            left -= share;
        }
        Fault::None
    }

    /// The database is away for a while, or something of it is wrong.
    fn failed(&self, how: &str) -> StoreError {
        let away = self.world.store_is_down() || self.world.choose(|chance| chance.random_bool(0.7));
        if away { StoreError::Unavailable(how.to_owned()) } else { StoreError::Database(how.to_owned()) }
    }

    async fn call<T, F>(&self, name: &'static str, make: impl Fn() -> F + Send) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        self.port.pass().await;
        if self.world.happens(|weather| weather.store_is_slow) {
            tokio::time::sleep(self.world.while_up_to(Duration::from_millis(1500))).await;
            self.port.pass().await;
        }
        let fault = self.fault();
        if fault != Fault::None || self.world.tells_calls {
            self.world.tell(format_args!("  {}: {name} {fault:?}", self.port.name));
        }
        match fault {
            Fault::Fails => return Err(self.failed("it cannot be reached")),
            Fault::DiesBefore => self.die().await,
            Fault::None | Fault::DiesAfter | Fault::LosesReply | Fault::Repeats => {}
        }
        let mut answer = make().await;
        match fault {
            Fault::Repeats => {
                self.world.repeats.store(true, Ordering::Relaxed);
                answer = make().await;
                self.world.repeats.store(false, Ordering::Relaxed);
            }
            Fault::LosesReply => return Err(self.failed("the connection was lost")),
            Fault::DiesAfter => self.die().await,
            Fault::None | Fault::Fails | Fault::DiesBefore => {}
        }
        self.port.pass().await;
        answer
    }

    async fn die(&self) {
        self.port.set(Life::Dead);
        self.port.pass().await;
    }
}

/// Writes the methods of a trait as calls that faults befall.
macro_rules! with_faults {
    ($trait:ident { $($watch:item)* } $(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl $trait for FaultyStore {
            $($watch)*

            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer> {
                self.call(stringify!($name), || self.world.store.$name($($argument.clone()),*)).await
            })*
        }
    };
}

with_faults! { ApiTokenStore {}
    fn create_api_token(new: NewApiToken, now: DateTime<Utc>) -> ApiToken;
    fn api_token_by_hash(hash: TokenHash) -> Option<ApiToken>;
    fn api_tokens(organization: Option<String>, after: &str, limit: usize) -> Listed<ApiToken>;
    fn revoke_api_token(id: &str, now: DateTime<Utc>) -> ApiToken;
    fn note_api_tokens(used: Vec<(String, DateTime<Utc>)>) -> ();
}

with_faults! { AuditStore {}
    fn append_audit(events: Vec<AuditEvent>) -> ();
    fn audit_events(filter: AuditFilter, after: Option<i64>, limit: usize) -> Listed<AuditEvent, i64>;
    fn trim_audit(before: DateTime<Utc>, limit: usize) -> u64;
}

with_faults! { ConnectionStore {}
    fn create_connection(new: NewConnection, now: DateTime<Utc>) -> Connection;
    fn connection(id: &str) -> Option<Connection>;
    fn connection_by_key(key: ConnectionKey) -> Option<Connection>;
    fn was_connection(organization: &str, id: &str) -> bool;
    fn connection_by_name(organization: &str, name: &str) -> Option<Connection>;
    fn connections(filter: ConnectionFilter, after: &str, limit: usize) -> Listed<Connection>;
    fn update_connection(
        id: &str, revision: Option<i64>, change: ConnectionChange, now: DateTime<Utc>
    ) -> Connection;
    fn begin_deletion(id: &str, revision: Option<i64>, now: DateTime<Utc>) -> Connection;
    fn claim_deletion(
        holder: &str, lease: Duration, now: DateTime<Utc>
    ) -> Option<(Connection, Fence)>;
    fn release_claim(fence: Fence) -> ();
    fn delete_documents_of(
        fence: Fence, after: &str, limit: usize, now: DateTime<Utc>
    ) -> Option<(u64, String)>;
    fn end_deletion(fence: Fence, now: DateTime<Utc>) -> ();
    fn connection_totals(key: ConnectionKey) -> ConnectionTotals;
}

with_faults! { CredentialStore {}
    fn credential(connection: ConnectionKey) -> Option<(Credential, Secrets)>;
    fn credentials(connections: Vec<ConnectionKey>) -> Vec<Credential>;
    fn put_credential(
        connection: ConnectionKey, expected: Option<i64>, put: CredentialPut, now: DateTime<Utc>
    ) -> i64;
    fn remove_credential(connection: ConnectionKey, expected: i64, now: DateTime<Utc>) -> ();
    fn claim_refresh(
        connection: ConnectionKey, version: i64, holder: &str, lease: Duration, now: DateTime<Utc>
    ) -> RefreshClaim;
    fn count_grants(oauth_app: &str) -> u64;
    fn due_refreshes(limit: usize, now: DateTime<Utc>) -> Vec<DueRefresh>;
}

with_faults! { DefaultStore {}
    fn set_default(connection: ConnectionKey, category: &str) -> ();
    fn default_connection(organization: &str, category: &str) -> Option<Connection>;
}

with_faults! { DocumentStore {}
    fn stored_documents(connection: ConnectionKey, ids: Vec<String>) -> Vec<StoredDocument>;
    fn stored_envelopes(keys: Vec<DocumentKey>) -> Vec<(DocumentKey, Vec<u8>)>;
    fn id_of_locator(connection: ConnectionKey, scope: &str, locator: &str) -> Option<String>;
    fn children(connection: ConnectionKey, scope: &str, id: &str, limit: usize) -> Vec<Child>;
    fn commit(fence: Fence, commit: Commit, now: DateTime<Utc>) -> ();
    fn generations(connection: ConnectionKey) -> Vec<Generation>;
    fn absent(
        connection: ConnectionKey, scope: &str, generation: i64, after: &str, limit: usize
    ) -> Vec<Absent>;
    fn parent_of(connection: ConnectionKey, id: &str) -> Option<String>;
    fn bury(
        fence: Fence, keys: Vec<DocumentKey>, run: &str, progress: RunProgress, now: DateTime<Utc>
    ) -> ();
    fn old_containers(
        connection: ConnectionKey, scope: &str, generation: i64, after: &str, limit: usize
    ) -> Vec<OldContainer>;
    fn forget(
        fence: Fence, scope: &str, containers: Vec<String>, item_errors: Vec<i64>, raw_before: Option<i64>
    ) -> ();
}

with_faults! { FeedStore {
        fn feed_changes(&self) -> watch::Receiver<i64> {
            self.world.store.feed_changes()
        }
    }
    fn feed_bounds() -> FeedBounds;
    fn read_feed(filter: FeedFilter, offset: i64, texts: Texts, limit: ReadLimit) -> FeedPage;
    fn list_documents(
        filter: FeedFilter, after: Option<(ConnectionKey, String)>, texts: Texts, limit: ReadLimit
    ) -> (Vec<FeedRow>, bool);
    fn document(connection: ConnectionKey, id: &str) -> Option<FeedRow>;
    fn text(connection: ConnectionKey, id: &str) -> Option<Option<String>>;
    fn consumer(name: &str, filter: FeedFilter, now: DateTime<Utc>) -> Consumer;
    fn commit_position(name: &str, position: String, now: DateTime<Utc>) -> Consumer;
    fn consumers(after: &str, limit: usize) -> Listed<Consumer>;
    fn delete_consumer(name: &str) -> bool;
    fn feed_lag(filter: FeedFilter, offset: i64) -> FeedLag;
    fn trim_tombstones(before: DateTime<Utc>, limit: usize) -> u64;
}

with_faults! { ItemErrorStore {}
    fn item_errors(
        connection: ConnectionKey, filter: ItemErrorFilter, before: Option<i64>, limit: usize
    ) -> Listed<StoredItemError, i64>;
    fn old_item_errors(
        connection: ConnectionKey, scope: &str, before: DateTime<Utc>, after: i64, limit: usize
    ) -> Vec<(i64, Target)>;
    fn count_item_errors(connection: ConnectionKey) -> u64;
    fn shields(connection: ConnectionKey, scope: &str) -> Vec<Shield>;
}

with_faults! { OAuthAppStore {}
    fn create_oauth_app(new: NewOAuthApp, now: DateTime<Utc>) -> OAuthApp;
    fn update_oauth_app(
        id: &str, revision: Option<i64>, change: OAuthAppChange, now: DateTime<Utc>
    ) -> OAuthApp;
    fn oauth_app(id: &str) -> Option<(OAuthApp, Secrets)>;
    fn oauth_app_for(organization: &str, connector: &str) -> Option<(OAuthApp, Secrets)>;
    fn oauth_apps(organization: Option<String>, after: &str, limit: usize) -> Listed<OAuthApp>;
    fn remove_oauth_app(id: &str) -> bool;
}

with_faults! { OAuthSessionStore {}
    fn create_oauth_session(new: NewOAuthSession) -> ();
    fn take_oauth_session(id: &str, now: DateTime<Utc>) -> Taking;
    fn oauth_session(id: &str) -> Option<Standing>;
    fn finish_oauth_session(id: &str, ending: Ending) -> ();
    fn trim_oauth_sessions(before: DateTime<Utc>, limit: usize) -> u64;
}

with_faults! { SecretStore {}
    fn secret(place: Place) -> Option<Sealed>;
    fn secret_or(place: Place, new: Sealed) -> Sealed;
    fn secrets_to_reseal(newest: KeyId, after: i64, limit: usize) -> Vec<StoredSecret>;
    fn reseal(secrets: Vec<Resealed>) -> u64;
    fn count_secrets() -> std::collections::BTreeMap<Option<KeyId>, u64>;
}

with_faults! { RunStore {
        fn run_changes(&self) -> watch::Receiver<u64> {
            match &self.deaf {
                Some(nobody) => nobody.subscribe(),
                None => self.world.store.run_changes(),
            }
        }
    }
    fn queue_run(
        id: String, connection: ConnectionKey, trigger: Trigger, work: Work, now: DateTime<Utc>
    ) -> Queued;
    fn queue_renormalization(id: String, connection: ConnectionKey, now: DateTime<Utc>) -> Queued;
    fn queue_due_runs(new_id: fn() -> String, limit: usize, now: DateTime<Utc>) -> DueRuns;
    fn turn_back(after: ConnectionKey, limit: usize, now: DateTime<Utc>) -> Option<ConnectionKey>;
    fn claim_runs(claiming: Claiming, now: DateTime<Utc>) -> Claims;
    fn renew_leases(fences: Vec<Fence>, lease: Duration, now: DateTime<Utc>) -> Vec<Fence>;
    fn lost_claims(fences: Vec<Fence>) -> Vec<Fence>;
    fn take_over(everyone: bool, now: DateTime<Utc>) -> u64;
    fn next_due() -> Option<DateTime<Utc>>;
    fn end_runs(outcomes: Vec<RunOutcome>, now: DateTime<Utc>) -> Vec<Result<()>>;
    fn cancel_run(id: &str, now: DateTime<Utc>) -> bool;
    fn run(id: &str) -> Option<Run>;
    fn active_run(connection: ConnectionKey) -> Option<Run>;
    fn runs(filter: RunFilter, before: Option<String>, limit: usize) -> Listed<Run>;
    fn append_log(run: &str, part: LogPart) -> ();
    fn run_log(
        run: &str, min_level: Level, after: i64, limit: usize
    ) -> (Listed<StoredLogLine, i64>, u64);
    fn trim_runs(before: DateTime<Utc>, limit: usize) -> u64;
    fn trim_surplus_runs(keep: usize, after: LookedAt, limit: usize) -> Surplus;
}

with_faults! { RawItemStore {}
    fn raw_items(connection: ConnectionKey, after: &str, limit: usize, max_bytes: usize) -> Vec<RawItem>;
    fn raw_items_of(connection: ConnectionKey, ids: Vec<String>) -> Vec<RawItem>;
    fn count_raw_items(connection: ConnectionKey) -> u64;
    fn sample_raw_items(connection: ConnectionKey, count: usize) -> Vec<String>;
    fn normalizers(connection: ConnectionKey, limit: usize) -> Vec<String>;
    fn trim_raw_items(limit: usize) -> u64;
}

with_faults! { SyncStateStore {}
    fn sync_states(connection: ConnectionKey) -> Vec<ScopeState>;
    fn save_sync_states(fence: Fence, states: Vec<ScopeState>, settings: Option<Vec<u8>>) -> ();
    fn approve_held(connection: ConnectionKey, scopes: Vec<String>) -> Vec<ScopeState>;
    fn reset_sync_states(connection: ConnectionKey, scopes: Vec<String>) -> ();
    fn set_cursor(
        connection: ConnectionKey, scope: &str, cursor: Vec<u8>, expected: Option<ScopeState>
    ) -> ScopeState;
    fn remove_scope(fence: Fence, scope: &str) -> ();
}

with_faults! { WantedStore {}
    fn wanted(connection: ConnectionKey, after: &str, limit: usize) -> Vec<Wanted>;
    fn count_attempts(fence: Fence, ids: Vec<String>) -> ();
    fn retry_item_errors(connection: ConnectionKey, errors: Vec<i64>) -> Retried;
    fn leftovers(connection: ConnectionKey) -> Leftovers;
}

#[async_trait]
impl OverviewStore for FaultyStore {
    async fn overview(&self, disabled: &[String], now: DateTime<Utc>) -> Result<Overview> {
        self.call("overview", || self.world.store.overview(disabled, now)).await
    }
}

impl Store for FaultyStore {}

#[async_trait]
impl Maintenance for FaultyStore {
    fn kind(&self) -> &'static str {
        "faulty"
    }

    fn is_shared(&self) -> bool {
        self.world.store.is_shared()
    }

    async fn close(&self) {}
}
