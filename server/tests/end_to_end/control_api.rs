//! What the control API promises of its requests: the same twice is done once, a mask names what changes, lists come in
//! pages, and a fault names its field.

use serde_json::json;
use superfasttt_connector::json_to_struct;
use superfasttt_proto::control::v1::*;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{SCRIPTED, Server, complete, doc, item_error, new_connection};

/// The fields that a refusal names.
fn fields(refused: &Status) -> Vec<String> {
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    let details = refused.get_details_bad_request().expect("a BadRequest");
    let mut fields: Vec<_> = details.field_violations.into_iter().map(|violation| violation.field).collect();
    fields.sort();
    fields
}

#[tokio::test]
async fn the_same_request_makes_one_connection() {
    let mut server = Server::start().await;
    let settings = json!({"script": server.script().path()});
    let request = CreateConnectionRequest {
        request_id: "request-1".to_owned(),
        disabled: true,
        ..new_connection(SCRIPTED, settings.clone())
    };
    let create = async |client: &crate::support::Client, request: &CreateConnectionRequest| {
        let answer = client.connections().create_connection(request.clone()).await;
        answer.map(|answer| answer.into_inner().connection.unwrap().id)
    };
    let first = create(&server.client, &request).await.unwrap();
    assert_eq!(create(&server.client, &request).await.unwrap(), first);
    server.kill9().await;
    server.restart().await;
    assert_eq!(create(&server.client, &request).await.unwrap(), first, "also after a crash in between");

    let mut other = request.clone();
    other.connection.as_mut().unwrap().name = "another".to_owned();
    assert_eq!(create(&server.client, &other).await.unwrap_err().code(), Code::AlreadyExists);
    let same_name = CreateConnectionRequest { request_id: String::new(), ..request };
    assert_eq!(create(&server.client, &same_name).await.unwrap_err().code(), Code::AlreadyExists);
    let listed =
        server.client.connections().list_connections(ListConnectionsRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().connections.len(), 1);
}

#[tokio::test]
async fn a_mask_names_what_changes() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![complete("1")]]).await;
    let before = server.client.connection(&source.connection).await;
    let changed = Connection {
        id: before.id.clone(),
        name: "renamed".to_owned(),
        settings: Some(json_to_struct(json!({"choice": "x"}).as_object().unwrap().clone())),
        etag: before.etag.clone(),
        ..Connection::default()
    };
    let update = async |connection: &Connection, paths: &[&str]| {
        let paths = paths.iter().map(ToString::to_string).collect();
        let update_mask = Some(prost_types::FieldMask { paths });
        let request = UpdateConnectionRequest { connection: Some(connection.clone()), update_mask };
        let answer = server.client.connections().update_connection(request).await;
        answer.map(|answer| answer.into_inner().connection.unwrap())
    };
    assert_eq!(fields(&update(&changed, &[]).await.unwrap_err()), ["update_mask"]);
    assert_eq!(fields(&update(&changed, &["connector"]).await.unwrap_err()), ["update_mask"]);
    assert_eq!(fields(&update(&changed, &["settings"]).await.unwrap_err()), ["connection.settings.script"]);

    let renamed = update(&changed, &["name"]).await.unwrap();
    assert_eq!((renamed.name.as_str(), &renamed.settings), ("renamed", &before.settings));
    assert_eq!(update(&changed, &["name"]).await.unwrap_err().code(), Code::Aborted, "the etag is of before");
    let changed = Connection { etag: renamed.etag, name: String::new(), ..changed };
    let set = update(&changed, &["settings.choice"]).await.unwrap();
    assert_eq!(set.name, "renamed");
    let settings = set.settings.unwrap().fields;
    assert!(settings.contains_key("script") && settings.contains_key("choice"));
}

