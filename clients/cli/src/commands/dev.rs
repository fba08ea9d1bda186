//! `dev`: one connector, pulled from without a server. What it asks and prints is in the module `dev`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use superfasttt_conformance::{Local, TargetError};
use superfasttt_proto::connector::v1::PullRequest;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::dev::{Asked, Mode, STATE_FILE, Shown, State, Watching, explain, hear, pull};
use crate::error::{Error, Result, report};
use crate::local_input::LocalInput;
use crate::output::{Output, note};

/// How long the connector has to end; it gives 2 s to its calls.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How much of what the connector writes may wait to be shown.
const MOST_UNSHOWN: usize = 64;

const EXAMPLES: &str = "\
The connector is started as connectord starts it: its folder, a clean environment, a socket. The first run lists everything; \
from then on the cursor in .dev-state.json says where changes begin. Relative paths among the settings are relative to the \
connector's folder. What the connector writes on stderr is shown as it comes.

Examples:
  connectorctl dev . --set file=testdata/items.jsonl           list everything; again: only what changed
  connectorctl dev . --set file=testdata/items.jsonl --watch   once more whenever a file here is saved
  connectorctl dev . --reset --limit 5                         from the beginning, and no more than 5 changes
  connectorctl dev . --mode targeted --id page-7               one item; needs the capability `targeted`
  WIKI_KEY=… connectorctl dev . --credential-env WIKI_KEY --record wiki.har
  connectorctl dev . --reset --replay wiki.har                 the same without network
  connectorctl --output json dev . | jq .document.title

As JSON: {\"scope\":…,\"document\":{…}} for a document, \"deletion\", \"itemError\" and so on in its place, and at the end \
{\"pulled\":{…}} with the counts. With a compiled language let the compiler watch too (npx tsc --watch): the new program is \
started as soon as it is built.

Exit codes: 0 done (also where single items failed), 1 failed, 2 usage.";

/// Which connector, with what, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The connector's folder
    #[arg(value_name = "PATH")]
    path: PathBuf,
    #[command(flatten)]
    input: LocalInput,
    /// What is asked. Without it: the rest of a listing, else what changed, else everything
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// An id to ask for; may be given several times
    #[arg(long = "id", value_name = "ID", required_if_eq("mode", "targeted"), requires = "mode")]
    ids: Vec<String>,
    /// End after so many changes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Where the cursor is kept between runs [default: .dev-state.json in the folder]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Forget the cursor first
    #[arg(long)]
    reset: bool,
    /// Pull again, with the connector started anew, whenever a file of the folder changes
    #[arg(long)]
    watch: bool,
    /// Have the connector's SDK write the source's HTTP traffic to a file, without secrets
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Have it answer from such a file, without network
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

/// `dev PATH`.
pub async fn run(args: Args, out: &mut Output) -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let watch = args.watch;
    // What is dropped here ends the connector with all that it started.
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
        done = work(args, out) => return done,
    }
    note("ended, and the connector with it");
    if watch { Ok(()) } else { Err(Error::Said) }
}

async fn work(args: Args, out: &mut Output) -> Result<()> {
    let mut session = Session::new(args)?;
    if !session.args.watch {
        return session.once(out).await;
    }
    loop {
        // From before the connector is started, so that no change is missed.
        let mut watching = session.watch()?;
        match session.once(out).await {
            Ok(()) => {}
            Err(error @ Error::ReaderGone) => return Err(error),
            Err(error) => {
                report(&error, "");
            }
        }
        note("waiting for a change; Ctrl-C ends");
        let changed = watching.changed().await;
        note(&format!("{} changed", changed.display()));
    }
}

/// What stays the same from one round to the next.
struct Session {
    args: Args,
    folder: PathBuf,
    program: PathBuf,
    credential: Option<String>,
    state_file: PathBuf,
}

