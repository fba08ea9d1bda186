//! I10: what cannot be read is recorded and seen; only where it is too much, the run fails, before its cursor moves.

use serde_json::json;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::run::State;

use crate::support::{SCRIPTED, Server, Step, checkpoint, complete, doc, item_error, reason};

#[tokio::test]
async fn i10_a_bad_item_is_visible_until_it_is_read() {
    let server = Server::start().await;
    // Three ways to be bad: said by the connector, over a limit of the contract, without an id.
    let too_long = json!({"document": {"id": "long", "title": "t".repeat(5000)}});
    let source = server
        .source(
            SCRIPTED,
            [
                vec![
                    doc("a", "1"),
                    item_error("locked"),
                    too_long,
                    doc("", "1"),
                    doc("b", "1"),
                    complete("1"),
                ],
                vec![item_error("locked"), checkpoint("2")],
                vec![doc("locked", "1"), doc("long", "1"), checkpoint("3")],
            ],
        )
        .await;
    let run = server.client.sync(&source.connection).await;
    assert_eq!(run.state(), State::SucceededWithErrors);
    assert_eq!(run.counts.unwrap().item_errors, 3);
    assert_eq!(server.client.ids(&source.connection).await, "a b");
    let errors = server.client.item_errors(&source.connection).await;
    assert_eq!(errors["locked"], Reason::AccessDenied);
    assert_eq!(errors["long"], Reason::ProtocolViolation);
    assert_eq!(errors["?"], Reason::ProtocolViolation);
    assert_eq!(server.client.connection(&source.connection).await.item_error_count, 3);
    let log = server.client.log_of(&run.id).await;
    assert!(log.iter().any(|(_, line)| line.contains("locked is locked")), "{log:?}");

    server.client.sync(&source.connection).await;
    assert_eq!(server.client.item_errors(&source.connection).await.len(), 3, "not counted twice");
    server.client.sync_well(&source.connection).await;
    let left = server.client.item_errors(&source.connection).await;
    assert_eq!(left.into_keys().collect::<Vec<_>>(), ["?"], "what was read is no error any more");
}

#[tokio::test]
async fn i10_too_many_bad_items_fail_the_run_before_the_cursor_passes_them() {
    let server = Server::start().await;
    let page = |range: std::ops::Range<usize>, cursor: &str, bad: bool| -> Step {
        let changes: Vec<_> =
            range
                .map(|number| {
                    if bad {
                        item_error(&format!("bad-{number}"))
                    } else {
                        doc(&format!("d{number:03}"), "1")
                    }
                })
                .collect();
        json!({"page": {"changes": changes, "checkpoint": {"cursor": cursor, "has_more": true}}})
    };
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), complete("0")]]).await;
    server.client.sync_well(&source.connection).await;
    let script = &source.script;
    // 100 bad ones of 200 are not yet too many; one more is.
    script.next_pulls([vec![
        page(0..100, "good", false),
        page(0..100, "at the limit", true),
        script.touch("sent"),
        script.wait("go"),
        page(100..101, "over it", true),
        checkpoint("never"),
    ]]);
    let run = server.client.begin(&source.connection, false).await;
    script.reached("sent").await;
    crate::support::within("what is under the limit is committed", async {
        while server.client.scope(&source.connection, "").await.cursor != b"at the limit" {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    script.release("go");
    let run = server.client.end_of(&run.id).await;
    assert_eq!(run.state(), State::Failed);
    assert_eq!(reason(&run), Reason::TooManyItemErrors);
    assert_eq!(server.client.scope(&source.connection, "").await.cursor, b"at the limit");
    assert_eq!(server.client.documents(&source.connection).await.len(), 101, "what was committed stays");
}

#[tokio::test]
async fn i10_the_items_that_failed_a_run_can_be_seen() {
    let server = Server::start().await;
    let changes: Vec<_> = (0..150).map(|number| item_error(&format!("bad-{number}"))).collect();
    let page = json!({"page": {"changes": changes, "checkpoint": {"cursor": "1", "listing_complete": true}}});
    let source = server.source(SCRIPTED, [vec![page]]).await;
    let (reason, message) = server.client.sync_to_failure(&source.connection).await;
    assert_eq!(reason, Reason::TooManyItemErrors);
    assert!(message.contains("150"), "{message}");
    let errors = server.client.item_errors(&source.connection).await;
    assert_eq!(errors.len(), 150, "the message tells to look at them");
    assert_eq!(server.client.scope(&source.connection, "").await.cursor, b"");
}
