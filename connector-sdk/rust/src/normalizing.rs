//! The Normalize rpc: kept raw items in, envelopes out, one for one and in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::Stream;
use superfasttt_proto::connector::v1::{
    NormalizeRequest, NormalizeResponse, RawItem, change, item_error::Target, normalize_request,
    normalize_response,
};
use tonic::{Status, Streaming};

use crate::change::normalize;
use crate::connector::Connector;
use crate::item::{Item, ItemKey};
use crate::limits;
use crate::listing::violation;
use crate::stream::died;
use crate::values::parse_settings;

struct Run<C: Connector> {
    connector: Arc<C>,
    requests: Streaming<NormalizeRequest>,
    /// Known from the first message on.
    settings: Option<C::Settings>,
}

/// Answers each raw item. The first request is awaited inside the stream: a client may wait for the answer's
/// headers before it sends anything.
pub(crate) fn normalize_stream<C: Connector>(
    connector: Arc<C>,
    requests: Streaming<NormalizeRequest>,
) -> impl Stream<Item = Result<NormalizeResponse, Status>> + Send {
    let run = Run { connector, requests, settings: None };
    futures::stream::try_unfold(run, |mut run| async move {
        loop {
            match (next(&mut run.requests).await?, &run.settings) {
                (None, _) => return Ok(None),
                (Some(normalize_request::Kind::Start(start)), None) => {
                    run.settings = Some(parse_settings(start.settings)?);
                }
                (Some(normalize_request::Kind::Raw(raw)), Some(settings)) => {
                    let response = answer(&*run.connector, settings, raw);
                    return Ok(Some((response, run)));
                }
                (Some(_), _) => {
                    let message = "the first message of Normalize carries `start`, and only that one";
                    return Err(violation(message).to_status());
                }
            }
        }
    })
}

fn answer<C: Connector>(connector: &C, settings: &C::Settings, raw: RawItem) -> NormalizeResponse {
    let decode = AssertUnwindSafe(|| connector.decode_raw(&raw.schema, &raw.data));
    let kind = match catch_unwind(decode).unwrap_or_else(died) {
        Ok(decoded) => {
            let key = ItemKey { id: raw.id, version: raw.version, content_ref: raw.content_ref };
            normalize(connector, settings, Item { key, raw: decoded })
        }
        Err(error) => limits::item_error(Some(Target::Id(raw.id)), false, &error),
    };
    let kind = match limits::fit(kind).0.kind {
        Some(change::Kind::Document(document)) => Some(normalize_response::Kind::Document(document)),
        Some(change::Kind::ItemError(error)) => Some(normalize_response::Kind::ItemError(error)),
        // `normalize` makes nothing else.
        _ => None,
    };
    NormalizeResponse { kind }
}

async fn next(requests: &mut Streaming<NormalizeRequest>) -> Result<Option<normalize_request::Kind>, Status> {
    let Some(request) = requests.message().await? else { return Ok(None) };
    let kind = request.kind.ok_or_else(|| violation("a message of Normalize carries nothing").to_status())?;
    Ok(Some(kind))
}
