//! A pull under way: it reads the model source as a real connector reads a real source, page by page, with the source
//! changing under its hands; and in bad weather it fails, forgets, leaves things out and goes round in circles.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use superfasttt_proto::connector::pulled;
use superfasttt_proto::connector::v1::{Change, Checkpoint, PullMode, PullRequest, PullResponse, Reason};
use superfasttt_proto::error::ConnectorError;

use super::port::Port;
use super::source::{Event, Item, Source};
use super::words::{
    Cursor, as_pulled, cannot_read, cannot_read_something, cannot_read_under, deletion, document, folder,
    gone, has_raw, not_this_scope, page_of, permissions, present, raw, shown, text,
};
use super::world::{World, lock};

/// A connector that goes round in a circle is stopped before it has sent so many pages.
const PAGES_IN_A_CIRCLE: usize = 400;
/// How long it takes for each: time has to pass, or a circle that nobody notices never ends.
const PAGE_IN_A_CIRCLE: Duration = Duration::from_millis(50);

/// A pull under way.
pub(super) struct Reading {
    world: Arc<World>,
    port: Arc<Port>,
    connection: String,
    mode: PullMode,
    want_raw: bool,
    /// Scopes that are still to be read, with the cursors that they are read from.
    scopes: VecDeque<(String, Option<String>)>,
    /// Where the one that is being read stands.
    at: Option<At>,
    ids: VecDeque<String>,
    /// It goes round.
    circle: Option<Circle>,
    /// Sent once more.
    again: Option<PullResponse>,
    ended: bool,
}

#[derive(Clone)]
enum At {
    Changes { scope: String, from: i64, listing: u64 },
    Listing(Listing),
}

/// Where a listing has come to.
#[derive(Clone)]
struct Listing {
    scope: String,
    /// The source's last change when it began.
    began: i64,
    number: u64,
    after: String,
    folders_told: bool,
}

/// So many pages, and then the first of them again, for ever.
struct Circle {
    /// Where the first begins; `None` where ids are answered.
    from: Option<At>,
    pages: usize,
    /// Pages before the next round.
    left: usize,
    page_size: usize,
    says: Says,
    /// Pages that were sent in it.
    sent: usize,
}

/// What the pages of a circle end with.
#[derive(Clone, Copy)]
enum Says {
    NoCheckpoint,
    Checkpoint,
    /// A checkpoint that wants more.
    More,
}

type Told = Result<pulled::PullResponse, ConnectorError>;

