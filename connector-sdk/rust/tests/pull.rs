//! What a pull sends: pages within their limits, changes in order, checkpoints that cover what came before.

mod support;

use prost::Message;
use serde_json::json;
use superfasttt_connector::testing::{collect_pull, connect, full_pull};
use superfasttt_connector::{Container, LogLevel, Reason, Target};
use superfasttt_proto::connector::v1::{PullLimits, PullMode, PullRequest, change, pull_response};

use support::{Author, item};

fn in_mode(mode: PullMode) -> PullRequest {
    PullRequest { mode: mode.into(), ..full_pull(json!({})) }
}

#[tokio::test]
async fn many_documents_arrive_once_and_in_order_in_pages_within_the_limits() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move {
            for number in 0..5000 {
                sink.document(item(format!("{number}"), "x".repeat(number % 2000))).await?;
            }
            sink.complete_listing("end")
        })
    });
    let mut client = connect(author).await;
    let limits = PullLimits { max_page_bytes: 100_000, max_page_changes: 200, ..Default::default() };
    let pulled =
        collect_pull(&mut client, PullRequest { limits: Some(limits), ..full_pull(json!({})) }).await;
    assert_eq!(pulled.error, None);
    let ids: Vec<&str> = pulled.documents().map(|document| document.id.as_str()).collect();
    assert_eq!(ids, (0..5000).map(|number| number.to_string()).collect::<Vec<_>>());
    for page in pulled.pages() {
        assert!(page.encoded_len() <= 100_000 && page.changes.len() <= 200);
    }
}

#[tokio::test]
async fn the_sdk_writes_the_key_and_normalize_the_rest() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move { sink.document(item("a", "text").with_content_ref("ref")).await })
    });
    let pulled = collect_pull(&mut connect(author).await, full_pull(json!({"prefix": "my "}))).await;
    let document = pulled.documents().next().unwrap();
    assert_eq!((document.id.as_str(), document.version.as_str()), ("a", "1"));
    assert_eq!((document.content_ref.as_str(), document.title.as_str()), ("ref", "my text"));
}

#[tokio::test]
async fn a_checkpoint_covers_exactly_what_was_given_before_it() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move {
            let (drive_a, drive_b) = (sink.scope("a")?, sink.scope("b")?);
            drive_a.document(item("a1", "")).await?;
            drive_b.document(item("b1", "")).await?;
            drive_a.checkpoint("after a1", true).await?;
            drive_a.document(item("a2", "")).await?;
            drive_b.checkpoint("after b1", false).await
        })
    });
    let pulled = collect_pull(&mut connect(author).await, in_mode(PullMode::Incremental)).await;
    let mut seen = Vec::new();
    for page in pulled.pages() {
        for change in &page.changes {
            let Some(change::Kind::Document(document)) = &change.kind else { panic!("{change:?}") };
            seen.push(format!("{} in {}", document.id, page.scope));
        }
        if let Some(checkpoint) = &page.checkpoint {
            let cursor = String::from_utf8_lossy(&checkpoint.cursor);
            seen.push(format!("{cursor} in {}, more: {}", page.scope, checkpoint.has_more));
        }
    }
    let expected =
        ["a1 in a", "b1 in b", "after a1 in a, more: true", "a2 in a", "after b1 in b, more: false"];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn a_change_does_not_wait_for_its_page_to_fill() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move {
            sink.document(item("a", "")).await?;
            sink.progress(1, 2, "reading");
            std::future::pending().await
        })
    });
    let mut stream = connect(author).await.pull(full_pull(json!({}))).await.unwrap().into_inner();
    // The clock moves by itself while everybody waits, and this arrives although the pull never ends.
    let first = stream.message().await.unwrap().unwrap();
    assert!(matches!(first.kind, Some(pull_response::Kind::Page(page)) if page.changes.len() == 1));
    let second = stream.message().await.unwrap().unwrap();
    assert!(matches!(second.kind, Some(pull_response::Kind::Progress(progress)) if progress.items_seen == 1));
}

#[tokio::test]
async fn kept_raw_items_are_sent_as_they_are_and_not_normalized() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move { sink.document(item("a", "panic").with_content_ref("ref")).await })
    });
    let request = PullRequest { want_raw: true, ..full_pull(json!({})) };
    let pulled = collect_pull(&mut connect(author).await, request).await;
    let raw = pulled.raw_items().next().unwrap();
    assert_eq!((raw.id.as_str(), raw.version.as_str(), raw.content_ref.as_str()), ("a", "1", "ref"));
    assert_eq!((raw.schema.as_str(), &raw.data[..]), ("text/1", &b"\"panic\""[..]));
}

#[tokio::test]
async fn a_list_names_ids_and_versions_only() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move {
            let name = "folder".to_owned();
            sink.container(Container { id: "f".into(), name, ..Default::default() }).await?;
            sink.document(item("a", "panic")).await?;
            sink.present("b", "7").await?;
            sink.complete_listing("end")
        })
    });
    let pulled = collect_pull(&mut connect(author).await, in_mode(PullMode::List)).await;
    let seen: Vec<String> = pulled
        .changes()
        .map(|kind| match kind {
            change::Kind::Present(present) => format!("{}@{}", present.id, present.version),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seen, ["a@1", "b@7"]);
    assert!(pulled.checkpoints().any(|(_, checkpoint)| checkpoint.listing_complete));
}

#[tokio::test]
async fn one_bad_item_is_recorded_and_the_pull_goes_on() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move {
            sink.document(item("good", "text")).await?;
            sink.document(item("bad", "bad")).await?;
            sink.document(item("panicking", "panic")).await?;
            sink.document(item("large", "x".repeat(1024 * 1024 + 1))).await?;
            sink.document(item("last", "text")).await?;
            sink.complete_listing("end")
        })
    });
    let pulled = collect_pull(&mut connect(author).await, full_pull(json!({}))).await;
    assert_eq!(pulled.error, None);
    let good: Vec<&str> = pulled.documents().map(|document| document.id.as_str()).collect();
    assert_eq!(good, ["good", "last"]);
    let reasons: Vec<Reason> =
        pulled.item_errors().map(|item| item.error.as_ref().unwrap().reason()).collect();
    assert_eq!(reasons, [Reason::ContentUnreadable, Reason::Internal, Reason::ContentTooLarge]);
    // They have names, so the listing is complete all the same: what failed is spared by its item error.
    assert!(pulled.checkpoints().any(|(_, checkpoint)| checkpoint.listing_complete));
}

#[tokio::test]
async fn logs_and_scope_errors_keep_their_place_between_changes() {
    let author = Author::pulling(|_, sink| {
        Box::pin(async move {
            sink.document(item("a", "")).await?;
            sink.log(LogLevel::Info, "between").await?;
            sink.deletion(Target::locator("x/y").with_descendants()).await
        })
    });
    let pulled = collect_pull(&mut connect(author).await, in_mode(PullMode::Incremental)).await;
    let kinds: Vec<&str> = pulled
        .responses
        .iter()
        .map(|response| match &response.kind {
            Some(pull_response::Kind::Page(_)) => "page",
            Some(pull_response::Kind::Log(_)) => "log",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["page", "log", "page"]);
}
