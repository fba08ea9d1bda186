//! Pulls as connectord does: from where each scope stands, again while a scope says that there is more, and in full where a
//! cursor is no longer taken.

use std::path::Path;
use std::time::Duration;

use superfasttt_conformance::{Client, Running};
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{
    Capabilities, PullMode, PullRequest, PullResponse, Reason, pull_response,
};
use superfasttt_proto::error::ConnectorError;
use tonic::Status;

use crate::dev::{Shown, State};
use crate::error::{Error, Result};
use crate::output::{Output, note};

/// A pull that says nothing for so long is given up, as connectord does.
const SILENCE: Duration = Duration::from_secs(300);

/// What a pull is asked to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Everything, from the beginning
    Full,
    /// What changed since the cursor that is kept
    Incremental,
    /// Ids and versions of everything; no cursor is kept
    List,
    /// Exactly the ids that are given with --id
    Targeted,
}

/// What is asked, beside the state.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Settings and credential.
    pub request: PullRequest,
    /// `None`: a listing first, then changes, where the connector can.
    pub mode: Option<Mode>,
    /// How many changes are wanted; `None`: all.
    pub limit: Option<u64>,
    /// Where the state is kept.
    pub state_file: &'a Path,
}

/// How a pull ended.
enum End {
    /// With OK; these scopes have more.
    Ok(Vec<String>),
    /// As many changes came as were wanted.
    Enough,
    /// With an error.
    Error(ConnectorError),
    /// The connector itself ended, and how.
    Died(String),
}

impl Mode {
    /// What is asked where nobody says it: the rest of a listing, else changes, else a listing.
    fn of(state: &State, capabilities: &Capabilities) -> PullMode {
        if !state.is_listing() && capabilities.incremental && state.has_cursor() {
            PullMode::Incremental
        } else {
            PullMode::Full
        }
    }
}

/// Pulls until every scope is caught up, and prints what comes. Gives the word for what was pulled.
///
/// # Errors
///
/// The connector ended, or goes in a circle. What it said itself is given as a value.
pub async fn pull(
    running: &mut Running,
    capabilities: &Capabilities,
    asked: &Asked<'_>,
    state: &mut State,
    shown: &mut Shown,
    out: &mut Output,
) -> (&'static str, Result<Option<ConnectorError>>) {
    let mut mode = match asked.mode {
        None => Mode::of(state, capabilities),
        Some(Mode::Full) => {
            state.forget_listings();
            PullMode::Full
        }
        Some(Mode::Incremental) => PullMode::Incremental,
        Some(Mode::List) => PullMode::List,
        Some(Mode::Targeted) => PullMode::Targeted,
    };
    let mut may_begin_anew = asked.mode.is_none() && !state.of(mode).is_empty();
    // A LIST keeps nothing, so what it says is not kept with the rest.
    let mut scratch = State::default();
    loop {
        let kept = if mode == PullMode::List { &mut scratch } else { &mut *state };
        let before = (kept.clone(), shown.changes());
        let ended = one_pull(running, mode, asked, kept, shown, out).await;
        let end = match ended {
            Ok(End::Ok(more)) => {
                if mode == PullMode::Full {
                    kept.end_listing(&more);
                }
                if more.is_empty() {
                    keep(mode, asked, kept)
                } else if before == (kept.clone(), shown.changes()) {
                    let message =
                        "it says has_more, and gets no further: the cursor and what it brings stay the same";
                    Err(Error::Failed(message.to_owned()))
                } else {
                    continue;
                }
            }
            Ok(End::Enough) => {
                note("--limit is reached; what came after the last checkpoint comes again");
                Ok(())
            }
            Ok(End::Error(error)) if error.reason == Reason::CursorInvalid && may_begin_anew => {
                note(&format!(
                    "the cursor is not taken ({}), so everything is listed, as connectord does then",
                    error.message
                ));
                may_begin_anew = false;
                state.forget_all();
                mode = PullMode::Full;
                continue;
            }
            Ok(End::Error(error)) => return (name(mode), Ok(Some(error))),
            Ok(End::Died(how)) => Err(Error::Failed(format!(
                "the connector ended in the middle of the pull ({how}): its author must mend it; what it wrote above says more"
            ))),
            Err(error) => Err(error),
        };
        return (name(mode), end.map(|()| None));
    }
}

