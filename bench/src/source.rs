//! The connector of the benchmark: it makes its documents up, so that what is measured is the way of a document and
//! not its source.

use std::time::Duration;

use superfasttt_connector::{
    Connector, ConnectorError, DocumentEnvelope, Item, ItemKey, Metadata, Mode, Permissions, Pull, Sink,
    Timestamp,
};

/// The manifest, which also says what the settings are.
pub const MANIFEST: &str = include_str!("../manifest.json");

/// Words of which the texts are cut: long enough that neighbours differ.
const WORDS: &str = "the quarterly report of the northern office lists every contract signed since spring with its \
     owner its value and the day on which it ends so that nobody has to look for it in a folder again and the people \
     who answer questions about it find the newest version first ";

/// What there is to list.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub struct Settings {
    /// How many documents.
    pub documents: u64,
    /// How long the text of each is.
    #[serde(default = "default_content_bytes")]
    pub content_bytes: usize,
    /// How many metadata fields each has.
    #[serde(default = "default_metadata_fields")]
    pub metadata_fields: usize,
    /// The version of all; another one changes every text.
    #[serde(default = "default_version")]
    pub version: u64,
    /// How many documents, spread over all, an incremental pull finds changed.
    #[serde(default)]
    pub changes: u64,
    /// Each incremental pull ends at a new cursor, also one that finds nothing.
    #[serde(default)]
    pub cursor_moves: bool,
    /// How long the source takes for each page.
    #[serde(default)]
    pub page_ms: u64,
    /// Documents in a page, at whose end is a checkpoint.
    #[serde(default = "default_page_documents")]
    pub page_documents: u64,
}

fn default_content_bytes() -> usize {
    1024
}

fn default_metadata_fields() -> usize {
    8
}

fn default_version() -> u64 {
    1
}

/// The most that the contract allows between two checkpoints.
fn default_page_documents() -> u64 {
    1000
}

impl Settings {
    /// The source makes a page.
    async fn page(&self) {
        if self.page_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.page_ms)).await;
        }
    }

    /// So many documents as the benchmark is about: 1 KiB of text, 8 metadata fields.
    pub fn new(documents: u64) -> Self {
        Self {
            documents,
            content_bytes: default_content_bytes(),
            metadata_fields: default_metadata_fields(),
            version: default_version(),
            changes: 0,
            cursor_moves: false,
            page_ms: 0,
            page_documents: default_page_documents(),
        }
    }
}

/// The connector.
#[derive(Debug)]
pub struct Source {
    /// The texts are pieces of it.
    words: String,
}

impl Source {
    /// A source that makes its documents as they are asked for.
    pub fn new() -> Self {
        Self { words: WORDS.repeat(1024 * 1024 * 2 / WORDS.len()) }
    }

    fn text(&self, number: u64, version: u64, settings: &Settings) -> String {
        let mut text = format!("{number} {version} ");
        let from = number as usize % WORDS.len();
        text.push_str(&self.words[from..from + settings.content_bytes.saturating_sub(text.len())]);
        text.truncate(settings.content_bytes);
        text
    }

    /// What both sides make of a number; an item's key is not in it yet.
    fn envelope(&self, number: u64, version: u64, settings: &Settings) -> DocumentEnvelope {
        let field = |metadata: Metadata, field: usize| {
            let name = format!("field_{field}");
            match field % 4 {
                0 => metadata.with(name, format!("value {} of {number}", field * 7)),
                1 => metadata.with_count(name, number * (field as u64 + 1)),
                2 => metadata.with(name, format!("folder/{}/{}", number % 97, number % 1009)),
                _ => metadata.with(name, number.is_multiple_of(2)),
            }
        };
        let modified = Timestamp { seconds: 1_700_000_000 + number as i64, nanos: 0 };
        DocumentEnvelope {
            title: format!("Document {number}"),
            url: format!("https://documents.example/{number}"),
            content: Some(self.text(number, version, settings)),
            media_type: "text/plain".to_owned(),
            metadata: (0..settings.metadata_fields).fold(Metadata::new(), field).into(),
            permissions: Some(Permissions {
                visibility: "private".to_owned(),
                allow: vec![
                    format!("user:person-{}@acme.example", number % 211),
                    format!("group:team-{}@acme.example", number % 13),
                    "domain:acme.example".to_owned(),
                ],
                deny: Vec::new(),
            }),
            created_at: Some(Timestamp { seconds: 1_600_000_000, nanos: 0 }),
            updated_at: Some(modified),
            ..DocumentEnvelope::default()
        }
    }

