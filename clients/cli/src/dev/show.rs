//! What a pull brings, as it comes: a line each, for people or for programs.

use std::time::Duration;

use serde_json::json;
use superfasttt_proto::connector::v1::{
    Change, Checkpoint, Deletion, DocumentEnvelope, Error as WireError, LogRecord, Page, Progress,
    ScopeRemoved, change, deletion, item_error, log_record,
};
use superfasttt_proto::error::{ConnectorError, reason_info};

use crate::error::{Result, who};
use crate::output::text::{printable, shorten, word};
use crate::output::{Output, human, json, note};

/// How wide an id and a title are shown; ids are never cut.
const ID_WIDTH: usize = 24;
const TITLE_WIDTH: usize = 44;

/// Prints what comes, and counts it.
#[derive(Debug, Default)]
pub struct Shown {
    header: bool,
    changes: u64,
    documents: u64,
    deletions: u64,
    item_errors: u64,
    checkpoints: u64,
    scope_errors: u64,
    complete: bool,
}

impl Shown {
    /// How many changes were printed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many scopes stopped with an error.
    pub fn scope_errors(&self) -> u64 {
        self.scope_errors
    }

    /// Prints a page, as far as `limit` changes in all. Gives whether all of it was.
    pub fn page(&mut self, out: &mut Output, page: &Page, limit: Option<u64>) -> Result<bool> {
        for change in &page.changes {
            if limit.is_some_and(|limit| self.changes >= limit) {
                out.flush()?;
                return Ok(false);
            }
            self.change(out, &page.scope, change)?;
        }
        out.flush()?;
        Ok(true)
    }

    /// Counts a checkpoint.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.checkpoints += 1;
        self.complete |= checkpoint.listing_complete;
    }

    fn change(&mut self, out: &mut Output, scope: &str, change: &Change) -> Result<()> {
        self.changes += 1;
        match &change.kind {
            Some(change::Kind::Document(_) | change::Kind::Raw(_)) => self.documents += 1,
            Some(change::Kind::Deletion(_)) => self.deletions += 1,
            Some(change::Kind::ItemError(_)) => self.item_errors += 1,
            _ => {}
        }
        if out.is_json() {
            // A change is an object with one member, never an empty one.
            let change = json::to_string(change)?;
            return out.line(&format!(
                r#"{{"scope":{},{}"#,
                json::quote(scope),
                change.trim_start_matches('{')
            ));
        }
        if !self.header {
            self.header = true;
            out.line(&row("CHANGE", "ID", &document_cells("TITLE", "TEXT", "WHO", "UPDATED")))?;
        }
        out.line(&printable(&line(change)))
    }

    /// A scope stopped.
    pub fn scope_error(&mut self, scope: &str, error: Option<WireError>) {
        self.scope_errors += 1;
        note(&format!("scope {scope:?} stopped, the others go on: {}", told(error)));
    }

    /// A scope is gone.
    pub fn scope_removed(removed: &ScopeRemoved) {
        let cause = word(removed.reason().as_str_name(), "CAUSE_");
        note(&format!("scope {:?} is removed ({cause}): its documents would be deleted", removed.scope));
    }

    /// How far it is.
    pub fn progress(progress: &Progress) {
        let seen = human::count(progress.items_seen);
        let of = match progress.items_total {
            0 => seen,
            total => format!("{seen} of {}", human::count(total)),
        };
        let what =
            if progress.message.is_empty() { String::new() } else { format!(": {}", progress.message) };
        note(&format!("… {of} items{what}"));
    }

    /// A line of the run's log.
    pub fn log(record: &LogRecord) {
        let level = match record.level() {
            log_record::Level::Unspecified => "info".to_owned(),
            level => word(level.as_str_name(), "LEVEL_"),
        };
        note(&format!("run log, {level}: {}", record.message));
    }

    /// The last line.
    pub fn end(&self, out: &mut Output, mode: &str, took: Duration) -> Result<()> {
        if out.is_json() {
            let pulled = json!({ "pulled": {
                "mode": mode,
                "documents": self.documents,
                "deletions": self.deletions,
                "itemErrors": self.item_errors,
                "scopeErrors": self.scope_errors,
                "checkpoints": self.checkpoints,
                "listingComplete": self.complete,
            }});
            out.line(&pulled.to_string())?;
            return out.flush();
        }
        let mut parts = vec![human::plural(self.documents, "document")];
        for (count, name) in [
            (self.deletions, "deletion"),
            (self.item_errors, "item error"),
            (self.scope_errors, "scope error"),
            (self.changes - self.documents - self.deletions - self.item_errors, "other change"),
        ] {
            if count > 0 {
                parts.push(human::plural(count, name));
            }
        }
        parts.push(human::plural(self.checkpoints, "checkpoint"));
        let complete = if self.complete { "; the listing is complete" } else { "" };
        out.flush()?;
        note(&format!("{mode}: {} in {}{complete}", parts.join(", "), human::duration(took)));
        Ok(())
    }
}

