//! A connector whose source is a ledger: a file to which a test appends a line for each change, `put ID TEXT` or
//! `delete ID`. The cursor of changes is how many lines were told. It has a change feed and lists everything, and
//! keeps nothing between calls; it stands for every well-behaved connector where the world around it is not.

use std::collections::BTreeMap;
use std::time::Duration;

use superfasttt_connector::{
    Connector, ConnectorError, DocumentEnvelope, Item, ItemKey, Mode, Pull, Reason, Sink, Target,
};

/// Where the ledger is, and how slowly it is read.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Settings {
    path: String,
    #[serde(default = "default_page")]
    page: usize,
    #[serde(default)]
    page_ms: u64,
}

fn default_page() -> usize {
    5
}

/// Where a scope stands.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Cursor {
    /// So many lines were told.
    Told(usize),
    /// A listing of so many lines has come to this document.
    Listing { lines: usize, after: String },
}

struct Ledger;

impl Settings {
    fn lines(&self) -> Result<Vec<String>, ConnectorError> {
        let text = std::fs::read_to_string(&self.path).map_err(|error| {
            ConnectorError::new(Reason::SourceUnavailable, format!("{}: {error}", self.path))
        })?;
        // A line that is being written has no end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        Ok(whole.lines().map(str::to_owned).collect())
    }

    async fn pause(&self) {
        if self.page_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.page_ms)).await;
        }
    }
}

/// A line: the document's id, and its text where it is put.
fn change(line: &str) -> (&str, Option<&str>) {
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("put"), Some(id), text) => (id, Some(text.unwrap_or(""))),
        (_, id, _) => (id.unwrap_or(""), None),
    }
}

impl Ledger {
    async fn changes(
        &self,
        pull: &Pull<Settings>,
        sink: &Sink<Self>,
        told: usize,
    ) -> Result<(), ConnectorError> {
        let lines = pull.settings.lines()?;
        if told > lines.len() {
            return Err(ConnectorError::new(Reason::CursorInvalid, "the cursor is beyond the ledger's end"));
        }
        let mut told = told;
        while told < lines.len() {
            pull.settings.pause().await;
            let until = (told + pull.settings.page).min(lines.len());
            for line in &lines[told..until] {
                match change(line) {
                    (id, Some(text)) => sink.document(Item::new(id, text.to_owned())).await?,
                    (id, None) => sink.deletion(Target::id(id)).await?,
                }
            }
            told = until;
            sink.checkpoint(told.to_string(), told < lines.len()).await?;
        }
        if lines.is_empty() {
            sink.checkpoint("0", false).await?;
        }
        Ok(())
    }

    async fn listing(
        &self,
        pull: &Pull<Settings>,
        sink: &Sink<Self>,
        cursor: Option<Cursor>,
    ) -> Result<(), ConnectorError> {
        let lines = pull.settings.lines()?;
        // The listing is of the ledger as it was when it began: what came since is told as changes.
        let (listed, after) = match cursor {
            None => (lines.len(), String::new()),
            Some(Cursor::Listing { lines, after }) => (lines, after),
            Some(Cursor::Told(told)) => return sink.complete_listing(told.to_string()),
        };
        let mut documents = BTreeMap::new();
        for line in lines.iter().take(listed) {
            match change(line) {
                (id, Some(text)) => drop(documents.insert(id, text)),
                (id, None) => drop(documents.remove(id)),
            }
        }
        let rest: Vec<_> = documents.into_iter().filter(|(id, _)| *id > after.as_str()).collect();
        for page in rest.chunks(pull.settings.page) {
            pull.settings.pause().await;
            for (id, text) in page {
                sink.document(Item::new(*id, (*text).to_owned())).await?;
            }
            if let Some((last, _)) = page.last() {
                sink.checkpoint(format!("{{\"lines\":{listed},\"after\":\"{last}\"}}"), true).await?;
            }
        }
        sink.complete_listing(listed.to_string())
    }
}

impl Connector for Ledger {
    type Settings = Settings;
    /// The document's text.
    type Raw = String;

    fn manifest(&self) -> &str {
        include_str!("../manifest.json")
    }

    async fn pull(&self, pull: Pull<Settings>, sink: &Sink<Self>) -> Result<(), ConnectorError> {
        let cursor = pull.cursor_json("")?;
        match (pull.mode, cursor) {
            (Mode::Full, cursor) => self.listing(&pull, sink, cursor).await,
            (_, Some(Cursor::Told(told))) => self.changes(&pull, sink, told).await,
            (_, _) => self.changes(&pull, sink, 0).await,
        }
    }

    fn normalize(
        &self,
        key: &ItemKey,
        text: String,
        _: &Settings,
    ) -> Result<DocumentEnvelope, ConnectorError> {
        Ok(DocumentEnvelope {
            title: key.id.clone(),
            content: Some(text),
            media_type: "text/plain".to_owned(),
            ..DocumentEnvelope::default()
        })
    }
}

fn main() -> std::process::ExitCode {
    superfasttt_connector::serve(Ledger)
}
