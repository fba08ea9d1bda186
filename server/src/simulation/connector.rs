//! The connector of the simulation: it reads the model source as a real one reads a real source, page by page, with the
//! source changing under its hands; and in bad weather it fails in every way that a connector fails in.
//!
//! Its cursors: `c:N` covers every change up to number N. `l:N:ID` is a listing that began at change N and has come to
//! document ID; a connector without a complete listing goes on with changes from there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use prost::Message;
use rand::Rng;
use superfasttt_proto::connector::pulled;
use superfasttt_proto::connector::v1::{
    self, Change, Checkpoint, Container, ContentHeader, Deletion, DiscoverRequest, DiscoverResponse,
    DocumentEnvelope, FetchContentRequest, FetchContentResponse, ItemError, NormalizeRequest,
    NormalizeResponse, Page, Permissions, PermissionsChange, PullMode, PullRequest, PullResponse, Reason,
    ScopeError, ScopeRemoved, TestConnectionRequest, TestConnectionResponse, change, deletion,
    fetch_content_response, item_error, pull_response, scope_removed,
};
use superfasttt_proto::error::ConnectorError;

use super::port::Port;
use super::source::{Event, Item, Source};
use super::world::{World, lock};
use crate::store::connections::Connection;
use crate::sync::port::{Connectors, Messages, Session, StderrLine};

/// The connectors as one replica meets them.
pub(super) struct SimulatedConnectors {
    pub world: Arc<World>,
    pub port: Arc<Port>,
}

struct SimulatedSession {
    world: Arc<World>,
    port: Arc<Port>,
    connection: String,
}

#[async_trait]
impl Connectors for SimulatedConnectors {
    async fn open(&self, connection: &Connection) -> Result<Arc<dyn Session>, ConnectorError> {
        self.port.pass().await;
        if self.world.happens(|weather| weather.source_fails) {
            return Err(ConnectorError::new(Reason::ConnectorCrashed, "it does not come up"));
        }
        let (world, port) = (self.world.clone(), self.port.clone());
        Ok(Arc::new(SimulatedSession { world, port, connection: connection.id.clone() }))
    }
}

#[async_trait]
impl Session for SimulatedSession {
    async fn pull(&self, request: PullRequest) -> Result<Messages<pulled::PullResponse>, ConnectorError> {
        self.port.pass().await;
        let (world, connection) = (self.world.clone(), self.connection.clone());
        world.tell(format_args!(
            "  {} pulls {connection} {} {:?} of {:?}, ids {:?}",
            self.port.name,
            request.mode().as_str_name(),
            request
                .states
                .iter()
                .map(|state| format!("{}={}", state.scope, text(&state.cursor)))
                .collect::<Vec<_>>(),
            request.scopes,
            request.ids,
        ));
        let reading = Reading::new(world, self.port.clone(), connection, request);
        let messages = stream::unfold(reading, |mut reading| async {
            let message = reading.next().await?;
            Some((message, reading))
        });
        Ok(messages.boxed())
    }

    async fn normalize(
        &self,
        _: Vec<NormalizeRequest>,
    ) -> Result<Messages<NormalizeResponse>, ConnectorError> {
        Err(ConnectorError::new(Reason::Unimplemented, "no raw items are kept in a simulation"))
    }

    async fn fetch_content(
        &self,
        request: FetchContentRequest,
    ) -> Result<Messages<FetchContentResponse>, ConnectorError> {
        self.port.pass().await;
        if self.world.happens(|weather| weather.source_fails) {
            let reason = self.world.choose(|chance| {
                let reasons = [Reason::SourceUnavailable, Reason::RateLimited, Reason::ConnectorCrashed];
                reasons[chance.random_range(0..reasons.len())]
            });
            return Err(ConnectorError::new(reason, "the content cannot be had now"));
        }
        // Larger than is read: what is known of it is settled without a file or a worker.
        let header = ContentHeader {
            length_bytes: Some(u64::MAX),
            version: request.version,
            ..ContentHeader::default()
        };
        let header = FetchContentResponse { kind: Some(fetch_content_response::Kind::Header(header)) };
        Ok(stream::iter([Ok(header)]).boxed())
    }

    async fn test_connection(
        &self,
        _: TestConnectionRequest,
    ) -> Result<TestConnectionResponse, ConnectorError> {
        Err(ConnectorError::new(Reason::Unimplemented, "nobody asks in a simulation"))
    }

