//! `pull`: a pull in this process.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use futures::StreamExt;
use serde_json::json;
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::connector_server::Connector as _;
use superfasttt_proto::connector::v1::{
    Change, Checkpoint, Page, PullMode, PullRequest, PullResponse, ScopeState, change, pull_response,
};
use superfasttt_proto::error::ConnectorError;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::connector::Connector;
use crate::manifest;
use crate::program::Failure;
use crate::program::connection::ConnectionOptions;
use crate::program::cursors::Cursors;
use crate::program::output::Output;
use crate::serve::ServeError;
use crate::service::ConnectorService;

#[derive(Args)]
pub(super) struct PullOptions {
    /// What is pulled [default: incremental where --cursor has where, else full]
    #[arg(long)]
    mode: Option<ModeOption>,
    /// An id for --mode targeted; may be repeated
    #[arg(long)]
    id: Vec<String>,
    /// Where the scopes stand: read, and written at each checkpoint
    #[arg(long, value_name = "FILE")]
    cursor: Option<PathBuf>,
    /// End after so many documents
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeOption {
    Full,
    Incremental,
    List,
    Targeted,
}

pub(super) async fn pull<C: Connector>(
    connector: C,
    connection: &ConnectionOptions,
    options: &PullOptions,
    output: &Output,
) -> Result<(), Failure> {
    let manifest = manifest::read(connector.manifest()).map_err(ServeError::from)?;
    let cursors = Cursors::read(options.cursor.as_deref())?;
    let mode = match options.mode {
        Some(ModeOption::Full) => PullMode::Full,
        Some(ModeOption::Incremental) => PullMode::Incremental,
        Some(ModeOption::List) => PullMode::List,
        Some(ModeOption::Targeted) => PullMode::Targeted,
        None if manifest.capabilities.incremental && cursors.has_changes() => PullMode::Incremental,
        None => PullMode::Full,
    };
    if (mode == PullMode::Targeted) == options.id.is_empty() {
        return Err(Failure::Usage("--id goes with --mode targeted, and that needs one".to_owned()));
    }
    let mut request = PullRequest {
        settings: Some(connection.settings(&manifest)?),
        credential: connection.credential(&manifest)?,
        mode: mode.into(),
        states: cursors.states_for(mode),
        ids: options.id.clone(),
        contract_revision: CONTRACT_REVISION,
        ..PullRequest::default()
    };
    let service = ConnectorService::new(connector, &connection.traffic(), CancellationToken::new())?;
    let mut told =
        Told { options, output, mode, cursors, counts: BTreeMap::new(), given: 0, last: BTreeMap::new() };
    let ended = loop {
        match told.read(&service, request.clone()).await? {
            Ok(true) => {}
            ended => break ended,
        }
        // As the server does: a scope that has more is pulled again at once.
        let unfinished = told.last.iter().filter(|(_, checkpoint)| checkpoint.has_more);
        let state = |(scope, checkpoint): (&String, &Checkpoint)| ScopeState {
            scope: scope.clone(),
            cursor: checkpoint.cursor.clone(),
        };
        request.states = unfinished.map(state).collect();
        if request.states.is_empty() {
            break Ok(true);
        }
        request.scopes = request.states.iter().map(|state| state.scope.clone()).collect();
    };
    told.summarize()?;
    let Err(status) = ended else { return Ok(()) };
    let error = ConnectorError::from_status(&status);
    Err(Failure::Failed(error.to_string()))
}

/// What a pull has brought so far.
struct Told<'a> {
    options: &'a PullOptions,
    output: &'a Output,
    mode: PullMode,
    cursors: Cursors,
    counts: BTreeMap<&'static str, u64>,
    /// Documents of any kind, for `--limit`.
    given: u64,
    last: BTreeMap<String, Checkpoint>,
}

