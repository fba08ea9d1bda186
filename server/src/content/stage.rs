//! The stage between the stream and the commits: looks up which documents need their content, starts fetching it, and
//! hands everything on in stream order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use superfasttt_extract::EXTRACTOR_REVISION;
use superfasttt_proto::error::ConnectorError;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

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
                    Pending::Fetching(AbortOnDropHandle::new(tokio::spawn(async move {
                        let part = fetch(&fetcher, &source, part, document).await;
                        drop(place);
                        part
                    })))
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
    let Part { scope, changes, end, message_bytes, permit } = part;
    let new_part = |message_bytes| Part {
        scope: scope.clone(),
        changes: Vec::new(),
        end: PartEnd::None,
        message_bytes,
        permit: permit.clone(),
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
