//! What a listing of a real folder yields.

mod support;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::json;
use superfasttt_connector::Reason;
use superfasttt_connector::testing::{Pulled, collect_pull, connect, full_pull};
use superfasttt_proto::connector::v1::{PullLimits, PullRequest, ScopeState, pull_response};

use connector_filesystem::Filesystem;
use support::{Folder, ids, is_complete, list, number, text};

#[tokio::test]
async fn each_file_is_a_document_with_what_the_folder_knows_of_it() {
    let folder = Folder::with(&[("reports/été 2025.pdf", "%PDF"), ("notes.md", "# hi")]);
    let pulled = list(&folder, json!({})).await;
    assert_eq!(ids(&pulled), ["notes.md", "reports/été 2025.pdf"]);
    assert!(is_complete(&pulled));
    let report = pulled.documents().nth(1).unwrap();
    assert_eq!((report.title.as_str(), report.media_type.as_str()), ("été 2025.pdf", "application/pdf"));
    assert_eq!((report.parent_id.as_str(), report.locator.as_str()), ("reports", "reports/été 2025.pdf"));
    assert_eq!((report.content_ref.as_str(), &report.content), ("reports/été 2025.pdf", &None));
    assert!(report.url.starts_with("file:///") && report.url.ends_with("/reports/%C3%A9t%C3%A9%202025.pdf"));
    assert_eq!(report.permissions.as_ref().unwrap().visibility, "private");
    assert!(report.updated_at.is_some() && !report.version.is_empty());
    assert_eq!((number(report, "size"), text(report, "path")), (4.0, "reports/été 2025.pdf"));
    assert_eq!(text(report, "mime_type"), "application/pdf");
    assert!(!text(report, "owner").is_empty() && text(report, "modified_at").starts_with("20"));
    let containers: Vec<_> = pulled.containers().collect();
    assert_eq!((containers.len(), containers[0].id.as_str()), (1, "reports"));
}

#[tokio::test]
async fn the_version_changes_with_the_file_and_not_otherwise() {
    let folder = Folder::with(&[("same.txt", "1"), ("edited.txt", "1"), ("replaced.txt", "1")]);
    let versions = |pulled: &Pulled| -> Vec<String> {
        pulled.documents().map(|document| document.version.clone()).collect()
    };
    let before = versions(&list(&folder, json!({})).await);
    let edited = folder.path().join("edited.txt");
    std::fs::write(&edited, "22").unwrap();
    // The same size and time, as programs leave it that write beside and rename.
    let replaced = folder.path().join("replaced.txt");
    let time = std::fs::metadata(&replaced).unwrap().modified().unwrap();
    folder.write("new", "2");
    std::fs::File::options().write(true).open(folder.path().join("new")).unwrap().set_modified(time).unwrap();
    std::fs::rename(folder.path().join("new"), &replaced).unwrap();
    let after = versions(&list(&folder, json!({})).await);
    assert_ne!(before[0], after[0], "edited");
    assert_ne!(before[1], after[1], "replaced");
    assert_eq!(before[2], after[2], "same");
}

#[tokio::test]
async fn patterns_choose_files_and_leave_out_whole_folders() {
    let folder =
        Folder::with(&[("a.pdf", ""), ("a.tmp", ""), ("node_modules/b.pdf", ""), ("deep/er/c.pdf", "")]);
    let pulled = list(&folder, json!({"include": ["*.pdf"], "exclude": ["node_modules"]})).await;
    assert_eq!(ids(&pulled), ["a.pdf", "deep/er/c.pdf"]);
    assert!(pulled.containers().all(|container| container.id != "node_modules"));
    assert!(is_complete(&pulled));
}

#[tokio::test]
async fn a_file_over_the_size_is_listed_without_its_bytes_and_says_why() {
    let folder = Folder::with(&[("big.txt", "12345"), ("small.txt", "1")]);
    let pulled = list(&folder, json!({"max_size_bytes": 4})).await;
    let documents: Vec<_> = pulled.documents().collect();
    assert_eq!((documents[0].id.as_str(), documents[0].content_ref.as_str()), ("big.txt", ""));
    assert!(text(documents[0], "content_left_out").contains("max_size_bytes is 4"));
    assert_eq!(documents[1].content_ref, "small.txt");
}

#[tokio::test]
async fn a_cut_listing_goes_on_where_it_stood_and_misses_nothing() {
    let folder = Folder::new();
    for number in 0..1300 {
        folder.write(&format!("f{:02}/{:02}/{number}.txt", number % 7, number % 11), "");
    }
    // Around the names of folders: order is by names, and not by whole paths.
    for name in ["f00.txt", "f00/01.txt", "f00/01-/x", "f03!/x", "zz"] {
        folder.write(name, "");
    }
    let whole = list(&folder, json!({})).await;
    let expected = ids(&whole);
    assert_eq!(expected.len(), 1305);
    let mut checkpoints = 0;
    for (_, checkpoint) in whole.checkpoints().filter(|(_, checkpoint)| !checkpoint.listing_complete) {
        let states = vec![ScopeState { scope: String::new(), cursor: checkpoint.cursor.clone() }];
        let request = PullRequest { states, ..full_pull(json!({"root": folder.path()})) };
        let rest = collect_pull(&mut connect(Filesystem).await, request).await;
        checkpoints += 1;
        let rest_ids = ids(&rest);
        assert!(rest_ids.len() < expected.len());
        assert_eq!(rest_ids, expected[expected.len() - rest_ids.len()..]);
        assert!(is_complete(&rest));
        // What came before the checkpoint and what comes after it are everything, once.
        let before: usize = whole
            .pages()
            .take_while(|page| page.checkpoint.as_ref() != Some(checkpoint))
            .map(documents_in)
            .sum::<usize>();
        let in_page = whole.pages().find(|page| page.checkpoint.as_ref() == Some(checkpoint)).unwrap();
        assert_eq!(before + documents_in(in_page) + rest_ids.len(), expected.len());
    }
    assert!(checkpoints >= 2);
}