    async fn discover(&self, _: DiscoverRequest) -> Result<DiscoverResponse, ConnectorError> {
        Err(ConnectorError::new(Reason::Unimplemented, "nobody asks in a simulation"))
    }

    fn stderr(&self) -> BoxStream<'static, StderrLine> {
        stream::empty().boxed()
    }
}

/// A pull under way.
struct Reading {
    world: Arc<World>,
    port: Arc<Port>,
    connection: String,
    mode: PullMode,
    /// Scopes that are still to be read, with the cursors that they are read from.
    scopes: VecDeque<(String, Option<String>)>,
    /// Where the one that is being read stands.
    at: Option<At>,
    ids: VecDeque<String>,
    /// Sent once more.
    again: Option<PullResponse>,
    ended: bool,
}

enum At {
    Changes { scope: String, from: i64 },
    Listing { scope: String, began: i64, after: String, folders_told: bool },
}

type Told = Result<pulled::PullResponse, ConnectorError>;

impl Reading {
    fn new(world: Arc<World>, port: Arc<Port>, connection: String, request: PullRequest) -> Self {
        let mode = request.mode();
        let cursors: BTreeMap<String, String> =
            request.states.into_iter().map(|state| (state.scope, text(&state.cursor))).collect();
        let mut scopes: Vec<String> = match lock(&world.sources).get(&connection) {
            Some(source) => source.logs.keys().cloned().collect(),
            None => Vec::new(),
        };
        // A scope that the engine knows and the source does not is gone. A listing begins without a cursor that would say
        // which scopes the engine knows: there the source remembers those that it had.
        let gone = match lock(&world.sources).get(&connection) {
            Some(source) if mode == PullMode::Full => source.gone_scopes.clone(),
            Some(_) | None => BTreeSet::new(),
        };
        let known = cursors.keys().chain(&request.scopes).chain(&gone);
        let known: BTreeSet<String> = known.filter(|scope| !scopes.contains(*scope)).cloned().collect();
        scopes.extend(known);
        scopes.retain(|scope| request.scopes.is_empty() || request.scopes.contains(scope));
        if mode == PullMode::Targeted {
            scopes.clear();
        }
        let scopes = scopes.into_iter().map(|scope| (scope.clone(), cursors.get(&scope).cloned()));
        Self {
            scopes: scopes.collect(),
            ids: request.ids.into(),
            world,
            port,
            connection,
            mode,
            at: None,
            again: None,
            ended: false,
        }
    }

