use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::catalog::{ConnectorEntry, Runnable};

use super::*;

fn manifest(id: &str) -> String {
    format!(r#"{{"id": "{id}", "auth": {{"type": "none"}}, "sync": {{"mode": "full"}}}}"#)
}

fn add(root: &Path, folder: &str, text: &[u8]) {
    fs::create_dir_all(root.join(folder)).unwrap();
    fs::write(root.join(folder).join("manifest.json"), text).unwrap();
}

fn ids(catalog: &Catalog) -> Vec<String> {
    catalog.list().iter().map(|entry| entry.id.clone()).collect()
}

fn only_problem(entry: &ConnectorEntry) -> String {
    assert_eq!(entry.problems.len(), 1, "{:?}", entry.problems);
    entry.problems[0].to_string()
}

#[test]
fn a_broken_manifest_harms_no_other() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    add(root.path(), "good", manifest("good").as_bytes());
    add(root.path(), "bad-json", b"{");
    add(root.path(), "bad-text", b"{\"id\": \"\xff\"}");
    add(root.path(), "big", &vec![b' '; 1024 * 1024 + 1]);
    fs::create_dir_all(root.path().join("a-folder/manifest.json")).unwrap();
    add(outside.path(), "elsewhere", manifest("elsewhere").as_bytes());
    symlink(outside.path().join("elsewhere"), root.path().join("led-out")).unwrap();
    fs::create_dir(root.path().join("dangling")).unwrap();
    symlink("/nowhere", root.path().join("dangling/manifest.json")).unwrap();
    fs::create_dir(root.path().join("not-a-connector")).unwrap();
    fs::write(root.path().join("README.md"), "").unwrap();

    let catalog = Catalog::load(root.path()).unwrap();
    assert_eq!(ids(&catalog), ["a-folder", "bad-json", "bad-text", "big", "dangling", "good", "led-out"]);
    for (id, said) in [
        ("a-folder", "it is not a regular file"),
        ("bad-json", "it is not JSON"),
        ("bad-text", "it is not UTF-8 (byte 8)"),
        ("big", "it is larger than 1048576 bytes"),
        ("dangling", "it cannot be read"),
        ("led-out", "it leads out of the connectors directory"),
    ] {
        let entry = catalog.get(id).unwrap();
        assert!(entry.manifest.is_none());
        assert!(matches!(entry.runnable, Runnable::NotRunnable(_)));
        assert!(only_problem(&entry).contains(said), "{entry:?}");
    }
    assert_eq!(catalog.get("good").unwrap().problems, []);
    assert!(catalog.get("good").unwrap().manifest.is_some());
}

#[test]
fn the_second_folder_with_an_id_is_reported_and_the_first_keeps_it() {
    let root = tempfile::tempdir().unwrap();
    add(root.path(), "m-first", manifest("demo").as_bytes());
    let catalog = Catalog::load(root.path()).unwrap();
    // It sorts before the first one, and still must not take the id away.
    add(root.path(), "a-copy", manifest("demo").as_bytes());
    assert!(catalog.rescan().unwrap());
    let list = catalog.list();
    assert_eq!(list.len(), 2);
    assert!(catalog.get("demo").unwrap().folder.ends_with("m-first"));
    assert!(list[1].folder.ends_with("a-copy"));
    assert!(only_problem(&list[1]).contains("is the id of"), "{:?}", list[1]);
    // Once the first is gone the second has it.
    fs::remove_dir_all(root.path().join("m-first")).unwrap();
    catalog.rescan().unwrap();
    assert!(catalog.get("demo").unwrap().folder.ends_with("a-copy"));
    assert_eq!(catalog.get("demo").unwrap().problems, []);
}

