//! The main job with the real connector: a folder of real documents becomes a feed, and only what changes in the folder
//! changes in the feed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use superfasttt_proto::control::v1::run::State;

use crate::support::{FILESYSTEM, Server, text};

/// Every file under a folder, as the connector names it.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap().map(Result::unwrap) {
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        fs::create_dir_all(to.join(&path).parent().unwrap()).unwrap();
        fs::copy(from.join(&path), to.join(&path)).unwrap();
    }
}

#[tokio::test]
async fn a_library_of_every_format_is_read_and_its_changes_are_told_once() {
    let server = Server::start().await;
    let root = server.folder().join("library");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/library"), &root);
    fs::create_dir_all(root.join("notes")).unwrap();
    fs::write(root.join("notes/stays.txt"), "it stays").unwrap();
    fs::write(root.join("notes/edited.txt"), "before").unwrap();
    fs::write(root.join("notes/renamed.txt"), "it has another name later").unwrap();
    fs::write(root.join("notes/deleted.txt"), "it goes").unwrap();
    let connection = server.client.create_paused(FILESYSTEM, json!({"root": root})).await;

    let run = server.client.sync(&connection).await;
    assert_eq!(run.state(), State::Succeeded, "{run:?} {:?}", server.client.item_errors(&connection).await);
    let documents = server.client.documents(&connection).await;
    assert_eq!(documents.keys().cloned().collect::<Vec<_>>(), files(&root));
    assert_eq!(run.counts.unwrap().contents_fetched as usize, documents.len());
    for (id, document) in &documents {
        assert!(document.content.as_ref().is_some_and(|text| !text.trim().is_empty()), "{id} has no text");
        assert!(document.url.starts_with("file://"), "{id}");
        assert_eq!(document.source, FILESYSTEM);
    }

    // Nothing changed: nothing is read, nothing is told.
    let feed = server.client.feed("").await;
    let counts = server.client.sync_well(&connection).await;
    assert_eq!((counts.unchanged as usize, counts.contents_fetched), (documents.len(), 0));
    assert!(server.client.feed(&feed.position).await.entries.is_empty());

    fs::write(root.join("notes/edited.txt"), "after").unwrap();
    fs::write(root.join("notes/added.txt"), "it is new").unwrap();
    fs::rename(root.join("notes/renamed.txt"), root.join("notes/new name.txt")).unwrap();
    fs::remove_file(root.join("notes/deleted.txt")).unwrap();
    let counts = server.client.sync_well(&connection).await;
    assert_eq!((counts.created, counts.updated, counts.deleted, counts.contents_fetched), (2, 1, 2, 3));
    let mut told = server.client.feed(&feed.position).await.told();
    told.sort();
    let expected = [
        "-notes/deleted.txt",
        "-notes/renamed.txt",
        "notes/added.txt",
        "notes/edited.txt",
        "notes/new name.txt",
    ];
    assert_eq!(told, expected);
    let documents = server.client.documents(&connection).await;
    assert_eq!(text(&documents, "notes/edited.txt").trim(), "after");
    assert_eq!(text(&documents, "notes/new name.txt").trim(), "it has another name later");
}

#[tokio::test]
async fn a_root_that_is_gone_fails_the_run_and_deletes_nothing() {
    let server = Server::start().await;
    let root = server.folder().join("mount");
    fs::create_dir(&root).unwrap();
    for number in 0..5 {
        fs::write(root.join(format!("{number}.txt")), "text").unwrap();
    }
    let connection = server.client.create_paused(FILESYSTEM, json!({"root": root})).await;
    server.client.sync_well(&connection).await;
    fs::rename(&root, server.folder().join("unmounted")).unwrap();
    server.client.sync_to_failure(&connection).await;
    assert_eq!(server.client.documents(&connection).await.len(), 5);
    fs::rename(server.folder().join("unmounted"), &root).unwrap();
    assert_eq!(server.client.sync_well(&connection).await.unchanged, 5);
}
