//! The example that reads samples/tracker: alone, offline from a recording, and as a process.

#![allow(clippy::unwrap_used, reason = "a panic in a helper of the tests is the failure report")]

#[path = "../examples/tracker/main.rs"]
#[allow(dead_code, reason = "its `main` is for the process")]
mod example;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use example::Tracker;
use serde_json::{Value, json};
use superfasttt_connector::testing::{self, Client, Pulled, collect_pull, full_pull};
use superfasttt_connector::{ConnectorError, Reason, Traffic};
use superfasttt_proto::connector::v1::{
    Credential, FieldsCredential, PullMode, PullRequest, ScopeState, change, credential, deletion, item_error,
};

const ISSUES: usize = 250;
const KEY: &str = "tracker-key";

/// The sample tracker, and what a person would do in it. It ends with its stdin.
struct Sample {
    url: String,
    process: Child,
    stdin: Option<ChildStdin>,
}

impl Sample {
    fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/tracker/tracker.py");
        let mut process = Command::new("python3")
            .arg(program)
            .args(["--port", "0", "--with-stdin", "--issues", &ISSUES.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests of the example need python3");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let listening: Value = serde_json::from_str(&line).unwrap();
        let stdin = process.stdin.take();
        Self { url: listening["url"].as_str().unwrap().to_owned(), process, stdin }
    }

    async fn change(&self, change: Value) {
        let address = self.url.strip_prefix("http://").unwrap();
        http_exchange(address, "POST", "/_control", &change.to_string()).await;
    }

    /// The paths that were asked.
    async fn asked(&self) -> Vec<String> {
        let address = self.url.strip_prefix("http://").unwrap();
        let requests: Value =
            serde_json::from_str(&http_exchange(address, "GET", "/_requests", "").await).unwrap();
        let paths = requests.as_array().unwrap().iter();
        paths.map(|request| request["path"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.process.wait().ok();
    }
}

/// One exchange of HTTP/1.1; the body of the answer.
async fn http_exchange(address: &str, method: &str, path: &str, body: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn request(url: &str, mode: PullMode, cursor: Option<&[u8]>) -> PullRequest {
    let fields = FieldsCredential { values: [("key".to_owned(), KEY.to_owned())].into() };
    let states = cursor.map(|cursor| ScopeState { scope: String::new(), cursor: cursor.to_vec() });
    PullRequest {
        credential: Some(Credential {
            kind: Some(credential::Kind::Fields(fields)),
            ..Credential::default()
        }),
        mode: mode.into(),
        states: states.into_iter().collect(),
        ..full_pull(json!({"url": url}))
    }
}

async fn pull(client: &mut Client, url: &str, mode: PullMode, cursor: Option<&[u8]>) -> Pulled {
    collect_pull(client, request(url, mode, cursor)).await
}

/// The cursor at the end of a pull that went well.
fn cursor_of(pulled: &Pulled) -> Vec<u8> {
    assert_eq!(pulled.error, None);
    pulled.checkpoints().last().unwrap().1.cursor.clone()
}

fn deleted(pulled: &Pulled) -> Vec<&str> {
    let deletions = pulled.changes().filter_map(|kind| match kind {
        change::Kind::Deletion(deletion) => deletion.target.as_ref(),
        _ => None,
    });
    deletions
        .map(|target| match target {
            deletion::Target::Id(id) | deletion::Target::Locator(id) => id.as_str(),
        })
        .collect()
}

fn failed(pulled: &Pulled) -> Vec<(&str, Reason)> {
    let failed = pulled.item_errors().map(|failed| {
        let Some(item_error::Target::Id(id)) = &failed.target else { panic!("{failed:?}") };
        (id.as_str(), ConnectorError::from_proto(failed.error.clone().unwrap()).reason)
    });
    failed.collect()
}

#[tokio::test]
async fn a_listing_then_its_changes() {
    let sample = Sample::start();
    let mut client = testing::connect(Tracker).await;
    let listed = pull(&mut client, &sample.url, PullMode::Full, None).await;
    let cursor = cursor_of(&listed);
    assert_eq!(listed.documents().count(), ISSUES - 1);
    assert_eq!(failed(&listed), [("13", Reason::ContentUnreadable)]);
    assert!(listed.checkpoints().last().unwrap().1.listing_complete);
    let permissions = |id: &str| {
        let document = listed.documents().find(|document| document.id == id).unwrap();
        let permissions = document.permissions.clone().unwrap();
        (permissions.visibility, permissions.allow)
    };
    assert_eq!(permissions("5"), ("private".to_owned(), vec!["user:user5@tracker.example".to_owned()]));
    assert_eq!(permissions("6"), ("organization".to_owned(), vec![]));
    let asked = sample.asked().await;
    let second_page = asked.iter().filter(|path| *path == "/issues?page=50").count();
    assert_eq!(second_page, 2, "the second page was refused once: {asked:?}");

    sample.change(json!({"put": [{"number": 7, "title": "Renamed"}, {"number": 300}], "delete": [3]})).await;
    let changed = pull(&mut client, &sample.url, PullMode::Incremental, Some(&cursor)).await;
    let mut titles: Vec<_> = changed.documents().map(|document| document.title.as_str()).collect();
    titles.sort_unstable();
    assert_eq!(titles, ["Issue 300", "Renamed"]);
    assert_eq!(deleted(&changed), ["3"]);
    let nothing = pull(&mut client, &sample.url, PullMode::Incremental, Some(&cursor_of(&changed))).await;
    assert_eq!((nothing.changes().count(), nothing.error), (0, None));
}

#[tokio::test]
async fn single_issues_and_a_list() {
    let sample = Sample::start();
    let mut client = testing::connect(Tracker).await;
    let ids = ["5", "13", "999"].map(str::to_owned).to_vec();
    let asked = PullRequest { ids, ..request(&sample.url, PullMode::Targeted, None) };
    let pulled = collect_pull(&mut client, asked).await;
    assert_eq!(pulled.error, None);
    assert_eq!(pulled.documents().map(|document| document.id.as_str()).collect::<Vec<_>>(), ["5"]);
    assert_eq!((deleted(&pulled), failed(&pulled)), (vec!["999"], vec![("13", Reason::ContentUnreadable)]));

    let listed = pull(&mut client, &sample.url, PullMode::List, None).await;
    cursor_of(&listed);
    let present = |kind: &&change::Kind| matches!(kind, change::Kind::Present(_));
    assert_eq!(listed.changes().filter(present).count(), ISSUES);
}

#[tokio::test]
async fn a_listing_that_was_cut_goes_on_and_what_changed_meanwhile_is_in_the_feed() {
    let sample = Sample::start();
    let mut client = testing::connect(Tracker).await;
    let listed = pull(&mut client, &sample.url, PullMode::Full, None).await;
    let cut = listed.checkpoints().next().unwrap().1.cursor.clone();
    sample.change(json!({"put": [{"number": 7, "title": "Renamed"}]})).await;
    let resumed = pull(&mut client, &sample.url, PullMode::Full, Some(&cut)).await;
    let cursor = cursor_of(&resumed);
    assert_eq!(resumed.documents().count(), ISSUES - 50);
    let changed = pull(&mut client, &sample.url, PullMode::Incremental, Some(&cursor)).await;
    assert_eq!(changed.documents().map(|document| document.id.as_str()).collect::<Vec<_>>(), ["7"]);
}

#[tokio::test]
async fn a_cursor_that_is_too_old_or_of_somebody_else() {
    let sample = Sample::start();
    sample.change(json!({"history": 1, "put": [{"number": 1}, {"number": 2}]})).await;
    let mut client = testing::connect(Tracker).await;
    for cursor in ["[1,0]", "[99999,0]", "{}", "x"] {
        let pulled = pull(&mut client, &sample.url, PullMode::Incremental, Some(cursor.as_bytes())).await;
        assert_eq!(pulled.error.unwrap().reason, Reason::CursorInvalid, "{cursor}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_taken_is_told_to_the_person_who_entered_it() {
    let sample = Sample::start();
    sample.change(json!({"key": "another"})).await;
    let pulled = pull(&mut testing::connect(Tracker).await, &sample.url, PullMode::Full, None).await;
    assert_eq!(pulled.error.unwrap().reason, Reason::CredentialRevoked);
}

#[tokio::test]
async fn a_recording_replays_offline() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracker.har");
    let sample = Sample::start();
    let url = sample.url.clone();
    let mut client = testing::connect_with(Tracker, &Traffic::Record(path.clone())).await;
    let recorded = pull(&mut client, &url, PullMode::Full, None).await;
    drop(sample);
    assert!(!std::fs::read_to_string(&path).unwrap().contains(KEY));
    let mut client = testing::connect_with(Tracker, &Traffic::Replay(path)).await;
    let replayed = pull(&mut client, &url, PullMode::Full, None).await;
    assert_eq!(cursor_of(&replayed), cursor_of(&recorded));
    assert!(replayed.changes().eq(recorded.changes()));
}

/// The example as an author runs it.
fn program(arguments: &[&str], sample: &Sample) -> Output {
    let test = std::env::current_exe().expect("a test knows its own binary");
    let target: PathBuf = test.ancestors().skip(2).take(1).collect();
    let mut command = Command::new(target.join("examples/tracker"));
    command.env_clear().env("TRACKER_KEY", KEY).args(arguments);
    if matches!(arguments[0], "pull" | "test") {
        command.args(["--json", "--credential-env", "TRACKER_KEY", "--set", &format!("url={}", sample.url)]);
    }
    command.output().unwrap()
}

/// The lines of a command that did what it was asked to.
fn lines(output: &Output) -> Vec<Value> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_command_line_pulls_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (cursor, har) = (folder.path().join("cursor.json"), folder.path().join("tracker.har"));
    let (cursor, har) = (cursor.to_str().unwrap(), har.to_str().unwrap());
    let sample = Sample::start();
    let full = lines(&program(&["pull", "--cursor", cursor, "--record", har], &sample));
    let summary = full.last().unwrap()["summary"].clone();
    assert_eq!(summary["counts"], json!({"document": ISSUES - 1, "item_error": 1}));
    assert_eq!(summary["complete"], json!([""]));
    let broken = full.iter().find(|line| line.get("item_error").is_some()).unwrap();
    assert_eq!(broken["item_error"]["id"], "13");
    assert_eq!(full[0]["document"]["title"], "Issue 1");

    sample.change(json!({"put": [{"number": 7, "title": "Renamed"}], "delete": [3]})).await;
    let changed = lines(&program(&["pull", "--cursor", cursor], &sample));
    assert_eq!(changed.last().unwrap()["summary"]["counts"], json!({"document": 1, "deletion": 1}));
    let nothing = lines(&program(&["pull", "--cursor", cursor], &sample));
    assert_eq!(nothing.last().unwrap()["summary"]["counts"], json!({}));

    let some = lines(&program(&["pull", "--mode", "list", "--limit", "3"], &sample));
    assert_eq!(some.last().unwrap()["summary"]["counts"], json!({"present": 3}));
    let one = lines(&program(&["pull", "--mode", "targeted", "--id", "5"], &sample));
    assert_eq!(one[0]["document"]["permissions"]["allow"], json!(["user:user5@tracker.example"]));
    let asked = sample.asked().await.len();
    let replayed = lines(&program(&["pull", "--mode", "full", "--replay", har], &sample));
    assert_eq!(replayed.last().unwrap()["summary"], summary);
    assert_eq!(sample.asked().await.len(), asked, "nothing went to the tracker");
}

#[tokio::test]
async fn the_command_line_says_what_it_is_and_what_is_wrong() {
    let sample = Sample::start();
    let info = program(&["info"], &sample);
    let text = String::from_utf8_lossy(&info.stdout).into_owned();
    assert!(info.status.success() && text.contains("incremental, full_listing, list, targeted"), "{text}");
    let checks = lines(&program(&["test"], &sample));
    assert_eq!(checks[0]["check"]["outcome"], "passed");

    for usage in [
        &["pull", "--mode", "targeted"][..],
        &["pull", "--set", "url"],
        &["pull", "--cursor", "/dev/null/x"],
        &["pull", "--credential", "/dev/null"],
        &["nothing"],
        &["serve"],
    ] {
        let output = program(usage, &sample);
        assert_eq!(output.status.code(), Some(2), "{usage:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    sample.change(json!({"key": "another"})).await;
    let failed = program(&["pull"], &sample);
    assert_eq!(failed.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(stderr.contains("CREDENTIAL_REVOKED") && !stderr.contains(KEY), "{stderr}");
}

#[test]
fn it_is_short_and_has_the_manifest_of_the_sample() {
    let own = include_str!("../examples/tracker/main.rs").lines().map(str::trim);
    let own = own.filter(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with("use "));
    assert!(own.count() < 80);
    let mut manifest: Value =
        serde_json::from_str(include_str!("../examples/tracker/manifest.json")).unwrap();
    manifest.as_object_mut().unwrap().remove("runtime");
    let sample: Value = serde_json::from_str(include_str!("../../../samples/tracker/manifest.json")).unwrap();
    assert_eq!(manifest, sample);
}
