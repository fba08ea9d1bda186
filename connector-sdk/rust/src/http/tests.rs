//! The client against a source that answers as it is told.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use superfasttt_proto::connector::v1::{self, Reason, credential::Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::call::Call;
use crate::manifest;
use crate::traffic::Traffic;

const LOCAL: &str = r#"{"id": "test", "version": "1.2", "allowed_hosts": ["127.0.0.1"]}"#;
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Gives its answers one after the other, the last again and again. An empty one hangs up.
struct Source {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Source {
    async fn start<A: Into<Vec<u8>>>(answers: impl IntoIterator<Item = A>) -> Self {
        let answers: Vec<Vec<u8>> = answers.into_iter().map(Into::into).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !is_whole(&request) {
                    if stream.read_buf(&mut request).await.unwrap() == 0 {
                        break;
                    }
                }
                let place = {
                    let mut log = log.lock().unwrap();
                    log.push(String::from_utf8(request).unwrap());
                    log.len() - 1
                };
                let answer = &answers[place.min(answers.len() - 1)];
                // A client that has read enough hangs up first.
                stream.write_all(answer).await.ok();
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

fn source(manifest: &str, traffic: &Traffic) -> Arc<HttpSource> {
    let manifest = manifest::read(manifest).unwrap();
    let reasons = Box::new(|status| (status == 410).then_some(Reason::CursorInvalid));
    Arc::new(HttpSource::new(&manifest, reasons, traffic).unwrap())
}

fn client_with(kind: Kind, traffic: &Traffic) -> HttpClient {
    let credential = v1::Credential { kind: Some(kind), ..Default::default() };
    let call = Call::begin(Some(TRACE.parse().unwrap()), Some(&credential));
    source(LOCAL, traffic).client(&call, Some(&credential), None)
}

fn key() -> Kind {
    Kind::ApiKey(v1::ApiKey { key: "s3cret-key".into() })
}

fn client() -> HttpClient {
    client_with(key(), &Traffic::Network)
}

#[tokio::test]
async fn the_credential_and_the_trace_go_along() {
    let basic = v1::BasicCredential { username: "u".into(), password: "p".into() };
    let oauth =
        v1::OAuthToken { access_token: "t".into(), token_type: "bearer".into(), ..Default::default() };
    for (kind, sent) in [
        (key(), "authorization: Bearer s3cret-key\r\n"),
        (Kind::Basic(basic), "authorization: Basic dTpw\r\n"),
        (Kind::Oauth2(oauth), "authorization: Bearer t\r\n"),
    ] {
        let source = Source::start([answer(200, "", "{}")]).await;
        let client = client_with(kind, &Traffic::Network);
        client.get(&source.url).query("q", "a b").send().await.unwrap();
        client.get(&source.url).without_credential().send().await.unwrap();
        let [first, second] = &source.asked()[..] else { panic!() };
        assert!(first.starts_with("GET /?q=a+b HTTP/1.1\r\n") && first.contains(sent), "{first}");
        let trace = format!("traceparent: {TRACE}\r\n");
        assert!(first.contains("user-agent: test/1.2\r\n") && first.contains(&trace), "{first}");
        assert!(!second.contains("authorization"), "{second}");
        assert!(!format!("{client:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_takes_no_credential_along() {
    let other = Source::start([answer(200, "", "[1]")]).await;
    let home = Source::start([
        answer(302, "location: /there?x=1\r\n", ""),
        answer(307, &format!("location: {}/away\r\n", other.url), ""),
    ])
    .await;
    let client = client();
    let request = client.post(&home.url).json(&7).header("x-api-key", "k").header("x-plain", "p");
    let value: Vec<u8> = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(value, [1]);
    assert!(home.asked()[1].starts_with("GET /there?x=1 ") && home.asked()[1].contains("authorization"));
    let away = other.asked()[0].clone();
    assert!(away.starts_with("GET /away ") && away.contains("x-plain: p\r\n"), "{away}");
    assert!(!away.contains("authorization") && !away.contains("x-api-key"), "{away}");

    let home = Source::start([answer(302, "location: http://evil.example/\r\n", "")]).await;
    let error = client.get(&home.url).send().await.unwrap_err();
    assert_eq!(error.reason, Reason::SettingsInvalid);
    let home = Source::start([answer(302, "location: /\r\n", "")]).await;
    assert_eq!(client.get(&home.url).send().await.unwrap_err().reason, Reason::SourceUnavailable);
    assert_eq!(home.asked().len(), 11);
}

#[tokio::test]
async fn without_allowed_hosts_no_name_stands_for_this_machine() {
    let source_of_this_machine = Source::start([answer(200, "", "")]).await;
    let open = source(r#"{"id": "test"}"#, &Traffic::Network).client(&Call::begin(None, None), None, None);
    let named = source_of_this_machine.url.replace("127.0.0.1", "localhost");
    for url in [&source_of_this_machine.url, &named, "file:///etc/passwd", "none"] {
        assert_eq!(open.get(url).send().await.unwrap_err().reason, Reason::SettingsInvalid, "{url}");
    }
    assert!(source_of_this_machine.asked().is_empty());
}

#[tokio::test]
async fn a_source_that_asks_to_wait_is_asked_again() {
    let wait = |status| answer(status, "retry-after: 0\r\n", "");
    let source = Source::start([wait(429), wait(503), answer(200, "", "done")]).await;
    let response = client().post(&source.url).body("sent").send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "done");
    assert!(source.asked().iter().all(|request| request.ends_with("\r\n\r\nsent")));

    let source = Source::start([answer(503, "retry-after: 3600\r\n", "")]).await;
    let error = client().get(&source.url).send().await.unwrap_err();
    assert_eq!((error.reason, error.retry_after.unwrap().as_secs()), (Reason::RateLimited, 3600));
    assert_eq!(source.asked().len(), 1);
}

#[tokio::test]
async fn what_is_safe_is_sent_again_after_a_connection_that_failed() {
    let answers = || [String::new(), answer(200, "", "{}")];
    let source = Source::start(answers()).await;
    client().get(&source.url).send().await.unwrap();
    assert_eq!(source.asked().len(), 2);
    let source = Source::start(answers()).await;
    let error = client().post(format!("{}/x?q=s", source.url)).send().await.unwrap_err();
    assert_eq!((error.reason, source.asked().len()), (Reason::SourceUnavailable, 1));
    assert!(error.message.starts_with("POST 127.0.0.1/x is not answered"), "{error}");
}

#[tokio::test]
async fn an_answer_of_400_and_above_is_an_error_that_tells_no_secret() {
    let oauth = v1::OAuthToken { access_token: "s3cret-key".into(), ..Default::default() };
    for (kind, status, reason) in [
        (key(), 401, Reason::CredentialRevoked),
        (Kind::Oauth2(oauth), 401, Reason::CredentialExpired),
        (key(), 410, Reason::CursorInvalid),
        (key(), 404, Reason::NotFound),
    ] {
        let source = Source::start([answer(status, "", "s3cret-key")]).await;
        let client = client_with(kind, &Traffic::Network);
        let url = format!("{}/bots3cret-key/x?key=s3cret-key", source.url);
        let error = client.get(&url).send().await.unwrap_err();
        assert_eq!((error.reason, &error.metadata["http_status"]), (reason, &status.to_string()));
        assert!(error.message.starts_with("GET 127.0.0.1/bot[redacted]/x answers"), "{error}");
        assert_eq!(client.get(&url).any_status().send().await.unwrap().status().as_u16(), status);
    }
    let source = Source::start([answer(200, "", r#"{"name": "s3cret"}"#)]).await;
    let error = client().get_json::<Vec<u8>>(&source.url).await.unwrap_err();
    assert_eq!(error.reason, Reason::SourceUnavailable);
    assert!(!error.message.contains("s3cret"), "{error}");
}

#[tokio::test]
async fn an_answer_that_would_fill_the_memory_is_left() {
    let body = "0".repeat(64 * 1024 * 1024 + 1);
    let source = Source::start([answer(200, "", &body)]).await;
    let response = client().get(&source.url).send().await.unwrap();
    assert_eq!(response.bytes().await.unwrap_err().reason, Reason::ContentTooLarge);
}

#[tokio::test]
async fn a_recording_answers_offline_and_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic.har");
    let image =
        [b"HTTP/1.1 200 Said\r\nconnection: close\r\n\r\n\xff\xfe".as_slice(), b"s3cret-key"].concat();
    let source = Source::start(
        [
            answer(429, "retry-after: 0\r\n", ""),
            answer(200, "content-type: application/json\r\n", r#"{"a": 1, "next_token": "s3cret-page"}"#),
            answer(200, "x-auth-token: s3cret-header\r\n", "second"),
            answer(200, "", "posted"),
        ]
        .into_iter()
        .map(String::into_bytes)
        .chain([image]),
    )
    .await;
    let ask = async |traffic: Traffic| {
        let client = client_with(key(), &traffic);
        let mut found = Vec::new();
        for query in ["a=1&key=s3cret-query&b=2", "b=2&a=1&key=other"] {
            let url = format!("{}/x?{query}", source.url);
            found.push(client.get(&url).send().await.unwrap().bytes().await.unwrap());
        }
        let form = [("grant", "x"), ("client_secret", "s3cret-form")];
        found.push(client.post(&source.url).form(form).send().await.unwrap().bytes().await.unwrap());
        found.push(client.get(format!("{}/image", source.url)).send().await.unwrap().bytes().await.unwrap());
        found
    };
    let recorded = ask(Traffic::Record(path.clone())).await;
    let asked = source.asked().len();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    let archive: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((archive["log"]["version"].as_str(), text.lines().count()), (Some("1.2"), 5 + 2));

    let replayed = ask(Traffic::Replay(path.clone())).await;
    assert_eq!(source.asked().len(), asked, "nothing went to the source");
    assert_eq!(replayed[1..3], recorded[1..3]);
    assert_eq!(replayed[0], r#"{"a":1,"next_token":"[redacted]"}"#);
    assert_eq!(replayed[3], b"\xff\xfe[redacted]".as_slice());

    // A process that was killed leaves a file without its end.
    std::fs::write(&path, &text[..text.len() - 20]).unwrap();
    let client = client_with(key(), &Traffic::Replay(path));
    let error = client.get(format!("{}/y?a=1", source.url)).send().await.unwrap_err();
    assert_eq!(error.reason, Reason::SourceUnavailable);
    assert!(error.message.contains("/y?a=1;") && error.message.contains("/x?b=2&a=1"), "{error}");
    let error = client.post(&source.url).form([("grant", "y")]).send().await.unwrap_err();
    assert!(error.message.contains("another body"), "{error}");
}

/// As another SDK or a browser writes it: parts that are left out, of HTTP/2, in another order.
#[tokio::test]
async fn a_recording_of_another_writer_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("other.har");
    let entry = serde_json::json!({
        "request": {"method": "POST", "url": "http://127.0.0.1:1/x?b=2&a=1", "cookies": [{"name": "c", "value": "v"}],
                    "headers": [{"name": ":authority", "value": "x"}],
                    "postData": {"mimeType": "application/json", "text": "{ \"b\": 2, \"a\": \"[redacted]\" }"}},
        "response": {"status": 201, "headers": [{"name": ":status", "value": "201"}, {"name": "Content-Length", "value": "99"}],
                     "content": {"size": 2, "mimeType": "text/plain", "text": "b2s=", "encoding": "base64"}},
        "cache": {"comment": "none"}, "timings": {"send": -1},
    });
    std::fs::write(
        &path,
        serde_json::json!({"log": {"version": "1.2", "pages": [], "entries": [entry]}}).to_string(),
    )
    .unwrap();
    let client = client_with(key(), &Traffic::Replay(path));
    for _ in 0..2 {
        let request = client.post("http://127.0.0.1:1/x?a=1&b=2").json(&serde_json::json!({"a": 7, "b": 2}));
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 201);
        assert_eq!(response.text().await.unwrap(), "ok");
    }
}
