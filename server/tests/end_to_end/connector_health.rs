//! Whether connectors answer is asked on an interval and shown; what does not answer is started again; what an
//! administrator disabled is left alone and loses nothing.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use superfasttt_proto::control::v1::connector_health::State as Health;
use superfasttt_proto::control::v1::{
    Connector, EnableConnectionRequest, GetConnectorRequest, StartSyncRequest, connection, connector,
    connector_process, run,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;

use crate::support::{Client, SCRIPTED, Server, checkpoint, complete, doc, until_async};

async fn shown(client: &Client, id: &str) -> Connector {
    let request = GetConnectorRequest { connector: id.to_owned() };
    client.catalog().get_connector(request).await.unwrap().into_inner().connector.unwrap()
}

/// The connector once its health is so.
async fn healthy_as(client: &Client, id: &str, state: Health) -> Connector {
    until_async(&format!("{id} is {state:?}"), async || {
        let connector = shown(client, id).await;
        (connector.health.as_ref().unwrap().state() == state).then_some(connector)
    })
    .await
}

#[tokio::test]
async fn what_does_not_run_is_not_ill() {
    let server = Server::builder()
        .with("PROCESS__HEALTH_INTERVAL", "50ms")
        .with("PROCESS__IDLE_TIMEOUT", "500ms")
        .start()
        .await;
    let health = shown(&server.client, SCRIPTED).await.health.unwrap();
    assert_eq!((health.state(), health.checked_at), (Health::NotStarted, None));
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    let stopped = healthy_as(&server.client, SCRIPTED, Health::Stopped).await.health.unwrap();
    assert!(stopped.since.is_some() && stopped.last_error.is_empty(), "{stopped:?}");
}

#[tokio::test]
async fn a_process_that_does_not_answer_is_started_again() {
    let server = Server::builder()
        .with("PROCESS__HEALTH_INTERVAL", "500ms")
        .with("PROCESS__STOP_GRACE", "100ms")
        .start()
        .await;
    let client = &server.client;
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")], vec![checkpoint("2")]]).await;
    client.sync_well(&source.connection).await;
    let healthy = healthy_as(client, SCRIPTED, Health::Healthy).await;
    let process = &healthy.processes[0];
    let pid = Pid::from_raw(process.pid as i32);
    kill(pid, Signal::SIGSTOP).unwrap();
    let ill = healthy_as(client, SCRIPTED, Health::Unhealthy).await.health.unwrap();
    assert!(ill.last_error.contains("did not answer grpc.health.v1 within 500ms"), "{ill:?}");
    assert!(ill.since.is_some() && ill.checked_at.is_some());
    until_async("its end", async || {
        let process = shown(client, SCRIPTED).await.processes.remove(0);
        (process.state() == connector_process::State::Backoff).then_some(process)
    })
    .await;
    client.sync_well(&source.connection).await;
    let again = healthy_as(client, SCRIPTED, Health::Healthy).await;
    assert_ne!(again.processes[0].pid, process.pid);
    assert_eq!(again.processes[0].restarts, 1);
    assert!(again.health.unwrap().last_error.contains("did not answer its health checks"));
}

#[tokio::test]
async fn a_connector_that_runs_elsewhere_is_asked_too() {
    let server = Server::builder().with("PROCESS__HEALTH_INTERVAL", "100ms").start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let folder = server.folder().join("connectors/elsewhere");
    fs::create_dir_all(&folder).unwrap();
    let manifest = json!({
        "id": "elsewhere",
        "auth": {"type": "none"},
        "sync": {"mode": "full"},
        "runtime": {"endpoint": format!("http://{address}")},
    });
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    until_async("the connector", async || {
        let request = GetConnectorRequest { connector: "elsewhere".to_owned() };
        server.client.catalog().get_connector(request).await.ok()
    })
    .await;
    let away = healthy_as(&server.client, "elsewhere", Health::Unhealthy).await.health.unwrap();
    assert!(!away.last_error.is_empty() && away.since.is_some(), "{away:?}");

    let (reporter, service) = tonic_health::server::health_reporter();
    let incoming = TcpListenerStream::new(TcpListener::bind(address).await.unwrap());
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    healthy_as(&server.client, "elsewhere", Health::Healthy).await;
    reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    let ill = healthy_as(&server.client, "elsewhere", Health::Unhealthy).await.health.unwrap();
    assert!(ill.last_error.contains("not serving"), "{ill:?}");
}

#[tokio::test]
async fn a_disabled_connector_waits_and_loses_nothing() {
    let mut server = Server::start().await;
    let source = server
        .source(SCRIPTED, [vec![doc("a", "1"), complete("1")], vec![doc("b", "1"), checkpoint("2")]])
        .await;
    server.client.sync_well(&source.connection).await;
    server.stop().await;
    server.set("CONNECTORS__SCRIPTED__ENABLED", false);
    server.restart().await;

    let client = &server.client;
    let disabled = shown(client, SCRIPTED).await;
    assert_eq!(disabled.state(), connector::State::Disabled);
    assert!(disabled.problems[0].fix.contains("connectors.scripted.enabled"), "{:?}", disabled.problems);
    let connection = client.connection(&source.connection).await;
    assert_eq!(connection.state(), connection::State::Disabled);
    assert!(connection.status_message.contains("an administrator disabled its connector"), "{connection:?}");
    assert_eq!(client.ids(&source.connection).await, "a", "its documents are there");
    let start = StartSyncRequest { connection: source.connection.clone(), ..Default::default() };
    let refused = client.runs().start_sync(start).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    // A connection that is due waits in the queue.
    let script = server.script();
    script.next_pulls([vec![doc("c", "1"), complete("1")]]);
    let due = client.create(SCRIPTED, json!({"script": script.path()}), false).await;
    let waiting = client.scheduled_run(&due.id, "").await;
    assert_eq!(waiting.state(), run::State::Queued);
    let other = server.source("scripted-listing", [vec![doc("x", "1"), complete("1")]]).await;
    client.sync_well(&other.connection).await;
    assert_eq!(client.runs_of(&due.id).await[0].state(), run::State::Queued, "others go on, it waits");
    assert!(shown(client, SCRIPTED).await.processes.is_empty());
    assert!(script.calls().is_empty());

    server.stop().await;
    server.set("CONNECTORS__SCRIPTED__ENABLED", true);
    server.restart().await;
    let client = &server.client;
    assert_eq!(client.end_of(&waiting.id).await.state(), run::State::Succeeded);
    let enable = EnableConnectionRequest { connection: source.connection.clone() };
    client.connections().enable_connection(enable).await.unwrap();
    client.sync_well(&source.connection).await;
    assert_eq!(client.ids(&source.connection).await, "a b", "it has gone on from its cursor");
}
