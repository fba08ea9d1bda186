//! I6: a deletion reaches every consumer, also one that was away, and what is deleted stays so.

use serde_json::json;
use superfasttt_proto::control::v1::connection::State;
use superfasttt_proto::control::v1::{
    Connection, DeleteConnectionRequest, GetConnectionRequest, UpdateConnectionRequest, WatchDocumentsRequest,
};
use tonic::Code;

use crate::support::{SCRIPTED, Server, checkpoint, complete, deletion, doc, in_scope, within};

async fn begin_deletion(server: &Server, connection: &str) {
    let request = DeleteConnectionRequest { connection: connection.to_owned(), etag: String::new() };
    let deleting = server.client.connections().delete_connection(request).await.unwrap().into_inner();
    assert_eq!(deleting.connection.unwrap().state(), State::Deleting);
}

/// Waits until a connection that is being deleted is there no more.
async fn gone(server: &Server, connection: &str) {
    let request = GetConnectionRequest { connection: connection.to_owned() };
    let refused = within("the end of the deletion", async {
        loop {
            match server.client.connections().get_connection(request.clone()).await {
                Ok(found) => assert_eq!(found.into_inner().connection.unwrap().state(), State::Deleting),
                Err(refused) => return refused,
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(refused.code(), Code::NotFound);
}

async fn delete_to_the_end(server: &Server, connection: &str) {
    begin_deletion(server, connection).await;
    gone(server, connection).await;
}

#[tokio::test]
async fn i6_a_consumer_that_was_down_gets_the_tombstone() {
    let mut server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), doc("b", "1"), complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    let feed = server.client.feed_of("cortex").await;
    assert_eq!(feed.told(), ["a", "b"]);
    assert_eq!(server.client.commit("cortex", &feed.position).await, 0);

    source.script.next_pulls([vec![deletion("a"), checkpoint("2")]]);
    server.client.sync_well(&source.connection).await;
    server.kill9().await;
    server.restart().await;
    let feed = server.client.feed_of("cortex").await;
    assert_eq!(feed.told(), ["-a"]);
    assert_eq!(server.client.feed_of("cortex").await.told(), ["-a"], "until it says that it has it");
    server.client.commit("cortex", &feed.position).await;
    assert!(server.client.feed_of("cortex").await.entries.is_empty());
    assert_eq!(server.client.feed("").await.told(), ["b", "-a"], "a reader from the beginning");

    // It does not come back by itself, nor by an ACL change, nor by a deletion told again.
    let acl = json!({"permissions": {"id": "a", "permissions": {"visibility": "public"}}});
    source
        .script
        .next_pulls([vec![acl, deletion("a"), checkpoint("3")], vec![doc("a", "1"), checkpoint("4")]]);
    server.client.sync_well(&source.connection).await;
    assert_eq!(server.client.ids(&source.connection).await, "b");
    assert!(server.client.feed(&feed.position).await.entries.is_empty());
    // The source lists it again: then it is back, with its content for everybody.
    server.client.sync_well(&source.connection).await;
    assert_eq!(server.client.feed(&feed.position).await.told(), ["a"]);
}

#[tokio::test]
async fn i6_a_position_that_leads_nowhere_gets_the_whole_state() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), doc("b", "1"), complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    source.script.next_pulls([vec![deletion("a"), checkpoint("2")]]);
    server.client.sync_well(&source.connection).await;
    let position = server.client.feed("").await.position;
    let (history, offset) = position.split_once('-').unwrap();
    let of_another = format!("{:x}-{offset}", i64::from_str_radix(history, 16).unwrap() + 1);
    let beyond = format!("{history}-{:x}", i64::from_str_radix(offset, 16).unwrap() + 1);
    for position in [of_another, beyond] {
        let feed = server.client.feed(&position).await;
        assert!(feed.snapshot_begun && feed.snapshot_ended, "at {position}");
        assert_eq!(feed.told(), ["b"], "the state has no tombstones");
    }
    let feed = server.client.feed(&position).await;
    assert!(!feed.snapshot_begun && feed.entries.is_empty());
}

#[tokio::test]
async fn i6_forgotten_tombstones_make_a_snapshot_for_who_was_away() {
    let mut server = Server::builder().with("DOCUMENTS__TOMBSTONE_RETENTION", "1ms").start().await;
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), doc("b", "1"), complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    let before = server.client.feed("").await.position;
    source.script.next_pulls([vec![deletion("a"), checkpoint("2")]]);
    server.client.sync_well(&source.connection).await;
    let after = server.client.feed("").await.position;
    // Upkeep happens at each start.
    server.stop().await;
    server.restart().await;
    within("the tombstone is forgotten", async {
        while server.client.feed("").await.told() != ["b"] {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let feed = server.client.feed(&before).await;
    assert!(feed.snapshot_begun && feed.snapshot_ended);
    assert_eq!(feed.told(), ["b"], "a is dropped, because it was not in the snapshot");
    assert!(!server.client.feed(&after).await.snapshot_begun, "who has seen the tombstone goes on");
}

#[tokio::test]
async fn i6_a_connection_is_deleted_to_the_end_across_kills() {
    const DOCUMENTS: usize = 20_000;
    let mut server = Server::start().await;
    let generate = json!({"generate": {"count": DOCUMENTS, "size_bytes": 10}});
    let kept = server.source(SCRIPTED, [vec![doc("kept", "1"), complete("1")]]).await;
    server.client.sync_well(&kept.connection).await;
    let source = server.source(SCRIPTED, [vec![generate, complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    let position = server.client.feed("").await.position;

    // A run of the connection goes on when the deletion begins.
    let script = &source.script;
    script.next_pulls([vec![doc("late", "1"), script.touch("pulling"), script.wait("never")]]);
    server.client.begin(&source.connection, false).await;
    script.reached("pulling").await;
    begin_deletion(&server, &source.connection).await;
    for _ in 0..2 {
        server.kill9().await;
        server.restart().await;
    }
    gone(&server, &source.connection).await;
    let mut told = server.client.feed(&position).await.told();
    let count = told.len();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), count, "no document is told twice");
    assert!(told.iter().all(|entry| entry.starts_with('-')));
    let late = usize::from(told.contains(&"-late".to_owned()));
    assert_eq!(count, DOCUMENTS + late);
    assert_eq!(server.client.feed("").await.told().iter().filter(|entry| !entry.starts_with('-')).count(), 1);
}

#[tokio::test]
async fn i6_a_removed_scope_leaves_the_feed() {
    let server = Server::start().await;
    let first = vec![
        in_scope("one", doc("a", "1")),
        in_scope("two", doc("b", "1")),
        in_scope("one", complete("1")),
        in_scope("two", complete("1")),
    ];
    let source = server.source(SCRIPTED, [first]).await;
    server.client.sync_well(&source.connection).await;
    let position = server.client.feed("").await.position;
    // A scope that is merely not mentioned keeps everything.
    source.script.next_pulls([vec![in_scope("one", checkpoint("2"))]]);
    server.client.sync_well(&source.connection).await;
    assert_eq!(server.client.ids(&source.connection).await, "a b");
    source.script.next_pulls([vec![in_scope("two", json!({"scope_removed": "gone"}))]]);
    server.client.sync_well(&source.connection).await;
    assert_eq!(server.client.ids(&source.connection).await, "a");
    assert_eq!(server.client.feed(&position).await.told(), ["-b"]);
    assert_eq!(server.client.scope(&source.connection, "two").await.cursor, b"");
}

#[tokio::test]
async fn i6_a_consumer_of_one_connection_hears_of_its_deletion() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")]]).await;
    let other = server.source(SCRIPTED, [vec![doc("other", "1"), complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    server.client.sync_well(&other.connection).await;
    // A consumer asks in the same words each time.
    let request = WatchDocumentsRequest {
        consumer: "of-one".to_owned(),
        connection: source.connection.clone(),
        ..WatchDocumentsRequest::default()
    };
    let feed = server.client.read_feed(request.clone()).await;
    assert_eq!(feed.told(), ["a"]);
    server.client.commit("of-one", &feed.position).await;
    let name = server.client.connection(&source.connection).await.name;
    delete_to_the_end(&server, &source.connection).await;
    assert_eq!(server.client.read_feed(request.clone()).await.told(), ["-a"]);
    let unnamed = WatchDocumentsRequest { consumer: String::new(), ..request };
    assert_eq!(server.client.read_feed(unnamed).await.told(), ["-a"]);

    // The name is free again, and what comes under it is not what was deleted.
    let again = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")]]).await;
    let connection = Connection { id: again.connection.clone(), name, ..Connection::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["name".to_owned()] });
    let request = UpdateConnectionRequest { connection: Some(connection), update_mask };
    server.client.connections().update_connection(request).await.unwrap();
    server.client.sync_well(&again.connection).await;
    assert!(server.client.feed_of("of-one").await.told() == ["-a"], "a consumer of the deleted one");
    let mut all = server.client.feed("").await.told();
    all.sort();
    assert_eq!(all, ["-a", "a", "other"]);
}

#[tokio::test]
async fn i6_a_snapshot_that_was_cut_off_begins_again() {
    let server = Server::start().await;
    let generate = json!({"generate": {"count": 1500, "size_bytes": 10}});
    let source = server.source(SCRIPTED, [vec![generate, complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    let request = WatchDocumentsRequest { position: "1-ffff".to_owned(), ..WatchDocumentsRequest::default() };
    let mut stream = server.client.documents_service().watch_documents(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert!(first.snapshot_begin && !first.snapshot_end);
    drop(stream);
    for position in [first.position, first.entries[0].position.clone()] {
        let feed = server.client.feed(&position).await;
        assert!(feed.snapshot_begun && feed.snapshot_ended, "from {position}");
        assert_eq!(feed.entries.len(), 1500);
    }
}