    /// The next message; `None` at the end.
    async fn next(&mut self) -> Option<Told> {
        self.port.pass().await;
        if self.world.happens(|weather| weather.source_is_slow) {
            tokio::time::sleep(self.world.while_up_to(Duration::from_secs(4))).await;
            self.port.pass().await;
        }
        if self.world.happens(|weather| weather.stalls) {
            self.world.tell("  the connector says nothing more");
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        if self.world.happens(|weather| weather.changes_meanwhile) {
            self.change_source();
        }
        if self.ended {
            return None;
        }
        let told = match self.failure() {
            Some(error) => Err(error),
            None => Ok(self.message()?),
        };
        match told {
            Ok(message) => {
                if self.world.happens(|weather| weather.repeats_pages) {
                    self.again = Some(message.clone());
                }
                Some(Ok(as_pulled(&message)))
            }
            Err(error) => {
                self.world.tell(format_args!("  the pull of {} fails: {error}", self.connection));
                self.ended = true;
                Some(Err(error))
            }
        }
    }

    fn change_source(&self) {
        let mut sources = lock(&self.world.sources);
        if let Some(source) = sources.get_mut(&self.connection) {
            let what = self.world.choose(|chance| source.change(chance));
            self.world.tell(format_args!("  meanwhile in {}: {what}", self.connection));
        }
    }

    fn failure(&self) -> Option<ConnectorError> {
        let world = &self.world;
        if world.happens(|weather| weather.source_fails) {
            let reasons = [Reason::SourceUnavailable, Reason::ConnectorCrashed, Reason::Internal];
            let reason = world.choose(|chance| reasons[chance.random_range(0..reasons.len())]);
            return Some(ConnectorError::new(reason, "the stream is cut"));
        }
        if world.happens(|weather| weather.throttles) {
            let reason = world.choose(|chance| {
                if chance.random_bool(0.5) { Reason::RateLimited } else { Reason::QuotaExhausted }
            });
            let error = ConnectorError::new(reason, "not so fast");
            return Some(error.with_retry_after(world.while_up_to(Duration::from_secs(40))));
        }
        let may_forget = lock(&world.sources).get(&self.connection)?.kind.full_listing;
        if may_forget && self.mode != PullMode::Targeted && world.happens(|weather| weather.forgets_cursors) {
            let mut error = ConnectorError::new(Reason::CursorInvalid, "too long ago");
            if let Some(At::Changes { scope, .. } | At::Listing { scope, .. }) = &self.at {
                error.metadata.insert("scope".to_owned(), scope.clone());
            }
            return Some(error);
        }
        None
    }

    /// What the connector says next.
    fn message(&mut self) -> Option<PullResponse> {
        if let Some(again) = self.again.take() {
            return Some(again);
        }
        let world = self.world.clone();
        let mut sources = lock(&world.sources);
        let source = sources.get_mut(&self.connection)?;
        if world.happens(|weather| weather.bad_pages) {
            world.tell("  the connector breaks the contract");
            let changes = vec![Change { kind: None }];
            return Some(page_of("", changes, None));
        }
        if self.mode == PullMode::Targeted {
            return self.answer(source);
        }
        loop {
            let Some(at) = self.at.take() else {
                let (scope, cursor) = self.scopes.pop_front()?;
                if !source.logs.contains_key(&scope) {
                    return Some(gone(&scope));
                }
                if world.happens(|weather| weather.source_fails) {
                    let error = ConnectorError::new(Reason::AccessDenied, "not this scope").to_proto();
                    let failed = ScopeError { scope, error: Some(error) };
                    return Some(PullResponse { kind: Some(pull_response::Kind::ScopeError(failed)) });
                }
                self.at = Some(self.begin(source, scope, cursor.as_deref()));
                continue;
            };
            let said = match at {
                At::Changes { scope, from } => self.changes(source, scope, from),
                At::Listing { scope, began, after, folders_told } => {
                    self.listing(source, scope, began, after, folders_told)
                }
            };
            if said.is_some() {
                return said;
            }
        }
    }

    fn begin(&self, source: &Source, scope: String, cursor: Option<&str>) -> At {
        let (kind, number, after) = cursor.map_or(("", 0, ""), take_apart);
        match (self.mode, kind) {
            (PullMode::Incremental, _) => At::Changes { scope, from: number },
            // A scope that was completed is resumed at its end: what came since is told, which is never wrong.
            (_, "c") => At::Changes { scope, from: number },
            (_, "l") => At::Listing { scope, began: number, after: after.to_owned(), folders_told: true },
            _ => At::Listing { scope, began: source.revision, after: String::new(), folders_told: false },
        }
    }

    /// A page of what changed.
    fn changes(&mut self, source: &Source, scope: String, from: i64) -> Option<PullResponse> {
        let log = source.logs.get(&scope)?;
        let size = self.world.choose(|chance| chance.random_range(1..6_usize));
        let mut events = log.iter().filter(|(number, _)| *number > from);
        let page: Vec<_> = events.by_ref().take(size).collect();
        let more = events.next().is_some();
        let last = page.last().map_or(from, |(number, _)| *number);
        let mut changes = Vec::new();
        for (_, event) in page {
            self.tell_event(source, &scope, event, &mut changes);
        }
        let stops = more && self.world.happens(|weather| weather.ends_early);
        let cursor = format!("c:{last}").into_bytes();
        let mut checkpoint = Some(Checkpoint { cursor, has_more: stops, listing_complete: false });
        if more && !stops {
            // A page need not carry a checkpoint.
            checkpoint = checkpoint.filter(|_| self.world.choose(|chance| chance.random_bool(0.7)));
            self.at = Some(At::Changes { scope: scope.clone(), from: last });
        }
        self.ended |= stops;
        Some(self.page(&scope, changes, checkpoint))
    }

    /// What an event means now: a change feed says what is so, not what was.
    fn tell_event(&self, source: &Source, scope: &str, event: &Event, changes: &mut Vec<Change>) {
        match event {
            Event::Document(id) => changes.extend(self.document_in(source, scope, id)),
            Event::Permissions(id) => match source.items.get(id).filter(|item| item.scope == scope) {
                Some(item) if !item.bad => changes.push(permissions(id, item)),
                Some(_) => changes.extend(self.document_in(source, scope, id)),
                None => changes.push(deletion(id, false, false)),
            },
            Event::Gone(id) => changes.extend(self.document_in(source, scope, id)),
            Event::Folder(id) => changes.extend(folder(source, scope, id)),
            Event::FolderGone(id, _) => changes.push(deletion(id, true, false)),
        }
        if let Event::FolderGone(_, held) = event {
            // Those that came back, or went elsewhere, follow at their own place.
            let back = held.iter().filter(|id| source.items.get(*id).is_some_and(|item| item.scope == scope));
            changes.extend(back.filter_map(|id| self.document_in(source, scope, id)));
        }
    }

    /// A document as it is now in a scope.
    fn document_in(&self, source: &Source, scope: &str, id: &str) -> Option<Change> {
        let here = source.items.get(id).filter(|item| item.scope == scope);
        Some(match here {
            Some(item) if item.bad || source.bad_folders.contains(&item.folder) => cannot_read(id),
            Some(item) => document(id, item),
            None => deletion(id, false, self.world.choose(|chance| chance.random_bool(0.2))),
        })
    }

    /// A page of a listing.
    fn listing(
        &mut self,
        source: &Source,
        scope: String,
        began: i64,
        after: String,
        folders_told: bool,
    ) -> Option<PullResponse> {
        let mut changes = Vec::new();
        if !folders_told {
            let folders = source.folders.iter().filter(|(_, of)| **of == scope);
            for (id, _) in folders {
                changes.extend(folder(source, &scope, id));
                if source.bad_folders.contains(id) {
                    changes.push(cannot_read_under(id));
                }
            }
        }
        if self.world.happens(|weather| weather.unnamed_errors) {
            changes.push(item_error_of(None, false));
        }
        let size = self.world.choose(|chance| chance.random_range(1..6_usize));
        let mut items =
            source.items.iter().filter(|(id, item)| item.scope == scope && id.as_str() > after.as_str());
        let mut last = after.clone();
        for (id, item) in items.by_ref().take(size) {
            id.clone_into(&mut last);
            if source.bad_folders.contains(&item.folder) {
                // It may have become so since the folders were told.
                changes.push(cannot_read_under(&item.folder));
                continue;
            }
            changes.push(if item.bad { cannot_read(id) } else { document(id, item) });
        }
        let more = items.next().is_some();
        let stops = more && self.world.happens(|weather| weather.ends_early);
        let complete = !more && source.kind.full_listing;
        let cursor = if complete { format!("c:{began}") } else { format!("l:{began}:{last}") };
        let checkpoint =
            Checkpoint { cursor: cursor.into_bytes(), has_more: stops, listing_complete: complete };
        let skips = more && !stops && self.world.choose(|chance| chance.random_bool(0.3));
        if more && !stops {
            let scope = scope.clone();
            self.at = Some(At::Listing { scope, began, after: last, folders_told: true });
        }
        self.ended |= stops;
        Some(self.page(&scope, changes, Some(checkpoint).filter(|_| !skips)))
    }

    /// Answers some of the ids that were asked for.
    fn answer(&mut self, source: &Source) -> Option<PullResponse> {
        let id = self.ids.pop_front()?;
        let item = source.items.get(&id);
        let scope = item.map(|item| &item.scope).or_else(|| source.last_scope.get(&id)).cloned();
        let scope = scope.unwrap_or_default();
        let changes = self.document_in(source, &scope, &id).into_iter().collect();
        Some(self.page(&scope, changes, None))
    }

    fn page(&self, scope: &str, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> PullResponse {
        let told: Vec<String> = changes.iter().map(shown).collect();
        let covered = checkpoint.as_ref().map(|checkpoint| {
            let more = if checkpoint.has_more { " more" } else { "" };
            let complete = if checkpoint.listing_complete { " complete" } else { "" };
            format!(" | {}{more}{complete}", text(&checkpoint.cursor))
        });
        self.world.tell(format_args!(
            "  {} to {}: {scope:?} {}{}",
            self.connection,
            self.port.name,
            told.join(" "),
            covered.unwrap_or_default()
        ));
        page_of(scope, changes, checkpoint)
    }
}

fn take_apart(cursor: &str) -> (&str, i64, &str) {
    let mut parts = cursor.splitn(3, ':');
    let kind = parts.next().unwrap_or_default();
    let number = parts.next().and_then(|number| number.parse().ok()).unwrap_or_default();
    (kind, number, parts.next().unwrap_or_default())
}

/// The change up to which a cursor of changes covers everything.
pub(super) fn covered_by(cursor: &[u8]) -> i64 {
    take_apart(&text(cursor)).1
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The text of a document of this version.
pub(super) fn text_of(id: &str, item: &Item) -> Option<String> {
    // Not each change of a document changes its text.
    (!item.heavy).then(|| format!("text {} of {id}", item.version / 2))
}

/// A document as the connector tells it.
pub(super) fn envelope(id: &str, item: &Item) -> DocumentEnvelope {
    DocumentEnvelope {
        id: id.to_owned(),
        title: format!("{id} at {}", item.version / 3),
        content: text_of(id, item),
        content_ref: if item.heavy { id.to_owned() } else { String::new() },
        version: item.version.to_string(),
        permissions: Some(permissions_of(item)),
        parent_id: item.folder.clone(),
        locator: format!("at/{id}"),
        ..DocumentEnvelope::default()
    }
}

fn permissions_of(item: &Item) -> Permissions {
    let allow = vec![format!("user:{}", item.acl)];
    Permissions { visibility: "organization".to_owned(), allow, deny: Vec::new() }
}

fn document(id: &str, item: &Item) -> Change {
    Change { kind: Some(change::Kind::Document(envelope(id, item))) }
}

fn permissions(id: &str, item: &Item) -> Change {
    let permissions = Some(permissions_of(item));
    Change { kind: Some(change::Kind::Permissions(PermissionsChange { id: id.to_owned(), permissions })) }
}

fn deletion(id: &str, with_descendants: bool, by_locator: bool) -> Change {
    let target = if by_locator {
        deletion::Target::Locator(format!("at/{id}"))
    } else {
        deletion::Target::Id(id.to_owned())
    };
    Change { kind: Some(change::Kind::Deletion(Deletion { target: Some(target), with_descendants })) }
}

fn folder(source: &Source, scope: &str, id: &str) -> Option<Change> {
    source.folders.get(id).filter(|of| *of == scope)?;
    let container = Container {
        id: id.to_owned(),
        name: id.to_owned(),
        locator: format!("at/{id}"),
        ..Container::default()
    };
    Some(Change { kind: Some(change::Kind::Container(container)) })
}

fn cannot_read(id: &str) -> Change {
    item_error_of(Some(item_error::Target::Id(id.to_owned())), false)
}

fn cannot_read_under(folder: &str) -> Change {
    item_error_of(Some(item_error::Target::Id(folder.to_owned())), true)
}

fn item_error_of(target: Option<item_error::Target>, with_descendants: bool) -> Change {
    let error = Some(ConnectorError::new(Reason::AccessDenied, "it cannot be read").to_proto());
    Change { kind: Some(change::Kind::ItemError(ItemError { target, with_descendants, error })) }
}

fn gone(scope: &str) -> PullResponse {
    let removed = ScopeRemoved { scope: scope.to_owned(), reason: scope_removed::Cause::Gone.into() };
    PullResponse { kind: Some(pull_response::Kind::ScopeRemoved(removed)) }
}

fn page_of(scope: &str, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> PullResponse {
    let page = Page { scope: scope.to_owned(), changes, checkpoint };
    PullResponse { kind: Some(pull_response::Kind::Page(page)) }
}

/// A message as the engine reads it: with documents as they came.
fn as_pulled(message: &PullResponse) -> pulled::PullResponse {
    pulled::PullResponse::decode(message.encode_to_vec().as_slice()).expect("both are the same on the wire")
}

/// A change in a word, for the trace.
fn shown(change: &Change) -> String {
    use v1::change::Kind;
    match &change.kind {
        Some(Kind::Document(envelope)) => format!("{}@{}", envelope.id, envelope.version),
        Some(Kind::Permissions(change)) => format!("{}~", change.id),
        Some(Kind::Deletion(deletion)) => {
            let wide = if deletion.with_descendants { "/*" } else { "" };
            match &deletion.target {
                Some(deletion::Target::Id(id) | deletion::Target::Locator(id)) => format!("-{id}{wide}"),
                None => "-".to_owned(),
            }
        }
        Some(Kind::Container(container)) => format!("[{}]", container.id),
        Some(Kind::ItemError(error)) => match &error.target {
            Some(item_error::Target::Id(id) | item_error::Target::Locator(id)) => format!("!{id}"),
            None => "!".to_owned(),
        },
        Some(Kind::Present(_) | Kind::Raw(_)) | None => "?".to_owned(),
    }
}
