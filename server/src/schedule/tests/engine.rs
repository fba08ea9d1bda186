//! A scheduler over a scripted connector. Each pull takes the next script; a pull for which none is left ends at once.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use prost::Message;
use superfasttt_extract::{Pool, PoolConfig};
use superfasttt_proto::connector::pulled;
use superfasttt_proto::connector::v1::{
    Checkpoint, DiscoverRequest, DiscoverResponse, FetchContentRequest, FetchContentResponse,
    NormalizeRequest, NormalizeResponse, PullMode, PullRequest, PullResponse, RawItem, Reason, ScopeError,
    TestConnectionRequest, TestConnectionResponse, change, normalize_request, pull_response,
};
use superfasttt_proto::control::v1::run::Trigger;
use superfasttt_proto::error::ConnectorError;
use tokio::sync::Notify;

use crate::catalog::Catalog;
use crate::clock::{Clock, MockClock};
use crate::config::Config;
use crate::content::Fetcher;
use crate::schedule::{Scheduler, new_id};
use crate::store::SqliteStore;
use crate::store::connections::{Connection, NewConnection};
use crate::store::runs::{Queued, Run, Work};
use crate::store::suite::support::{self, Shared};
use crate::store::sync_states::ScopeState;
use crate::sync::port::{Connectors, Messages, Session, StderrLine};
use crate::sync::testing::{NoCredentials, page};

/// A part of what a pull answers.
pub enum Step {
    Say(pull_response::Kind),
    Fail(ConnectorError),
    /// Says nothing more until the test lets it go on.
    Wait(Arc<Notify>),
}

/// A page, as a step.
pub fn say(scope: &str, changes: Vec<change::Kind>, checkpoint: Option<Checkpoint>) -> Step {
    Step::Say(pull_response::Kind::Page(page(scope, changes, checkpoint)))
}

/// A scope that stops.
pub fn stop_scope(scope: &str, reason: Reason) -> Step {
    let error = ConnectorError::new(reason, "as the script wants it").to_proto();
    Step::Say(pull_response::Kind::ScopeError(ScopeError { scope: scope.to_owned(), error: Some(error) }))
}

/// The end of a pull with an error.
pub fn fail(reason: Reason) -> Step {
    Step::Fail(ConnectorError::new(reason, "as the script wants it"))
}

/// What Normalize answers to the items of a call; after an error, or where it says nothing more, nothing comes.
type Normalize = dyn Fn(Vec<RawItem>) -> Vec<Result<NormalizeResponse, ConnectorError>> + Send + Sync;

#[derive(Default)]
struct Script {
    pulls: Mutex<VecDeque<Vec<Step>>>,
    /// What `open` answers before it succeeds.
    closed: Mutex<VecDeque<ConnectorError>>,
    opened: Mutex<u32>,
    asked: Mutex<Vec<PullRequest>>,
    contents: Mutex<VecDeque<ConnectorError>>,
    normalize: Mutex<Option<Arc<Normalize>>>,
    /// How many items each call of Normalize had.
    normalized: Mutex<Vec<usize>>,
    /// Normalize stays silent after its answers, and does not end.
    hangs: Mutex<bool>,
    /// A pull has come to a step that waits.
    waits: Arc<Notify>,
}

struct Fake(Arc<Script>);

#[async_trait]
impl Connectors for Fake {
    async fn open(&self, _: &Connection) -> Result<Arc<dyn Session>, ConnectorError> {
        if let Some(error) = self.0.closed.lock().unwrap().pop_front() {
            return Err(error);
        }
        *self.0.opened.lock().unwrap() += 1;
        Ok(Arc::new(Fake(self.0.clone())))
    }
}

/// A message as the engine reads it: with documents as they came.
fn as_pulled(message: &PullResponse) -> pulled::PullResponse {
    pulled::PullResponse::decode(message.encode_to_vec().as_slice()).expect("both are the same on the wire")
}

#[async_trait]
impl Session for Fake {
    async fn pull(&self, request: PullRequest) -> Result<Messages<pulled::PullResponse>, ConnectorError> {
        self.0.asked.lock().unwrap().push(request);
        let steps = self.0.pulls.lock().unwrap().pop_front().unwrap_or_default();
        let waits = self.0.waits.clone();
        let messages = stream::iter(steps).then(move |step| {
            let waits = waits.clone();
            async move {
                match step {
                    Step::Say(kind) => Some(Ok(as_pulled(&PullResponse { kind: Some(kind) }))),
                    Step::Fail(error) => Some(Err(error)),
                    Step::Wait(go_on) => {
                        waits.notify_one();
                        go_on.notified().await;
                        None
                    }
                }
            }
        });
        Ok(messages.filter_map(std::future::ready).boxed())
    }

