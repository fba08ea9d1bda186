//! A FULL pull ends well, in messages that the contract knows.

use prost::Message;
use superfasttt_proto::connector::v1::{
    Page, PullResponse, change, item_error, pull_response, scope_removed,
};

use crate::outcome::{Finding, Outcome, Verdict};
use crate::workbench::Workbench;

const KIND: &str = "\"Exactly one. None, or one that the server does not know, is PROTOCOL_VIOLATION.\" (connector.proto, PullResponse and Change)";
const PAGE_SIZE: &str =
    "\"The size of one page, in encoded bytes. 0: 1 MiB. Never over 4 MiB\" (connector.proto, PullLimits)";
const PAGE_CHANGES: &str = "\"How many changes a page holds. 0: 500.\" (connector.proto, PullLimits)";
const CURSOR: &str = "\"Required, 1 byte to 64 KiB. Opaque to the server.\" (connector.proto, Checkpoint)";
const OFTEN: &str = "\"Now and then (at least every 60 seconds or 1,000 items) a page carries a checkpoint\" (connector.proto, The life of a pull)";
const RAW: &str =
    "\"The same, before Normalize. Only when the request says `want_raw`.\" (connector.proto, Change)";
const SCOPE: &str = "\"Required, may be empty. The scope of every change here, at most 1,024 bytes.\" (connector.proto, Page)";
const LOG: &str = "\"Required, at most 4 KiB. Without secrets.\" and \"Optional, at most 32 entries.\" (connector.proto, LogRecord)";
const COUNT: &str = "`documents` in conformance.json says how many a listing brings (docs/conformance.md)";

const MIB: usize = 1024 * 1024;
/// A page of one change may be as large as a message.
const MOST_PAGE_BYTES: usize = 4 * MIB;

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let mut findings = Vec::new();
    for pulled in &baseline.pulls {
        let mut since_checkpoint = 0;
        for message in &pulled.messages {
            findings.extend(of_message(message));
            let Some(pull_response::Kind::Page(page)) = &message.kind else { continue };
            since_checkpoint += page.changes.len();
            // The page that brings the checkpoint may be a full one.
            if since_checkpoint > 1000 + 500 {
                let seen = format!("{since_checkpoint} changes came without a checkpoint");
                findings.push(Finding::new(seen, OFTEN, "checkpoint after each page of the source"));
                since_checkpoint = 0;
            }
            if page.checkpoint.is_some() {
                since_checkpoint = 0;
            }
        }
    }
    let documents = baseline.model.ids().len();
    if let Some(expected) = bench.plan.documents.filter(|expected| *expected != documents) {
        let seen = format!("the listing brought {documents} documents and should bring {expected}");
        findings.push(Finding::new(seen, COUNT, "see which are left out, or correct `documents`"));
    }
    let messages = baseline.messages().count();
    Ok(Outcome::of(
        findings,
        format!("{documents} documents in {messages} messages of {} pulls", baseline.pulls.len()),
    ))
}

fn of_message(message: &PullResponse) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &message.kind {
        None => findings.push(Finding::new(
            "a message says nothing that the contract knows",
            KIND,
            "set exactly one kind",
        )),
        Some(pull_response::Kind::Page(page)) => findings.extend(of_page(page)),
        Some(pull_response::Kind::ScopeRemoved(removed))
            if removed.reason() == scope_removed::Cause::Unspecified =>
        {
            let seen = format!("the scope {:?} is removed without a cause", removed.scope);
            findings.push(Finding::new(
                seen,
                "\"Not set: PROTOCOL_VIOLATION.\" (connector.proto, ScopeRemoved)",
                "say why",
            ));
        }
        Some(pull_response::Kind::Log(log)) if log.message.len() > 4096 || log.fields.len() > 32 => {
            let seen =
                format!("a log record has {} bytes and {} fields", log.message.len(), log.fields.len());
            findings.push(Finding::new(seen, LOG, "shorten it"));
        }
        _ => {}
    }
    findings
}

fn of_page(page: &Page) -> Vec<Finding> {
    let mut findings = Vec::new();
    if page.scope.len() > 1024 {
        findings.push(Finding::new(
            format!("a scope has {} bytes", page.scope.len()),
            SCOPE,
            "shorten it, by a hash",
        ));
    }
    let bytes = page.encoded_len();
    if bytes > MOST_PAGE_BYTES || (bytes > MIB + 64 * 1024 && page.changes.len() > 1) {
        let seen = format!("a page of {} changes has {bytes} bytes", page.changes.len());
        findings.push(Finding::new(seen, PAGE_SIZE, "end a page before it is full"));
    }
    if page.changes.len() > 500 {
        let seen = format!("a page has {} changes", page.changes.len());
        findings.push(Finding::new(
            seen,
            PAGE_CHANGES,
            "end a page after 500 changes, or what `limits` asks for",
        ));
    }
    if let Some(checkpoint) = &page.checkpoint
        && !(1..=64 * 1024).contains(&checkpoint.cursor.len())
    {
        let seen = format!("a cursor has {} bytes", checkpoint.cursor.len());
        findings.push(Finding::new(
            seen,
            CURSOR,
            "write 1 byte to 64 KiB; where that is too little, make more scopes",
        ));
    }
    for change in &page.changes {
        match &change.kind {
            None => findings.push(Finding::new(
                "a change says nothing that the contract knows",
                KIND,
                "set exactly one kind",
            )),
            Some(change::Kind::Raw(raw)) => {
                let seen = format!("the raw item {:?} came in a pull that did not ask for raw items", raw.id);
                findings.push(Finding::new(seen, RAW, "send `document` unless `want_raw` is set"));
            }
            Some(change::Kind::ItemError(error)) if error.error.is_none() => {
                let what = match &error.target {
                    Some(item_error::Target::Id(id) | item_error::Target::Locator(id)) => {
                        format!("of {id:?} ")
                    }
                    None => String::new(),
                };
                let seen = format!("an item error {what}has no error in it");
                findings.push(Finding::new(
                    seen,
                    "\"Required. What happened.\" (connector.proto, ItemError)",
                    "say what happened",
                ));
            }
            _ => {}
        }
    }
    findings
}
