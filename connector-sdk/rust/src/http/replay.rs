//! Answers from a recording, without network.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;
use url::{Url, form_urlencoded};

use crate::http::har::{Answered, Asked, Entry, Request};
use crate::redact::{REDACTED, Redactor};

/// The entries of a file, and which of them have answered.
#[derive(Debug)]
pub(super) struct Player {
    path: PathBuf,
    entries: Vec<Entry>,
    played: Mutex<Vec<bool>>,
}

#[derive(Deserialize)]
struct Archive {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

impl Player {
    /// Reads the file of any writer of HAR, or what there is of one that was cut off.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        let entries = match serde_json::from_str::<Archive>(&text) {
            Ok(archive) => archive.log.entries,
            Err(_) => text.lines().filter_map(entry_of_line).collect(),
        };
        if entries.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it has no entries of HAR 1.2"));
        }
        let played = Mutex::new(vec![false; entries.len()]);
        Ok(Self { path: path.to_owned(), entries, played })
    }

    /// The recorded answer: of several that are alike the next one, the last of them again and again.
    ///
    /// # Errors
    ///
    /// SOURCE_UNAVAILABLE where there is none; it says what was asked, and the nearest that is there.
    pub(super) fn answer(&self, asked: &Asked, redactor: &Redactor) -> Result<Answered, ConnectorError> {
        let wanted = Request::new(asked, redactor);
        let mut played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        let alike: Vec<usize> = (0..self.entries.len())
            .filter(|&index| is_alike(&self.entries[index].request, &wanted))
            .collect();
        let next = alike.iter().copied().find(|&index| !played[index]).or(alike.last().copied());
        let Some(index) = next else { return Err(self.missing(&wanted)) };
        played[index] = true;
        self.entries[index].response.answered().ok_or_else(|| {
            let message = format!("the recorded answer to {} {} cannot be read", wanted.method, wanted.url);
            ConnectorError::new(Reason::SourceUnavailable, message)
        })
    }

    fn missing(&self, wanted: &Request) -> ConnectorError {
        let line = |request: &Request| format!("{} {}", request.method, request.url);
        let asked = line(wanted);
        let there = self.entries.iter().map(|entry| line(&entry.request));
        let nearest = match there.max_by_key(|other| likeness(other, &asked)) {
            Some(nearest) if nearest == asked => "there it has another body".to_owned(),
            Some(nearest) => format!("the nearest that is there is {nearest}"),
            None => "it is empty".to_owned(),
        };
        let message = format!("the recording {} has no answer to {asked}; {nearest}", self.path.display());
        ConnectorError::new(Reason::SourceUnavailable, message)
    }
}

fn entry_of_line(line: &str) -> Option<Entry> {
    serde_json::from_str(line.trim().trim_end_matches(',')).ok()
}

fn is_alike(recorded: &Request, wanted: &Request) -> bool {
    let text =
        |request: &Request| request.post_data.as_ref().map(|body| body.text.clone()).unwrap_or_default();
    recorded.method == wanted.method
        && is_same_address(&recorded.url, &wanted.url)
        && is_same_body(&text(recorded), &text(wanted))
}

fn is_same_address(recorded: &str, wanted: &str) -> bool {
    let (Ok(recorded), Ok(wanted)) = (Url::parse(recorded), Url::parse(wanted)) else {
        return recorded == wanted;
    };
    let query = |url: &Url| url.query().unwrap_or_default().to_owned();
    recorded.origin() == wanted.origin()
        && recorded.path() == wanted.path()
        && are_same_pairs(&query(&recorded), &query(&wanted))
}

/// In any order; what is redacted on one side is left out on both.
fn are_same_pairs(recorded: &str, wanted: &str) -> bool {
    let pairs = |form: &str| -> Vec<(String, String)> {
        let mut pairs: Vec<_> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        pairs.sort();
        pairs
    };
    let (mut recorded, mut wanted) = (pairs(recorded), pairs(wanted));
    let both = recorded.iter().chain(&wanted);
    let hidden: Vec<String> =
        both.filter(|(_, value)| value.contains(REDACTED)).map(|(name, _)| name.clone()).collect();
    recorded.retain(|(name, _)| !hidden.contains(name));
    wanted.retain(|(name, _)| !hidden.contains(name));
    recorded == wanted
}

/// As text, as JSON or as a form: languages differ in how they write the same.
fn is_same_body(recorded: &str, wanted: &str) -> bool {
    if recorded == wanted {
        return true;
    }
    if let (Ok(recorded), Ok(wanted)) = (serde_json::from_str(recorded), serde_json::from_str(wanted)) {
        return is_same_json(&recorded, &wanted);
    }
    recorded.contains('=') && wanted.contains('=') && are_same_pairs(recorded, wanted)
}

fn is_same_json(recorded: &Value, wanted: &Value) -> bool {
    match (recorded, wanted) {
        (Value::String(text), _) | (_, Value::String(text)) if text == REDACTED => true,
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| is_same_json(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same_json(a, b))
        }
        (a, b) => a == b,
    }
}

/// How much two requests have in common at their beginning and at their end.
fn likeness(one: &str, other: &str) -> usize {
    let beginning = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let end = one.bytes().rev().zip(other.bytes().rev()).take_while(|(a, b)| a == b).count();
    beginning + end
}