#[tokio::test]
async fn faults_name_their_fields() {
    let server = Server::start().await;
    let mut client = server.client.connections();
    let wrong = CreateConnectionRequest {
        connection: Some(Connection {
            connector: SCRIPTED.to_owned(),
            name: "Not A Name".to_owned(),
            organization: "UPPER".to_owned(),
            settings: Some(json_to_struct(json!({"script": 7}).as_object().unwrap().clone())),
            schedule: Some(Schedule {
                interval: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
                ..Schedule::default()
            }),
            ..Connection::default()
        }),
        request_id: "r".repeat(65),
        disabled: false,
    };
    let refused = client.create_connection(wrong).await.unwrap_err();
    let all = [
        "connection.name",
        "connection.organization",
        "connection.schedule.interval",
        "connection.settings.script",
        "request_id",
    ];
    assert_eq!(fields(&refused), all, "all at once");
    let unknown = client.create_connection(new_connection("nobody", json!({}))).await.unwrap_err();
    assert_eq!(fields(&unknown), ["connection.connector"]);
    assert!(unknown.message().contains("scripted"), "it tells which there are: {}", unknown.message());

    let mut runs = server.client.runs();
    assert_eq!(fields(&runs.get_run(GetRunRequest::default()).await.unwrap_err()), ["run"]);
    let start = runs.start_sync(StartSyncRequest::default()).await.unwrap_err();
    assert_eq!(fields(&start), ["connection"]);
    let unknown = StartSyncRequest { connection: "nothing".to_owned(), full: false, at: None };
    assert_eq!(runs.start_sync(unknown).await.unwrap_err().code(), Code::NotFound);
    let page = ListRunsRequest { page_size: 1001, ..ListRunsRequest::default() };
    assert_eq!(fields(&runs.list_runs(page).await.unwrap_err()), ["page_size"]);
    let page = ListRunsRequest { page_token: "made up".to_owned(), ..ListRunsRequest::default() };
    assert_eq!(fields(&runs.list_runs(page).await.unwrap_err()), ["page_token"]);
    let mut documents = server.client.documents_service();
    let watch = WatchDocumentsRequest { position: "made up".to_owned(), ..Default::default() };
    assert_eq!(fields(&documents.watch_documents(watch).await.unwrap_err()), ["position"]);
    let watch = WatchDocumentsRequest { consumer: "No Name".to_owned(), ..Default::default() };
    assert_eq!(fields(&documents.watch_documents(watch).await.unwrap_err()), ["consumer"]);
    let commit = CommitPositionRequest { consumer: "nobody".to_owned(), position: String::new() };
    assert_eq!(fields(&documents.commit_position(commit).await.unwrap_err()), ["position"]);
}

/// Reads a list that is asked for in pages of two, and checks that each page is full but the last.
macro_rules! in_pages {
    ($client:expr, $call:ident, $request:expr, $items:ident) => {{
        let mut request = $request;
        let mut items = Vec::new();
        loop {
            let page = $client.$call(request.clone()).await.unwrap().into_inner();
            assert!(page.$items.len() <= 2);
            items.extend(page.$items);
            if page.next_page_token.is_empty() {
                break items;
            }
            assert_eq!(items.len() % 2, 0);
            request.page_token = page.next_page_token;
        }
    }};
}

#[tokio::test]
async fn lists_come_in_pages_without_gaps() {
    let server = Server::start().await;
    let listing = vec![
        doc("a", "1"),
        doc("b", "1"),
        doc("c", "1"),
        doc("d", "1"),
        doc("e", "1"),
        item_error("x"),
        item_error("y"),
        item_error("z"),
        complete("1"),
    ];
    let source = server.source(SCRIPTED, [listing]).await;
    for _ in 0..2 {
        server.source(SCRIPTED, [vec![]]).await;
    }
    let mut newest = String::new();
    for _ in 0..3 {
        newest = server.client.sync_full(&source.connection).await.id;
    }
    let connection = source.connection.clone();
    let (mut connections, mut runs, mut documents) =
        (server.client.connections(), server.client.runs(), server.client.documents_service());

    let all = ListConnectionsRequest { page_size: 2, ..Default::default() };
    let listed = in_pages!(connections, list_connections, all, connections);
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[0].id, connection, "oldest first");
    let request = ListRunsRequest { connection: connection.clone(), page_size: 2, ..Default::default() };
    let listed = in_pages!(runs, list_runs, request.clone(), runs);
    assert_eq!((listed.len(), &listed[0].id), (3, &newest), "newest first");
    let of_errors =
        ListItemErrorsRequest { connection: connection.clone(), page_size: 2, ..Default::default() };
    let mut listed = in_pages!(runs, list_item_errors, of_errors, item_errors);
    listed.sort_by(|one, other| one.item.cmp(&other.item));
    assert_eq!(listed.iter().map(|error| error.item.as_str()).collect::<Vec<_>>(), ["x", "y", "z"]);
    assert_eq!(listed[0].attempts, 3, "how many runs met it");
    let of_log = ListRunLogsRequest { run: newest, page_size: 2, ..Default::default() };
    let listed = in_pages!(runs, list_run_logs, of_log, records);
    assert!(listed.len() >= 4 && listed[0].message.contains("began"), "oldest first: {listed:?}");
    let of_documents = ListDocumentsRequest { connection, page_size: 2, ..Default::default() };
    let listed = in_pages!(documents, list_documents, of_documents, entries);
    assert_eq!(listed.len(), 5);

    // A token is of one request: with another filter it is refused rather than misread.
    let first = runs.list_runs(ListRunsRequest { page_size: 1, ..request }).await.unwrap().into_inner();
    let elsewhere = ListRunsRequest { page_token: first.next_page_token, ..Default::default() };
    assert_eq!(fields(&runs.list_runs(elsewhere).await.unwrap_err()), ["page_token"]);
}
