//! The change that is made of an author's item: its envelope, the raw item, or its id and version alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use superfasttt_proto::connector::v1::{Present, RawItem, Reason, change, item_error::Target};
use superfasttt_proto::error::ConnectorError;

use crate::connector::Connector;
use crate::item::{Item, ItemKey};
use crate::limits;
use crate::stream::died;

/// The envelope of an item, or the item error that says why there is none.
pub(crate) fn normalize<C: Connector>(
    connector: &C,
    settings: &C::Settings,
    item: Item<C::Raw>,
) -> change::Kind {
    let Item { key, raw } = item;
    let normalized = catch_unwind(AssertUnwindSafe(|| connector.normalize(&key, raw, settings)));
    match normalized.unwrap_or_else(died) {
        Ok(mut document) => {
            let ItemKey { id, version, content_ref } = key;
            (document.id, document.version, document.content_ref) = (id, version, content_ref);
            change::Kind::Document(document)
        }
        Err(error) => limits::item_error(named(key.id), false, &error),
    }
}

/// The item as it is kept, or the item error that says why it cannot be.
pub(crate) fn raw<C: Connector>(item: Item<C::Raw>) -> change::Kind {
    let Item { key, raw } = item;
    match serde_json::to_vec(&raw) {
        Ok(data) => change::Kind::Raw(RawItem {
            id: key.id,
            version: key.version,
            content_ref: key.content_ref,
            schema: C::RAW_SCHEMA.to_owned(),
            data: Bytes::from(data),
        }),
        Err(_) => {
            let error = ConnectorError::new(Reason::Internal, "the raw item cannot be written as JSON");
            limits::item_error(named(key.id), false, &error)
        }
    }
}

fn named(id: String) -> Option<Target> {
    Some(Target::Id(id))
}

/// The item's id and version alone.
pub(crate) fn present(id: String, version: String) -> change::Kind {
    change::Kind::Present(Present { id, version })
}
