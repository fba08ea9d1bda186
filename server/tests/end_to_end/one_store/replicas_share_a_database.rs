//! Two connectords on one PostgreSQL: what one does the other shows, and goes on with when the first is gone.

use superfasttt_proto::control::v1::GetServerInfoRequest;

use crate::support::postgres::{DATABASE_PASSWORD, Database};
use crate::support::{SCRIPTED, Server, checkpoint, complete, deletion, doc, leak, needles};

#[tokio::test]
async fn a_replica_goes_on_where_another_was_killed() {
    let database = Database::new().await;
    let mut first = Server::builder().with("DATABASE__URL", database.url()).start().await;
    let second = Server::builder().with("DATABASE__URL", database.url()).start().await;
    let info = second.client.admin().get_server_info(GetServerInfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.store, "postgres");
    let source = first.source(SCRIPTED, [vec![doc("a", "1"), doc("b", "1"), complete("1")]]).await;
    first.client.sync_well(&source.connection).await;
    assert_eq!(second.client.ids(&source.connection).await, "a b");
    let feed = second.client.feed("").await;
    assert_eq!(feed.told(), ["a", "b"]);
    first.kill9().await;
    source.script.next_pulls([vec![deletion("a"), doc("c", "1"), checkpoint("2")]]);
    let counts = second.client.sync_well(&source.connection).await;
    assert_eq!((counts.created, counts.deleted), (1, 1), "it went on from the first one's cursor");
    assert_eq!(second.client.ids(&source.connection).await, "b c");
    let feed = second.client.feed(&feed.position).await;
    assert!(!feed.snapshot_begun, "a replica that comes or goes costs no reader a snapshot");
    first.restart().await;
    assert_eq!(first.client.ids(&source.connection).await, "b c");
    assert_eq!(leak(&needles([DATABASE_PASSWORD.as_bytes()]), first.log().as_bytes()), None);
}
