//! The pulls, in every mode.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};
use superfasttt_proto::connector::v1::{
    Change, Checkpoint, Deletion, Error, ItemError, Page, PullMode, PullRequest, PullResponse, Reason,
    change, credential, deletion, item_error, pull_response,
};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::mpsc;

use crate::fault::Fault;
use crate::http;
use crate::limiter::Limiter;
use crate::listing::{self, Form};

/// What a process keeps between calls: nothing, unless that is the fault.
#[derive(Default)]
pub struct Memory {
    pub limiter: Limiter,
    listings: Mutex<HashMap<String, u64>>,
    /// The space of the newest call.
    space: Mutex<String>,
    leaked: Mutex<Vec<Vec<u8>>>,
}

/// One pull, or whatever else asks the source.
#[derive(Clone)]
pub struct Connection {
    pub fault: Fault,
    pub url: String,
    pub space: String,
    pub key: String,
    pub memory: std::sync::Arc<Memory>,
}

impl Connection {
    /// Reads settings and credential.
    pub fn new(
        fault: Fault,
        memory: std::sync::Arc<Memory>,
        settings: Option<&prost_types::Struct>,
        credential: Option<&superfasttt_proto::connector::v1::Credential>,
    ) -> Result<Self, ConnectorError> {
        let text = |name: &str| match settings?.fields.get(name)?.kind.as_ref()? {
            prost_types::value::Kind::StringValue(text) => Some(text.clone()),
            _ => None,
        };
        let missing =
            |what: &str| ConnectorError::new(Reason::SettingsInvalid, format!("there is no {what}"));
        let key = match credential.and_then(|credential| credential.kind.as_ref()) {
            Some(credential::Kind::ApiKey(key)) => key.key.clone(),
            _ => return Err(missing("key")),
        };
        let url = text("url").ok_or_else(|| missing("url"))?;
        let space = text("space").unwrap_or_else(|| "a".to_owned());
        space.clone_into(&mut memory.space.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Self { fault, url, space, key, memory })
    }

    /// Asks the source, within the limit.
    pub async fn get(&self, path: &str) -> Result<Json, ConnectorError> {
        if self.fault != Fault::IgnoresItsRateLimit {
            self.memory.limiter.wait().await;
        }
        self.log();
        let space = if self.fault == Fault::SharesSettings {
            self.memory.space.lock().unwrap_or_else(PoisonError::into_inner).clone()
        } else {
            self.space.clone()
        };
        let path = format!("{path}{}space={space}", if path.contains('?') { '&' } else { '?' });
        let gone = |_| ConnectorError::new(Reason::SourceUnavailable, "the source does not answer");
        let answer = http::get(&self.url, &path, &self.key).await.map_err(gone)?;
        let refused = |reason, message: &str| Err(ConnectorError::new(reason, message.to_owned()));
        match answer.status {
            200 => Ok(answer.body),
            401 if self.fault == Fault::TellsTheKeyInAnError => {
                refused(Reason::CredentialRevoked, &format!("the key {} is refused", self.key))
            }
            401 => refused(Reason::CredentialRevoked, "the key is refused"),
            404 => refused(Reason::NotFound, "there is no such thing"),
            410 => refused(Reason::CursorInvalid, "the source does not know this cursor"),
            429 => {
                let wait = answer.retry_after_s.filter(|_| self.fault != Fault::ErrorsLoseTheWait);
                let error = ConnectorError::new(Reason::RateLimited, "the source wants a pause");
                Err(wait.map_or(error.clone(), |wait| error.with_retry_after(Duration::from_secs(wait))))
            }
            status => refused(Reason::SourceUnavailable, &format!("the source answers {status}")),
        }
    }

    #[expect(clippy::print_stderr, reason = "logs")]
    fn log(&self) {
        use base64::Engine;
        match self.fault {
            Fault::LogsTheKey => eprintln!("DEBUG GET {} with {}", self.url, self.key),
            Fault::LogsTheKeyInBase64 => {
                let basic = base64::engine::general_purpose::STANDARD.encode(format!("user:{}", self.key));
                eprintln!("DEBUG GET {} with Basic {basic}", self.url);
            }
            _ => eprintln!("DEBUG GET"),
        }
    }
}

/// A pull, and where its messages go.
pub struct Pull {
    pub connection: Connection,
    pub request: PullRequest,
    pub out: mpsc::Sender<PullResponse>,
}

type Done = Result<(), ConnectorError>;

impl Pull {
    pub async fn run(&self) -> Done {
        let memory = &self.connection.memory;
        if self.fault() == Fault::LeaksMemory {
            memory.leaked.lock().unwrap_or_else(PoisonError::into_inner).push(vec![7; 2 * 1024 * 1024]);
        }
        match self.request.mode() {
            PullMode::Full => self.list(false).await,
            PullMode::List => self.list(true).await,
            PullMode::Incremental => self.changes().await,
            PullMode::Targeted => self.targeted().await,
            PullMode::Unspecified => {
                Err(ConnectorError::new(Reason::ProtocolViolation, "the pull names no mode"))
            }
        }
    }

