//! A line of the feed as programs read it: `{"connection":…,"position":…,"document":{…}}`.

use superfasttt_proto::connector::v1::DocumentEnvelope;
use superfasttt_proto::control::v1::FeedEntry;
use superfasttt_proto::control::v1::feed_entry::Kind;

use crate::error::Result;
use crate::output::json;

/// The line for an entry. What is said of the text (unchanged, stale, truncated, or too long to be in the line)
/// follows `document` when texts were asked for and there is something to say.
///
/// # Errors
///
/// The document holds what JSON cannot say.
pub fn to_line(entry: &FeedEntry, with_content: bool) -> Result<String> {
    let mut line = format!(
        r#"{{"connection":{},"position":{}"#,
        json::quote(&entry.connection),
        json::quote(&entry.position)
    );
    match &entry.kind {
        Some(Kind::Document(document)) => {
            line.push_str(",\"document\":");
            if with_content {
                line.push_str(&json::to_string(document)?);
                line.push_str(&about_content(entry, document));
            } else {
                let bare = DocumentEnvelope { content: None, ..document.clone() };
                line.push_str(&json::to_string(&bare)?);
            }
        }
        Some(Kind::Tombstone(tombstone)) => {
            line.push_str(&format!(r#","tombstone":{{"id":{}}}"#, json::quote(&tombstone.id)));
        }
        None => {}
    }
    line.push('}');
    Ok(line)
}

/// Whether the text is one that only ReadContent gives.
pub fn is_text_left_out(entry: &FeedEntry, document: &DocumentEnvelope) -> bool {
    document.content.is_none() && entry.content_length > 0 && !entry.content_unchanged
}

fn about_content(entry: &FeedEntry, document: &DocumentEnvelope) -> String {
    let mut members = String::new();
    if entry.content_unchanged {
        members.push_str(r#","contentUnchanged":true"#);
    }
    if is_text_left_out(entry, document) {
        members.push_str(&format!(r#","contentLength":"{}""#, entry.content_length));
    }
    if entry.content_stale {
        members.push_str(r#","contentStale":true"#);
    }
    if entry.content_truncated {
        members.push_str(r#","contentTruncated":true"#);
    }
    members
}

#[cfg(test)]
mod tests {
    use superfasttt_proto::control::v1::Tombstone;

    use super::*;

    fn entry() -> FeedEntry {
        let document =
            DocumentEnvelope { id: "a".into(), content: Some("text".into()), ..Default::default() };
        FeedEntry {
            organization: "default".into(),
            connection: "c".into(),
            position: "p".into(),
            kind: Some(Kind::Document(document)),
            content_length: 4,
            ..Default::default()
        }
    }

    #[test]
    fn a_document_has_its_text_only_when_asked_for() {
        assert_eq!(
            to_line(&entry(), false).unwrap(),
            r#"{"connection":"c","position":"p","document":{"id":"a"}}"#
        );
        assert_eq!(
            to_line(&entry(), true).unwrap(),
            r#"{"connection":"c","position":"p","document":{"id":"a","content":"text"}}"#
        );
    }

    #[test]
    fn a_reader_of_texts_learns_why_one_is_missing() {
        let mut unchanged = entry();
        unchanged.content_unchanged = true;
        if let Some(Kind::Document(document)) = &mut unchanged.kind {
            document.content = None;
        }
        assert!(to_line(&unchanged, true).unwrap().ends_with(r#","contentUnchanged":true}"#));
        let long = FeedEntry { content_unchanged: false, content_length: 5_000_000, ..unchanged };
        assert!(to_line(&long, true).unwrap().ends_with(r#","contentLength":"5000000"}"#));
    }

    #[test]
    fn a_tombstone_says_what_is_gone() {
        let gone = FeedEntry { kind: Some(Kind::Tombstone(Tombstone { id: "a\"".into() })), ..entry() };
        assert_eq!(
            to_line(&gone, true).unwrap(),
            r#"{"connection":"c","position":"p","tombstone":{"id":"a\""}}"#
        );
    }
}