    async fn normalize(
        &self,
        requests: Vec<NormalizeRequest>,
    ) -> Result<Messages<NormalizeResponse>, ConnectorError> {
        let mut requests = requests.into_iter().filter_map(|request| request.kind);
        assert!(
            matches!(requests.next(), Some(normalize_request::Kind::Start(_))),
            "the settings come first"
        );
        let items: Vec<RawItem> = requests
            .map(|kind| match kind {
                normalize_request::Kind::Raw(item) => item,
                normalize_request::Kind::Start(_) => panic!("settings twice"),
            })
            .collect();
        self.0.normalized.lock().unwrap().push(items.len());
        let normalize = self.0.normalize.lock().unwrap().clone().expect("nobody said how to normalize");
        let answers = stream::iter(normalize(items));
        let hangs = *self.0.hangs.lock().unwrap();
        Ok(if hangs { answers.chain(stream::pending()).boxed() } else { answers.boxed() })
    }

    async fn fetch_content(
        &self,
        _: FetchContentRequest,
    ) -> Result<Messages<FetchContentResponse>, ConnectorError> {
        let error = self.0.contents.lock().unwrap().pop_front();
        Err(error.unwrap_or_else(|| ConnectorError::new(Reason::ContentUnreadable, "no script")))
    }

    async fn test_connection(
        &self,
        _: TestConnectionRequest,
    ) -> Result<TestConnectionResponse, ConnectorError> {
        Err(ConnectorError::new(Reason::Unimplemented, "not scripted"))
    }

    async fn discover(&self, _: DiscoverRequest) -> Result<DiscoverResponse, ConnectorError> {
        Err(ConnectorError::new(Reason::Unimplemented, "not scripted"))
    }

    fn stderr(&self) -> BoxStream<'static, StderrLine> {
        stream::empty().boxed()
    }
}

/// A scheduler that does something only when the test says so.
pub struct Engine {
    pub scheduler: Arc<Scheduler>,
    pub store: Shared,
    pub clock: MockClock,
    pub connection: Connection,
    script: Arc<Script>,
    folder: tempfile::TempDir,
}

impl Engine {
    /// An engine whose connector has a change feed and lists everything.
    pub async fn new() -> Self {
        Self::with(&["incremental", "full_listing"], |_| {}).await
    }

    /// An engine whose connector can do this.
    pub async fn with(capabilities: &[&str], change: impl FnOnce(&mut NewConnection)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Shared = Arc::new(SqliteStore::open(&folder.path().join("db")).await.unwrap());
        Self::over(store, folder, capabilities, change).await
    }

    /// As [`Self::new`], over this store.
    pub async fn on(store: Shared) -> Self {
        Self::over(store, tempfile::tempdir().unwrap(), &["incremental", "full_listing"], |_| {}).await
    }

    async fn over(
        store: Shared,
        folder: tempfile::TempDir,
        capabilities: &[&str],
        change: impl FnOnce(&mut NewConnection),
    ) -> Self {
        let manifest = serde_json::json!({
            "id": "demo", "auth": {"type": "none"}, "sync": {"mode": "full"}, "capabilities": capabilities,
        });
        std::fs::create_dir_all(folder.path().join("connectors/demo")).unwrap();
        std::fs::write(folder.path().join("connectors/demo/manifest.json"), manifest.to_string()).unwrap();
        let clock = MockClock::default();
        let mut new = support::new_connection("docs");
        change(&mut new);
        let connection = store.create_connection(new, clock.now()).await.unwrap();
        let script = Arc::new(Script::default());
        let scheduler = scheduler(&store, &clock, &script, folder.path().to_owned());
        Self { scheduler, store, clock, connection, script, folder }
    }

    /// The same store and script with another scheduler, as after a restart.
    pub async fn restarted(self) -> Self {
        let scheduler = scheduler(&self.store, &self.clock, &self.script, self.folder.path().to_owned());
        self.store.take_over(true, self.clock.now()).await.unwrap();
        Self { scheduler, ..self }
    }

    /// Adds the script of one more pull.
    pub fn pull(&self, steps: Vec<Step>) {
        self.script.pulls.lock().unwrap().push_back(steps);
    }

    /// The connector does not come up so often first.
    pub fn crash_at_start(&self, times: usize) {
        let error = ConnectorError::new(Reason::ConnectorCrashed, "it does not come up");
        self.script.closed.lock().unwrap().extend(std::iter::repeat_n(error, times));
    }

    /// What the next fetches of content answer.
    pub fn fail_content(&self, error: ConnectorError) {
        self.script.contents.lock().unwrap().push_back(error);
    }

    /// How Normalize answers from here on.
    pub fn normalize(
        &self,
        normalize: impl Fn(Vec<RawItem>) -> Vec<Result<NormalizeResponse, ConnectorError>> + Send + Sync + 'static,
    ) {
        *self.script.normalize.lock().unwrap() = Some(Arc::new(normalize));
    }

    /// Whether Normalize stays silent after its answers, instead of ending.
    pub fn hang_normalize(&self, hangs: bool) {
        *self.script.hangs.lock().unwrap() = hangs;
    }

