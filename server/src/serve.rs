//! Assembles the service, serves until it is told to stop, and stops in order: no new runs, current pages committed,
//! listeners closed, connectors stopped, the store closed.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use superfasttt_extract::{Pool, PoolConfig};
use superfasttt_oauth::{Http, HttpOptions};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::access::{Access, Audit};
use crate::api::Api;
use crate::api::health::Health;
use crate::api::listener::{Listener, Tls};
use crate::api::public::{Front, PublicListener};
use crate::catalog::Catalog;
use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, ContentConfig, PublicUrl};
use crate::content::Fetcher;
use crate::credentials::authorize::Authorizations;
use crate::credentials::{Credentials, Parts};
use crate::process::ProcessHost;
use crate::schedule::Scheduler;
use crate::store::{PostgresStore, SqliteStore, Store};
use crate::telemetry::metrics;
use crate::telemetry::scrape::Scrape;
use crate::vault;

/// The allocator sets a gigabyte aside at its start. In a worker, whose memory is limited, that must be address space
/// and not memory.
const ALLOCATOR_WITHIN_LIMITS: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");

/// How long to wait for a data folder that another process still holds, and between two looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown`.
///
/// # Errors
/// What keeps the service from starting, with what to do about it.
pub async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = Arc::new(config);
    let clock: SharedClock = Arc::new(SystemClock);
    let started_at = clock.now();
    let data = &config.data.dir;
    create_data_folder(data)?;
    let _lock = lock(data).await?;
    let runtime_dir = config.data.runtime_dir();
    let content_dir = data.join("content");
    empty_folder(&runtime_dir)?;
    empty_folder(&content_dir)?;
    fs::set_permissions(&content_dir, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("{} cannot be kept from other users", content_dir.display()))?;

    // Before anything is opened: without its certificate nothing is served.
    let tls = Tls::load("control", &config.server.tls, clock.clone()).context("server.tls")?;
    let public_tls =
        Tls::load("public", &config.server.public_tls, clock.clone()).context("server.public_tls")?;
    let health = Health::starting(Api::SERVICES).await;
    let store = open_store(&config).await?;
    health.tells_of(store.clone());
    let vault = vault::open(&config, store.as_ref()).await.context("the vault cannot be opened")?;
    let _canary = AbortOnDropHandle::new(tokio::spawn(vault::watch(vault.clone(), store.clone())));
    let catalog = Catalog::load_with(
        &config.connectors.dir,
        config.connectors.disabled(),
        config.connectors.required_conformance,
    )?;
    let _watch = if config.connectors.watch { Some(catalog.watch()) } else { None };
    let host = ProcessHost::new(config.process.clone(), clock.clone(), catalog.clone(), &runtime_dir)?;
    let fetcher =
        Arc::new(Fetcher::new(extraction_pool(&config.content, &content_dir)?, &config.content, content_dir));
    let audit = Audit::new(store.clone(), clock.clone());
    let http = HttpOptions { egress: config.oauth.egress(), ..HttpOptions::default() };
    let credentials = Credentials::new(Parts {
        store: store.clone(),
        vault,
        http: Http::new(http).context("providers cannot be reached")?,
        clock: clock.clone(),
        catalog: catalog.clone(),
        oauth: config.oauth.clone(),
        references: config.credentials.clone(),
        audit: audit.clone(),
    });
    let scheduler = Scheduler::new(
        config.clone(),
        store.clone(),
        clock.clone(),
        catalog.clone(),
        (Arc::new(host.clone()), credentials.clone()),
        fetcher.clone(),
    );
    let collected = metrics::install().context("metrics cannot be collected")?;
    let scrape = Scrape::new(collected, store.clone(), clock.clone(), catalog.clone(), host.clone());
    let _upkeep = AbortOnDropHandle::new(tokio::spawn(scrape.clone().upkeep()));
    // Its port is known before anything names the address that browsers reach it by.
    let public = PublicListener::bind(config.server.public_listen).await?;
    let public_address = public.local_addr();
    let public_url = PublicUrl::of(config.server.public_url.as_deref(), public_address, public_tls.is_some());
    let public = public.with_tls(public_tls);
    let authorizations = Authorizations::new(credentials.clone(), public_url.clone(), shutdown.clone());
    let api = Api {
        store: store.clone(),
        clock: clock.clone(),
        catalog: catalog.clone(),
        host: host.clone(),
        scheduler: scheduler.clone(),
        credentials: credentials.clone(),
        authorizations: authorizations.clone(),
        audit: audit.clone(),
        started_at,
    };
    let front = Front { authorizations, try_it: api.trial(), audit: audit.clone(), health: health.clone() };
    let server = &config.server;
    let access = Access::new(store.clone(), clock, server.token.clone(), server.require_token, audit.clone());
    // What they have yet to write is written when nothing is served any more.
    let served = CancellationToken::new();
    let writing = TaskTracker::new();
    writing.spawn(audit.clone().run(config.audit.retention, served.clone()));
    writing.spawn(access.clone().run(served.clone()));
    writing.close();
    let address = server.control_listen;
    let listener = Listener::bind(address, api.routes(), scrape.routes(), health.clone(), access).await?;
    let listener = listener.with_tls(tls);
    let address = listener.local_addr();
    let patience = config.server.drain_timeout;
    let listening = tokio::spawn(listener.serve(shutdown.clone(), patience));
    let public = tokio::spawn(public.serve(front, shutdown.clone(), patience));
    let mut scheduling = tokio::spawn(scheduler.clone().run());
    let _fresh = AbortOnDropHandle::new(tokio::spawn(credentials.clone().keep_fresh(shutdown.clone())));
    health.serving().await;
    tracing::info!(%address, %public_address, %public_url, connectors = catalog.list().len(), "connectord is serving");

    tokio::select! {
        () = shutdown.cancelled() => {}
        // It ends by itself only where the store cannot be read: nothing would ever be synced.
        _ = &mut scheduling, if !scheduling.is_finished() => shutdown.cancel(),
    }
    tracing::info!("stopping: runs stop at their last committed page");
    health.draining().await;
    scheduler.shutdown(patience).await;
    listening.await.context("the control listener failed")?;
    public.await.context("the public listener failed")?;
    scheduling.await.context("the scheduler failed")??;
    // What a provider answers is stored before the store is closed.
    credentials.finish(patience).await;
    fetcher.shutdown().await;
    host.shutdown().await;
    served.cancel();
    writing.wait().await;
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Opens PostgreSQL where it is configured, else the file in the data folder.
async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let store: Arc<dyn Store> = if config.database.url.is_some() {
        Arc::new(PostgresStore::open(&config.database).await?)
    } else {
        let database = config.data.database_path();
        create_private(&database)?;
        Arc::new(SqliteStore::open(&database).await?)
    };
    tracing::info!(store = store.kind(), "the store is open");
    Ok(store)
}