impl Reading {
    pub(super) fn new(world: Arc<World>, port: Arc<Port>, connection: String, request: PullRequest) -> Self {
        let mode = request.mode();
        let cursors: BTreeMap<String, String> =
            request.states.into_iter().map(|state| (state.scope, text(&state.cursor))).collect();
        let mut scopes: Vec<String> = match lock(&world.sources).get(&connection) {
            Some(source) => source.logs.keys().cloned().collect(),
            None => Vec::new(),
        };
        // A scope that the engine knows and the source does not is gone.
        let known = cursors.keys().chain(&request.scopes).chain(&request.known_scopes);
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
            want_raw: request.want_raw,
            world,
            port,
            connection,
            mode,
            at: None,
            circle: None,
            again: None,
            ended: false,
        }
    }

    /// The next message; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Told> {
        self.port.pass().await;
        if self.world.happens(|weather| weather.source_is_slow) {
            tokio::time::sleep(self.world.while_up_to(Duration::from_secs(4))).await;
            self.port.pass().await;
        }
        if self.world.happens(|weather| weather.stalls) {
            self.world.tell("  the connector says nothing more");
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        if self.circle.is_some() {
            tokio::time::sleep(PAGE_IN_A_CIRCLE).await;
            self.port.pass().await;
        } else if self.world.happens(|weather| weather.changes_meanwhile) {
            self.change_source();
        }
        if self.ended {
            return None;
        }
        let repeated = self.again.is_some();
        let told = match self.failure() {
            Some(error) => Err(error),
            None => Ok(self.message()?),
        };
        match told {
            Ok(message) => {
                // Once: more often is a circle.
                if !repeated && self.world.happens(|weather| weather.repeats_pages) {
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
        if world.happens(|weather| weather.tokens_end) {
            return Some(world.tokens.end(&self.connection));
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
            if let Some(At::Changes { scope, .. } | At::Listing(Listing { scope, .. })) = &self.at {
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
        self.go_round(source)?;
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
                    return Some(not_this_scope(scope));
                }
                self.at = self.begin(source, scope, cursor.as_deref());
                continue;
            };
            let said = match at {
                At::Changes { scope, from, listing } => self.changes(source, scope, from, listing),
                At::Listing(listing) => self.listing(source, listing),
            };
            if said.is_some() {
                return said;
            }
        }
    }

    /// Goes back to where a circle begins, and begins one where chance wants it. `None`: nobody stops it.
    fn go_round(&mut self, source: &mut Source) -> Option<()> {
        let answers = self.mode == PullMode::Targeted && !self.ids.is_empty();
        if self.circle.is_none()
            && (answers || self.at.is_some())
            && self.world.happens(|weather| weather.circles)
        {
            source.circles += 1;
            let (pages, page_size, says) = self.world.choose(|chance| {
                let says = [Says::NoCheckpoint, Says::Checkpoint, Says::More];
                let says = says[chance.random_range(0..says.len())];
                (chance.random_range(1..4_usize), chance.random_range(0..4_usize), says)
            });
            self.world.tell(format_args!("  the connector goes round: {pages} pages of {page_size}"));
            let from = self.at.clone();
            self.circle = Some(Circle { from, pages, left: pages, page_size, says, sent: 0 });
        }
        let Some(circle) = &mut self.circle else { return Some(()) };
        if circle.left == 0 {
            circle.left = circle.pages;
            self.at.clone_from(&circle.from);
        }
        circle.left -= 1;
        circle.sent += 1;
        if circle.sent > PAGES_IN_A_CIRCLE {
            let connection = &self.connection;
            self.world.accuse(format!("the connector of {connection} goes round and round unnoticed"));
            return None;
        }
        Some(())
    }

    fn page_size(&self) -> usize {
        match &self.circle {
            Some(circle) => circle.page_size,
            None => self.world.choose(|chance| chance.random_range(1..6)),
        }
    }

    fn begin(&self, source: &mut Source, scope: String, cursor: Option<&str>) -> Option<At> {
        let cursor = cursor.map(Cursor::parse);
        let fits = match (self.mode, cursor.map(|cursor| cursor.kind)) {
            (_, None) => true,
            (PullMode::List, Some(kind)) => matches!(kind, "p" | "q"),
            (_, Some(kind)) => matches!(kind, "c" | "l"),
        };
        if !fits {
            let mode = self.mode.as_str_name();
            self.world.accuse(format!("{mode} goes on from the cursor of something else: {cursor:?}"));
        }
        match (self.mode, cursor) {
            // A scope that was completed is resumed at its end: what came since is told, which is never wrong.
            (PullMode::Incremental, Some(Cursor { change: from, listing, .. }))
            | (_, Some(Cursor { kind: "c", change: from, listing, .. })) => {
                Some(At::Changes { scope, from, listing })
            }
            (PullMode::Incremental, None) => Some(At::Changes { scope, from: 0, listing: 0 }),
            // Of ids, there is nothing more to tell.
            (_, Some(Cursor { kind: "q", .. })) => None,
            (_, Some(Cursor { change: began, listing: number, after, .. })) => {
                let after = after.to_owned();
                Some(At::Listing(Listing { scope, began, number, after, folders_told: true }))
            }
            (_, None) => {
                let lies = self.world.happens(|weather| weather.lies);
                let number = self.world.choose(|chance| source.begin_listing(lies, chance));
                let (began, after) = (source.revision, String::new());
                Some(At::Listing(Listing { scope, began, number, after, folders_told: false }))
            }
        }
    }

    /// A page of what changed.
    fn changes(&mut self, source: &Source, scope: String, from: i64, listing: u64) -> Option<PullResponse> {
        let log = source.logs.get(&scope)?;
        let mut events = log.iter().filter(|(number, _)| *number > from);
        let page: Vec<_> = events.by_ref().take(self.page_size()).collect();
        let more = events.next().is_some() || self.circle.is_some();
        let last = page.last().map_or(from, |(number, _)| *number);
        let mut changes = Vec::new();
        for (_, event) in page {
            self.tell_event(source, &scope, event, &mut changes);
        }
        let stops = more && self.world.happens(|weather| weather.ends_early);
        let cursor = format!("c:{last}.{listing}").into_bytes();
        // A page need not carry a checkpoint.
        let skips = more && !stops && self.world.choose(|chance| chance.random_bool(0.3));
        let checkpoint = self.checkpoint(cursor, stops, skips, false);
        if more && !stops {
            self.at = Some(At::Changes { scope: scope.clone(), from: last, listing });
        }
        self.ended |= stops;
        Some(self.page(&scope, changes, checkpoint))
    }

    fn checkpoint(&self, cursor: Vec<u8>, stops: bool, skips: bool, complete: bool) -> Option<Checkpoint> {
        let (skips, more) = match self.circle.as_ref().map(|circle| circle.says) {
            None => (skips, stops),
            Some(says) => (!stops && matches!(says, Says::NoCheckpoint), stops || matches!(says, Says::More)),
        };
        (!skips).then_some(Checkpoint { cursor, has_more: more, listing_complete: complete })
    }

    /// What an event means now: a change feed says what is so, not what was.
    fn tell_event(&self, source: &Source, scope: &str, event: &Event, changes: &mut Vec<Change>) {
        match event {
            Event::Document(id) => changes.push(self.document_in(source, scope, id)),
            Event::Permissions(id) => match source.items.get(id).filter(|item| item.scope == scope) {
                Some(item) if !item.bad => changes.push(permissions(id, item)),
                Some(_) => changes.push(self.document_in(source, scope, id)),
                None => changes.push(deletion(id, false, false)),
            },
            Event::Gone(id) => changes.push(self.document_in(source, scope, id)),
            Event::Folder(id) => changes.extend(folder(source, scope, id)),
            Event::FolderGone(id, _) => changes.push(deletion(id, true, false)),
        }
        if let Event::FolderGone(_, held) = event {
            // Those that came back, or went elsewhere, follow at their own place.
            let back = held.iter().filter(|id| source.items.get(*id).is_some_and(|item| item.scope == scope));
            changes.extend(back.map(|id| self.document_in(source, scope, id)));
        }
    }

    /// A document as it is now in a scope.
    fn document_in(&self, source: &Source, scope: &str, id: &str) -> Change {
        let here = source.items.get(id).filter(|item| item.scope == scope);
        match here {
            Some(item) if item.bad || source.bad_folders.contains(&item.folder) => cannot_read(id),
            Some(item) => self.whole(id, item),
            None => deletion(id, false, self.world.choose(|chance| chance.random_bool(0.2))),
        }
    }

    /// A whole document, as it was asked for.
    fn whole(&self, id: &str, item: &Item) -> Change {
        if self.want_raw && has_raw(item) { raw(id, item) } else { document(id, item) }
    }

    /// A page of a listing.
    fn listing(&mut self, source: &mut Source, at: Listing) -> Option<PullResponse> {
        let Listing { scope, began, number, after, folders_told } = at;
        let mut changes = Vec::new();
        // A listing of ids says nothing else.
        if !folders_told && self.mode == PullMode::Full {
            let folders = source.folders.iter().filter(|(_, of)| **of == scope);
            for (id, _) in folders {
                changes.extend(folder(source, &scope, id));
                if source.bad_folders.contains(id) {
                    changes.push(cannot_read_under(id));
                }
            }
        }
        if self.world.happens(|weather| weather.unnamed_errors) {
            changes.push(cannot_read_something());
        }
        let mut ids =
            source.items.iter().filter(|(id, item)| item.scope == scope && id.as_str() > after.as_str());
        let page: Vec<String> = ids.by_ref().take(self.page_size()).map(|(id, _)| id.clone()).collect();
        let more = ids.next().is_some() || self.circle.is_some();
        let last = page.last().cloned().unwrap_or(after);
        for id in page {
            if !self.world.choose(|chance| source.leaves_out(number, &id, chance)) {
                changes.push(self.listed(source, &id, &source.items[&id]));
            }
        }
        let stops = more && self.world.happens(|weather| weather.ends_early);
        let complete = !more && source.claims_complete(number);
        let cursor = match (self.mode, complete) {
            (PullMode::List, true) => format!("q:{began}.{number}"),
            (PullMode::List, false) => format!("p:{began}.{number}:{last}"),
            (_, true) => format!("c:{began}.{number}"),
            (_, false) => format!("l:{began}.{number}:{last}"),
        };
        let skips = more && !stops && self.world.choose(|chance| chance.random_bool(0.3));
        if more && !stops {
            let scope = scope.clone();
            self.at = Some(At::Listing(Listing { scope, began, number, after: last, folders_told: true }));
        }
        self.ended |= stops;
        let checkpoint = self.checkpoint(cursor.into_bytes(), stops, skips, complete);
        Some(self.page(&scope, changes, checkpoint))
    }

    /// What a listing says of a document.
    fn listed(&self, source: &Source, id: &str, item: &Item) -> Change {
        let happens = |share| self.world.choose(|chance| chance.random_bool(share));
        if source.bad_folders.contains(&item.folder) {
            // It may have become so since the folders were told.
            return cannot_read_under(&item.folder);
        }
        match self.mode {
            PullMode::List if item.bad && happens(0.5) => cannot_read(id),
            PullMode::List => present(id, item),
            _ if item.bad => cannot_read(id),
            // What it does not send it has to be sure of: whoever has this version has these permissions.
            _ if source.kind.targeted && !self.want_raw && item.acl <= item.version && happens(0.1) => {
                present(id, item)
            }
            _ => self.whole(id, item),
        }
    }

    /// Answers some of the ids that were asked for.
    fn answer(&mut self, source: &Source) -> Option<PullResponse> {
        let id = self.ids.pop_front()?;
        if self.circle.is_some() {
            self.ids.push_front(id.clone());
        } else if self.world.happens(|weather| weather.leaves_unanswered) {
            self.world.tell(format_args!("  nothing is said of {id}"));
            return self.answer(source);
        }
        let item = source.items.get(&id);
        let scope = item.map(|item| &item.scope).or_else(|| source.last_scope.get(&id)).cloned();
        let scope = scope.unwrap_or_default();
        let changes = vec![match item {
            Some(_) => self.document_in(source, &scope, &id),
            // By id: a locator would be no answer.
            None => deletion(&id, false, false),
        }];
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
