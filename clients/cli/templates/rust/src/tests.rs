//! Drives the connector as connectord does, in this process.

use superfasttt_connector::{Reason, testing};

use super::Source;

#[tokio::test]
async fn a_listing_brings_every_item() {
    let mut client = testing::connect(Source).await;
    let request = testing::full_pull(serde_json::json!({ "file": "testdata/items.jsonl" }));
    let pulled = testing::collect_pull(&mut client, request).await;
    assert_eq!(pulled.error, None);
    assert_eq!(pulled.documents().count(), 24);
    assert_eq!(pulled.item_errors().count(), 1);
    assert!(pulled.checkpoints().last().unwrap().1.listing_complete);
}

#[tokio::test]
async fn a_listing_that_was_cut_goes_on_at_its_last_checkpoint() {
    let mut client = testing::connect(Source).await;
    let mut request = testing::full_pull(serde_json::json!({ "file": "testdata/items.jsonl" }));
    let listed = testing::collect_pull(&mut client, request.clone()).await;
    let (_, cut_after) = listed.checkpoints().next().unwrap();
    request.states.push(Default::default());
    request.states[0].cursor = cut_after.cursor.clone();
    let resumed = testing::collect_pull(&mut client, request).await;
    assert_eq!(resumed.documents().next().map(|document| document.id.as_str()), Some("item-11"));
    assert!(resumed.checkpoints().last().unwrap().1.listing_complete);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_said() {
    let mut client = testing::connect(Source).await;
    let request = testing::full_pull(serde_json::json!({ "file": "/no/such/file" }));
    let pulled = testing::collect_pull(&mut client, request).await;
    assert_eq!(pulled.error.unwrap().reason, Reason::NotFound);
}
