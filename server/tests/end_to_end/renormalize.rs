//! A new version of a connector makes documents anew of what is kept, without the source.

use std::fs;

use serde_json::{Value, json};
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::StartSyncRequest;
use superfasttt_proto::control::v1::document_difference::Kind;
use superfasttt_proto::control::v1::run::{self, State};

use crate::support::{SCRIPTED, Server, checkpoint, complete, fail, raw, text, within};

/// Gives the scripted connector another version, and waits until the connection shows that documents are older.
async fn replace_connector(server: &Server, connection: &str, version: &str) -> Vec<String> {
    let path = server.folder().join("connectors").join(SCRIPTED).join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["version"] = json!(version);
    fs::write(&path, manifest.to_string()).unwrap();
    within("the new manifest is loaded", async {
        loop {
            let others = server.client.connection(connection).await.normalized_by_other_versions;
            if !others.is_empty() {
                return others;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_new_version_is_previewed_and_then_switched_to_without_the_source() {
    let server = Server::start().await;
    let items: Vec<Value> = (0..30).map(|number| raw(&format!("{number:02}"), "1")).collect();
    let source = server.source(SCRIPTED, []).await;
    server.client.keep_raw(&source.connection, true).await;
    source.script.normalize(json!({"refuse": ["07", "08"]}));
    let page = json!({"page": {"changes": items}});
    source.script.next_pulls([vec![page, complete("1")], vec![fail("ACCESS_DENIED")]]);
    let run = server.client.sync(&source.connection).await;
    assert_eq!((run.state(), run.counts.unwrap().created), (State::SucceededWithErrors, 28));
    assert_eq!(run.kind(), run::Kind::Sync);
    let position = server.client.feed("").await.position;
    let old = server.client.connection(&source.connection).await;
    assert!(old.normalized_by_other_versions.is_empty());

    // The new version mends one item, breaks another, and changes the titles of three.
    source
        .script
        .normalize(json!({"refuse": ["08", "09"], "title_prefix": "new ", "retitle": ["03", "13", "23"]}));
    let others = replace_connector(&server, &source.connection, "9.0.0").await;
    assert_eq!(others.len(), 1);
    let pulls = source.script.pulls().len();
    let (documents, totals) = server.client.preview(&source.connection).await;
    assert_eq!((totals.kept, totals.examined), (30, 30));
    assert_eq!((totals.unchanged, totals.changed), (24, 3));
    assert_eq!((totals.become_error, totals.newly_readable, totals.still_error), (1, 1, 1));
    let kind = |id: &str| documents[id].kind();
    assert_eq!((kind("03"), kind("07"), kind("08")), (Kind::Changed, Kind::NewlyReadable, Kind::StillError));
    assert_eq!((kind("09"), kind("10")), (Kind::BecomesError, Kind::Unchanged));
    assert_eq!(documents["13"].fields, ["title"]);
    assert_eq!(documents["09"].error.as_ref().unwrap().message, "the script refuses it");
    assert!(server.client.feed(&position).await.entries.is_empty(), "a preview writes nothing");

    let run = server.client.renormalize(&source.connection).await;
    assert_eq!((run.state(), run.kind()), (State::SucceededWithErrors, run::Kind::Renormalization));
    let counts = run.counts.unwrap();
    assert_eq!((counts.changes, counts.updated, counts.created, counts.item_errors), (30, 3, 1, 2));
    let feed = server.client.feed(&position).await;
    assert_eq!(feed.told(), ["03=", "07", "13=", "23="], "exactly what changed");
    let documents = server.client.documents(&source.connection).await;
    assert_eq!(documents["13"].title, "new 13 1");
    assert_eq!((documents["09"].title.as_str(), text(&documents, "09").as_str()), ("09 1", "text of 09 1"));
    let errors = server.client.item_errors(&source.connection).await;
    assert_eq!(
        errors.into_iter().collect::<Vec<_>>(),
        [("08".to_owned(), Reason::Internal), ("09".to_owned(), Reason::Internal)]
    );
    assert_eq!(source.script.pulls().len(), pulls, "the source was not asked");
    let new = server.client.connection(&source.connection).await;
    assert!(new.normalized_by_other_versions.is_empty());
    assert_eq!(new.last_success_at, old.last_success_at, "nothing was synced");

    // A mended version clears what is left.
    source.script.normalize(json!({"title_prefix": "new ", "retitle": ["03", "13", "23"]}));
    let run = server.client.renormalize(&source.connection).await;
    assert_eq!((run.state(), run.counts.unwrap().created), (State::Succeeded, 1));
    assert!(server.client.item_errors(&source.connection).await.is_empty());
}

#[tokio::test]
async fn i12_kill_9_in_the_middle_is_gone_on_with_from_what_is_committed() {
    let mut server = Server::start().await;
    let source = server.source(SCRIPTED, []).await;
    server.client.keep_raw(&source.connection, true).await;
    let generate = json!({"generate": {"count": 900, "per_page": 300, "raw": true, "size_bytes": 100}});
    source.script.next_pulls([vec![generate, complete("1")], vec![checkpoint("2")]]);
    server.client.sync_well(&source.connection).await;
    let position = server.client.feed("").await.position;
    let (reached, until) = (source.script.file("reached"), source.script.file("go"));
    // In the order of their ids "doc-500" is among the 450th.
    source.script.normalize(
        json!({"title_prefix": "new ", "hold": {"id": "doc-500", "reached": reached, "until": until}}),
    );
    let run = server.client.begin_renormalization(&source.connection).await;
    source.script.reached("reached").await;
    let committed = within("a batch is committed", async {
        loop {
            let counts = server.client.reaches(&run.id, State::Running).await.counts.unwrap();
            if counts.changes > 0 {
                return counts.changes;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(committed < 900);
    // Nothing else begins meanwhile.
    let refused = server
        .client
        .runs()
        .start_sync(StartSyncRequest { connection: source.connection.clone(), full: false, at: None })
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    server.kill9().await;
    source.script.release("go");
    server.restart().await;
    let run = server.client.end_of(&run.id).await;
    assert_eq!((run.state(), run.attempts), (State::Succeeded, 2), "{run:?}");
    let counts = run.counts.unwrap();
    assert_eq!((counts.changes, counts.updated), (900, 900), "each once, from where it was");
    let feed = server.client.feed(&position).await;
    assert_eq!(feed.entries.len(), 900);
    let documents = server.client.documents(&source.connection).await;
    assert!(documents.values().all(|document| document.title.starts_with("new Document")));
    assert_eq!(documents.len(), 900);
}
