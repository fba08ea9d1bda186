//! One trace per run, across connectord, its store and the connector: sent to a collector over OTLP, by the official
//! messages, and carried to the connector as `traceparent`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::support::{SCRIPTED, Server, checkpoint, complete, content_doc, doc, fail, until_async};

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A span as the collector got it.
#[derive(Clone, Debug)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: String,
    attributes: BTreeMap<String, String>,
    failed: bool,
}

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Self::default();
        let service = TraceServiceServer::new(collector.clone());
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        (collector, address)
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.0.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let spans = resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        let span = |span: &opentelemetry_proto::tonic::trace::v1::Span| Span {
            name: span.name.clone(),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            attributes: attributes(&span.attributes),
            failed: span.status.as_ref().is_some_and(|status| status.code == 2),
        };
        spans.map(span).collect()
    }

    fn resource(&self) -> BTreeMap<String, String> {
        attributes(&self.0.lock().unwrap()[0].resource_spans[0].resource.as_ref().unwrap().attributes)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some((attribute.key.clone(), text.clone())),
        _ => None,
    };
    attributes.iter().filter_map(text).collect()
}

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