    /// How many items each call of Normalize had so far.
    pub fn normalized(&self) -> Vec<usize> {
        self.script.normalized.lock().unwrap().clone()
    }

    /// Asks for a re-normalization and lets it go to its end.
    pub async fn renormalize(&self) -> Run {
        let (id, key) = (new_id(), self.connection.key);
        let queued = self.store.queue_renormalization(id, key, self.clock.now()).await.unwrap();
        let Queued::New(run) = queued else { panic!("something is under way: {queued:?}") };
        self.go().await;
        self.run(&run.id).await
    }

    /// Asks for a run and lets it go to its end, or to its pause.
    pub async fn sync(&self) -> Run {
        self.sync_with(false).await
    }

    /// As [`Self::sync`]; `full` asks for everything.
    pub async fn sync_with(&self, full: bool) -> Run {
        let run = self.ask(full).await;
        self.go().await;
        self.run(&run.id).await
    }

    /// Asks for a run.
    pub async fn ask(&self, full: bool) -> Run {
        self.ask_for_work(if full { Work::Full } else { Work::Changes }).await
    }

    /// Asks for a run that does this.
    pub async fn ask_for_work(&self, work: Work) -> Run {
        let (id, key) = (new_id(), self.connection.key);
        match self.store.queue_run(id, key, Trigger::Manual, work, self.clock.now()).await.unwrap() {
            Queued::New(run) | Queued::Existing(run) | Queued::Follows(run) => run,
        }
    }

    /// Begins what is due and waits until nothing is under way.
    pub async fn go(&self) {
        self.scheduler.tick().await.unwrap();
        self.settled().await;
    }

    /// Begins what is due.
    pub async fn begin(&self) {
        self.scheduler.tick().await.unwrap();
    }

    /// Waits until nothing is under way.
    pub async fn settled(&self) {
        self.scheduler.tasks.close();
        self.scheduler.tasks.wait().await;
        self.scheduler.tasks.reopen();
    }

    /// Waits until a pull has come to a step that waits.
    pub async fn waits(&self) {
        self.script.waits.notified().await;
    }

    pub async fn run(&self, id: &str) -> Run {
        self.store.run(id).await.unwrap().unwrap()
    }

    pub async fn ids(&self) -> Vec<String> {
        support::listed(&self.store).await
    }

    pub async fn state(&self, scope: &str) -> ScopeState {
        let states = self.store.sync_states(self.connection.key).await.unwrap();
        states.into_iter().find(|state| state.scope == scope).unwrap()
    }

    /// The connection as it is now.
    pub async fn shown(&self) -> Connection {
        self.store.connection_by_key(self.connection.key).await.unwrap().unwrap()
    }

    /// The messages of a run's log.
    pub async fn log(&self, run: &str) -> Vec<String> {
        let level = superfasttt_proto::connector::v1::log_record::Level::Unspecified;
        let (log, _) = self.store.run_log(run, level, 0, 1000).await.unwrap();
        log.items.into_iter().map(|line| line.line.message).collect()
    }

    /// What the connector was asked since the last look: mode, and scope=cursor of each state.
    pub fn asked(&self) -> Vec<(PullMode, String)> {
        let asked = std::mem::take(&mut *self.script.asked.lock().unwrap());
        let states = |request: &PullRequest| {
            let states = request.states.iter();
            let states =
                states.map(|state| format!("{}={}", state.scope, String::from_utf8_lossy(&state.cursor)));
            states.collect::<Vec<_>>().join(" ")
        };
        asked.iter().map(|request| (request.mode(), states(request))).collect()
    }

    /// The scopes that each pull since the last look was for, and the ids.
    pub fn asked_for(&self) -> Vec<(Vec<String>, Vec<String>)> {
        let asked = std::mem::take(&mut *self.script.asked.lock().unwrap());
        asked.into_iter().map(|request| (request.scopes, request.ids)).collect()
    }

    /// How often the connector was opened.
    pub fn opened(&self) -> u32 {
        *self.script.opened.lock().unwrap()
    }

    pub fn advance(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }
}

fn scheduler(store: &Shared, clock: &MockClock, script: &Arc<Script>, folder: PathBuf) -> Arc<Scheduler> {
    let config = Config::default();
    let catalog = Catalog::load(&folder.join("connectors")).unwrap();
    // Nothing in these tests comes as far as a worker.
    let pool = Pool::new(PoolConfig::new("/nonexistent".into(), Vec::new()));
    let fetcher = Arc::new(Fetcher::new(pool, &config.content, folder));
    let connectors = Arc::new(Fake(script.clone()));
    let scheduler = Scheduler::new(
        Arc::new(config),
        store.clone(),
        Arc::new(clock.clone()),
        catalog,
        (connectors, Arc::new(NoCredentials)),
        fetcher,
    );
    tokio::spawn(scheduler.clone().keep_claims());
    scheduler
}
