//! When a listing may be called complete: only then does absence mean deletion, so each way of being unsure has
//! its test.

mod support;

use serde_json::json;
use superfasttt_connector::testing::{Pulled, collect_pull, connect, full_pull};
use superfasttt_connector::{ConnectorError, Reason, Target};
use superfasttt_proto::connector::v1::{PullMode, PullRequest, ScopeState, item_error};

use support::{Author, NOTHING, item};

fn complete_scopes(pulled: &Pulled) -> Vec<&str> {
    let complete = pulled.checkpoints().filter(|(_, checkpoint)| checkpoint.listing_complete);
    complete.map(|(scope, _)| scope).collect()
}

fn denied() -> ConnectorError {
    ConnectorError::new(Reason::AccessDenied, "may not be read")
}

#[tokio::test]
async fn a_listing_that_names_everything_is_complete_at_the_very_end() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move {
            let drive = sink.scope("drive")?;
            drive.complete_listing("end")?;
            drive.document(item("late", "")).await?;
            drive.item_error(Target::id("closed").with_descendants(), &denied()).await
        })
    });
    let pulled = collect_pull(&mut connect(author).await, full_pull(json!({}))).await;
    assert_eq!(complete_scopes(&pulled), ["drive"]);
    let last = pulled.pages().last().unwrap().checkpoint.as_ref().unwrap();
    assert!(last.listing_complete && !last.has_more && last.cursor == b"end");
}

#[tokio::test]
async fn a_listing_resumes_where_it_was_cut() {
    let author = Author::pulling(|pull, sink| {
        Box::pin(async move {
            assert_eq!(pull.cursor(""), Some(&b"half"[..]));
            sink.complete_listing("end")
        })
    });
    let states = vec![ScopeState { scope: String::new(), cursor: b"half".to_vec() }];
    let pulled =
        collect_pull(&mut connect(author).await, PullRequest { states, ..full_pull(json!({})) }).await;
    assert_eq!((pulled.error.clone(), complete_scopes(&pulled)), (None, vec![""]));
}

#[tokio::test]
async fn an_unnamed_error_leaves_its_scope_incomplete_and_no_other() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move {
            let (unsure, sure) = (sink.scope("unsure")?, sink.scope("sure")?);
            unsure.unnamed_error(&denied()).await?;
            unsure.complete_listing("end")?;
            sure.complete_listing("end")
        })
    });
    let pulled = collect_pull(&mut connect(author).await, full_pull(json!({}))).await;
    assert_eq!((pulled.error.clone(), complete_scopes(&pulled)), (None, vec!["sure"]));
    assert!(pulled.logs().any(|line| line.contains("\"unsure\" is not complete")));
    let unsure =
        pulled.pages().filter(|page| page.scope == "unsure").filter_map(|page| page.checkpoint.as_ref());
    assert!(!unsure.last().unwrap().has_more, "the listing would be pulled again for ever");
}

#[tokio::test]
async fn an_item_without_an_id_leaves_the_listing_incomplete() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move {
            sink.document(item("", "")).await?;
            sink.complete_listing("end")
        })
    });
    let pulled = collect_pull(&mut connect(author).await, full_pull(json!({}))).await;
    assert_eq!(complete_scopes(&pulled), [""; 0]);
}

#[tokio::test]
async fn a_scope_error_leaves_the_listing_incomplete() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move {
            sink.scope_error(&denied()).await?;
            sink.complete_listing("end")
        })
    });
    let pulled = collect_pull(&mut connect(author).await, full_pull(json!({}))).await;
    assert_eq!((pulled.error.clone(), complete_scopes(&pulled)), (None, vec![]));
}

#[tokio::test]
async fn a_pull_that_fails_or_panics_completes_nothing() {
    for panics in [false, true] {
        let author = Author::pulling(move |_, sink| {
            Box::pin(async move {
                sink.document(item("sent", "")).await?;
                sink.complete_listing("end")?;
                assert!(!panics, "the author's own mistake");
                Err(denied())
            })
        });
        let pulled = collect_pull(&mut connect(author).await, full_pull(json!({}))).await;
        let reason = if panics { Reason::Internal } else { Reason::AccessDenied };
        assert_eq!(pulled.error.as_ref().unwrap().reason, reason);
        assert_eq!((pulled.documents().count(), complete_scopes(&pulled)), (1, vec![]));
    }
}

#[tokio::test]
async fn an_author_who_breaks_the_contract_hears_of_it_even_when_ignoring_it() {
    let breaches = [
        (PullMode::Targeted, "a checkpoint"),
        (PullMode::Incremental, "a listing"),
        (PullMode::Incremental, "present"),
    ];
    for (mode, breach) in breaches {
        let author = Author::pulling(move |_, sink| {
            Box::pin(async move {
                let _ignored = match breach {
                    "a checkpoint" => sink.checkpoint("c", false).await,
                    "a listing" => sink.complete_listing("c"),
                    _ => sink.present("a", "1").await,
                };
                Ok(())
            })
        });
        let ids = if mode == PullMode::Targeted { vec!["a".to_owned()] } else { vec![] };
        let request = PullRequest { mode: mode.into(), ids, ..full_pull(json!({})) };
        let pulled = collect_pull(&mut connect(author).await, request).await;
        assert_eq!(pulled.error.unwrap().reason, Reason::ProtocolViolation, "{breach}");
        assert_eq!(pulled.responses, []);
    }
}

#[tokio::test]
async fn a_manifest_without_full_listing_completes_none() {
    let author = Author::pulling(|_, sink| Box::pin(async move { sink.complete_listing("end") }));
    let mut client = connect(author.with_manifest(NOTHING)).await;
    let error = collect_pull(&mut client, full_pull(json!({}))).await.error.unwrap();
    assert_eq!(error.reason, Reason::ProtocolViolation);
    assert!(error.message.contains("full_listing"), "{}", error.message);
}

#[tokio::test]
async fn a_cursor_over_the_limit_is_refused() {
    let author =
        Author::pulling(|_, sink| Box::pin(async move { sink.checkpoint(vec![0; 70_000], true).await }));
    let error = collect_pull(&mut connect(author).await, full_pull(json!({}))).await.error.unwrap();
    assert_eq!(error.reason, Reason::ProtocolViolation);
}

#[tokio::test]
async fn an_id_that_the_author_did_not_answer_is_an_item_error() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move {
            sink.document(item("a", "")).await?;
            sink.deletion(Target::id("b")).await
        })
    });
    let ids = ["a", "b", "c"].map(str::to_owned).to_vec();
    let request = PullRequest { ids, mode: PullMode::Targeted.into(), ..full_pull(json!({})) };
    let pulled = collect_pull(&mut connect(author).await, request).await;
    assert_eq!((pulled.error.clone(), pulled.changes().count()), (None, 3));
    let failed: Vec<_> = pulled.item_errors().map(|failed| failed.target.clone().unwrap()).collect();
    assert_eq!(failed, [item_error::Target::Id("c".to_owned())]);
}
