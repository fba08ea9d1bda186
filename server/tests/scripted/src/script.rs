//! What a script can say, and the messages that its parts stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value};
use superfasttt_connector::json_to_struct;
use superfasttt_proto::connector::v1::{
    self, Change, Checkpoint, DocumentEnvelope, Permissions, change, deletion, item_error, log_record,
    scope_removed,
};
use superfasttt_proto::error::{ConnectorError, reason_by_name};

use crate::source::Source;

/// The whole file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// The n-th Pull plays the n-th of these, then the last one again.
    pub pulls: Vec<PullScript>,
    /// The n-th Pull of a mode that is here ("LIST", "TARGETED", ...) plays the n-th of these instead, then the last one
    /// again.
    pub modes: BTreeMap<String, Vec<PullScript>>,
    /// FetchContent plays the entry of its `content_ref`; one that is not here is NOT_FOUND.
    pub content: BTreeMap<String, Content>,
    /// The checks of TestConnection. Empty: one that passes.
    pub checks: Vec<CheckScript>,
    /// The resources of Discover, under each parent's id ("" is the top).
    pub resources: BTreeMap<String, Vec<ResourceScript>>,
    /// Which credentials the source refuses, and whose they are.
    pub source: Source,
    /// What Normalize does besides reading a raw item's data as a [`Document`].
    pub normalize: Normalize,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Normalize {
    /// Stands before each title.
    pub title_prefix: String,
    /// Only before the titles of these documents. Empty: of all.
    pub retitle: BTreeSet<String>,
    /// Items that become item errors.
    pub refuse: BTreeSet<String>,
    /// Nothing is answered before so many items, or the end of the requests, were read.
    pub answer_after: usize,
    /// A pause before each answer.
    pub delay_ms: u64,
    /// The process ends when this item's turn comes.
    pub exit_at: Option<String>,
    /// What happens when an item's turn comes.
    pub hold: Option<Hold>,
}

/// At an item, touches one file and waits for another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    pub id: String,
    pub reached: PathBuf,
    pub until: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullScript {
    pub steps: Vec<Step>,
}

