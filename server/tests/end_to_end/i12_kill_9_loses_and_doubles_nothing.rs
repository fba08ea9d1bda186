//! I12: connectord and the real connector die again and again in the middle of a sync, while the folder changes; at the
//! end the documents are the folder's files, each once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use superfasttt_proto::control::v1::run::State;

use crate::support::{FILESYSTEM, Server, text, until_async, within};

/// Folders of 500 files each.
const FOLDERS: usize = 100;

/// The files of a folder: path and text.
fn files(root: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for folder in fs::read_dir(root).unwrap().map(Result::unwrap) {
        for file in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            let path = file.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(path, fs::read_to_string(file.path()).unwrap());
        }
    }
    files
}

fn path(root: &Path, folder: usize, file: usize) -> std::path::PathBuf {
    root.join(format!("folder-{folder:03}/file-{file:03}.bin"))
}

/// What happens in the folder between two kills: something goes, something is edited, something comes, also in what
/// was listed already.
fn change(root: &Path, round: usize) {
    for folder in [round, FOLDERS / 2 + round, FOLDERS - 1 - round] {
        for file in 0..20 {
            fs::remove_file(path(root, folder, file)).unwrap();
            fs::write(path(root, folder, 100 + file), format!("edited in round {round}")).unwrap();
            fs::write(path(root, folder, 1000 + file), format!("new in round {round}")).unwrap();
        }
        fs::rename(path(root, folder, 200), path(root, folder, 2000)).unwrap();
    }
}

/// Kills the connector, once there is one: it may take the length of a lease until a restarted server goes on.
async fn kill_connector(server: &Server) {
    let pid = until_async("the connector runs", async || connector(server)).await;
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

/// The connector's process, found by its parent: connectord has no other children but extraction workers.
fn connector(server: &Server) -> Option<i32> {
    let children = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: i32 = entry.unwrap().file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let value = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name).map(str::trim).map(str::to_owned))
        };
        (value("PPid:")? == server.pid().to_string() && value("Name:")? == "connector").then_some(pid)
    });
    children.into_iter().next()
}

/// Waits until so many documents are stored.
async fn documents_reach(server: &Server, connection: &str, count: u64) -> u64 {
    within("documents are stored", async {
        loop {
            let stored = server.client.connection(connection).await.document_count;
            if stored >= count {
                return stored;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Documents and files are the same, and the feed tells each once.
async fn assert_equal(server: &Server, connection: &str, root: &Path) {
    let expected = files(root);
    let documents = server.client.documents(connection).await;
    let lost: Vec<_> = expected.keys().filter(|path| !documents.contains_key(*path)).take(5).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert_eq!(documents.len(), expected.len(), "documents of files that are gone");
    assert_eq!(server.client.connection(connection).await.document_count as usize, expected.len());
    for (path, text) in &expected {
        let size = documents[path].metadata.as_ref().unwrap().fields["size"].kind.clone().unwrap();
        assert_eq!(
            size,
            prost_types::value::Kind::NumberValue(text.len() as f64),
            "{path} is not the newest"
        );
    }
    let mut told: Vec<_> = server.client.feed("").await.told();
    told.retain(|entry| !entry.starts_with('-'));
    let entries = told.len();
    told.sort();
    told.dedup();
    assert_eq!((entries, told.len()), (expected.len(), expected.len()), "the feed has each once");
}

#[tokio::test]
async fn i12_a_folder_of_50_000_files_survives_kills_of_both_processes() {
    let mut server = Server::start().await;
    let root = server.folder().join("library");
    for folder in 0..FOLDERS {
        fs::create_dir_all(root.join(format!("folder-{folder:03}"))).unwrap();
        for file in 0..500 {
            fs::write(path(&root, folder, file), "text").unwrap();
        }
    }
    // Bytes are not the point here: files over the limit are listed without being read.
    let settings = json!({"root": root, "max_size_bytes": 0});
    let connection = server.client.create_paused(FILESYSTEM, settings).await;
    let run = server.client.begin(&connection, false).await;
    let mut stored = 0;
    for round in 0..6 {
        stored = documents_reach(&server, &connection, (stored + 3000).min(48_000)).await;
        change(&root, round);
        if round % 2 == 0 {
            server.kill9().await;
            change(&root, 10 + round);
            server.restart().await;
        } else {
            kill_connector(&server).await;
        }
    }
    let run = server.client.end_of(&run.id).await;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    // What changed behind the back of the listing is found by the next one at the latest.
    let run = server.client.sync(&connection).await;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");

    assert_equal(&server, &connection, &root).await;
    // And nothing is left to do.
    let counts = server.client.sync_well(&connection).await;
    assert_eq!((counts.created, counts.updated, counts.deleted), (0, 0, 0));
}

#[tokio::test]
async fn i12_the_texts_of_files_survive_kills_of_both_processes() {
    let mut server = Server::start().await;
    let root = server.folder().join("library");
    for folder in 0..20 {
        fs::create_dir_all(root.join(format!("folder-{folder:03}"))).unwrap();
        for file in 0..50 {
            let text = format!("the text of file {file} in folder {folder}");
            fs::write(root.join(format!("folder-{folder:03}/{file:03}.txt")), text).unwrap();
        }
    }
    let connection = server.client.create_paused(FILESYSTEM, json!({"root": root})).await;
    let run = server.client.begin(&connection, false).await;
    let mut stored = 0;
    for round in 0..4 {
        stored = documents_reach(&server, &connection, (stored + 100).min(900)).await;
        let edited = root.join(format!("folder-{round:03}/{round:03}.txt"));
        fs::write(edited, format!("edited before kill {round}")).unwrap();
        fs::remove_file(root.join(format!("folder-{:03}/049.txt", 19 - round))).unwrap();
        if round % 2 == 0 {
            server.kill9().await;
            server.restart().await;
        } else {
            kill_connector(&server).await;
        }
    }
    server.client.end_of(&run.id).await;
    server.client.sync_well(&connection).await;
    assert_equal(&server, &connection, &root).await;
    let documents = server.client.documents(&connection).await;
    for (path, expected) in files(&root) {
        assert_eq!(text(&documents, &path).trim(), expected, "{path}");
    }
    assert!(server.client.item_errors(&connection).await.is_empty());
    assert_eq!(server.client.sync_well(&connection).await.contents_fetched, 0);
}
