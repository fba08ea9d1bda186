//! One trace per run, across connectord, its store and the connector: sent to a collector over OTLP, by the official
//! messages, and carried to the connector as `traceparent`.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use crate::support::{
    Collector, KEYED, SCRIPTED, Server, Span, checkpoint, complete, content_doc, doc, fail, leak, needles,
    until_async,
};

/// The spans of a name.
fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[tokio::test]
async fn a_run_is_one_trace_with_the_connector_and_the_store_in_it() {
    let (collector, address) = Collector::start().await;
    let mut server = Server::builder()
        .with("TELEMETRY__OTLP_ENDPOINT", format!("http://{address}"))
        .with("TELEMETRY__SERVICE_NAME", "connectord-test")
        .with("LOG__FORMAT", "json")
        .start()
        .await;
    let source = server.source(SCRIPTED, [vec![content_doc("a", "1"), doc("b", "1"), complete("1")]]).await;
    source.script.text("a", "the text");
    let run = server.client.sync(&source.connection).await;
    // The end of the process sends what is left.
    server.stop().await;

    let all = collector.spans();
    let root = named(&all, "sync.run.execute");
    let [root] = root.as_slice() else { panic!("one run, one root: {root:?}") };
    assert_eq!(root.parent, "");
    assert_eq!(root.attributes["run"], run.id);
    assert_eq!(root.attributes["connection"], source.connection);
    assert_eq!(root.attributes["connector"], SCRIPTED);
    assert_eq!(root.attributes.get("outcome").map(String::as_str), Some("succeeded"), "{root:?}");
    assert!(!root.attributes["organization"].is_empty() && !root.failed);
    assert_eq!(collector.resource()["service.name"], "connectord-test");

    let spans: Vec<Span> = all.iter().filter(|span| span.trace == root.trace).cloned().collect();
    for span in spans.iter().filter(|span| span.id != root.id) {
        assert!(spans.iter().any(|parent| parent.id == span.parent), "{span:?} hangs in the air");
    }
    let pulls = named(&spans, "sync.run.pull");
    let [pull] = pulls.as_slice() else { panic!("{pulls:?}") };
    assert_eq!(pull.parent, root.id);
    let sweeps = named(&spans, "sync.scopes.sweep");
    assert!(sweeps.len() == 1 && sweeps[0].parent == root.id, "{sweeps:?}");
    let commits = named(&spans, "sync.run.commit");
    assert!(!commits.is_empty() && commits.iter().all(|commit| commit.parent == pull.id), "{commits:?}");
    let fetches = named(&spans, "sync.document.fetch");
    let [fetch] = fetches.as_slice() else { panic!("{fetches:?}") };
    assert_eq!((fetch.parent.as_str(), fetch.attributes["document"].as_str()), (pull.id.as_str(), "a"));
    let writes = named(&spans, "store.operation.run");
    let commit = writes.iter().find(|span| span.attributes["operation"] == "commit").unwrap();
    assert!(commits.iter().any(|parent| parent.id == commit.parent), "the store's part of a commit");

    // The connector was told where its own spans belong.
    let traceparent = |rpc: &str| {
        let calls: Vec<Json> = source.script.calls();
        calls.iter().find(|call| call["rpc"] == rpc).unwrap()["traceparent"].as_str().unwrap().to_owned()
    };
    assert_eq!(traceparent("pull"), format!("00-{}-{}-01", root.trace, pull.id));
    assert_eq!(traceparent("fetch_content"), format!("00-{}-{}-01", root.trace, fetch.id));

    // And whoever reads the log finds the trace.
    let log = server.log();
    let lines: Vec<Json> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let ended = lines.iter().find(|line| line["fields"]["message"] == "run ended").unwrap();
    let span = &ended["span"];
    assert_eq!(span["trace_id"], root.trace, "{ended}");
    for field in ["run", "connection", "connector", "organization"] {
        assert_eq!(span[field], root.attributes[field], "{ended}");
    }
}

#[tokio::test]
async fn a_failed_run_is_a_failed_span_and_an_unsampled_one_is_none() {
    let (collector, address) = Collector::start().await;
    let mut server =
        Server::builder().with("TELEMETRY__OTLP_ENDPOINT", format!("http://{address}")).start().await;
    let source = server.source(SCRIPTED, [vec![fail("SETTINGS_INVALID")]]).await;
    server.client.sync_to_failure(&source.connection).await;
    server.stop().await;
    let spans = collector.spans();
    let root = named(&spans, "sync.run.execute")[0];
    assert!(root.failed && root.attributes["reason"] == "SETTINGS_INVALID", "{root:?}");
    assert!(named(&spans, "sync.run.pull")[0].failed);

    let before = spans.len();
    server.set("TELEMETRY__SAMPLE_RATIO", 0);
    server.restart().await;
    server.client.sync_to_failure(&source.connection).await;
    server.stop().await;
    assert_eq!(collector.spans().len(), before);
}

#[tokio::test]
async fn i8_no_span_carries_a_secret_in_use() {
    const KEY: &str = "ap1/K\"ey+Canary\\%41=Zt5=";
    let (collector, address) = Collector::start().await;
    let mut server =
        Server::builder().with("TELEMETRY__OTLP_ENDPOINT", format!("http://{address}")).start().await;
    let client = &server.client;
    let script = server.script();
    let id = client.create_paused(KEYED, json!({"script": script.path()})).await;
    client.enter(&id, &[("key", KEY)]).await.unwrap();
    // Ids are names, and stay what they are in the feed; a span tells which document was fetched.
    let documents = [KEY.to_owned(), STANDARD.encode(KEY), "plain".to_owned()];
    let mut steps: Vec<_> = documents.iter().map(|document| content_doc(document, "1")).collect();
    documents.iter().for_each(|document| script.text(document, "the text"));
    steps.push(complete("1"));
    script.next_pulls([steps]);
    client.sync_well(&id).await;
    server.stop().await;

    let spans = collector.spans();
    let mut fetched: Vec<_> = named(&spans, "sync.document.fetch")
        .into_iter()
        .map(|span| span.attributes["document"].as_str())
        .collect();
    fetched.sort_unstable();
    assert_eq!(fetched, ["[redacted]", "[redacted]", "plain"]);
    assert_eq!(leak(&needles([KEY.as_bytes()]), &collector.received()), None, "{spans:?}");
}

#[tokio::test]
async fn a_collector_that_is_away_costs_one_line_of_log() {
    // Nobody listens there: the port was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut server =
        Server::builder().with("TELEMETRY__OTLP_ENDPOINT", format!("http://{address}")).start().await;
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")], vec![checkpoint("2")]]).await;
    until_async("two batches that could not be sent", async || {
        server.client.sync_well(&source.connection).await;
        let (_, page) = server.client.http("/metrics", "").await;
        let failed = page
            .lines()
            .find_map(|line| line.strip_prefix("connectord_trace_exports_total{outcome=\"failed\"} "));
        failed.is_some_and(|count| count.parse::<u64>().unwrap() >= 2).then_some(())
    })
    .await;
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(20), "the end waited for {:?}", began.elapsed());
    let told = server.log().matches("traces cannot be sent to the collector").count();
    assert_eq!(told, 1);
}
