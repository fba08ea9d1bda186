//! What an author writes once works both ways: as envelopes, and as raw items that are normalized later.

#[path = "../examples/tickets/main.rs"]
#[expect(dead_code, reason = "a test serves it in its own way")]
mod tickets;

use serde_json::json;
use superfasttt_connector::testing::{collect_pull, connect, full_pull, normalize};
use superfasttt_proto::connector::v1::{PullRequest, RawItem};

#[tokio::test]
async fn raw_items_are_normalized_to_what_a_pull_of_envelopes_gives() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let line = |number: u32| json!({"number": number, "title": "broken", "labels": ["a", "b"]}).to_string();
    std::fs::write(file.path(), (0..700).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let settings = json!({"file": file.path()});
    let mut client = connect(tickets::Tickets).await;
    let direct = collect_pull(&mut client, full_pull(settings.clone())).await;
    let request = PullRequest { want_raw: true, ..full_pull(settings.clone()) };
    let raw = collect_pull(&mut client, request).await;
    assert_eq!((direct.documents().count(), raw.documents().count()), (700, 0));
    assert!(raw.checkpoints().last().unwrap().1.listing_complete);
    let items: Vec<RawItem> = raw.raw_items().cloned().collect();
    let normalized = normalize(&mut client, settings, items).await.unwrap();
    let normalized: Vec<_> = normalized.into_iter().map(Result::unwrap).collect();
    assert_eq!(normalized.iter().collect::<Vec<_>>(), direct.documents().collect::<Vec<_>>());
}

#[tokio::test]
async fn items_that_an_older_version_kept_are_read() {
    let kept = |id: &str, schema: &str, data: serde_json::Value| RawItem {
        id: id.to_owned(),
        schema: schema.to_owned(),
        data: data.to_string().into(),
        ..RawItem::default()
    };
    let items = vec![
        kept("ticket-1", "ticket/1", json!({"number": 1, "title": "old", "label": "bug"})),
        kept("ticket-2", "ticket/2", json!({"number": 2, "title": "new", "labels": ["bug", "ui"]})),
        kept("ticket-3", "ticket/1", json!({"number": 3})),
    ];
    let mut client = connect(tickets::Tickets).await;
    let answers = normalize(&mut client, json!({"file": "gone"}), items).await.unwrap();
    let titles: Vec<_> = answers.iter().flatten().map(|document| document.title.as_str()).collect();
    assert_eq!(titles, ["#1 old", "#2 new"]);
    assert!(answers[2].as_ref().unwrap_err().message.contains("pull it again"));
}