    /// The whole document of that number, of a source that has not changed.
    pub fn document(&self, number: u64, settings: &Settings) -> DocumentEnvelope {
        let mut document = self.envelope(number, settings.version, settings);
        document.id = id(number);
        document.version = settings.version.to_string();
        document
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::new()
    }
}

impl Connector for Source {
    type Settings = Settings;
    /// The document's number, and its version.
    type Raw = (u64, u64);

    fn manifest(&self) -> &str {
        MANIFEST
    }

    async fn pull(&self, pull: Pull<Settings>, sink: &Sink<Self>) -> Result<(), ConnectorError> {
        match pull.mode {
            Mode::Incremental => changes(&pull, sink).await,
            _ => listing(&pull, sink).await,
        }
    }

    fn normalize(
        &self,
        _key: &ItemKey,
        (number, version): (u64, u64),
        settings: &Settings,
    ) -> Result<DocumentEnvelope, ConnectorError> {
        Ok(self.envelope(number, version, settings))
    }
}

/// The cursor of a listing is the number of the last document that it named.
async fn listing(pull: &Pull<Settings>, sink: &Sink<Source>) -> Result<(), ConnectorError> {
    let settings = &pull.settings;
    let listed: u64 = pull.cursor_json("")?.unwrap_or(0);
    for number in listed + 1..=settings.documents {
        sink.document(item(number, settings.version)).await?;
        if number % settings.page_documents == 0 {
            settings.page().await;
            sink.checkpoint(number.to_string(), true).await?;
        }
    }
    sink.complete_listing("0")
}

/// The cursor counts the changes since the listing, and pulls that found none where it moves all the same. A document
/// that changes has a new version.
async fn changes(pull: &Pull<Settings>, sink: &Sink<Source>) -> Result<(), ConnectorError> {
    let settings = &pull.settings;
    let before: u64 = pull.cursor_json("")?.unwrap_or(0);
    let after = before + settings.changes.max(settings.cursor_moves.into());
    for change in before..before + settings.changes {
        let (round, place) = (change / settings.changes, change % settings.changes);
        let number = 1 + (place * settings.documents / settings.changes + round) % settings.documents;
        sink.document(item(number, settings.version + round + 1)).await?;
        if (change + 1) % settings.page_documents == 0 && change + 1 < after {
            settings.page().await;
            sink.checkpoint((change + 1).to_string(), true).await?;
        }
    }
    settings.page().await;
    sink.checkpoint(after.to_string(), false).await
}

fn id(number: u64) -> String {
    format!("document-{number:09}")
}

fn item(number: u64, version: u64) -> Item<(u64, u64)> {
    Item::new(id(number), (number, version)).with_version(version.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use superfasttt_connector::testing;

    #[tokio::test]
    async fn documents_are_as_large_as_told_and_the_same_each_time() {
        let mut client = testing::connect(Source::new()).await;
        let settings = serde_json::json!({"documents": 1001});
        let first = testing::collect_pull(&mut client, testing::full_pull(settings.clone())).await;
        assert_eq!(first.error, None);
        assert_eq!(first.documents().count(), 1001);
        for document in first.documents() {
            assert_eq!(document.content.as_ref().map(String::len), Some(1024));
            assert_eq!(document.metadata.as_ref().map(|metadata| metadata.fields.len()), Some(8));
        }
        let second = testing::collect_pull(&mut client, testing::full_pull(settings)).await;
        assert!(first.documents().eq(second.documents()));
    }

    async fn increment(settings: serde_json::Value, cursor: &str) -> (usize, Vec<u8>) {
        let mut client = testing::connect(Source::new()).await;
        let mut request = testing::full_pull(settings);
        request.set_mode(superfasttt_proto::connector::v1::PullMode::Incremental);
        request.states.push(superfasttt_proto::connector::v1::ScopeState {
            scope: String::new(),
            cursor: cursor.as_bytes().to_vec(),
        });
        let pulled = testing::collect_pull(&mut client, request).await;
        assert_eq!(pulled.error, None);
        let (_, checkpoint) = pulled.checkpoints().last().unwrap();
        (pulled.documents().count(), checkpoint.cursor.clone())
    }

    #[tokio::test]
    async fn an_incremental_pull_finds_as_many_changes_as_told_and_moves_its_cursor_where_it_should() {
        let nothing = serde_json::json!({"documents": 10});
        assert_eq!(increment(nothing, "7").await, (0, b"7".to_vec()));
        let moves = serde_json::json!({"documents": 10, "cursor_moves": true});
        assert_eq!(increment(moves, "7").await, (0, b"8".to_vec()));
        let changes = serde_json::json!({"documents": 10, "changes": 5});
        assert_eq!(increment(changes, "5").await, (5, b"10".to_vec()));
    }
}