/// The word for a mode.
fn name(mode: PullMode) -> &'static str {
    match mode {
        PullMode::Full => "full",
        PullMode::Incremental => "incremental",
        PullMode::List => "list",
        PullMode::Targeted => "targeted",
        PullMode::Unspecified => "unspecified",
    }
}

/// One call to its end.
async fn one_pull(
    running: &mut Running,
    mode: PullMode,
    asked: &Asked<'_>,
    state: &mut State,
    shown: &mut Shown,
    out: &mut Output,
) -> Result<End> {
    let request = PullRequest {
        mode: mode.into(),
        states: state.of(mode),
        contract_revision: CONTRACT_REVISION,
        ..asked.request.clone()
    };
    let mut client: Client = running.client();
    let mut stream = match client.pull(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return Ok(failed(running, &status).await),
    };
    let mut more = Vec::new();
    let mut invalid = None;
    loop {
        match tokio::time::timeout(SILENCE, stream.message()).await {
            Ok(Ok(Some(message))) => {
                if !take(message, mode, asked, state, shown, out, &mut more, &mut invalid)? {
                    return Ok(End::Enough);
                }
            }
            Ok(Ok(None)) => return Ok(invalid.map_or(End::Ok(more), End::Error)),
            Ok(Err(status)) => return Ok(failed(running, &status).await),
            Err(_) => {
                return Err(Error::Failed(format!(
                    "it said nothing for {} s, and connectord would give it up: send progress, or a checkpoint",
                    SILENCE.as_secs()
                )));
            }
        }
    }
}

/// Takes one message in. Gives whether more is wanted.
#[expect(clippy::too_many_arguments, reason = "what a pull changes, each its own")]
fn take(
    message: PullResponse,
    mode: PullMode,
    asked: &Asked<'_>,
    state: &mut State,
    shown: &mut Shown,
    out: &mut Output,
    more: &mut Vec<String>,
    invalid: &mut Option<ConnectorError>,
) -> Result<bool> {
    match message.kind {
        Some(pull_response::Kind::Page(page)) => {
            if !shown.page(out, &page, asked.limit)? {
                return Ok(false);
            }
            if let Some(checkpoint) = &page.checkpoint {
                shown.checkpoint(checkpoint);
                state.checkpoint(mode, &page.scope, checkpoint);
                more.retain(|scope| *scope != page.scope);
                if checkpoint.has_more {
                    more.push(page.scope.clone());
                }
                keep(mode, asked, state)?;
            }
            // One that is reached with a page's end is reached.
            return Ok(asked.limit.is_none_or(|limit| shown.changes() < limit));
        }
        Some(pull_response::Kind::ScopeError(error)) => {
            more.retain(|scope| *scope != error.scope);
            let told = ConnectorError::from_proto(error.error.clone().unwrap_or_default());
            if told.reason == Reason::CursorInvalid {
                // Not an error of the scope: what is done about it is told when the pull has ended.
                *invalid = Some(told);
            } else {
                shown.scope_error(&error.scope, error.error);
            }
        }
        Some(pull_response::Kind::ScopeRemoved(removed)) => {
            state.forget(&removed.scope);
            Shown::scope_removed(&removed);
        }
        Some(pull_response::Kind::Progress(progress)) => Shown::progress(&progress),
        Some(pull_response::Kind::Log(record)) => Shown::log(&record),
        None => note("a message of a kind that this version does not know came; connectord refuses it"),
    }
    Ok(true)
}

/// Writes the state, where this mode has one.
fn keep(mode: PullMode, asked: &Asked<'_>, state: &State) -> Result<()> {
    match mode {
        PullMode::Full | PullMode::Incremental => state.write(asked.state_file),
        _ => Ok(()),
    }
}

/// Tells an answer of the connector from its end.
async fn failed(running: &mut Running, status: &Status) -> End {
    let lost = std::error::Error::source(status).is_some();
    // A lost connection is often seen a moment before the end of the process that caused it.
    for _ in 0..20 {
        if let Some(how) = running.exit() {
            return End::Died(how);
        }
        if !lost {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    End::Error(ConnectorError::from_status(status))
}