/// One thing that a pull does, in a scope where that matters.
#[derive(Deserialize)]
pub struct Step {
    #[serde(default)]
    pub scope: String,
    #[serde(flatten)]
    pub act: Act,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Document(Document),
    Raw(Raw),
    Present(Present),
    Permissions(PermissionsOf),
    Deletion(Target),
    Container(Container),
    ItemError(ItemFailure),
    /// A page of exactly these changes, in the step's scope or its own.
    Page(PageScript),
    Checkpoint(CheckpointScript),
    ScopeError(Failure),
    /// The cause: "gone", "access_lost" or "deselected".
    ScopeRemoved(String),
    Progress(Progress),
    Log(Log),
    Generate(Generate),
    /// A line on stderr.
    Stderr(String),
    /// A line on stdout, where nothing belongs.
    Stdout(String),
    /// Goes on when this file exists.
    WaitForFile(PathBuf),
    TouchFile(PathBuf),
    SleepMs(u64),
    /// Ends the process, after what was sent so far has gone out.
    Exit(i32),
    /// Ends the process by SIGABRT, after what was sent so far has gone out.
    Abort(bool),
    /// Grows the process by so many resident bytes, for good.
    AllocateBytes(usize),
    /// Does what a hostile connector would, and writes down what it got.
    LookAround(LookAround),
    /// Sends a message that says nothing: "response", or "change" for a page with such a change.
    UnknownKind(String),
    /// Ends the pull with this status.
    Fail(Failure),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Document {
    pub id: String,
    pub title: String,
    pub content: Option<String>,
    pub url: String,
    pub version: String,
    pub content_ref: String,
    pub media_type: String,
    pub parent_id: String,
    pub locator: String,
    pub metadata: Option<Map<String, Value>>,
    pub permissions: Option<PermissionsScript>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct PermissionsScript {
    visibility: String,
    allow: Vec<String>,
    deny: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermissionsOf {
    id: String,
    permissions: PermissionsScript,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    id: String,
    version: String,
    content_ref: String,
    schema: String,
    /// Normalize reads it as a [`Document`].
    data: Value,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Present {
    id: String,
    version: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    id: Option<String>,
    locator: Option<String>,
    with_descendants: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Container {
    id: String,
    parent_id: String,
    name: String,
    locator: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct ItemFailure {
    id: Option<String>,
    locator: Option<String>,
    with_descendants: bool,
    reason: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageScript {
    pub scope: Option<String>,
    #[serde(default)]
    pub changes: Vec<Act>,
    pub checkpoint: Option<CheckpointScript>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointScript {
    cursor: String,
    has_more: bool,
    listing_complete: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Progress {
    pub items_seen: u64,
    pub items_total: u64,
    pub message: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// "debug", "info", "warn" or "error".
    level: String,
    message: String,
}

/// What a hostile connector tries.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookAround {
    /// Files that it reads, and folders that it lists.
    pub at: Vec<PathBuf>,
    /// Files that it writes.
    #[serde(default)]
    pub write: Vec<PathBuf>,
    /// Processes that it asks to end.
    #[serde(default)]
    pub end: Vec<i32>,
    /// Where it writes down, as JSON, what came of each.
    pub into: PathBuf,
}

/// Many documents, made as they are sent: ids `<prefix><number>`, text of one repeated character.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Generate {
    pub count: u64,
    pub start: u64,
    pub prefix: String,
    pub size_bytes: usize,
    pub per_page: u64,
    /// A checkpoint with the next document's number as cursor after so many documents; 0 for none.
    pub checkpoint_every: u64,
    pub version: String,
    /// Raw items that Normalize makes the same documents of.
    pub raw: bool,
}

impl Default for Generate {
    fn default() -> Self {
        Self {
            count: 0,
            start: 0,
            prefix: "doc-".to_owned(),
            size_bytes: 100,
            per_page: 200,
            checkpoint_every: 1000,
            version: "1".to_owned(),
            raw: false,
        }
    }
}

/// Bytes of a document: exactly one of `text`, `file`, `size_bytes` (zeros), `fail`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Content {
    pub text: Option<String>,
    pub file: Option<PathBuf>,
    pub size_bytes: Option<u64>,
    pub media_type: String,
    /// What the header says; absent: the truth.
    pub length_bytes: Option<u64>,
    pub version: String,
    pub fail: Option<Failure>,
    pub delay_ms: u64,
    /// After so many bytes the stream ends with SOURCE_UNAVAILABLE.
    pub cut_after_bytes: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Failure {
    /// The name of a reason, such as "RATE_LIMITED".
    reason: String,
    message: String,
    retry_after_s: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckScript {
    name: String,
    /// "passed", "failed", "warning" or "skipped".
    outcome: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    fix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceScript {
    id: String,
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    has_children: bool,
    #[serde(default)]
    selectable: bool,
}

impl Act {
    /// The change that this stands for, if it is one.
    pub fn into_change(self) -> anyhow::Result<Result<Change, Self>> {
        let kind = match self {
            Self::Document(document) => change::Kind::Document(document.into_proto()),
            Self::Raw(raw) => change::Kind::Raw(v1::RawItem {
                id: raw.id,
                version: raw.version,
                content_ref: raw.content_ref,
                schema: raw.schema,
                data: raw.data.to_string().into(),
            }),
            Self::Present(present) => {
                change::Kind::Present(v1::Present { id: present.id, version: present.version })
            }
            Self::Permissions(PermissionsOf { id, permissions }) => {
                let permissions = Some(permissions.into_proto());
                change::Kind::Permissions(v1::PermissionsChange { id, permissions })
            }
            Self::Deletion(Target { id, locator, with_descendants }) => {
                let target = id.map(deletion::Target::Id).or(locator.map(deletion::Target::Locator));
                change::Kind::Deletion(v1::Deletion { target, with_descendants })
            }
            Self::Container(container) => change::Kind::Container(v1::Container {
                id: container.id,
                parent_id: container.parent_id,
                name: container.name,
                locator: container.locator,
            }),
            Self::ItemError(ItemFailure { id, locator, with_descendants, reason, message }) => {
                let target = id.map(item_error::Target::Id).or(locator.map(item_error::Target::Locator));
                let error = Some(failure(&reason, message, None)?.to_proto());
                change::Kind::ItemError(v1::ItemError { target, with_descendants, error })
            }
            Self::UnknownKind(what) if what == "change" => return Ok(Ok(Change::default())),
            other => return Ok(Err(other)),
        };
        Ok(Ok(Change { kind: Some(kind) }))
    }
}

impl Document {
    pub fn into_proto(self) -> DocumentEnvelope {
        DocumentEnvelope {
            id: self.id,
            title: self.title,
            content: self.content,
            url: self.url,
            version: self.version,
            content_ref: self.content_ref,
            media_type: self.media_type,
            parent_id: self.parent_id,
            locator: self.locator,
            metadata: self.metadata.map(json_to_struct),
            permissions: self.permissions.map(PermissionsScript::into_proto),
            ..DocumentEnvelope::default()
        }
    }
}

impl PermissionsScript {
    fn into_proto(self) -> Permissions {
        Permissions { visibility: self.visibility, allow: self.allow, deny: self.deny }
    }
}

impl CheckpointScript {
    pub fn into_proto(self) -> Checkpoint {
        Checkpoint {
            cursor: self.cursor.into_bytes(),
            has_more: self.has_more,
            listing_complete: self.listing_complete,
        }
    }
}

impl Log {
    pub fn into_proto(self) -> anyhow::Result<v1::LogRecord> {
        let level = enum_value(log_record::Level::from_str_name, "LEVEL", &self.level)?;
        Ok(v1::LogRecord { level: level.into(), message: self.message, ..Default::default() })
    }
}

impl CheckScript {
    pub fn into_proto(self) -> anyhow::Result<v1::Check> {
        let outcome = enum_value(v1::check::Outcome::from_str_name, "OUTCOME", &self.outcome)?;
        Ok(v1::Check { name: self.name, outcome: outcome.into(), message: self.message, fix: self.fix })
    }
}

impl ResourceScript {
    pub fn into_proto(self) -> v1::Resource {
        let Self { id, name, kind, has_children, selectable } = self;
        v1::Resource { id, name, kind, has_children, selectable }
    }
}

impl Failure {
    pub fn into_error(self) -> anyhow::Result<ConnectorError> {
        failure(&self.reason, self.message, self.retry_after_s)
    }
}

/// The cause of a scope's removal by its word.
pub fn removal_cause(word: &str) -> anyhow::Result<scope_removed::Cause> {
    enum_value(scope_removed::Cause::from_str_name, "CAUSE", word)
}

fn failure(reason: &str, message: String, retry_after_s: Option<u64>) -> anyhow::Result<ConnectorError> {
    let reason = reason_by_name(reason).with_context(|| format!("the script names no reason: {reason:?}"))?;
    let error = ConnectorError::new(reason, message);
    Ok(match retry_after_s {
        Some(seconds) => error.with_retry_after(Duration::from_secs(seconds)),
        None => error,
    })
}

fn enum_value<E>(parse: fn(&str) -> Option<E>, prefix: &str, word: &str) -> anyhow::Result<E> {
    let name = format!("{prefix}_{}", word.to_uppercase());
    parse(&name).with_context(|| format!("the script says {word:?}, which is no {prefix}"))
}
