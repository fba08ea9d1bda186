//! Real folders, and short words for what tests look at.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::Path;

use bytes::Bytes;
use prost_types::value::Kind;
use serde_json::{Value, json};
use superfasttt_connector::testing::{
    Pulled, collect_pull, connect, fetch_content, full_pull, settings_struct,
};
use superfasttt_connector::{ConnectorError, ContentHeader, DocumentEnvelope};
use superfasttt_proto::connector::v1::FetchContentRequest;

use connector_filesystem::Filesystem;

/// A folder that is removed after the test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    pub fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self::new();
        for (path, text) in files {
            folder.write(path, text);
        }
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("it is below a folder")).expect("folders can be made");
        std::fs::write(path, text).expect("files can be written");
    }
}

/// Settings of a connection to `folder`.
pub fn settings(folder: &Folder, mut others: Value) -> Value {
    others["root"] = json!(folder.path());
    others
}

/// A whole listing.
pub async fn list(folder: &Folder, others: Value) -> Pulled {
    let pulled = collect_pull(&mut connect(Filesystem).await, full_pull(settings(folder, others))).await;
    assert_eq!(pulled.error, None);
    pulled
}

/// A file's bytes.
pub async fn fetch(folder: &Folder, content_ref: &str) -> Result<(ContentHeader, Bytes), ConnectorError> {
    let request = FetchContentRequest {
        settings: Some(settings_struct(settings(folder, json!({})))),
        contract_revision: 1,
        id: content_ref.to_owned(),
        content_ref: content_ref.to_owned(),
        ..Default::default()
    };
    fetch_content(&mut connect(Filesystem).await, request).await
}

pub fn ids(pulled: &Pulled) -> Vec<String> {
    pulled.documents().map(|document| document.id.clone()).collect()
}

pub fn is_complete(pulled: &Pulled) -> bool {
    pulled.checkpoints().any(|(_, checkpoint)| checkpoint.listing_complete)
}

/// A text of the metadata; empty where there is none.
pub fn text<'a>(document: &'a DocumentEnvelope, key: &str) -> &'a str {
    match metadata(document, key) {
        Some(Kind::StringValue(text)) => text,
        _ => "",
    }
}

/// A number of the metadata.
pub fn number(document: &DocumentEnvelope, key: &str) -> f64 {
    match metadata(document, key) {
        Some(Kind::NumberValue(number)) => *number,
        other => panic!("{key} is {other:?}"),
    }
}

fn metadata<'a>(document: &'a DocumentEnvelope, key: &str) -> Option<&'a Kind> {
    document.metadata.as_ref()?.fields.get(key)?.kind.as_ref()
}
