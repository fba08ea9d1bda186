//! The example that reads samples/tracker: alone, offline from a recording, and as a process.

#[path = "../examples/tracker/main.rs"]
#[allow(dead_code, reason = "its `main` is for the process")]
mod example;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

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
        let requests: Value = serde_json::from_str(&http_exchange(address, "GET", "/_requests", "").await).unwrap();
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
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn request(url: &str, mode: PullMode, cursor: Option<&[u8]>) -> PullRequest {
    let fields = FieldsCredential { values: [("key".to_owned(), KEY.to_owned())].into() };
    let states = cursor.map(|cursor| ScopeState { scope: String::new(), cursor: cursor.to_vec() });
    PullRequest {
        credential: Some(Credential { kind: Some(credential::Kind::Fields(fields)), ..Credential::default() }),
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
    let name = |target: &Option<item_error::Target>| match target {
        Some(item_error::Target::Id(_)) => (),
        other => panic!("{other:?}"),
    };
    pulled
        .item_errors()
        .map(|failed| {
            name(&failed.target);
            let Some(item_error::Target::Id(id)) = &failed.target else { unreachable!() };
            (id.as_str(), ConnectorError::from_proto(failed.error.clone().unwrap()).reason)
        })
        .collect()
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
