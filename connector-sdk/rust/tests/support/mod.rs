//! A connector whose `pull` and `fetch_content` are given as closures, so that each test says what the author's
//! code does.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use superfasttt_connector::{
    Connector, ConnectorError, ContentWriter, DocumentEnvelope, FetchContent, Item, ItemKey, Pull, Reason,
    Sink,
};

pub type Running<'a> = Pin<Box<dyn Future<Output = Result<(), ConnectorError>> + Send + 'a>>;
type PullFn = dyn for<'a> Fn(Pull<Settings>, &'a Sink<Author>) -> Running<'a> + Send + Sync;
type FetchFn = dyn for<'a> Fn(FetchContent<Settings>, &'a mut ContentWriter) -> Running<'a> + Send + Sync;

#[derive(Debug, Default, serde::Deserialize)]
pub struct Settings {
    #[serde(default)]
    pub prefix: String,
}

/// Everything that the contract knows.
pub const EVERYTHING: &str = r#"{"id": "author", "capabilities": ["incremental", "full_listing", "list",
    "targeted", "fetch_content"]}"#;
/// A source that neither lists fully nor has anything else.
pub const NOTHING: &str = r#"{"id": "author"}"#;

#[derive(Clone)]
pub struct Author {
    pub manifest: &'static str,
    pub pull: Arc<PullFn>,
    pub fetch: Arc<FetchFn>,
}

impl Author {
    pub fn pulling(
        pull: impl for<'a> Fn(Pull<Settings>, &'a Sink<Author>) -> Running<'a> + Send + Sync + 'static,
    ) -> Self {
        Self {
            manifest: EVERYTHING,
            pull: Arc::new(pull),
            fetch: Arc::new(|_, _| Box::pin(async { Ok(()) })),
        }
    }

    pub fn fetching(
        fetch: impl for<'a> Fn(FetchContent<Settings>, &'a mut ContentWriter) -> Running<'a>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { fetch: Arc::new(fetch), ..Self::pulling(|_, _| Box::pin(async { Ok(()) })) }
    }

    pub fn with_manifest(self, manifest: &'static str) -> Self {
        Self { manifest, ..self }
    }
}

impl Connector for Author {
    type Settings = Settings;
    type Raw = String;
    const RAW_SCHEMA: &'static str = "text/1";

    fn manifest(&self) -> &str {
        self.manifest
    }

    async fn pull(&self, pull: Pull<Settings>, sink: &Sink<Self>) -> Result<(), ConnectorError> {
        (self.pull)(pull, sink).await
    }

    fn normalize(
        &self,
        _key: &ItemKey,
        raw: String,
        settings: &Settings,
    ) -> Result<DocumentEnvelope, ConnectorError> {
        if raw == "panic" {
            panic!("the author's own mistake");
        }
        if raw == "bad" {
            return Err(ConnectorError::new(Reason::ContentUnreadable, "this one is bad"));
        }
        let title = format!("{}{raw}", settings.prefix);
        Ok(DocumentEnvelope { title, content: Some(raw), ..DocumentEnvelope::default() })
    }

    async fn fetch_content(
        &self,
        request: FetchContent<Settings>,
        content: &mut ContentWriter,
    ) -> Result<(), ConnectorError> {
        (self.fetch)(request, content).await
    }
}

/// An item of version 1.
pub fn item(id: impl Into<String>, text: impl Into<String>) -> Item<String> {
    Item::new(id, text.into()).with_version("1")
}