#[test]
fn a_broken_change_keeps_the_last_good_version() {
    let root = tempfile::tempdir().unwrap();
    add(root.path(), "demo", manifest("demo").as_bytes());
    let catalog = Catalog::load(root.path()).unwrap();
    let mut versions = catalog.subscribe();
    assert!(!catalog.rescan().unwrap(), "nothing changed");
    assert!(!versions.has_changed().unwrap());

    add(root.path(), "demo", b"{ oops");
    assert!(catalog.rescan().unwrap());
    assert_eq!(*versions.borrow_and_update(), 1);
    let entry = catalog.get("demo").unwrap();
    assert!(entry.manifest.is_some());
    assert!(only_problem(&entry).contains("it is not JSON"));

    add(root.path(), "demo", manifest("demo").as_bytes());
    assert!(catalog.rescan().unwrap());
    assert_eq!(catalog.get("demo").unwrap().problems, []);
}

#[test]
fn how_a_connector_is_started_follows_from_its_folder() {
    let root = tempfile::tempdir().unwrap();
    let program = |folder: &str, name: &str, mode: u32| {
        let path = root.path().join(folder).join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_string_lossy().into_owned()
    };
    let with_command = |id: &str, command: &str| {
        format!(
            r#"{{"id": "{id}", "auth": {{"type": "none"}}, "sync": {{"mode": "full"}}, "runtime": {{"command": {command}}}}}"#
        )
    };
    for id in ["nothing", "by-name"] {
        add(root.path(), id, manifest(id).as_bytes());
    }
    add(root.path(), "relative", with_command("relative", r#"["./run", "--x"]"#).as_bytes());
    add(root.path(), "on-path", with_command("on-path", r#"["sh", "-c", "true"]"#).as_bytes());
    add(root.path(), "missing", with_command("missing", r#"["./nope"]"#).as_bytes());
    add(root.path(), "not-executable", with_command("not-executable", r#"["./run"]"#).as_bytes());
    let by_name = program("by-name", "connector", 0o755);
    let run = program("relative", "./run", 0o755);
    program("not-executable", "run", 0o644);

    let catalog = Catalog::load(root.path()).unwrap();
    let runnable = |id: &str| catalog.get(id).unwrap().runnable.clone();
    let reason = |id: &str| match runnable(id) {
        Runnable::NotRunnable(reason) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(runnable("by-name"), Runnable::Command(vec![by_name]));
    assert_eq!(runnable("relative"), Runnable::Command(vec![run, "--x".to_owned()]));
    assert!(matches!(runnable("on-path"), Runnable::Command(command) if command[0].ends_with("/sh")));
    assert!(reason("nothing").contains("no executable `connector`"));
    assert!(reason("missing").contains("does not exist"));
    assert!(reason("not-executable").contains("chmod +x"));
}

#[test]
fn a_directory_that_is_not_there_is_an_error_that_says_what_to_do() {
    let error = Catalog::load(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(error.to_string().contains("create it or name another one"), "{error}");
}

/// Waits for the catalogue to change until `seen` holds.
async fn wait_until(catalog: &Catalog, seen: impl Fn(&Catalog) -> bool) {
    let mut versions = catalog.subscribe();
    let wait = async {
        while !seen(catalog) {
            versions.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the change is seen in time");
}

#[tokio::test]
async fn changes_are_seen_without_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let catalog = Catalog::load(root.path()).unwrap();
    // So rare a scan that only an event can have told.
    let _watch = catalog.watch_every(Duration::from_secs(3600));
    add(root.path(), "one", manifest("one").as_bytes());
    wait_until(&catalog, |catalog| catalog.get("one").is_some_and(|entry| entry.manifest.is_some())).await;
    add(root.path(), "one", manifest("renamed").as_bytes());
    wait_until(&catalog, |catalog| ids(catalog) == ["renamed"]).await;
    fs::remove_dir_all(root.path().join("one")).unwrap();
    wait_until(&catalog, |catalog| ids(catalog).is_empty()).await;
}

#[tokio::test]
async fn a_scan_now_and_then_finds_what_no_event_told() {
    let root = tempfile::tempdir().unwrap();
    let catalog = Catalog::load(root.path()).unwrap();
    let (_kept_open, changes) = mpsc::channel(1);
    let follow = tokio::spawn(follow(Arc::clone(&catalog), None, changes, Duration::from_millis(20)));
    add(root.path(), "one", manifest("one").as_bytes());
    wait_until(&catalog, |catalog| catalog.get("one").is_some_and(|entry| entry.manifest.is_some())).await;
    follow.abort();
}
