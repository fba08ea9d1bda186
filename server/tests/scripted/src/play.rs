//! Plays the steps of a pull.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use superfasttt_proto::connector::v1::{
    Change, Checkpoint, DocumentEnvelope, Page, Progress, PullResponse, RawItem, ScopeError, ScopeRemoved,
    change, pull_response::Kind,
};
use tokio::sync::mpsc;
use tonic::Status;

use crate::look_around::look_around;
use crate::script::{Act, Generate, PageScript, Step, removal_cause};

pub type Responses = mpsc::Sender<Result<PullResponse, Status>>;

/// How long a message may take from the channel onto the socket, before the process ends abruptly.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// Plays until the end, a step that fails, or the client's leave.
pub async fn play(steps: Vec<Step>, responses: Responses) {
    for step in steps {
        let sent = match play_step(step, &responses).await {
            Ok(sent) => sent,
            Err(error) => {
                responses.send(Err(Status::failed_precondition(format!("{error:#}")))).await.is_ok()
            }
        };
        if !sent {
            return;
        }
    }
}

/// Whether the pull goes on.
async fn play_step(step: Step, responses: &Responses) -> anyhow::Result<bool> {
    let Step { scope, act } = step;
    let act = match act.into_change()? {
        Ok(change) => return Ok(send(responses, Kind::Page(page(scope, vec![change], None))).await),
        Err(act) => act,
    };
    let kind = match act {
        Act::Page(PageScript { scope: own, changes, checkpoint }) => {
            let changes = changes.into_iter().map(|act| {
                act.into_change()?.ok().context("a page in the script holds something that is no change")
            });
            let changes = changes.collect::<anyhow::Result<Vec<Change>>>()?;
            Kind::Page(page(
                own.unwrap_or(scope),
                changes,
                checkpoint.map(|checkpoint| checkpoint.into_proto()),
            ))
        }
        Act::Checkpoint(checkpoint) => Kind::Page(page(scope, vec![], Some(checkpoint.into_proto()))),
        Act::ScopeError(failure) => {
            Kind::ScopeError(ScopeError { scope, error: Some(failure.into_error()?.to_proto()) })
        }
        Act::ScopeRemoved(cause) => {
            Kind::ScopeRemoved(ScopeRemoved { scope, reason: removal_cause(&cause)?.into() })
        }
        Act::Progress(progress) => Kind::Progress(Progress {
            items_seen: progress.items_seen,
            items_total: progress.items_total,
            message: progress.message,
        }),
        Act::Log(log) => Kind::Log(log.into_proto()?),
        Act::UnknownKind(what) if what == "response" => {
            return Ok(responses.send(Ok(PullResponse::default())).await.is_ok());
        }
        Act::Fail(failure) => {
            responses.send(Err(failure.into_error()?.to_status())).await.ok();
            return Ok(false);
        }
        Act::Generate(generate) => return Ok(play_generate(generate, scope, responses).await),
        other => return act_on_the_process(other, responses).await,
    };
    Ok(send(responses, kind).await)
}

async fn act_on_the_process(act: Act, responses: &Responses) -> anyhow::Result<bool> {
    match act {
        Act::Stderr(text) => {
            #[expect(clippy::print_stderr, reason = "what the step is for")]
            {
                eprintln!("{text}");
            }
        }
        Act::Stdout(text) => {
            #[expect(clippy::print_stdout, reason = "what the step is for")]
            {
                println!("{text}");
            }
        }
        Act::WaitForFile(path) => return Ok(wait_for(&path, responses).await),
        Act::TouchFile(path) => {
            std::fs::write(&path, "").with_context(|| format!("touching {}", path.display()))?
        }
        Act::SleepMs(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
        Act::Exit(code) => {
            sent_out(responses).await;
            std::process::exit(code);
        }
        Act::Abort(wanted) => {
            sent_out(responses).await;
            if wanted {
                std::process::abort();
            }
        }
        Act::LookAround(wanted) => look_around(&wanted)?,
        // Written to, so that it is resident.
        Act::AllocateBytes(bytes) => std::mem::forget(vec![1_u8; bytes]),
        _ => anyhow::bail!("the script has a step that is not known here"),
    }
    Ok(true)
}

async fn play_generate(generate: Generate, scope: String, responses: &Responses) -> bool {
    let text = "x".repeat(generate.size_bytes);
    let mut changes = Vec::new();
    for number in generate.start..generate.start + generate.count {
        let document = DocumentEnvelope {
            id: format!("{}{number}", generate.prefix),
            title: format!("Document {number}"),
            content: Some(text.clone()),
            version: generate.version.clone(),
            ..DocumentEnvelope::default()
        };
        changes.push(Change {
            kind: Some(if generate.raw { as_raw(document) } else { change::Kind::Document(document) }),
        });
        let next = number + 1;
        let checkpoint =
            (generate.checkpoint_every > 0 && next % generate.checkpoint_every == 0).then(|| Checkpoint {
                cursor: next.to_string().into_bytes(),
                has_more: true,
                listing_complete: false,
            });
        if checkpoint.is_some() || changes.len() as u64 >= generate.per_page {
            let page = page(scope.clone(), std::mem::take(&mut changes), checkpoint);
            if !send(responses, Kind::Page(page)).await {
                return false;
            }
        }
    }
    changes.is_empty() || send(responses, Kind::Page(page(scope, changes, None))).await
}

/// The raw item that Normalize makes a generated document of.
fn as_raw(document: DocumentEnvelope) -> change::Kind {
    let data = serde_json::json!({"title": document.title, "content": document.content});
    change::Kind::Raw(RawItem {
        id: document.id,
        version: document.version,
        schema: "generated/1".to_owned(),
        data: data.to_string().into(),
        ..RawItem::default()
    })
}

/// Polls for a file while the client is there.
async fn wait_for(path: &Path, responses: &Responses) -> bool {
    while !path.exists() {
        if responses.is_closed() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

/// Waits until the client has what was sent before the process ends.
async fn sent_out(responses: &Responses) {
    while responses.capacity() < responses.max_capacity() && !responses.is_closed() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(ON_ITS_WAY).await;
}

fn page(scope: String, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> Page {
    Page { scope, changes, checkpoint }
}

async fn send(responses: &Responses, kind: Kind) -> bool {
    responses.send(Ok(PullResponse { kind: Some(kind) })).await.is_ok()
}
