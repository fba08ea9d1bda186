//! Plays Normalize: a raw item's data is a document of the script.

use std::time::Duration;

use superfasttt_proto::connector::v1::{
    self, DocumentEnvelope, NormalizeRequest, NormalizeResponse, RawItem, item_error, normalize_request,
    normalize_response,
};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::calls::ScriptFile;
use crate::script;

pub type Responses = mpsc::Sender<Result<NormalizeResponse, Status>>;

/// Plays until the end of the requests, an error, or the client's leave.
pub async fn play(mut requests: Streaming<NormalizeRequest>, responses: Responses) {
    if let Err(status) = play_all(&mut requests, &responses).await {
        responses.send(Err(status)).await.ok();
    }
}

async fn play_all(requests: &mut Streaming<NormalizeRequest>, responses: &Responses) -> Result<(), Status> {
    let refused = |error: anyhow::Error| Status::failed_precondition(format!("{error:#}"));
    let Some(normalize_request::Kind::Start(start)) = next(requests).await? else {
        return Err(Status::invalid_argument("the first message carries no start"));
    };
    let names: Vec<_> = start.settings.iter().flat_map(|settings| settings.fields.keys()).collect();
    // Whoever gives no script wants no tricks.
    let script = match ScriptFile::of(start.settings.as_ref()) {
        Ok(file) => {
            file.record("normalize", serde_json::json!({"settings": names})).map_err(refused)?;
            file.read().map_err(refused)?.normalize
        }
        Err(_) => script::Normalize::default(),
    };
    let mut waiting = Vec::new();
    while let Some(kind) = next(requests).await? {
        let normalize_request::Kind::Raw(item) = kind else {
            return Err(Status::invalid_argument("start came twice"));
        };
        waiting.push(item);
        if waiting.len() >= script.answer_after {
            answer(std::mem::take(&mut waiting), &script, responses).await;
        }
    }
    answer(waiting, &script, responses).await;
    Ok(())
}

async fn next(requests: &mut Streaming<NormalizeRequest>) -> Result<Option<normalize_request::Kind>, Status> {
    Ok(requests.message().await?.and_then(|request| request.kind))
}

async fn answer(items: Vec<RawItem>, script: &script::Normalize, responses: &Responses) {
    for item in items {
        if let Some(hold) = script.hold.as_ref().filter(|hold| hold.id == item.id) {
            std::fs::write(&hold.reached, "").ok();
            while !hold.until.exists() && !responses.is_closed() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        if script.exit_at.as_ref() == Some(&item.id) {
            std::process::exit(3);
        }
        tokio::time::sleep(Duration::from_millis(script.delay_ms)).await;
        let kind = Some(normalized(item, script));
        if responses.send(Ok(NormalizeResponse { kind })).await.is_err() {
            return;
        }
    }
}

/// One that is no document of the script, or that the script refuses, becomes an item error.
fn normalized(raw: RawItem, script: &script::Normalize) -> normalize_response::Kind {
    let parsed = serde_json::from_slice::<script::Document>(&raw.data).map_err(|error| error.to_string());
    let refused = script.refuse.contains(&raw.id).then(|| "the script refuses it".to_owned());
    match refused.map_or(parsed, Err) {
        Ok(document) => {
            let mut envelope = DocumentEnvelope {
                id: raw.id,
                version: raw.version,
                content_ref: raw.content_ref,
                ..document.into_proto()
            };
            if script.retitle.is_empty() || script.retitle.contains(&envelope.id) {
                envelope.title = format!("{}{}", script.title_prefix, envelope.title);
            }
            normalize_response::Kind::Document(envelope)
        }
        Err(message) => normalize_response::Kind::ItemError(v1::ItemError {
            target: Some(item_error::Target::Id(raw.id)),
            with_descendants: false,
            error: Some(v1::Error { reason: v1::Reason::Internal.into(), message, ..Default::default() }),
        }),
    }
}
