//! I8 from a connector's side: what one finds that looks around. The kernel keeps it from other processes whoever it runs
//! as; only another user (`process.run_as`) keeps it from the server's files. docs/threat-model.md tells the rest.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use superfasttt_proto::control::v1::{
    Connection, CreateConnectionRequest, EnableConnectionRequest, PauseConnectionRequest,
};

use crate::support::{KEYED, Server, Source, checkpoint, complete, doc, new_connection};

const KEY_OF_ANOTHER: &str = "k-of-another-9Zp2";

/// A connection with a key, in this organisation, that has been synced: its process is there.
async fn synced(server: &Server, organization: &str, key: &str) -> Source {
    let script = server.script();
    // Connectors of another user write down their calls beside it.
    fs::set_permissions(script.path().parent().unwrap(), Permissions::from_mode(0o777)).unwrap();
    script.next_pulls([vec![doc("a", "1"), complete("1")]]);
    let request = new_connection(KEYED, json!({"script": script.path()}));
    let connection =
        Connection { organization: organization.to_owned(), ..request.connection.clone().unwrap() };
    let request = CreateConnectionRequest { connection: Some(connection), disabled: true, ..request };
    let mut client = server.client.connections();
    let connection = client.create_connection(request).await.unwrap().into_inner().connection.unwrap().id;
    client.pause_connection(PauseConnectionRequest { connection: connection.clone() }).await.unwrap();
    client.enable_connection(EnableConnectionRequest { connection: connection.clone() }).await.unwrap();
    server.client.enter(&connection, &[("key", key)]).await.unwrap();
    server.client.sync_well(&connection).await;
    Source { script, connection }
}

/// What a connector finds that tries all this.
async fn found(server: &Server, source: &Source, at: &[PathBuf], write: &[PathBuf], end: &[u32]) -> Value {
    let into = source.script.file("found.json");
    let look = json!({"look_around": {"at": at, "write": write, "end": end, "into": into}});
    source.script.next_pulls([vec![look, checkpoint("2")]]);
    server.client.sync_well(&source.connection).await;
    serde_json::from_slice(&fs::read(into).unwrap()).unwrap()
}

/// What the kernel shows of a process to those who may look into it.
fn insides(pid: u32) -> Vec<PathBuf> {
    ["environ", "mem", "maps", "fd/2", "cwd/manifest.json"]
        .map(|name| format!("/proc/{pid}/{name}").into())
        .to_vec()
}

fn assert_refused(tried: &Value) {
    for (what, outcome) in tried.as_object().unwrap() {
        assert_eq!(outcome, &json!({"refused": "permission denied"}), "{what}");
    }
}

/// One line of `/proc/PID/status`.
fn status_line<'a>(found: &'a Value, name: &str) -> &'a str {
    let line = found["status"].as_str().unwrap().lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim_start_matches(':').trim()
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests has to see what was left out")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

async fn sees_no_other_process(isolation: &str, organizations: [&str; 2]) {
    if superfasttt_confine::Domain::new().unwrap().is_none() {
        return skipped("this kernel has no Landlock, so connectors of one user can look into each other");
    }
    let server = Server::builder().with("PROCESS__ISOLATION", isolation).start().await;
    let other = synced(&server, organizations[0], KEY_OF_ANOTHER).await;
    let hostile = synced(&server, organizations[1], "k-own").await;
    let others = [server.pid(), u32::try_from(other.script.pid()).unwrap()];
    assert_ne!(hostile.script.pid(), other.script.pid(), "a process of its own");

    let own: PathBuf = "/proc/self/environ".into();
    let at: Vec<_> = others.into_iter().flat_map(insides).chain([own.clone()]).collect();
    let found = found(&server, &hostile, &at, &[], &others).await;
    let mut tried = found["at"].clone();
    let own = tried.as_object_mut().unwrap().remove(own.to_str().unwrap()).unwrap();
    assert!(own["found"].as_str().unwrap().contains("CONNECTOR_TOKEN"), "it does look: {own}");
    assert_refused(&tried);
    assert_refused(&found["end"]);
    assert!(!found.to_string().contains(KEY_OF_ANOTHER));
    assert_eq!(status_line(&found, "NoNewPrivs"), "1");
    // As root it keeps the right to read files of others, and nothing else of what root may.
    let capabilities = u64::from_str_radix(status_line(&found, "CapEff"), 16).unwrap();
    assert_eq!(capabilities & !(1 << 2), 0);
}

#[tokio::test]
async fn i8_a_connector_cannot_look_into_the_server_nor_into_the_process_of_another_organization() {
    sees_no_other_process("organization", ["acme", "borealis"]).await;
}

#[tokio::test]
async fn i8_a_connector_cannot_look_into_the_process_of_another_connection() {
    sees_no_other_process("connection", ["acme", "acme"]).await;
}

#[tokio::test]
async fn i8_connections_of_one_organization_share_a_process_unless_told_otherwise() {
    let server = Server::start().await;
    let one = synced(&server, "acme", "k-1").await;
    let another = synced(&server, "acme", "k-2").await;
    assert_eq!(one.script.pid(), another.script.pid());
}

#[tokio::test]
async fn i8_a_connector_of_another_user_finds_the_servers_files_closed() {
    if !nix::unistd::Uid::effective().is_root() {
        return skipped("only root starts programs as another user, so nothing is proved of process.run_as");
    }
    let server = Server::builder().with("PROCESS__RUN_AS", "nobody").start().await;
    // The test's own folder is closed to others; that must not be what keeps connectors away.
    fs::set_permissions(server.folder(), Permissions::from_mode(0o711)).unwrap();
    let other = synced(&server, "acme", KEY_OF_ANOTHER).await;
    let hostile = synced(&server, "borealis", "k-own").await;

    let data = server.folder().join("data");
    let files = everything_below(&data);
    // The sockets and their folders are of the connectors' user; their tokens are what guards them.
    let sockets = data.join("run");
    let closed: Vec<_> = files.iter().filter(|path| !path.starts_with(&sockets)).cloned().collect();
    assert!(closed.iter().any(|path| path.ends_with("connectord.lock")), "{closed:?}");
    let at: Vec<_> = [data.clone(), sockets].into_iter().chain(closed.clone()).collect();
    let at: Vec<_> = at.into_iter().chain(insides(server.pid())).collect();
    let regular: Vec<_> = closed.into_iter().filter(|path| path.is_file()).collect();
    let others = [server.pid(), u32::try_from(other.script.pid()).unwrap()];
    let found = found(&server, &hostile, &at, &regular, &others).await;
    for tried in ["at", "write", "end"] {
        assert_refused(&found[tried]);
    }
    assert!(status_line(&found, "Uid").starts_with("65534"), "{}", status_line(&found, "Uid"));
    assert_eq!((status_line(&found, "Groups"), status_line(&found, "CapEff")), ("", "0000000000000000"));
}

fn everything_below(folder: &Path) -> Vec<PathBuf> {
    let items = fs::read_dir(folder).unwrap().map(|item| item.unwrap().path());
    items
        .flat_map(|path| {
            if path.is_dir() { [vec![path.clone()], everything_below(&path)].concat() } else { vec![path] }
        })
        .collect()
}
