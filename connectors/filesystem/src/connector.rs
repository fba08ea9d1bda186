//! What the SDK asks of this connector.

use std::sync::Arc;

use superfasttt_connector::{
    Checks, Connector, ConnectorError, Container, ContentWriter, Discover, DiscoverResponse,
    DocumentEnvelope, FetchContent, Item, ItemKey, LogLevel, Pull, Reason, Sink, Target, TestConnection,
};
use tokio::sync::mpsc;

use crate::file::{self, File, left_out};
use crate::path::RelativePath;
use crate::root::Root;
use crate::settings::{Filter, Settings};
use crate::walk::{Found, MAX_ID_BYTES, Step, Walk};
use crate::{discover, fetch};

/// How many steps come from the walking thread at once.
const STEPS_AT_ONCE: usize = 64;
/// Batches that may wait for a slow server.
const BATCHES_WAITING: usize = 4;
const STEPS_PER_CHECKPOINT: usize = 500;
/// More skipped files than this are counted and not told one by one.
const SKIPPED_TOLD: usize = 20;

/// The connector of folders.
#[derive(Debug)]
pub struct Filesystem;

/// Where a listing stands.
#[derive(serde::Serialize, serde::Deserialize)]
struct Cursor {
    /// The root's identity. Another folder at the same path is listed from its beginning.
    root: String,
    /// The last step's path, as an id.
    after: String,
}

impl Connector for Filesystem {
    type Settings = Settings;
    type Raw = File;
    const RAW_SCHEMA: &'static str = "file/1";

    fn manifest(&self) -> &str {
        include_str!("../manifest.json")
    }

    async fn pull(&self, pull: Pull<Settings>, sink: &Sink<Self>) -> Result<(), ConnectorError> {
        // A cursor that cannot be read only costs a listing from the beginning.
        let cursor = pull.cursor("").and_then(|cursor| serde_json::from_slice::<Cursor>(cursor).ok());
        let (batches, mut walked) = mpsc::channel(BATCHES_WAITING);
        let settings = Arc::clone(&pull.settings);
        let walking = tokio::task::spawn_blocking(move || walk(&settings, cursor, &batches));

        let mut listing = Listing { settings: &pull.settings, sink, seen: 0, skipped: 0 };
        while let Some(Batch { root, steps }) = walked.recv().await {
            for step in steps {
                let after = listing.give(step).await?;
                if listing.seen.is_multiple_of(STEPS_PER_CHECKPOINT as u64) {
                    let cursor = Cursor { root: root.to_string(), after };
                    let cursor = serde_json::to_string(&cursor).expect("two strings make JSON");
                    sink.checkpoint(cursor, true).await?;
                }
            }
        }
        let ended = walking.await.map_err(|_| {
            ConnectorError::new(
                Reason::Internal,
                "the walk through the root ended: the connector's log says why",
            )
        });
        ended??;
        if listing.skipped > SKIPPED_TOLD {
            let message = format!("skipped {} entries that are not documents", listing.skipped);
            sink.log(LogLevel::Info, message).await?;
        }
        // Each run is a listing from nothing, so this cursor is never read.
        sink.complete_listing("listed")
    }

    fn normalize(
        &self,
        _key: &ItemKey,
        file: File,
        settings: &Settings,
    ) -> Result<DocumentEnvelope, ConnectorError> {
        let path = RelativePath::decode(&file.path).ok_or_else(|| {
            ConnectorError::new(Reason::Internal, "the kept item holds no path below the root")
        })?;
        Ok(file::envelope(file, &path, settings))
    }

