//! The issues of samples/tracker: pages, a change feed with deletions, a broken issue, a 429, permissions.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use superfasttt_connector::*;

/// The connector.
pub struct Tracker;

/// As the manifest has them: `url`.
pub type Settings = HashMap<String, String>;

/// An issue as the tracker gives it.
#[derive(Deserialize, Serialize)]
pub struct Issue {
    number: u64,
    sequence: u64,
    title: Option<String>,
    body: String,
    author: String,
    private: bool,
    url: String,
}

/// Of the listing (`issues`, `next_page`) or of the change feed (`changes`, `has_more`).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Page {
    issues: Vec<Issue>,
    next_page: Option<u64>,
    changes: Vec<Change>,
    has_more: bool,
    sequence: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Issue(Issue),
    Deleted(u64),
}

fn item(issue: Issue) -> Item<Issue> {
    let (id, version) = (issue.number.to_string(), issue.sequence.to_string());
    Item::new(id, issue).with_version(version)
}

impl Connector for Tracker {
    type Settings = Settings;
    type Raw = Issue;

    fn manifest(&self) -> &str {
        include_str!("manifest.json")
    }

    /// 410: the tracker has forgotten this place in its change feed.
    fn status_reason(&self, status: u16) -> Option<Reason> {
        (status == 410).then_some(Reason::CursorInvalid)
    }

    async fn pull(&self, pull: Pull<Settings>, sink: &Sink<Self>) -> Result<(), ConnectorError> {
        for id in &pull.ids {
            match pull.http.get_json(format!("{}/issues/{id}", pull.settings["url"])).await {
                Err(error) if error.reason == Reason::NotFound => sink.deletion(Target::id(id)).await?,
                found => sink.document(item(found?)).await?,
            }
        }
        // A cursor: where the changes go on, and the page that comes next while the issues are listed.
        let (mut since, mut next): (u64, u64) = pull.cursor_json("")?.unwrap_or_default();
        let (listing, mut more) = (pull.mode.is_listing(), pull.mode != Mode::Targeted);
        while more {
            let path = if listing { format!("issues?page={next}") } else { format!("changes?since={since}") };
            let page: Page = pull.http.get_json(format!("{}/{path}", pull.settings["url"])).await?;
            for change in page.issues.into_iter().map(Change::Issue).chain(page.changes) {
                match change {
                    Change::Issue(issue) => sink.document(item(issue)).await?,
                    Change::Deleted(number) => sink.deletion(Target::id(number.to_string())).await?,
                }
            }
            // A listing keeps the place where it began: what happens meanwhile is in the feed.
            since = if listing && since > 0 { since } else { page.sequence };
            (next, more) = (page.next_page.unwrap_or(0), page.has_more || page.next_page.is_some());
            sink.checkpoint(format!("[{since},{next}]"), more).await?;
        }
        if listing { sink.complete_listing(format!("[{since},{next}]")) } else { Ok(()) }
    }

    fn normalize(&self, _: &ItemKey, issue: Issue, _: &Settings) -> Result<DocumentEnvelope, ConnectorError> {
        let visibility = if issue.private { "private" } else { "organization" };
        let allow = if issue.private { vec![format!("user:{}", issue.author)] } else { vec![] };
        Ok(DocumentEnvelope {
            title: issue.title.ok_or(ConnectorError::new(Reason::ContentUnreadable, "it has no title"))?,
            content: Some(issue.body),
            url: issue.url,
            permissions: Some(Permissions { visibility: visibility.into(), allow, deny: vec![] }),
            ..DocumentEnvelope::default()
        })
    }
}

fn main() -> std::process::ExitCode {
    serve(Tracker)
}
