//! The stage of a pull that asked for raw items: between the stream and the content stage, it puts envelopes in the place
//! of raw items. Each goes on together with its raw item, so that both are committed at once.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use superfasttt_proto::connector::v1::{RawItem, Reason};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::change::{Change, Document, Part, PartEnd, item_error};
use super::normalize::{Answers, Normalized, Normalizer};
use super::outcome::backoff;
use super::port::{Connectors, Session};
use super::pull::DECODED_FACTOR;
use super::renormalize::InFlight;
use crate::store::connections::Connection;
use crate::store::item_errors::Target;
use crate::store::raw_items::RawPut;

/// So many crashes without an answer in between cut the pull.
const MAX_CRASHES: u32 = 6;

/// How a connection keeps raw items.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// How they are normalized.
    pub normalizer: Normalizer,
    /// Items that crash the connector.
    pub passed_over: PassedOver,
    /// The connection's epoch of keeping them.
    pub epoch: i64,
    /// Bytes of envelopes in flight. Other than the bytes of what was read: nobody waits for these while holding on to
    /// some that have not been passed on.
    pub in_flight: InFlight,
}

/// Items at which the connector has crashed again and again: in this run it is not asked about them any more.
#[derive(Clone, Debug, Default)]
pub struct PassedOver(Arc<Mutex<HashSet<String>>>);

impl PassedOver {
    fn insert(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
    }