/// One connectord at a time works on a data folder: the embedded store has one writer. One that was just killed may
/// need a moment to be gone.
async fn lock(data: &Path) -> anyhow::Result<File> {
    let path = data.join("connectord.lock");
    // Who can open it can hold it, and so keep this server from starting.
    create_private(&path)?;
    let private = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
    private.with_context(|| format!("{} cannot be kept from other users", path.display()))?;
    let file = File::create(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    let patience = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                tokio::time::sleep(LOCK_PAUSE).await
            }
            Err(TryLockError::WouldBlock) => bail!(
                "another connectord works on {}: stop it, or give this one another folder with --data-dir",
                data.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{} cannot be locked", path.display()));
            }
        }
    }
}

/// Makes a file that only this user may read, where it is missing. SQLite gives what it puts beside it the same mode.
fn create_private(path: &Path) -> anyhow::Result<()> {
    let mut options = File::options();
    options.create(true).append(true).mode(0o600);
    options.open(path).map(drop).with_context(|| format!("{} cannot be made", path.display()))
}

/// Makes the data folder where it is missing. Others can pass through it, as connectors of another user have to, and see
/// nothing of what is in it.
fn create_data_folder(folder: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(folder);
    made.with_context(|| format!("the data folder {} cannot be made", folder.display()))
}

/// Makes a folder, without what a former process left in it.
fn empty_folder(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} cannot be emptied", folder.display()));
        }
        Ok(()) | Err(_) => {}
    }
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

/// The extraction workers: this very program, as a process of its own.
fn extraction_pool(config: &ContentConfig, folder: &Path) -> anyhow::Result<Pool> {
    let program = std::env::current_exe().context("the path of this program cannot be found")?;
    Ok(Pool::new(PoolConfig {
        // The workers are started elsewhere than this process was.
        folder: Some(std::path::absolute(folder).context("the folder of documents has no path")?),
        workers: config.extract_workers,
        timeout: config.extract_timeout,
        memory_bytes: config.extract_memory_bytes.as_u64(),
        max_input_bytes: config.max_bytes.as_u64(),
        max_text_bytes: config.max_text_bytes.as_usize(),
        environment: vec![ALLOCATOR_WITHIN_LIMITS],
        ..PoolConfig::new(program, vec!["extract-worker".to_owned()])
    }))
}
