//! Documents: the pinned line, texts of any length.

use serde_json::json;

use crate::fake::Fake;
use crate::support::{CONNECTION, Server};

#[tokio::test]
async fn a_list_prints_the_pinned_line_without_content() {
    let server = Server::start(Fake { documents: 1, ..Default::default() }).await;
    let ran = server.run("--output json documents list --connection docs").await;
    let line = format!(
        "{{\"connection\":\"{CONNECTION}\",\"position\":\"p0\",\"document\":{{\"id\":\"doc-0\",\"title\":\"Rapport d'été 0\",\"metadata\":{{\"size\":2048}}}}}}\n"
    );
    assert_eq!(ran.out, line);
    let ran = server.run("--output json documents list --connection docs --content").await;
    assert_eq!(ran.json()[0]["document"]["content"], "text 0");
}

#[tokio::test]
async fn a_long_list_is_read_page_by_page_and_a_limit_ends_it() {
    let server = Server::start(Fake { documents: 1_203, ..Default::default() }).await;
    assert_eq!(server.run("-o json documents list").await.out.lines().count(), 1_203);
    assert_eq!(server.run("-o json documents list --limit 501").await.out.lines().count(), 501);
    let ran = server.run("documents list --connection docs").await;
    assert_eq!(ran.out.lines().count(), 1_204, "one line of titles");
}

#[tokio::test]
async fn a_text_over_the_limit_of_a_message_is_read_whole() {
    let server = Server::start(Fake::default()).await;
    let ran = server.run("-o json documents get docs doc-long --content").await;
    assert_eq!(ran.json()[0]["document"]["content"], "one two three");
    assert_eq!(server.run("documents get docs doc-long --text").await.out, "one two three");
    let ran = server.run("-o json documents get docs doc-long").await;
    assert_eq!(ran.json()[0]["document"]["content"], json!(null));
    let ran = server.run("documents get docs doc-long").await;
    assert!(ran.out.contains("text        3.0 MB") && ran.out.contains("size: 2048"), "{}", ran.out);
    let ran = server.run("documents get docs nothing").await;
    assert_eq!((ran.code, ran.err.as_str()), (1, "error: there is no such document\n"));
}
