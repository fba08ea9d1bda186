//! FetchContent gives the bytes that it announces.

use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{
    ContentHeader, DocumentEnvelope, FetchContentRequest, Reason, fetch_content_response,
};
use superfasttt_proto::error::ConnectorError;
use tonic::Status;

use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::told;
use crate::wire::Wire;
use crate::workbench::Workbench;

const ORDER: &str = "\"The first message carries `header`, every later one `chunk`. OK ends the bytes.\" (connector.proto, rpc FetchContent)";
const CHUNK: &str = "\"Every later one: 1 byte to 1 MiB.\" (connector.proto, FetchContentResponse)";
const LENGTH: &str =
    "\"Optional. How many bytes follow. Absent: not known.\" (connector.proto, ContentHeader)";
const TOO_LARGE: &str = "\"a connector that knows the length to be over it answers CONTENT_TOO_LARGE at once.\" (connector.proto, FetchContentRequest)";
const MOST_DOCUMENTS: usize = 10;
const MOST_BYTES: u64 = 64 * 1024 * 1024;

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    if !bench.capabilities().fetch_content {
        return Ok(Outcome::not_applicable("it does not declare `fetch_content`"));
    }
    let baseline = bench.baseline().await?;
    let wire = bench.wire().await?;
    let with_content = baseline.model.documents().filter(|document| !document.content_ref.is_empty());
    let documents: Vec<&DocumentEnvelope> = with_content.take(MOST_DOCUMENTS).collect();
    if documents.is_empty() {
        return Ok(Outcome::not_tried(
            "no document of the test source has a content_ref: let one have bytes to fetch",
        ));
    }
    let mut findings = Vec::new();
    let mut bytes = 0;
    for document in &documents {
        match fetch(&wire, bench, document, MOST_BYTES).await {
            Ok(fetched) => {
                bytes += fetched.bytes;
                findings.extend(fetched.findings);
                let length = fetched.header.and_then(|header| header.length_bytes);
                if length.is_some_and(|length| length > 1) {
                    findings.extend(too_large(&wire, bench, document).await);
                }
            }
            Err(status) => {
                let seen = format!("the bytes of {:?} ended with {}", document.id, told(&status));
                findings.push(Finding::new(seen, ORDER, "serve the bytes behind every content_ref"));
            }
        }
    }
    Ok(Outcome::of(findings, format!("{bytes} bytes of {} documents", documents.len())))
}

struct Fetched {
    header: Option<ContentHeader>,
    bytes: u64,
    findings: Vec<Finding>,
}

async fn fetch(
    wire: &Wire,
    bench: &Workbench,
    document: &DocumentEnvelope,
    max_bytes: u64,
) -> Result<Fetched, Status> {
    let request = FetchContentRequest {
        settings: Some(bench.settings_struct()),
        credential: bench.credential.clone(),
        contract_revision: CONTRACT_REVISION,
        id: document.id.clone(),
        content_ref: document.content_ref.clone(),
        version: document.version.clone(),
        max_bytes,
    };
    let mut stream = wire.client().fetch_content(request).await?.into_inner();
    let mut fetched = Fetched { header: None, bytes: 0, findings: Vec::new() };
    let id = &document.id;
    let mut first = true;
    while let Some(message) = stream.message().await? {
        match message.kind {
            Some(fetch_content_response::Kind::Header(header)) if first => fetched.header = Some(header),
            Some(fetch_content_response::Kind::Chunk(chunk)) if !first => {
                if !(1..=1024 * 1024).contains(&chunk.len()) {
                    let seen = format!("a chunk of {id:?} has {} bytes", chunk.len());
                    fetched.findings.push(Finding::new(seen, CHUNK, "send 1 byte to 1 MiB at a time"));
                }
                fetched.bytes += chunk.len() as u64;
            }
            _ => {
                let seen = format!("the bytes of {id:?} do not begin with a header, or have a second one");
                fetched.findings.push(Finding::new(seen, ORDER, "send the header first and once"));
            }
        }
        first = false;
    }
    if first {
        let seen = format!("the answer for {id:?} was empty");
        fetched.findings.push(Finding::new(seen, ORDER, "send the header, also where no bytes follow"));
    }
    if let Some(length) = fetched.header.as_ref().and_then(|header| header.length_bytes)
        && length != fetched.bytes
    {
        let seen = format!("{id:?} was announced with {length} bytes, and {} came", fetched.bytes);
        fetched.findings.push(Finding::new(seen, LENGTH, "leave it absent where it is not known for sure"));
    }
    Ok(fetched)
}

/// One byte is all that is taken.
async fn too_large(wire: &Wire, bench: &Workbench, document: &DocumentEnvelope) -> Option<Finding> {
    let seen = match fetch(wire, bench, document, 1).await {
        Err(status) if ConnectorError::from_status(&status).reason == Reason::ContentTooLarge => return None,
        Err(status) => told(&status),
        Ok(fetched) => format!("{} bytes", fetched.bytes),
    };
    let seen = format!("with max_bytes 1, {:?} was answered with {seen}", document.id);
    Some(Finding::new(seen, TOO_LARGE, "compare the length with max_bytes before the header"))
}
