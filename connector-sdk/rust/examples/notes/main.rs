//! A first connector: each line of a file is a document.

use superfasttt_connector::{
    Connector, ConnectorError, DocumentEnvelope, Item, ItemKey, Metadata, Permissions, Pull, Reason, Sink,
    serve,
};

/// Reads a file of notes: each line is a document.
struct Notes;

#[derive(serde::Deserialize)]
struct Settings {
    file: std::path::PathBuf,
}

/// A note as the source gives it.
#[derive(serde::Serialize, serde::Deserialize)]
struct Note {
    number: u64,
    text: String,
}

impl Connector for Notes {
    type Settings = Settings;
    type Raw = Note;

    fn manifest(&self) -> &str {
        include_str!("manifest.json")
    }

    async fn pull(&self, pull: Pull<Settings>, sink: &Sink<Self>) -> Result<(), ConnectorError> {
        // A cursor is what this connector wrote at its last checkpoint: here, how many lines were read.
        let read_before: u64 = pull.cursor_json("")?.unwrap_or(0);
        let notes = std::fs::read_to_string(&pull.settings.file).map_err(|error| {
            ConnectorError::new(Reason::NotFound, format!("the file of notes cannot be read: {error}"))
        })?;
        let lines = notes.lines().zip(1..).skip(read_before as usize);
        for (text, number) in lines {
            let note = Note { number, text: text.to_owned() };
            sink.document(Item::new(format!("note-{number}"), note)).await?;
            if number % 500 == 0 {
                sink.checkpoint(number.to_string(), true).await?;
            }
        }
        // Everything was named, so what was not is gone.
        sink.complete_listing("0")
    }

    fn normalize(
        &self,
        _key: &ItemKey,
        note: Note,
        _settings: &Settings,
    ) -> Result<DocumentEnvelope, ConnectorError> {
        Ok(DocumentEnvelope {
            title: format!("Note {}", note.number),
            metadata: Metadata::new().with_count("size", note.text.len() as u64).into(),
            content: Some(note.text),
            // Who may see it: nobody but the owner of the connection.
            permissions: Some(Permissions { visibility: "private".to_owned(), ..Permissions::default() }),
            ..DocumentEnvelope::default()
        })
    }
}

fn main() -> std::process::ExitCode {
    serve(Notes)
}
