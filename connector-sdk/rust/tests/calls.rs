//! Who may call, what is served, how the author's code is dropped, and what becomes of kept raw items and bytes.

mod support;

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use superfasttt_connector::testing::{
    channel, collect_pull, connect, fetch_content, full_pull, settings_struct,
};
use superfasttt_connector::{ConnectorError, ContentHeader, Reason, TraceParent};
use superfasttt_proto::connector::v1::{
    DescribeRequest, DiscoverRequest, FetchContentRequest, NormalizeRequest, NormalizeStart, PullMode,
    PullRequest, RawItem, TestConnectionRequest, check::Outcome, connector_client::ConnectorClient,
    normalize_request, normalize_response,
};
use tokio::sync::mpsc;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use support::{Author, NOTHING, item};

fn idle() -> Author {
    Author::pulling(|_, _| Box::pin(async { Ok(()) }))
}

fn fetch(max_bytes: u64) -> FetchContentRequest {
    FetchContentRequest {
        contract_revision: 1,
        id: "a".into(),
        content_ref: "ref".into(),
        max_bytes,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_call_without_the_token_is_refused_on_every_service() {
    let channel = channel(idle()).await;
    let describe = DescribeRequest { contract_revision: 1 };
    let status = ConnectorClient::new(channel.clone()).describe(describe).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let mut health = HealthClient::new(channel.clone());
    let status = health.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let with = |token: &'static str| {
        move |mut request: tonic::Request<()>| {
            request.metadata_mut().insert("authorization", token.parse().unwrap());
            Ok(request)
        }
    };
    let mut wrong = HealthClient::with_interceptor(channel.clone(), with("Bearer token-of-a-tesT"));
    assert_eq!(wrong.check(HealthCheckRequest::default()).await.unwrap_err().code(), Code::Unauthenticated);
    let mut right = HealthClient::with_interceptor(channel, with("Bearer token-of-a-test"));
    for service in ["", "superfasttt.connector.v1.Connector"] {
        let request = HealthCheckRequest { service: service.into() };
        assert_eq!(right.check(request).await.unwrap().into_inner().status, 1, "SERVING");
    }
}

#[tokio::test]
async fn describe_tells_the_manifest_and_what_it_declares() {
    let described =
        connect(idle()).await.describe(DescribeRequest { contract_revision: 1 }).await.unwrap().into_inner();
    assert_eq!(described.manifest_json, support::EVERYTHING);
    let capabilities = described.capabilities.unwrap();
    assert!(capabilities.incremental && capabilities.fetch_content && !capabilities.execute);
    assert_eq!(described.contract_revisions, [1]);
}

#[tokio::test]
async fn what_the_manifest_does_not_declare_is_unimplemented() {
    let mut client = connect(idle().with_manifest(NOTHING)).await;
    let request = DiscoverRequest { contract_revision: 1, ..Default::default() };
    assert_eq!(client.discover(request).await.unwrap_err().code(), Code::Unimplemented);
    assert_eq!(fetch_content(&mut client, fetch(0)).await.unwrap_err().reason, Reason::Unimplemented);
    for mode in [PullMode::Incremental, PullMode::List, PullMode::Targeted] {
        let request = PullRequest { mode: mode.into(), ..full_pull(json!({})) };
        let error = collect_pull(&mut client, request).await.error.unwrap();
        assert_eq!(error.reason, Reason::Unimplemented, "{mode:?}");
    }
}

#[tokio::test]
async fn a_request_that_the_contract_does_not_know_is_refused() {
    let mut client = connect(idle()).await;
    let no_mode = PullRequest { mode: 0, ..full_pull(json!({})) };
    let no_revision = PullRequest { contract_revision: 0, ..full_pull(json!({})) };
    let ids_in_full = PullRequest { ids: vec!["a".into()], ..full_pull(json!({})) };
    let no_ids = PullRequest { mode: PullMode::Targeted.into(), ..full_pull(json!({})) };
    for request in [no_mode, no_revision, ids_in_full, no_ids] {
        let error = collect_pull(&mut client, request).await.error.unwrap();
        assert_eq!(error.reason, Reason::ProtocolViolation);
    }
}

#[tokio::test]
async fn bad_settings_fail_a_pull_and_a_check() {
    let mut client = connect(idle()).await;
    let error = collect_pull(&mut client, full_pull(json!({"prefix": 7}))).await.error.unwrap();
    assert_eq!(error.reason, Reason::SettingsInvalid);
    let settings = Some(settings_struct(json!({"prefix": 7})));
    let request = TestConnectionRequest { settings, contract_revision: 1, ..Default::default() };
    let checks = client.test_connection(request).await.unwrap().into_inner().checks;
    assert_eq!((checks[0].name.as_str(), checks[0].outcome()), ("settings_valid", Outcome::Failed));
}

#[tokio::test]
async fn messages_of_up_to_16_mebibytes_are_taken() {
    let mut client = connect(idle()).await;
    let mut try_with = async |mebibytes: usize| {
        let settings = Some(settings_struct(json!({"prefix": "x".repeat(mebibytes * 1024 * 1024)})));
        let request = TestConnectionRequest { settings, contract_revision: 1, ..Default::default() };
        client.test_connection(request).await
    };
    assert_eq!(try_with(15).await.unwrap().into_inner().checks[0].outcome(), Outcome::Passed);
    assert_eq!(try_with(17).await.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_cancelled_pull_drops_the_authors_code_within_a_second() {
    let (dropped, mut was_dropped) = mpsc::unbounded_channel();
    let author = Author::pulling(move |_, sink| {
        let (sink, dropped) = (sink.clone(), dropped.clone());
        Box::pin(async move {
            sink.checkpoint("begun", true).await?;
            let token = sink.cancellation();
            // Dropped with this future, and tells what blocking work would have been told.
            let _guard = scopeguard(move || dropped.send(token.is_cancelled()).unwrap());
            std::future::pending().await
        })
    });
    let mut stream = connect(author).await.pull(full_pull(json!({}))).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    let told = tokio::time::timeout(Duration::from_secs(1), was_dropped.recv()).await;
    assert!(told.expect("the author's code is still running").is_some());
}

/// Calls `act` when dropped.
fn scopeguard<F: FnMut()>(act: F) -> impl Drop {
    struct Guard<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(act)
}

#[tokio::test]
async fn a_slow_reader_holds_the_author_back() {
    let (given, mut count) = mpsc::unbounded_channel();
    let author = Author::pulling(move |_, sink| {
        let given = given.clone();
        Box::pin(async move {
            for number in 0..1000 {
                sink.document(item(format!("{number}"), "x".repeat(1_000_000))).await?;
                given.send(number).unwrap();
            }
            Ok(())
        })
    });
    let mut stream = connect(author).await.pull(full_pull(json!({}))).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    // Nothing more is read, so after a while nothing more is given.
    let mut last = 0;
    while let Ok(Some(number)) = tokio::time::timeout(Duration::from_millis(300), count.recv()).await {
        last = number;
    }
    assert!(last < 50, "{last} megabytes wait for a reader");
}

#[tokio::test]
async fn kept_items_are_normalized_one_for_one_whatever_the_author_does() {
    let raw = |id: &str, schema: &str, data: &str| {
        let data = Bytes::copy_from_slice(data.as_bytes());
        let (id, schema, version) = (id.to_owned(), schema.to_owned(), "1".to_owned());
        let raw = RawItem { id, schema, data, version, content_ref: "ref".into() };
        NormalizeRequest { kind: Some(normalize_request::Kind::Raw(raw)) }
    };
    let start =
        NormalizeStart { settings: Some(settings_struct(json!({"prefix": "my "}))), contract_revision: 1 };
    let requests = vec![
        NormalizeRequest { kind: Some(normalize_request::Kind::Start(start)) },
        raw("good", "text/1", "\"text\""),
        raw("panicking", "text/1", "\"panic\""),
        raw("broken", "text/1", "{"),
        raw("foreign", "text/9", "\"text\""),
    ];
    let mut client = connect(idle()).await;
    let mut stream = client.normalize(futures::stream::iter(requests)).await.unwrap().into_inner();
    let mut answers = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        answers.push(match response.kind.unwrap() {
            normalize_response::Kind::Document(document) => {
                format!("{} {}@{} {}", document.title, document.id, document.version, document.content_ref)
            }
            normalize_response::Kind::ItemError(error) => format!("{:?}", error.target.unwrap()),
        });
    }
    let expected = ["my text good@1 ref", "Id(\"panicking\")", "Id(\"broken\")", "Id(\"foreign\")"];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn bytes_come_after_their_header_in_chunks_that_fit() {
    let author = Author::fetching(|request, content| {
        Box::pin(async move {
            assert_eq!(request.content_ref, "ref");
            let header =
                ContentHeader { length_bytes: Some(3_000_000), version: "2".into(), ..Default::default() };
            content.header(header).await?;
            content.write(vec![7; 3_000_000]).await
        })
    });
    let mut client = connect(author).await;
    let (header, bytes) = fetch_content(&mut client, fetch(0)).await.unwrap();
    assert_eq!((header.version.as_str(), bytes.len()), ("2", 3_000_000));
    let error = fetch_content(&mut client, fetch(1000)).await.unwrap_err();
    assert_eq!(error.reason, Reason::ContentTooLarge);
}

#[tokio::test]
async fn bytes_that_are_cut_short_end_with_an_error() {
    let author = Author::fetching(|request, content| {
        Box::pin(async move {
            let length_bytes = Some(10);
            content.header(ContentHeader { length_bytes, ..Default::default() }).await?;
            content.write("12345").await?;
            match request.max_bytes {
                Some(_) => Err(ConnectorError::new(Reason::SourceUnavailable, "the source went away")),
                None => Ok(()),
            }
        })
    });
    let mut client = connect(author).await;
    assert_eq!(fetch_content(&mut client, fetch(0)).await.unwrap_err().reason, Reason::Internal);
    assert_eq!(fetch_content(&mut client, fetch(99)).await.unwrap_err().reason, Reason::SourceUnavailable);
}

#[tokio::test]
async fn an_author_sees_the_trace_that_a_call_is_part_of() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (told, mut traces) = mpsc::unbounded_channel();
    let author = Author::pulling(move |_, _| {
        let told = told.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            told.send(TraceParent::current().map(|trace| trace.to_string())).unwrap();
            Ok(())
        })
    });
    let mut client = connect(author).await;
    for (sent, seen) in [(Some(TRACE), Some(TRACE)), (Some("nonsense"), None), (None, None)] {
        let mut request = tonic::Request::new(full_pull(json!({})));
        if let Some(sent) = sent {
            request.metadata_mut().insert("traceparent", sent.parse().unwrap());
        }
        let mut stream = client.pull(request).await.unwrap().into_inner();
        while stream.message().await.unwrap().is_some() {}
        assert_eq!(traces.recv().await.unwrap().as_deref(), seen);
    }
    assert_eq!(TraceParent::current(), None);
}