impl Session {
    fn new(args: Args) -> Result<Self> {
        let local = Local::open(&args.path).map_err(refused)?;
        let folder = local.folder().to_owned();
        let state_file = match &args.state {
            Some(file) => absolute(file),
            None => folder.join(STATE_FILE),
        };
        if let Some(file) = args.replay.as_ref().filter(|file| !file.is_file()) {
            return Err(Error::Usage(format!("{} is not there: make it with --record", file.display())));
        }
        // Standard input is read once.
        let credential = args.input.credential()?;
        if args.reset {
            State::new(&local.manifest.id).write(&state_file)?;
        }
        Ok(Self { program: program(&local), folder, credential, state_file, args })
    }

    fn watch(&self) -> Result<Watching> {
        let own = [Some(&self.state_file), self.args.record.as_ref()];
        let but: Vec<PathBuf> = own.into_iter().flatten().map(|file| absolute(file)).collect();
        Watching::begin(&self.folder, &self.program, &but)
    }

    /// One start, one pull to its end, one stop.
    async fn once(&mut self, out: &mut Output) -> Result<()> {
        // Read each time: with --watch the manifest may be what changed.
        let mut local = Local::open(&self.args.path).map_err(refused)?;
        self.program = program(&local);
        let given = self.args.input.settings(Some(local.manifest.settings.clone()))?;
        let settings = local.settings(given).map_err(refused)?;
        let credential = match &self.credential {
            Some(text) => Some(local.credential(text).map_err(Error::Usage)?),
            None => None,
        };
        if credential.is_none() && local.manifest.auth.kind != "none" && self.args.replay.is_none() {
            note(
                "no credential is given, and the manifest wants one: --credential-env NAME or --credential FILE",
            );
        }
        let mut state = State::read(&self.state_file, &local.manifest.id)?;
        if let Some(file) = &self.args.record {
            local.record(absolute(file));
        }
        if let Some(file) = &self.args.replay {
            local.replay(absolute(file));
        }
        let asked = Asked {
            request: PullRequest {
                settings: Some(settings),
                credential,
                ids: self.args.ids.clone(),
                ..PullRequest::default()
            },
            mode: self.args.mode,
            limit: self.args.limit,
            state_file: &self.state_file,
        };
        pull_once(&local, &asked, &mut state, out).await
    }
}

async fn pull_once(local: &Local, asked: &Asked<'_>, state: &mut State, out: &mut Output) -> Result<()> {
    let (listener, written) = mpsc::channel(MOST_UNSHOWN);
    let heard = tokio::spawn(hear(written));
    let started = local.start(listener).await;
    let mut running = match started {
        Ok(running) => running,
        Err(reason) => {
            let _ = heard.await;
            return Err(Error::Failed(format!(
                "the connector cannot be tried: {reason}; its author must mend it, or make it ready as its README says"
            )));
        }
    };
    let capabilities = local.manifest.capabilities();
    let began = Instant::now();
    let mut shown = Shown::default();
    let (mode, ended) = pull(&mut running, &capabilities, asked, state, &mut shown, out).await;
    let took = began.elapsed();
    if running.stop(STOP_WITHIN).await.is_none() {
        note(&format!(
            "warning: it did not end within {} s of SIGTERM and was killed",
            STOP_WITHIN.as_secs()
        ));
    }
    // Its last words come before ours. A child that it left behind may hold its stderr open.
    let _ = tokio::time::timeout(STOP_WITHIN, heard).await;
    let failed = ended?;
    shown.end(out, mode, took)?;
    if let Some(error) = failed {
        for (number, line) in explain(&error).iter().enumerate() {
            note(&format!("{}{line}", if number == 0 { "error: " } else { "  " }));
        }
        return Err(Error::Said);
    }
    if shown.scope_errors() > 0 { Err(Error::Said) } else { Ok(()) }
}

fn program(local: &Local) -> PathBuf {
    local.command().first().map(PathBuf::from).unwrap_or_default()
}

fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

fn refused(error: TargetError) -> Error {
    match error {
        TargetError::Usage(message) => Error::Usage(message),
        other => Error::Failed(other.to_string()),
    }
}
