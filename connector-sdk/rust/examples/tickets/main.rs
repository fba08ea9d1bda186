//! A connector in its second version: raw items that its first version gave, and the server has kept, are still read, so
//! that all documents can be made anew without asking the source again.

use superfasttt_connector::{
    Connector, ConnectorError, DocumentEnvelope, Item, ItemKey, Metadata, Pull, Reason, Sink, serve,
};

/// Reads a file of tickets: each line is one, as JSON.
pub struct Tickets;

/// What a person sets. Settings marked `x-secret` are not given to `normalize` of kept items: they would need a default.
#[derive(serde::Deserialize)]
pub struct Settings {
    file: std::path::PathBuf,
}

/// A ticket as the source gives it: everything that is worth keeping, also what no document shows yet.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Ticket {
    number: u64,
    title: String,
    labels: Vec<String>,
}

/// A ticket as version 1 of this connector kept it: with one label, perhaps empty.
#[derive(serde::Deserialize)]
struct TicketOfVersion1 {
    number: u64,
    title: String,
    label: String,
}

impl Connector for Tickets {
    type Settings = Settings;
    type Raw = Ticket;

    /// The shape of `Ticket` has changed, and so has its name.
    const RAW_SCHEMA: &'static str = "ticket/2";

    fn manifest(&self) -> &str {
        include_str!("manifest.json")
    }

    // Written once: the SDK sends raw items where a connection keeps them, and envelopes elsewhere.
    async fn pull(&self, pull: Pull<Settings>, sink: &Sink<Self>) -> Result<(), ConnectorError> {
        let tickets = std::fs::read_to_string(&pull.settings.file).map_err(|error| {
            ConnectorError::new(Reason::NotFound, format!("the file of tickets cannot be read: {error}"))
        })?;
        for line in tickets.lines() {
            let ticket: Ticket = serde_json::from_str(line)
                .map_err(|_| ConnectorError::new(Reason::Internal, "a line of the file is no ticket"))?;
            sink.document(Item::new(format!("ticket-{}", ticket.number), ticket)).await?;
        }
        sink.complete_listing("end")
    }

    // Pure: no network, no clock, no credential. It may run long after the pull.
    fn normalize(
        &self,
        _key: &ItemKey,
        ticket: Ticket,
        _settings: &Settings,
    ) -> Result<DocumentEnvelope, ConnectorError> {
        Ok(DocumentEnvelope {
            title: format!("#{} {}", ticket.number, ticket.title),
            metadata: Metadata::new().with("labels", ticket.labels.join(", ")).into(),
            ..DocumentEnvelope::default()
        })
    }

    fn decode_raw(&self, schema: &str, data: &[u8]) -> Result<Ticket, ConnectorError> {
        let unreadable =
            |_| ConnectorError::new(Reason::Internal, format!("a kept item is no {schema}: pull it again"));
        match schema {
            "ticket/1" => {
                let TicketOfVersion1 { number, title, label } =
                    serde_json::from_slice(data).map_err(unreadable)?;
                let labels = if label.is_empty() { Vec::new() } else { vec![label] };
                Ok(Ticket { number, title, labels })
            }
            _ => serde_json::from_slice(data).map_err(unreadable),
        }
    }
}

fn main() -> std::process::ExitCode {
    serve(Tickets)
}