    fn contains(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

/// One pull's stage.
pub struct RawStage {
    /// How raw items are kept.
    pub keeping: Keeping,
    /// The connector.
    pub session: Arc<dyn Session>,
    /// Where another one comes from when it has crashed.
    pub connectors: Arc<dyn Connectors>,
    /// Whose pull.
    pub connection: Connection,
    /// The first pause before the connector is started again, and the longest.
    pub pauses: (Duration, Duration),
    /// Crashes since the last answer.
    pub crashes: u32,
    /// There was a crash in the page at hand: whatever is answered is known to have come from that item.
    pub one_by_one: bool,
}

/// Runs until `parts` ends or `normalized` is closed. What fails here is passed on as the end of the pull.
pub async fn stage(
    mut stage: RawStage,
    mut parts: mpsc::Receiver<Result<Part, ConnectorError>>,
    normalized: mpsc::Sender<Result<Part, ConnectorError>>,
) {
    while let Some(part) = parts.recv().await {
        let end = match part {
            Ok(part) => stage.pass(part, &normalized).await,
            Err(error) => Err(Left::Failed(error)),
        };
        match end {
            Ok(()) => {}
            Err(Left::Failed(error)) => {
                let _ = normalized.send(Err(error)).await;
                return;
            }
            Err(Left::Closed) => return,
        }
    }
}

/// Why the stage ends.
enum Left {
    /// Something is wrong with the connector.
    Failed(ConnectorError),
    /// Nobody listens any more.
    Closed,
}

impl From<ConnectorError> for Left {
    fn from(error: ConnectorError) -> Self {
        Self::Failed(error)
    }
}

impl RawStage {
    /// Passes a part on, in pieces where its envelopes are large.
    async fn pass(
        &mut self,
        part: Part,
        normalized: &mpsc::Sender<Result<Part, ConnectorError>>,
    ) -> Result<(), Left> {
        let mut piece = Piece::new(part.scope.clone(), part.message_bytes, part.permits.clone());
        let mut answers = None;
        self.one_by_one = false;
        let mut changes: VecDeque<Change> = part.changes.into();
        while let Some(change) = changes.pop_front() {
            let Change::Raw(item) = change else {
                piece.part.changes.push(change);
                continue;
            };
            let answer = self.answer(&mut answers, &item, &changes).await?;
            let bytes = answer.as_ref().map_or(0, prost::Message::encoded_len);
            let weight = (bytes * DECODED_FACTOR).clamp(1, self.keeping.in_flight.total) as u32;
            let permit = match self.keeping.in_flight.bytes.clone().try_acquire_many_owned(weight) {
                Ok(permit) => permit,
                Err(_) => {
                    // What is done goes on, so that the bytes it holds come back.
                    let done = piece.next(&part.permits);
                    normalized.send(Ok(done)).await.map_err(|_| Left::Closed)?;
                    let waiting = self.keeping.in_flight.bytes.clone().acquire_many_owned(weight);
                    waiting.await.expect("it is never closed")
                }
            };
            piece.hold(permit);
            piece.part.changes.push(self.change(&part.scope, *item, answer));
        }
        if let Some(answers) = answers {
            answers.end().await?;
        }
        let mut last = piece.next(&[]);
        last.end = part.end;
        normalized.send(Ok(last)).await.map_err(|_| Left::Closed)
    }

    /// The answer about an item, behind which `rest` comes. Answers that a crash took away are asked for anew, from then on
    /// about one item after the other: an item at which the connector crashes twice alone is the cause, and passed over.
    async fn answer(
        &mut self,
        answers: &mut Option<Answers>,
        item: &RawItem,
        rest: &VecDeque<Change>,
    ) -> Result<Normalized, ConnectorError> {
        let mut alone = 0;
        loop {
            let asked = self.ask(answers, item, rest).await;
            match asked {
                Err(error) if error.reason == Reason::ConnectorCrashed => {
                    self.crashes += 1;
                    if self.crashes > MAX_CRASHES {
                        return Err(error);
                    }
                    *answers = None;
                    alone += u32::from(self.one_by_one);
                    self.one_by_one = true;
                    self.reopen().await?;
                    if alone == 2 {
                        self.keeping.passed_over.insert(&item.id);
                    }
                }
                asked => {
                    self.crashes = 0;
                    return asked;
                }
            }
        }
    }

    async fn ask(
        &self,
        answers: &mut Option<Answers>,
        item: &RawItem,
        rest: &VecDeque<Change>,
    ) -> Result<Normalized, ConnectorError> {
        if self.keeping.passed_over.contains(&item.id) {
            let message = "the connector crashed each time it was asked about it";
            return Ok(Err(ConnectorError::new(Reason::ConnectorCrashed, message)));
        }
        if let Some(answers) = answers {
            return answers.next(item).await;
        }
        let following = rest.iter().filter_map(|change| match change {
            Change::Raw(item) if !self.keeping.passed_over.contains(&item.id) => Some(RawItem::clone(item)),
            _ => None,
        });
        let following = following.filter(|_| !self.one_by_one);
        let items = std::iter::once(item.clone()).chain(following).collect();
        let mut begun = self.keeping.normalizer.begin(&*self.session, items).await?;
        let answer = begun.next(item).await?;
        if self.one_by_one {
            begun.end().await?;
        } else {
            *answers = Some(begun);
        }
        Ok(answer)
    }

    /// Finds or starts the connector again, which may be held back for a moment after a crash.
    async fn reopen(&mut self) -> Result<(), ConnectorError> {
        let (initial, max) = self.pauses;
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.connectors.open(&self.connection).await {
                Ok(session) => {
                    self.session = session;
                    return Ok(());
                }
                Err(error) if error.reason == Reason::ConnectorCrashed && attempt < MAX_CRASHES => {
                    tokio::time::sleep(backoff(attempt, initial, max, &error)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What an item has become, with what is kept of it.
    fn change(&self, scope: &str, item: RawItem, answer: Normalized) -> Change {
        let raw = Box::new(RawPut {
            id: item.id,
            scope: scope.to_owned(),
            // Known when it is committed.
            generation: 0,
            epoch: self.keeping.epoch,
            version: item.version,
            content_ref: item.content_ref,
            schema: item.schema,
            data: item.data.into(),
            normalizer: self.keeping.normalizer.version.clone(),
            failed: answer.is_err(),
        });
        match answer {
            Ok(envelope) => {
                let mut document = Document::new(envelope, None);
                document.raw = Some(raw);
                Change::Document(Box::new(document))
            }
            Err(error) => {
                let error = item_error(scope, Target::Id(raw.id.clone()), false, error);
                Change::Unnormalized { raw, error }
            }
        }
    }
}

/// What of a part is ready to go on.
struct Piece {
    part: Part,
    /// The bytes that its envelopes hold.
    held: Option<OwnedSemaphorePermit>,
}

impl Piece {
    fn new(scope: Arc<str>, message_bytes: u64, permits: Vec<Arc<OwnedSemaphorePermit>>) -> Self {
        let part = Part { scope, changes: Vec::new(), end: PartEnd::None, message_bytes, permits };
        Self { part, held: None }
    }

    fn hold(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.held {
            None => self.held = Some(permit),
            Some(held) => held.merge(permit),
        }
    }

    /// Takes what is ready; what follows it holds `permits`.
    fn next(&mut self, permits: &[Arc<OwnedSemaphorePermit>]) -> Part {
        let following = Piece::new(self.part.scope.clone(), 0, permits.to_vec());
        let Piece { mut part, held } = std::mem::replace(self, following);
        part.permits.extend(held.map(Arc::new));
        part
    }
}
