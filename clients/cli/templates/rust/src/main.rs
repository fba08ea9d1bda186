//! My service: the items of a file, a JSON object a line. Write your source where this reads the file.

#[cfg(test)]
mod tests;

use superfasttt_connector::{
    Checks, Connector, ConnectorError, DocumentEnvelope, Item, ItemKey, Metadata, Permissions, Pull, Reason,
    Sink, Target, TestConnection, Timestamp, serve,
};

/// Small, so that the few items in testdata/ have several. Some hundreds are usual; 1,000 is the most.
const ITEMS_A_CHECKPOINT: usize = 10;

/// The connector. It keeps nothing between calls: everything that a call needs comes with its request.
struct Source;

/// What a person sets. The manifest's `settings` says the same for forms.
#[derive(serde::Deserialize)]
struct Settings {
    file: std::path::PathBuf,
}

/// An item as the source gives it: everything that is worth keeping, also what no document shows yet.
#[derive(serde::Serialize, serde::Deserialize)]
struct Entry {
    id: String,
    updated: String,
    #[serde(default)]
    deleted: bool,
    title: Option<String>,
    text: Option<String>,
    author: Option<String>,
}

/// Up to which item everything was given. Several items may have one time, so the id is part of it. Times in one form
/// (ISO 8601, UTC) have the order of texts.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
struct Cursor {
    updated: String,
    id: String,
}

impl Cursor {
    fn at(entry: &Entry) -> Self {
        Self { updated: entry.updated.clone(), id: entry.id.clone() }
    }

    fn encode(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

impl Connector for Source {
    type Settings = Settings;
    type Raw = Entry;

    fn manifest(&self) -> &str {
        include_str!("../manifest.json")
    }

    /// Brings what comes after the cursor, oldest first: so a listing goes on where it was cut, and changes follow on it.
    async fn pull(&self, pull: Pull<Settings>, sink: &Sink<Self>) -> Result<(), ConnectorError> {
        let invalid = |message| Err(ConnectorError::new(Reason::CursorInvalid, message));
        let begin: Option<Cursor> = pull.cursor_json("")?;
        if begin.is_none() && !pull.mode.is_listing() {
            return invalid("changes begin where a listing ended");
        }
        let begin = begin.unwrap_or_default();
        let mut entries = read(&pull.settings)?;
        entries.sort_by_key(Cursor::at);
        let newest = entries.last().map(Cursor::at).unwrap_or_default();
        if begin > newest {
            return invalid("the source has nothing as new as this any more");
        }
        let coming = entries.into_iter().filter(|entry| Cursor::at(entry) > begin);
        for (number, entry) in (1..).zip(coming) {
            let here = Cursor::at(&entry);
            if entry.deleted {
                sink.deletion(Target::id(entry.id)).await?;
            } else {
                // The version says whether an item is another than before.
                sink.document(Item::new(entry.id.clone(), entry).with_version(&here.updated)).await?;
            }
            if number % ITEMS_A_CHECKPOINT == 0 {
                sink.checkpoint(here.encode(), true).await?;
            }
        }
        // Only a listing has named everything, so only after it what was not named is deleted.
        if pull.mode.is_listing() {
            return sink.complete_listing(newest.encode());
        }
        sink.checkpoint(newest.encode(), false).await
    }

    /// Makes a document of an item: pure, without network and clock. Its error is this item's alone.
    fn normalize(
        &self,
        _key: &ItemKey,
        entry: Entry,
        _settings: &Settings,
    ) -> Result<DocumentEnvelope, ConnectorError> {
        let unreadable = |message| ConnectorError::new(Reason::ContentUnreadable, message);
        let title = entry.title.ok_or_else(|| unreadable("the item has no title"))?;
        let updated = chrono::DateTime::parse_from_rfc3339(&entry.updated)
            .map_err(|_| unreadable("the item's time is none"))?;
        Ok(DocumentEnvelope {
            title,
            content: entry.text,
            metadata: Metadata::new().with("owner", entry.author.unwrap_or_default()).into(),
            // "organization" where everybody may see it
            permissions: Some(Permissions { visibility: "private".to_owned(), ..Permissions::default() }),
            updated_at: Some(Timestamp { seconds: updated.timestamp(), nanos: 0 }),
            ..DocumentEnvelope::default()
        })
    }

    /// Tells a person whether the settings work, before the first sync.
    async fn test_connection(&self, test: TestConnection<Settings>) -> Result<Checks, ConnectorError> {
        Ok(match read(&test.settings) {
            Ok(_) => Checks::new().passed("file_readable", "the file can be read"),
            Err(error) => {
                Checks::new().failed("file_readable", error.message, "name another file in the settings")
            }
        })
    }
}

/// The source. Yours asks page by page, and is not held in memory.
fn read(settings: &Settings) -> Result<Vec<Entry>, ConnectorError> {
    let text = std::fs::read_to_string(&settings.file).map_err(|error| {
        ConnectorError::new(Reason::NotFound, format!("the file cannot be read: {error}"))
    })?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .map_err(|_| ConnectorError::new(Reason::Internal, "a line of the file is no item"))
}

fn main() -> std::process::ExitCode {
    serve(Source)
}
