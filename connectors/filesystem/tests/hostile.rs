//! Folders that are not as one wishes: links, special files, things that change, ways out of the root.

mod support;

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use serde_json::json;
use superfasttt_connector::Reason;
use superfasttt_connector::testing::{connect, settings_struct};
use superfasttt_proto::connector::v1::item_error::Target;
use superfasttt_proto::connector::v1::{FetchContentRequest, fetch_content_response};

use connector_filesystem::Filesystem;
use support::{Folder, fetch, ids, is_complete, list, settings};

#[tokio::test]
async fn links_are_read_only_where_they_stay_below_the_root() {
    let outside = Folder::with(&[("secret", "s")]);
    let folder = Folder::with(&[("docs/real.txt", "text")]);
    let at = |name: &str| folder.path().join(name);
    symlink(at("docs/real.txt"), at("absolute.txt")).unwrap();
    symlink("docs/real.txt", at("relative.txt")).unwrap();
    symlink(outside.path().join("secret"), at("outside.txt")).unwrap();
    symlink("nowhere", at("broken.txt")).unwrap();
    symlink(folder.path(), at("docs/loop")).unwrap();
    symlink("self", at("self")).unwrap();
    symlink(outside.path(), at("outside-folder")).unwrap();
    let pulled = list(&folder, json!({})).await;
    assert_eq!(ids(&pulled), ["absolute.txt", "docs/real.txt", "relative.txt"]);
    assert!(is_complete(&pulled));
    assert_eq!(pulled.item_errors().count(), 0);
    for skipped in ["outside.txt", "broken.txt", "docs/loop", "self", "outside-folder"] {
        assert!(pulled.logs().any(|line| line.contains(skipped)), "{skipped} is not told");
    }
    assert_eq!(fetch(&folder, "absolute.txt").await.unwrap().1, "text");
    for refused in ["outside.txt", "outside-folder/secret", "docs/loop/docs/real.txt", "self", "broken.txt"] {
        assert_eq!(fetch(&folder, refused).await.unwrap_err().reason, Reason::NotFound, "{refused}");
    }
}

#[tokio::test]
async fn pipes_sockets_and_devices_are_skipped_and_never_opened() {
    let folder = Folder::with(&[("real.txt", "")]);
    nix::unistd::mkfifo(&folder.path().join("pipe.txt"), Mode::S_IRWXU).unwrap();
    let _listener = UnixListener::bind(folder.path().join("socket.txt")).unwrap();
    let pulled = list(&folder, json!({})).await;
    assert_eq!((ids(&pulled), is_complete(&pulled)), (vec!["real.txt".to_owned()], true));
    assert_eq!(pulled.logs().count(), 2);
    // A pipe without a writer would hold whoever opens it.
    assert_eq!(fetch(&folder, "pipe.txt").await.unwrap_err().reason, Reason::NotFound);
    assert_eq!(fetch(&folder, "socket.txt").await.unwrap_err().reason, Reason::NotFound);
}

#[tokio::test]
async fn a_ref_that_climbs_out_of_the_root_is_refused() {
    let folder = Folder::with(&[("inside/a", "")]);
    std::fs::write(folder.path().parent().unwrap().join("filesystem-test-outside"), "").unwrap();
    for climbing in
        ["../filesystem-test-outside", "/etc/passwd", "inside/../../x", "%2E%2E/x", "", "inside//a"]
    {
        assert_eq!(fetch(&folder, climbing).await.unwrap_err().reason, Reason::AccessDenied, "{climbing:?}");
    }
    std::fs::remove_file(folder.path().parent().unwrap().join("filesystem-test-outside")).unwrap();
}

#[tokio::test]
async fn a_file_that_vanished_since_the_listing_is_not_found() {
    let folder = Folder::with(&[("a", "text"), ("folder/b", "")]);
    assert_eq!(fetch(&folder, "gone").await.unwrap_err().reason, Reason::NotFound);
    assert_eq!(fetch(&folder, "a/b").await.unwrap_err().reason, Reason::NotFound);
    assert_eq!(fetch(&folder, "folder").await.unwrap_err().reason, Reason::NotFound);
}

#[tokio::test]
async fn bytes_say_which_version_they_are() {
    let folder = Folder::with(&[("a.html", "first")]);
    let listed = list(&folder, json!({})).await.documents().next().unwrap().version.clone();
    let (header, bytes) = fetch(&folder, "a.html").await.unwrap();
    assert_eq!((header.version, header.length_bytes), (listed.clone(), Some(5)));
    assert_eq!((header.media_type.as_str(), &bytes[..]), ("text/html", &b"first"[..]));
    folder.write("a.html", "second");
    let (header, bytes) = fetch(&folder, "a.html").await.unwrap();
    assert_ne!(header.version, listed);
    assert_eq!(bytes, "second");
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_must_be_fetched_again() {
    let folder = Folder::new();
    let path = folder.path().join("big");
    for cut in [false, true] {
        std::fs::File::create(&path).unwrap().set_len(64 * 1024 * 1024).unwrap();
        let request = FetchContentRequest {
            settings: Some(settings_struct(settings(&folder, json!({})))),
            contract_revision: 1,
            content_ref: "big".into(),
            ..Default::default()
        };
        let mut stream = connect(Filesystem).await.fetch_content(request).await.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap();
        assert!(matches!(first.kind, Some(fetch_content_response::Kind::Header(_))));
        // The reader is held by a full pipe, far from the end.
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let length = if cut { 32 * 1024 * 1024 } else { 64 * 1024 * 1024 + 1 };
        file.set_len(length).unwrap();
        let status = loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("two versions were served as one"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    }
}

#[tokio::test]
async fn a_file_over_the_size_is_refused_before_it_is_read() {
    let folder = Folder::new();
    std::fs::File::create(folder.path().join("sparse")).unwrap().set_len(3_000_000_000).unwrap();
    assert_eq!(fetch(&folder, "sparse").await.unwrap_err().reason, Reason::ContentTooLarge);
}

#[tokio::test]
async fn a_path_too_long_for_an_id_is_an_error_of_that_item_alone() {
    let folder = Folder::with(&[("z.txt", "")]);
    let name = "n".repeat(200);
    let deep = [name.as_str(); 6].join("/");
    folder.write(&format!("{deep}/deep.txt"), "");
    let pulled = list(&folder, json!({})).await;
    assert_eq!((ids(&pulled), is_complete(&pulled)), (vec!["z.txt".to_owned()], true));
    let error = pulled.item_errors().next().unwrap();
    assert_eq!(error.target, Some(Target::Locator(deep)));
    assert!(!error.with_descendants, "a shield over nobody knows what would stop every deletion");
    assert!(pulled.containers().all(|container| container.id.len() <= 1024));
}