impl Told<'_> {
    /// Tells one pull. `Ok(false)`: there is as much as was wanted.
    async fn read<C: Connector>(
        &mut self,
        service: &ConnectorService<C>,
        request: PullRequest,
    ) -> Result<Result<bool, Status>, Failure> {
        let mut stream = match service.pull(Request::new(request)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        while let Some(response) = stream.next().await {
            match response {
                Ok(PullResponse { kind: Some(pull_response::Kind::Page(page)) }) => {
                    if !self.page(page)? {
                        return Ok(Ok(false));
                    }
                }
                Ok(other) => self.note(&other)?,
                Err(status) => return Ok(Err(status)),
            }
        }
        Ok(Ok(true))
    }

    fn page(&mut self, page: Page) -> Result<bool, Failure> {
        for change in &page.changes {
            self.change(change)?;
            if self.options.limit.is_some_and(|limit| self.given >= limit) {
                return Ok(false);
            }
        }
        let Some(checkpoint) = page.checkpoint else { return Ok(true) };
        if let (Some(path), PullMode::Full | PullMode::Incremental) = (&self.options.cursor, self.mode) {
            self.cursors.keep(path, self.mode, &page.scope, &checkpoint)?;
        }
        self.last.insert(page.scope, checkpoint);
        Ok(true)
    }

    fn change(&mut self, change: &Change) -> Result<(), Failure> {
        let (kind, line) = described(change);
        *self.counts.entry(kind).or_default() += 1;
        self.given += u64::from(matches!(kind, "document" | "raw" | "present"));
        let json = self.output.json_of("Change", change);
        let found = json.as_object().and_then(|fields| fields.values().next()).cloned().unwrap_or_default();
        Ok(self.output.say(kind, &found, &line)?)
    }

    /// Logs, progress and the ends of scopes.
    fn note(&self, response: &PullResponse) -> Result<(), Failure> {
        let json = self.output.json_of("PullResponse", response);
        for (kind, found) in json.as_object().into_iter().flatten() {
            let text = found.get("message").and_then(|message| message.as_str());
            let line = format!("{kind:<12}{}", text.map_or_else(|| found.to_string(), str::to_owned));
            self.output.say(kind, found, &line)?;
        }
        Ok(())
    }

    fn summarize(&self) -> Result<(), Failure> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let cursors: BTreeMap<&String, String> =
            self.last.iter().map(|(scope, checkpoint)| (scope, text(&checkpoint.cursor))).collect();
        let complete: Vec<&String> =
            self.last.iter().filter(|(_, last)| last.listing_complete).map(|(scope, _)| scope).collect();
        let counts: Vec<String> = self.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let mut lines = vec![if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") }];
        for (scope, cursor) in &cursors {
            let end = if complete.contains(scope) { ", the listing is complete" } else { "" };
            lines.push(format!("cursor of scope {scope:?}: {cursor}{end}"));
        }
        let found = json!({"counts": self.counts, "cursors": cursors, "complete": complete});
        Ok(self.output.say("summary", &found, &lines.join("\n"))?)
    }
}

/// The kind of a change in the words of the contract, and a line for people.
fn described(change: &Change) -> (&'static str, String) {
    use superfasttt_proto::connector::v1::{deletion, item_error};
    let (kind, name, more) = match &change.kind {
        Some(change::Kind::Document(document)) => ("document", &document.id, document.title.clone()),
        Some(change::Kind::Raw(raw)) => ("raw", &raw.id, raw.schema.clone()),
        Some(change::Kind::Present(present)) => ("present", &present.id, present.version.clone()),
        Some(change::Kind::Permissions(change)) => {
            let visibility = change.permissions.as_ref().map(|permissions| permissions.visibility.clone());
            ("permissions", &change.id, visibility.unwrap_or_default())
        }
        Some(change::Kind::Container(container)) => ("container", &container.id, container.name.clone()),
        Some(change::Kind::Deletion(deletion)) => match &deletion.target {
            Some(deletion::Target::Id(name) | deletion::Target::Locator(name)) => {
                ("deletion", name, String::new())
            }
            None => ("deletion", &String::new(), String::new()),
        },
        Some(change::Kind::ItemError(failed)) => {
            let error = ConnectorError::from_proto(failed.error.clone().unwrap_or_default()).to_string();
            match &failed.target {
                Some(item_error::Target::Id(name) | item_error::Target::Locator(name)) => {
                    ("item_error", name, error)
                }
                None => ("item_error", &"(not named)".to_owned(), error),
            }
        }
        None => ("change", &String::new(), String::new()),
    };
    (kind, format!("{kind:<12}{name}  {more}").trim_end().to_owned())
}
