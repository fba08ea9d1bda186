//! The stage between the stream and the commits: looks up which documents need their content, starts fetching it, and
//! hands everything on in stream order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use superfasttt_extract::EXTRACTOR_REVISION;
use superfasttt_proto::error::ConnectorError;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{Fetcher, Source};
use crate::store::documents::ContentState;
use crate::store::item_errors::Target;
use crate::store::{ConnectionKey, Store, StoreError};
use crate::sync::change::{Change, Document, Part, PartEnd, Text};

/// Ids of deleted documents that are remembered while a pull goes on.
const MAX_FORGOTTEN: usize = 100_000;

/// A part that is ready, or will be.
#[derive(Debug)]
pub enum Pending {
    /// It is ready.
    Ready(Part),
    /// One document's content is being fetched. Dropping it stops that.
    Fetching(AbortOnDropHandle<Result<Part, ConnectorError>>),
    /// The pull ended, after everything before it.
    Ended(Result<(), ConnectorError>),
}

/// Runs until `parts` ends or `pending` is closed.
///
/// # Errors
/// Where the store cannot be read.
pub async fn stage(
    store: Arc<dyn Store>,
    connection: ConnectionKey,
    fetcher: Arc<Fetcher>,
    source: Source,
    mut parts: mpsc::Receiver<Result<Part, ConnectorError>>,
    pending: mpsc::Sender<Pending>,
) -> Result<(), StoreError> {
    let mut end = Ok(());
    let mut forgotten = Forgotten::default();
    while let Some(part) = parts.recv().await {
        let part = match part {
            Ok(part) => part,
            Err(error) => {
                end = Err(error);
                break;
            }
        };
        for piece in split(&*store, connection, part, &mut forgotten).await? {
            let next = match piece {
                Piece::Ready(part) => Pending::Ready(part),
                Piece::Due(part, document) => {
                    let place = fetcher.place().await;
                    let (fetcher, source) = (fetcher.clone(), source.clone());
                    let fetching = async move {
                        let part = fetch(&fetcher, &source, part, document).await;
                        drop(place);
                        part
                    };
                    Pending::Fetching(AbortOnDropHandle::new(tokio::spawn(fetching.in_current_span())))
                }
            };
            if pending.send(next).await.is_err() {
                return Ok(());
            }
        }
    }
    // Nobody listens any more where the run was stopped.
    let _ = pending.send(Pending::Ended(end)).await;
    Ok(())
}

enum Piece {
    Ready(Part),
    /// The document goes at the end of the part's changes, once its text is there.
    Due(Part, Box<Document>),
}

async fn fetch(
    fetcher: &Fetcher,
    source: &Source,
    mut part: Part,
    mut document: Box<Document>,
) -> Result<Part, ConnectorError> {
    document.text = fetcher.text(source, &document.envelope).await?;
    document.seal();
    part.changes.push(Change::Document(document));
    Ok(part)
}

/// What deletions of this pull, which may not be committed yet, take from the store: a document that comes back after
/// one (a move, say) has no content there any more when its turn comes.
#[derive(Default)]
struct Forgotten {
    ids: HashSet<String>,
    /// Nobody knows which, so any.
    any: bool,
}

impl Forgotten {
    fn note(&mut self, part: &Part) {
        for change in &part.changes {
            if let Change::Deletion { target, with_descendants } = change {
                match target {
                    Target::Id(id) if !with_descendants => self.ids.extend([id.clone()]),
                    _ => self.any = true,
                }
            }
        }
        self.any |= matches!(part.end, PartEnd::ScopeRemoved(_)) || self.ids.len() > MAX_FORGOTTEN;
        if self.any {
            self.ids.clear();
        }
    }

    fn contains(&self, id: &str) -> bool {
        self.any || self.ids.contains(id)
    }
}

/// Cuts a part at each document whose content is due. Marks the others as held.
async fn split(
    store: &dyn Store,
    connection: ConnectionKey,
    part: Part,
    forgotten: &mut Forgotten,
) -> Result<Vec<Piece>, StoreError> {
    let unread: Vec<String> = part.changes.iter().filter_map(unread_id).collect();
    if unread.is_empty() {
        forgotten.note(&part);
        return Ok(vec![Piece::Ready(part)]);
    }
    let stored = store.stored_documents(connection, unread).await?;
    // A better extractor reads again what an older one has read.
    let held: HashMap<String, Option<String>> = stored
        .into_iter()
        .filter(|document| !document.gone && document.extractor == EXTRACTOR_REVISION)
        .filter(|document| document.content_state != ContentState::Stale)
        .map(|document| (document.id, document.content_version))
        .collect();
    // A deletion that follows a document within its part costs it a fetch for nothing; that is rare.
    forgotten.note(&part);
    let is_held = |document: &Document| {
        let version = &document.envelope.version;
        let held = held.get(&document.envelope.id).and_then(Option::as_ref);
        !version.is_empty() && held == Some(version) && !forgotten.contains(&document.envelope.id)
    };
    let Part { scope, changes, end, message_bytes, permits } = part;
    let new_part = |message_bytes| Part {
        scope: scope.clone(),
        changes: Vec::new(),
        end: PartEnd::None,
        message_bytes,
        permits: permits.clone(),
    };
    let mut pieces = Vec::new();
    let mut current = new_part(message_bytes);
    for change in changes {
        match change {
            Change::Document(mut document) if document.text == Text::Unread => {
                if is_held(&document) {
                    document.text = Text::Held;
                    current.changes.push(Change::Document(document));
                } else {
                    let ready = std::mem::replace(&mut current, new_part(0));
                    pieces.push(Piece::Ready(ready));
                    pieces.push(Piece::Due(new_part(0), document));
                }
            }
            change => current.changes.push(change),
        }
    }
    current.end = end;
    pieces.push(Piece::Ready(current));
    Ok(pieces)
}