fn line(change: &Change) -> String {
    match &change.kind {
        Some(change::Kind::Document(document)) => row("document", &document.id, &of_document(document)),
        Some(change::Kind::Raw(raw)) => {
            row("raw", &raw.id, &format!("{} of {}", human::bytes(raw.data.len() as u64), raw.schema))
        }
        Some(change::Kind::Deletion(Deletion { target, with_descendants })) => {
            let (id, locator) = match target {
                Some(deletion::Target::Id(id)) => (id.as_str(), ""),
                Some(deletion::Target::Locator(locator)) => (locator.as_str(), "by its locator"),
                None => ("", ""),
            };
            row("deleted", id, &joined(&[locator, if *with_descendants { "with all under it" } else { "" }]))
        }
        Some(change::Kind::ItemError(failed)) => {
            let id = match &failed.target {
                Some(item_error::Target::Id(id) | item_error::Target::Locator(id)) => id.as_str(),
                None => human::NOTHING,
            };
            row("failed", id, &told(failed.error.clone()))
        }
        Some(change::Kind::Present(present)) => row("present", &present.id, &present.version),
        Some(change::Kind::Permissions(permissions)) => row("access", &permissions.id, ""),
        Some(change::Kind::Container(container)) => row("folder", &container.id, &container.name),
        None => row("unknown", human::NOTHING, "a kind of change that this version does not know"),
    }
}

fn of_document(document: &DocumentEnvelope) -> String {
    let text = match (&document.content, document.content_ref.is_empty()) {
        (Some(content), _) => human::bytes(content.len() as u64),
        (None, false) => "fetched".to_owned(),
        (None, true) => human::NOTHING.to_owned(),
    };
    let who = match &document.permissions {
        Some(permissions) if permissions.allow.is_empty() => permissions.visibility.clone(),
        Some(permissions) => format!("{}, {} named", permissions.visibility, permissions.allow.len()),
        None => "not said".to_owned(),
    };
    let updated = human::time(document.updated_at.as_ref())
        .map_or_else(|| human::NOTHING.to_owned(), |time| time.format("%Y-%m-%d %H:%M").to_string());
    document_cells(&shorten(&document.title, TITLE_WIDTH), &text, &who, &updated)
}

fn document_cells(title: &str, text: &str, who: &str, updated: &str) -> String {
    format!("{title:<TITLE_WIDTH$}  {text:>8}  {who:<14}  {updated}")
}

fn row(change: &str, id: &str, rest: &str) -> String {
    format!("{change:<8}  {id:<ID_WIDTH$}  {rest}").trim_end().to_owned()
}

fn joined(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(", ")
}

/// An error in a line, with who must act.
fn told(error: Option<WireError>) -> String {
    let error = ConnectorError::from_proto(error.unwrap_or_default());
    let info = reason_info(error.reason);
    format!("{}: {} (must act: {})", info.name, error.message, who(info.actor.as_str()))
}
