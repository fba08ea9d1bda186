//! I5: a document belongs to the scope that sent it last, so that a move is right in either order.

use crate::support::{SCRIPTED, Server, Source, Step, checkpoint, complete, deletion, doc, in_scope};

/// A connection whose scope "from" has the document `moved`.
async fn with_two_scopes(server: &Server) -> Source {
    let first = vec![
        in_scope("from", doc("moved", "1")),
        in_scope("from", doc("stays", "1")),
        in_scope("to", doc("other", "1")),
        in_scope("from", complete("1")),
        in_scope("to", complete("1")),
    ];
    let source = server.source(SCRIPTED, [first]).await;
    server.client.sync_well(&source.connection).await;
    source
}

#[tokio::test]
async fn i5_a_move_told_by_changes_is_right_in_either_order() {
    let server = Server::start().await;
    let arrives = in_scope("to", doc("moved", "1"));
    let leaves = in_scope("from", deletion("moved"));
    for (first, second) in [(arrives.clone(), leaves.clone()), (leaves, arrives)] {
        for one_run in [true, false] {
            let source = with_two_scopes(&server).await;
            let position = server.client.feed("").await.position;
            let done = [in_scope("from", checkpoint("2")), in_scope("to", checkpoint("2"))];
            let pulls: [Vec<Step>; 2] = if one_run {
                [[vec![first.clone(), second.clone()], done.to_vec()].concat(), vec![]]
            } else {
                [vec![first.clone()], [vec![second.clone()], done.to_vec()].concat()]
            };
            source.script.next_pulls(pulls);
            server.client.sync_well(&source.connection).await;
            server.client.sync_well(&source.connection).await;
            assert_eq!(server.client.ids(&source.connection).await, "moved other stays");
            if one_run {
                let told = server.client.feed(&position).await.told();
                assert!(!told.contains(&"-moved".to_owned()), "a move is no deletion: {told:?}");
            }
        }
    }
}

#[tokio::test]
async fn i5_a_move_told_by_listings_is_right_in_either_order() {
    let server = Server::start().await;
    let from = || vec![in_scope("from", doc("stays", "1")), in_scope("from", complete("2"))];
    let to = || {
        let documents = ["other", "moved"].map(|id| in_scope("to", doc(id, "1")));
        [documents.to_vec(), vec![in_scope("to", complete("2"))]].concat()
    };
    for listing in [[from(), to()].concat(), [to(), from()].concat()] {
        let source = with_two_scopes(&server).await;
        let position = server.client.feed("").await.position;
        source.script.next_pulls([listing]);
        server.client.sync_full(&source.connection).await;
        assert_eq!(server.client.ids(&source.connection).await, "moved other stays");
        assert!(server.client.feed(&position).await.entries.is_empty(), "nothing changed for a consumer");
    }
}

#[tokio::test]
async fn i5_a_deletion_removes_only_what_its_scope_owns() {
    let server = Server::start().await;
    let source = with_two_scopes(&server).await;
    source.script.next_pulls([vec![in_scope("to", deletion("stays")), in_scope("to", checkpoint("2"))]]);
    server.client.sync_well(&source.connection).await;
    assert_eq!(server.client.ids(&source.connection).await, "moved other stays");
}