fn documents_in(page: &superfasttt_proto::connector::v1::Page) -> usize {
    use superfasttt_proto::connector::v1::change::Kind;
    page.changes.iter().filter(|change| matches!(change.kind, Some(Kind::Document(_)))).count()
}

#[tokio::test]
async fn every_cursor_resumes_also_at_a_folder_that_is_gone() {
    let folder = Folder::with(&[("a/1", ""), ("b/1", ""), ("b/2", ""), ("c", ""), ("d/e/f", "")]);
    let identity = {
        use std::os::unix::fs::MetadataExt;
        let root = std::fs::metadata(folder.path()).unwrap();
        format!("{:x}-{:x}", root.dev(), root.ino())
    };
    std::fs::remove_file(folder.path().join("c")).unwrap();
    let cases: [(&str, &[&str]); 8] = [
        ("a", &["a/1", "b/1", "b/2", "d/e/f"]),
        ("a/1", &["b/1", "b/2", "d/e/f"]),
        ("b/1", &["b/2", "d/e/f"]),
        ("b/1x/y", &["b/2", "d/e/f"]),
        ("c", &["d/e/f"]),
        ("c/x", &["d/e/f"]),
        ("d/e", &["d/e/f"]),
        ("d/e/f", &[]),
    ];
    for (after, expected) in cases {
        let cursor = json!({"root": identity, "after": after}).to_string().into_bytes();
        let states = vec![ScopeState { scope: String::new(), cursor }];
        let request = PullRequest { states, ..full_pull(json!({"root": folder.path()})) };
        let pulled = collect_pull(&mut connect(Filesystem).await, request).await;
        assert_eq!(ids(&pulled), expected, "after {after}");
        assert!(is_complete(&pulled));
    }
}

#[tokio::test]
async fn a_cursor_of_another_folder_at_the_same_path_begins_anew() {
    let folder = Folder::with(&[("a", ""), ("b", "")]);
    let cursor = json!({"root": "0-0", "after": "a"}).to_string().into_bytes();
    let states = vec![ScopeState { scope: String::new(), cursor }];
    let request = PullRequest { states, ..full_pull(json!({"root": folder.path()})) };
    assert_eq!(ids(&collect_pull(&mut connect(Filesystem).await, request).await), ["a", "b"]);
}

#[tokio::test]
async fn a_folder_of_a_hundred_thousand_files_comes_in_small_pages_with_checkpoints() {
    let folder = Folder::new();
    for number in 0..100_000 {
        std::fs::File::create(folder.path().join(format!("{number}"))).unwrap();
    }
    let limits = PullLimits { max_page_changes: 400, ..Default::default() };
    let request = PullRequest { limits: Some(limits), ..full_pull(json!({"root": folder.path()})) };
    let mut stream = connect(Filesystem).await.pull(request).await.unwrap().into_inner();
    let (mut documents, mut uncovered, mut complete) = (0, 0, false);
    while let Some(response) = stream.message().await.unwrap() {
        let Some(pull_response::Kind::Page(page)) = response.kind else { continue };
        assert!(page.changes.len() <= 400);
        documents += page.changes.len();
        uncovered += page.changes.len();
        if let Some(checkpoint) = page.checkpoint {
            assert!(uncovered <= 1000, "{uncovered} items without a checkpoint");
            uncovered = 0;
            complete = checkpoint.listing_complete;
        }
    }
    assert_eq!((documents, complete), (100_000, true));
}

#[tokio::test]
async fn a_root_that_cannot_be_listed_fails_the_pull_and_deletes_nothing() {
    let folder = Folder::with(&[("file", "")]);
    let cases = [
        (folder.path().join("missing"), Reason::NotFound),
        (folder.path().join("file"), Reason::SettingsInvalid),
        (Path::new("relative").to_owned(), Reason::SettingsInvalid),
    ];
    for (root, reason) in cases {
        let pulled = collect_pull(&mut connect(Filesystem).await, full_pull(json!({"root": root}))).await;
        assert_eq!((pulled.error.as_ref().unwrap().reason, pulled.responses.len()), (reason, 0));
    }
}

#[tokio::test]
async fn names_that_are_not_utf_8_have_ids_of_their_own() {
    let folder = Folder::new();
    for name in [&b"caf\xe9.txt"[..], b"caf%E9.txt", b"dir\xff/\xfe"] {
        let path = folder.path().join(Path::new(std::ffi::OsStr::from_bytes(name)));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
    let pulled = list(&folder, json!({})).await;
    assert_eq!(ids(&pulled), ["caf%25E9.txt", "caf%E9.txt", "dir%FF/%FE"]);
    let nested = pulled.documents().last().unwrap();
    assert_eq!((nested.parent_id.as_str(), nested.title.as_str()), ("dir%FF", "\u{fffd}"));
    for document in pulled.documents() {
        let (_, bytes) = support::fetch(&folder, &document.content_ref).await.unwrap();
        assert_eq!(bytes.len() as f64, number(document, "size"));
    }
}
