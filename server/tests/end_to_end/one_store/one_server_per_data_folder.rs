//! The embedded store has one writer: a second connectord on the same data refuses, and harms nothing.

use crate::support::{SCRIPTED, Server, complete, doc};

#[tokio::test]
async fn a_second_server_on_the_same_data_refuses_in_one_line() {
    let mut server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")]]).await;
    let (status, said) = server.start_another().await;
    assert_eq!(status.code(), Some(1));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("another connectord works on") && said.contains("--data-dir"), "{said}");
    // The first one's sockets and database are untouched.
    server.client.sync_well(&source.connection).await;
    server.kill9().await;
    // Nothing of a killed one stands in the way.
    server.restart().await;
    assert_eq!(server.client.ids(&source.connection).await, "a");
}