    async fn test_connection(&self, request: TestConnection<Settings>) -> Result<Checks, ConnectorError> {
        let settings = request.settings;
        let checks = match Filter::new(&settings) {
            Ok(_) => Checks::new().passed("patterns_valid", "the patterns can be read"),
            Err(error) => Checks::new().failed("patterns_valid", error.message, "correct the pattern"),
        };
        let root = blocking(move || Root::open(&settings.root)).await?;
        let fix = match root.as_ref().map_err(|error| error.reason) {
            Ok(root) => {
                let message = format!("{} is a folder that can be read", root.path().display());
                return Ok(checks.passed("root_readable", message));
            }
            Err(Reason::NotFound) => "mount or create the folder, or correct the setting `root`",
            Err(Reason::SettingsInvalid) => "set `root` to the absolute path of a folder",
            Err(Reason::AccessDenied) => "grant the connector's user the right to read and search the folder",
            Err(_) => "see that the disk or share answers, and try again",
        };
        let message = root.map_or_else(|error| error.message, |_| String::new());
        Ok(checks.failed("root_readable", message, fix))
    }

    async fn discover(&self, request: Discover) -> Result<DiscoverResponse, ConnectorError> {
        blocking(move || discover::folders(&request)).await?
    }

    async fn fetch_content(
        &self,
        request: FetchContent<Settings>,
        content: &mut ContentWriter,
    ) -> Result<(), ConnectorError> {
        fetch::fetch(request, content).await
    }
}

/// Steps on their way from the walking thread.
struct Batch {
    root: Arc<str>,
    steps: Vec<Step>,
}

/// Walks through the root until its end, or until nobody takes the batches any more.
fn walk(
    settings: &Settings,
    cursor: Option<Cursor>,
    batches: &mpsc::Sender<Batch>,
) -> Result<(), ConnectorError> {
    let filter = Filter::new(settings)?;
    let root = Root::open(&settings.root)?;
    let identity: Arc<str> = root.identity().into();
    let same_root = cursor.filter(|cursor| *cursor.root == *identity);
    let after = same_root.and_then(|cursor| RelativePath::decode(&cursor.after));
    let mut walk = Walk::begin(root, filter, after)?;
    loop {
        let steps: Vec<Step> = walk.by_ref().take(STEPS_AT_ONCE).collect();
        if steps.is_empty() {
            return walk.root().check_still_there();
        }
        if batches.blocking_send(Batch { root: Arc::clone(&identity), steps }).is_err() {
            return Ok(());
        }
    }
}

/// Gives the steps of a walk to the sink.
struct Listing<'a> {
    settings: &'a Settings,
    sink: &'a Sink<Filesystem>,
    seen: u64,
    skipped: usize,
}

impl Listing<'_> {
    /// Gives one step and says where the walk stands then.
    async fn give(&mut self, step: Step) -> Result<String, ConnectorError> {
        let Step { path, found } = step;
        let id = path.encode();
        self.seen += 1;
        match found {
            Found::File { file, version } => {
                let size_bytes = file.size_bytes;
                let mut item = Item::new(id.as_str(), file).with_version(version);
                if left_out(size_bytes, self.settings).is_none() {
                    item = item.with_content_ref(id.as_str());
                }
                self.sink.document(item).await?;
            }
            Found::Folder => {
                self.sink.progress(self.seen, 0, format!("reading {id}"));
                self.sink.container(container(&path)).await?;
            }
            Found::Failed { error, is_folder } => {
                // A path that is too long for an id still fits as locator, which is the same path. Nothing of it, or under
                // it, can have been stored, so there is nothing to name a container for, or to shield.
                let target = if id.len() > MAX_ID_BYTES {
                    Target::locator(id.as_str())
                } else {
                    if is_folder {
                        self.sink.container(container(&path)).await?;
                    }
                    Target::id(id.as_str()).with_descendants()
                };
                self.sink.item_error(target, &error).await?;
            }
            Found::Skipped(what) => {
                self.skipped += 1;
                if self.skipped <= SKIPPED_TOLD {
                    self.sink.log(LogLevel::Info, format!("skipped {id}: {what}")).await?;
                }
            }
            Found::Excluded => {}
        }
        Ok(id)
    }
}

fn container(path: &RelativePath) -> Container {
    let (parent, name) = path.split();
    let name = String::from_utf8_lossy(name).into_owned();
    Container { id: path.encode(), parent_id: parent.encode(), name, locator: path.encode() }
}

/// Runs what blocks on a thread for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ConnectorError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        ConnectorError::new(Reason::Internal, "a thread of the connector ended: its log says why")
    })
}
