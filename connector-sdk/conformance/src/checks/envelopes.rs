//! Documents, containers and errors are within the limits of the contract.

use prost::Message;
use superfasttt_proto::connector::v1::{Container, DocumentEnvelope, Error, Reason, change};

use crate::outcome::{Finding, Outcome, Verdict};
use crate::workbench::Workbench;

const ID: &str = "\"Required. The source's own stable identifier, unique within a connection. 1 to 1,024 bytes of UTF-8.\" (document.proto, DocumentEnvelope)";
const LIMITS: &str = "each field says how many bytes it has at most (document.proto, DocumentEnvelope)";
const SOURCE: &str = "\"Optional. The connector's id, such as \\\"google-drive\\\". Empty: the server fills it in.\" (document.proto, DocumentEnvelope)";
const MEDIA_TYPE: &str = "\"The media type of the bytes behind `content_ref`, such as \\\"application/pdf\\\", lower-case, without parameters.\" (document.proto, DocumentEnvelope)";
const CONTENT_REF: &str = "\"Empty: there is nothing to fetch.\" (document.proto) and \"FetchContent is served.\" (connector.proto, Capabilities)";
const ERROR: &str = "\"Required. Unset or unknown is treated as INTERNAL.\", \"Required. What happened, for a person: a lower-case fragment without full stop, without secrets, at most 2 KiB.\", \"Optional, at most 128 bytes.\", \"Optional, at most 16 entries of 256 bytes.\" (errors.proto, Error)";
const MIB: usize = 1024 * 1024;

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let fetches = bench.capabilities().fetch_content;
    let mut findings = Vec::new();
    let (mut documents, mut errors) = (0, 0);
    for (_, change) in baseline.pulls.iter().flat_map(|pulled| pulled.changes()) {
        match &change.kind {
            Some(change::Kind::Document(document)) => {
                documents += 1;
                findings.extend(of_document(document, &bench.manifest.id, fetches));
            }
            Some(change::Kind::Container(container)) => findings.extend(of_container(container)),
            Some(change::Kind::ItemError(error)) => {
                errors += 1;
                findings.extend(error.error.as_ref().and_then(of_error));
            }
            _ => {}
        }
    }
    Ok(Outcome::of(findings, format!("{documents} documents, {errors} item errors")))
}

fn of_document(document: &DocumentEnvelope, connector: &str, fetches: bool) -> Vec<Finding> {
    let id = &document.id;
    let mut findings: Vec<Finding> = of_id(id).into_iter().collect();
    let sizes = [
        ("title", document.title.len(), 4096),
        ("content", document.content.as_ref().map_or(0, String::len), MIB),
        ("url", document.url.len(), 8 * 1024),
        ("metadata", document.metadata.as_ref().map_or(0, Message::encoded_len), 64 * 1024),
        ("version", document.version.len(), 1024),
        ("content_ref", document.content_ref.len(), 8 * 1024),
        ("media_type", document.media_type.len(), 255),
        ("parent_id", document.parent_id.len(), 1024),
        ("locator", document.locator.len(), 4096),
    ];
    for (field, bytes, most) in sizes.into_iter().filter(|(_, bytes, most)| bytes > most) {
        let seen = format!("the {field} of {id:?} has {bytes} bytes, over {most}");
        let fix = match field {
            "content" => "give a `content_ref` and serve FetchContent",
            _ => "cut it, or send an item error instead of the document",
        };
        findings.push(Finding::new(seen, LIMITS, fix));
    }
    if !document.source.is_empty() && document.source != connector {
        let seen =
            format!("the source of {id:?} is {:?}, and the connector is {connector:?}", document.source);
        findings.push(Finding::new(seen, SOURCE, "leave it empty"));
    }
    let media_type = &document.media_type;
    if media_type.contains(|c: char| c.is_ascii_uppercase() || c == ';' || c.is_whitespace()) {
        let seen = format!("the media_type of {id:?} is {media_type:?}");
        findings.push(Finding::new(seen, MEDIA_TYPE, "make it lower-case, and leave parameters out"));
    }
    if !document.content_ref.is_empty() && !fetches {
        let seen = format!("{id:?} has a content_ref, and fetch_content is not declared");
        findings.push(Finding::new(
            seen,
            CONTENT_REF,
            "declare `fetch_content` and serve it, or leave content_ref empty",
        ));
    }
    findings
}

fn of_container(container: &Container) -> Option<Finding> {
    if container.name.is_empty() {
        let seen = format!("the container {:?} has no name", container.id);
        let contract = "\"Required. The name that a person knows it by.\" (connector.proto, Container)";
        return Some(Finding::new(seen, contract, "give the name that the source shows"));
    }
    of_id(&container.id)
}

fn of_id(id: &str) -> Option<Finding> {
    if (1..=1024).contains(&id.len()) {
        return None;
    }
    let begins: String = id.chars().take(40).collect();
    let seen = format!("an id has {} bytes ({begins:?}…)", id.len());
    Some(Finding::new(seen, ID, "give the source's own identifier; a longer one needs a hash"))
}

fn of_error(error: &Error) -> Option<Finding> {
    let facts = error.metadata.values().any(|value| value.len() > 256) || error.metadata.len() > 16;
    let wrong = if error.reason() == Reason::Unspecified {
        "has no reason".to_owned()
    } else if error.message.is_empty() || error.message.len() > 2048 {
        format!("has a message of {} bytes", error.message.len())
    } else if error.code.len() > 128 || facts {
        "has a code or facts over the limits".to_owned()
    } else {
        return None;
    };
    let message: String = error.message.chars().take(100).collect();
    Some(Finding::new(
        format!("an item error ({message:?}) {wrong}"),
        ERROR,
        "set reason and message, and cut what is too long",
    ))
}