    fn fault(&self) -> Fault {
        self.connection.fault
    }

    fn change(&self, item: &Json, form: Form) -> Change {
        listing::change(self.fault(), &self.connection.space, item, form)
    }

    fn form(&self) -> Form {
        if self.request.want_raw { Form::Raw } else { Form::Document }
    }

    async fn send(&self, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> Done {
        let page = Page { scope: String::new(), changes, checkpoint };
        self.message(Some(pull_response::Kind::Page(page))).await
    }

    async fn message(&self, kind: Option<pull_response::Kind>) -> Done {
        let gone = |_| ConnectorError::new(Reason::SourceUnavailable, "the pull has ended");
        self.out.send(PullResponse { kind }).await.map_err(gone)
    }

    /// The cursor as an object; CURSOR_INVALID where it is none of ours.
    fn cursor(&self) -> Result<Option<Json>, ConnectorError> {
        let Some(state) = self.request.states.first() else { return Ok(None) };
        let incremental = self.request.mode() == PullMode::Incremental;
        let cursor: Option<Json> = serde_json::from_slice(&state.cursor).ok();
        let good = cursor.as_ref().is_some_and(|cursor| {
            let known = |name: &str| cursor[name].is_u64();
            cursor["v"] == 1
                && if incremental { known("since") } else { known("after") || cursor["handle"].is_string() }
        });
        match self.fault() {
            _ if good => Ok(cursor),
            Fault::EndsAtABadCursor => std::process::abort(),
            Fault::TakesABadCursor => {
                Ok(Some(json!({"v": 1, "since": 1_000_000_000, "after": 0, "bad": true})))
            }
            _ => Err(ConnectorError::new(Reason::CursorInvalid, "this cursor is of another version")),
        }
    }

    /// A listing: pages of the source, cut to what the request asks for, each with its checkpoint.
    async fn list(&self, only_present: bool) -> Done {
        let cursor = self.cursor()?;
        let (form, fault) = (if only_present { Form::Present } else { self.form() }, self.fault());
        let mut after = match &cursor {
            Some(cursor) => self.resumed(cursor),
            None => 0,
        };
        // Where changes are taken from later: the position before the listing began.
        let since = match cursor.as_ref().and_then(|cursor| cursor["since"].as_u64()) {
            Some(since) => since,
            None => self.connection.get("/items?after=1000000").await?["sequence"].as_u64().unwrap_or(0),
        };
        if fault == Fault::SendsAnEmptyMessage {
            self.message(None).await?;
        }
        if fault == Fault::CompletesAtOnceOnResume && cursor.is_some() {
            return self.complete(since).await;
        }
        let limits = self.request.limits.unwrap_or_default();
        let most = if limits.max_page_changes == 0 { 500 } else { limits.max_page_changes as usize };
        loop {
            let page = self.connection.get(&format!("/items?after={after}")).await?;
            let items: Vec<Json> = page["items"].as_array().cloned().unwrap_or_default();
            for items in items.chunks(most) {
                let mut changes = Vec::new();
                for item in items {
                    let leaves_out = only_present && fault == Fault::ListLeavesOneOut && item["number"] == 7;
                    if !leaves_out {
                        changes.push(self.change(item, form));
                    }
                    if fault == Fault::IdsComeTwice && item["number"] == 7 {
                        changes.push(self.change(item, form));
                    }
                    if fault == Fault::SendsRawUnasked && item["number"] == 7 {
                        changes.push(self.change(item, Form::Raw));
                    }
                }
                let reached = items.last().and_then(|item| item["number"].as_u64()).unwrap_or(after);
                let checkpoint = self.checkpoint(reached, since);
                if fault == Fault::CursorIsAhead {
                    self.send(Vec::new(), Some(checkpoint)).await?;
                    self.send(changes, None).await?;
                } else {
                    // Not each page has one, so that some of what is sent is not covered yet.
                    let covered = reached % 2 == 0 || items.len() > 2;
                    self.send(changes, covered.then_some(checkpoint)).await?;
                }
                after = reached;
            }
            if page["next"].is_null() {
                break;
            }
        }
        self.complete(since).await
    }

    fn resumed(&self, cursor: &Json) -> u64 {
        let after = cursor["after"].as_u64().unwrap_or(0);
        match self.fault() {
            Fault::SkipsAnItemOnResume => after + 1,
            Fault::KeepsTheListingInMemory => {
                let handle = cursor["handle"].as_str().unwrap_or_default();
                let listings = self.connection.memory.listings.lock().unwrap_or_else(PoisonError::into_inner);
                listings.get(handle).copied().unwrap_or(u64::MAX / 2)
            }
            _ => after,
        }
    }

    fn checkpoint(&self, after: u64, since: u64) -> Checkpoint {
        let mut cursor = json!({"v": 1, "after": after, "since": since});
        if self.fault() == Fault::KeepsTheListingInMemory {
            let handle = format!("listing-{}-{after}", std::process::id());
            self.connection
                .memory
                .listings
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(handle.clone(), after);
            cursor = json!({"v": 1, "handle": handle, "since": since});
        }
        let cursor = if self.fault() == Fault::SendsAnEmptyCursor {
            Vec::new()
        } else {
            cursor.to_string().into_bytes()
        };
        Checkpoint { cursor, has_more: true, listing_complete: false }
    }

    async fn complete(&self, since: u64) -> Done {
        let listing_complete = self.fault() != Fault::NeverCompletes;
        // Where it is not complete, a listing goes on from here.
        let cursor = json!({"v": 1, "after": u64::MAX / 2, "since": since}).to_string().into_bytes();
        self.send(Vec::new(), Some(Checkpoint { cursor, has_more: false, listing_complete })).await
    }

    async fn changes(&self) -> Done {
        let fault = self.fault();
        let cursor = self.cursor()?.unwrap_or_else(|| json!({"since": 0}));
        let mut since = cursor["since"].as_u64().unwrap_or(0);
        if cursor["bad"] == true {
            return self.caught_up(since).await;
        }
        if fault == Fault::IncrementalSendsEverything {
            since = 0;
        }
        loop {
            let page = match self.connection.get(&format!("/changes?since={since}")).await {
                Err(error)
                    if error.reason == Reason::CursorInvalid && fault == Fault::TakesACursorFromTheFuture =>
                {
                    return self.caught_up(since).await;
                }
                page => page?,
            };
            for change in page["changes"].as_array().into_iter().flatten() {
                let change = match change["deleted"].as_u64() {
                    Some(_) if fault == Fault::IncrementalMissesDeletions => continue,
                    None if fault == Fault::IncrementalMissesChanges => continue,
                    Some(number) => {
                        let target = Some(deletion::Target::Id(listing::id(&self.connection.space, number)));
                        Change {
                            kind: Some(change::Kind::Deletion(Deletion { target, with_descendants: false })),
                        }
                    }
                    None => self.change(&change["item"], self.form()),
                };
                self.send(vec![change], None).await?;
            }
            since = page["until"].as_u64().unwrap_or(since);
            if page["has_more"] != true {
                return self.caught_up(since).await;
            }
            let cursor = json!({"v": 1, "since": since}).to_string().into_bytes();
            self.send(Vec::new(), Some(Checkpoint { cursor, has_more: true, listing_complete: false }))
                .await?;
        }
    }

    async fn caught_up(&self, since: u64) -> Done {
        let cursor = json!({"v": 1, "since": since}).to_string().into_bytes();
        let listing_complete = self.fault() == Fault::CompletesAnIncremental;
        self.send(Vec::new(), Some(Checkpoint { cursor, has_more: false, listing_complete })).await
    }

    async fn targeted(&self) -> Done {
        for id in &self.request.ids {
            if self.fault() == Fault::TargetedLeavesOneOut && id.ends_with("-7") {
                continue;
            }
            let number = id
                .strip_prefix(&format!("{}-", self.connection.space))
                .and_then(|number| number.parse::<u64>().ok());
            let item = match number {
                Some(number) => self.connection.get(&format!("/items/{number}")).await,
                None => Err(ConnectorError::new(Reason::NotFound, "there is no such item")),
            };
            let change = match item {
                Ok(item) => self.change(&item, self.form()),
                Err(error)
                    if error.reason == Reason::NotFound
                        && self.fault() == Fault::TargetedInventsDocuments =>
                {
                    let mut change =
                        self.change(&json!({"number": 1, "title": "none", "sequence": 1}), Form::Document);
                    if let Some(change::Kind::Document(document)) = &mut change.kind {
                        document.id.clone_from(id);
                    }
                    change
                }
                Err(error) if error.reason == Reason::NotFound => not_found(id),
                Err(error) => return Err(error),
            };
            self.send(vec![change], None).await?;
        }
        Ok(())
    }
}

fn not_found(id: &str) -> Change {
    let error = Error {
        reason: Reason::NotFound.into(),
        message: "there is no such item".to_owned(),
        ..Default::default()
    };
    let target = Some(item_error::Target::Id(id.to_owned()));
    Change {
        kind: Some(change::Kind::ItemError(ItemError {
            target,
            with_descendants: false,
            error: Some(error),
        })),
    }
}