fn unread_id(change: &Change) -> Option<String> {
    match change {
        Change::Document(document) if document.text == Text::Unread => Some(document.envelope.id.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use superfasttt_proto::connector::v1::{Deletion, change, deletion, scope_removed};

    use super::*;
    use crate::store::documents::Commit;
    use crate::store::suite::support::put_with;
    use crate::sync::testing::{Rig, document_with, part, part_of};

    fn behind(id: &str, version: &str) -> change::Kind {
        document_with(id, |envelope| {
            envelope.content = None;
            envelope.content_ref = "ref".to_owned();
            envelope.version = version.to_owned();
        })
    }

    /// The ids of a part's documents in order, those whose content is due in brackets.
    async fn told(rig: &Rig, forgotten: &mut Forgotten, part: Part) -> String {
        let pieces = split(&*rig.store, rig.connection.key, part, forgotten).await.unwrap();
        let mut told = Vec::new();
        for piece in pieces {
            let (part, due) = match piece {
                Piece::Ready(part) => (part, None),
                Piece::Due(part, document) => (part, Some(document)),
            };
            for change in part.changes {
                if let Change::Document(document) = change {
                    assert_eq!(document.text, Text::Held);
                    told.push(document.envelope.id);
                }
            }
            told.extend(due.map(|document| format!("[{}]", document.envelope.id)));
        }
        told.join(" ")
    }

    /// A store that holds the content of `1` and `2` at version "1", of `old` by an older extractor, and of `stale` not
    /// at all.
    async fn rig() -> Rig {
        let rig = Rig::new(|_, _| {}).await;
        let held = |id: &str, extractor: u32, content_state: ContentState| {
            put_with(id, |put| {
                put.extractor = extractor;
                put.content_state = content_state;
            })
        };
        let documents = vec![
            held("1", EXTRACTOR_REVISION, ContentState::Whole),
            held("2", EXTRACTOR_REVISION, ContentState::Unreadable),
            held("old", EXTRACTOR_REVISION - 1, ContentState::Whole),
            held("stale", EXTRACTOR_REVISION, ContentState::Stale),
        ];
        let commit = Commit { run: rig.context.run.clone(), documents, ..Commit::default() };
        rig.store.commit(rig.context.fence, commit, rig.context.clock.now()).await.unwrap();
        rig
    }

    #[tokio::test]
    async fn only_content_that_is_not_held_is_due() {
        let rig = rig().await;
        let changes = vec![
            behind("1", "1"),
            behind("2", "1"),
            behind("old", "1"),
            behind("stale", "1"),
            behind("new", "1"),
            behind("1", "2"),
        ];
        let told = told(&rig, &mut Forgotten::default(), part("", changes, None)).await;
        assert_eq!(told, "1 2 [old] [stale] [new] [1]");
        let nameless = told_of(&rig, vec![behind("1", "")]).await;
        assert_eq!(nameless, "[1]", "without a version it is fetched each time");
    }

    async fn told_of(rig: &Rig, changes: Vec<change::Kind>) -> String {
        told(rig, &mut Forgotten::default(), part("", changes, None)).await
    }

    #[tokio::test]
    async fn content_that_a_deletion_before_takes_away_is_due() {
        let rig = rig().await;
        let delete = |target: deletion::Target, with_descendants: bool| {
            change::Kind::Deletion(Deletion { target: Some(target), with_descendants })
        };
        let id = |id: &str| deletion::Target::Id(id.to_owned());
        let both = || part("b", vec![behind("1", "1"), behind("2", "1")], None);
        let cases = [
            (part("a", vec![delete(id("1"), false)], None), "[1] 2"),
            (part("a", vec![delete(id("folder"), true)], None), "[1] [2]"),
            (part("a", vec![delete(deletion::Target::Locator("at/1".to_owned()), false)], None), "[1] [2]"),
            (part_of("a", Vec::new(), PartEnd::ScopeRemoved(scope_removed::Cause::Gone)), "[1] [2]"),
            (part("a", vec![behind("1", "1")], None), "1 2"),
        ];
        for (before, expected) in cases {
            let mut forgotten = Forgotten::default();
            told(&rig, &mut forgotten, before).await;
            assert_eq!(told(&rig, &mut forgotten, both()).await, expected);
        }
    }
}
