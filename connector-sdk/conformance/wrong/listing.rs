//! What is made of an item of the source.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use prost_types::{Struct, Timestamp, Value, value::Kind};
use serde_json::Value as Json;
use superfasttt_proto::connector::v1::{
    Change, DocumentEnvelope, Error, ItemError, Permissions, Present, RawItem, Reason, change, item_error,
};

use crate::fault::Fault;

/// The item that cannot be read.
const BROKEN: u64 = 13;
/// 2026-01-01.
const MADE_AT_S: i64 = 1_767_225_600;

static READINGS: AtomicU64 = AtomicU64::new(0);

/// What goes on the wire in the place of an item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Document,
    Raw,
    Present,
}

/// The id of an item.
pub fn id(space: &str, number: u64) -> String {
    format!("{space}-{number}")
}

/// The change that tells an item.
pub fn change(fault: Fault, space: &str, item: &Json, form: Form) -> Change {
    let number = item["number"].as_u64().unwrap_or(0);
    let id = match fault {
        Fault::IdsAreRandom => format!("{}-{}", id(space, number), READINGS.fetch_add(1, Ordering::Relaxed)),
        _ => id(space, number),
    };
    let version = item["sequence"].to_string();
    let kind = if number == BROKEN {
        let reason = if fault == Fault::ItemErrorsHaveNoReason {
            Reason::Unspecified
        } else {
            Reason::ContentUnreadable
        };
        let error =
            Error { reason: reason.into(), message: "it cannot be read".to_owned(), ..Default::default() };
        let target = match fault {
            Fault::CompletesAfterAnUnnamedError => None,
            _ => Some(item_error::Target::Id(id)),
        };
        change::Kind::ItemError(ItemError { target, with_descendants: false, error: Some(error) })
    } else {
        match form {
            Form::Document => change::Kind::Document(envelope(fault, id, version, item)),
            Form::Raw => change::Kind::Raw(raw(fault, id, version, item)),
            Form::Present => {
                let version =
                    if fault == Fault::ListHasOtherVersions { format!("v{version}") } else { version };
                change::Kind::Present(Present { id, version })
            }
        }
    };
    Change { kind: Some(kind) }
}

/// The item as it is kept.
fn raw(fault: Fault, id: String, version: String, item: &Json) -> RawItem {
    let mut item = item.clone();
    if fault == Fault::RawIsAgainstItsSchema {
        item["internal"] = Json::from(true);
    }
    let schema = if fault == Fault::RawNamesAnUnknownSchema { "thing/9" } else { "item/1" };
    RawItem {
        content_ref: content_ref(&item),
        id,
        version,
        schema: schema.to_owned(),
        data: item.to_string().into(),
    }
}

/// Every tenth item has bytes behind it.
fn content_ref(item: &Json) -> String {
    match item["number"].as_u64() {
        Some(number) if number % 10 == 0 => number.to_string(),
        _ => String::new(),
    }
}

/// The envelope of a raw item.
pub fn normalized(fault: Fault, raw: &RawItem) -> DocumentEnvelope {
    let item: Json = serde_json::from_slice(&raw.data).unwrap_or(Json::Null);
    let mut document = envelope(fault, raw.id.clone(), raw.version.clone(), &item);
    match fault {
        Fault::NormalizeIsRandom => document.title = format!("{:?}", std::time::Instant::now()),
        Fault::NormalizeGivesOthersThanPull => document.url.clear(),
        _ => {}
    }
    document
}

fn envelope(fault: Fault, id: String, version: String, item: &Json) -> DocumentEnvelope {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let sequence = item["sequence"].as_i64().unwrap_or(0);
    let title = item["title"].as_str().unwrap_or_default();
    let mut metadata = BTreeMap::from([("owner".to_owned(), text("alex"))]);
    match fault {
        Fault::MetadataIsAgainstItsSchema => {
            metadata.insert("owner".to_owned(), Value { kind: Some(Kind::NumberValue(7.0)) });
        }
        Fault::DocumentsCountTheirReadings => {
            metadata
                .insert("readings".to_owned(), text(&READINGS.fetch_add(1, Ordering::Relaxed).to_string()));
        }
        _ => {}
    }
    let visibility = if fault == Fault::HasAnUnknownVisibility { "everybody" } else { "private" };
    let permissions = Permissions {
        visibility: visibility.to_owned(),
        allow: vec!["user:alex@acme.example".to_owned()],
        deny: Vec::new(),
    };
    let updated =
        if fault == Fault::TimesAreInMilliseconds { MADE_AT_S * 1000 } else { MADE_AT_S + sequence };
    DocumentEnvelope {
        url: format!("https://source.example/{id}"),
        content_ref: content_ref(item),
        id,
        version,
        title: if fault == Fault::TitlesAreTooLong { title.repeat(2000) } else { title.to_owned() },
        content: Some(format!("What {title} says.")),
        metadata: Some(Struct { fields: metadata.into_iter().collect() }),
        permissions: (fault != Fault::HasNoPermissions).then_some(permissions),
        created_at: Some(Timestamp { seconds: MADE_AT_S, nanos: 0 }),
        updated_at: Some(Timestamp { seconds: updated, nanos: 0 }),
        ..Default::default()
    }
}
