//! `documents watch`: snapshot marks, tombstones, commits, restarts of the server.

use std::sync::atomic::AtomicUsize;

use serde_json::json;

use crate::fake::Fake;
use crate::support::{CONNECTION, Server};

#[tokio::test]
async fn marks_and_tombstones_have_lines_of_their_own() {
    let server = Server::start(Fake::default()).await;
    let ran = server.run("-o json documents watch --until-caught-up --content").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = ran.json();
    assert_eq!(lines[0], json!({"snapshot": "begin"}));
    assert_eq!(lines[1]["document"]["content"], "text 1");
    assert_eq!(lines[2], json!({"connection": CONNECTION, "position": "p2", "tombstone": {"id": "doc-2"}}));
    assert_eq!(lines[3], json!({"snapshot": "end"}));
    assert!(!server.fake.asked.watches.lock().unwrap()[0].omit_content);
}

#[tokio::test]
async fn a_consumer_is_moved_only_when_asked_and_after_each_message() {
    let server = Server::start(Fake::default()).await;
    let line = "-o json documents watch --until-caught-up --consumer search --connection docs";
    assert_eq!(server.run(line).await.code, 0);
    assert!(server.fake.asked.commits.lock().unwrap().is_empty());
    assert_eq!(server.run(&format!("{line} --commit")).await.code, 0);
    let commits = server.fake.asked.commits.lock().unwrap();
    let positions: Vec<_> =
        commits.iter().map(|commit| (commit.consumer.as_str(), commit.position.as_str())).collect();
    assert_eq!(positions, [("search", "p1"), ("search", "p2")]);
    let watches = server.fake.asked.watches.lock().unwrap();
    assert_eq!((watches[0].consumer.as_str(), watches[0].connection.as_str()), ("search", CONNECTION));
    assert!(watches[0].omit_content, "no text was asked for");
}

#[tokio::test]
async fn a_server_that_restarts_is_gone_on_from_the_last_position() {
    let server = Server::start(Fake { breaks: AtomicUsize::new(1), ..Default::default() }).await;
    let ran = server.run("documents watch --until-caught-up").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("lost the server; trying to reach it again"), "{}", ran.err);
    let positions: Vec<_> =
        server.fake.asked.watches.lock().unwrap().iter().map(|request| request.position.clone()).collect();
    assert_eq!(positions, ["", "p1"]);
    assert!(ran.out.contains("document  docs  Rapport d'été 1"), "{}", ran.out);
    assert!(ran.out.contains("deleted   docs  doc-2"), "{}", ran.out);
}
