//! A connector that does as its arguments say, for the tests of the process host. It brings no documents.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "what it prints is what the tests look at")]

use std::time::Duration;

use superfasttt_proto::connector::v1::connector_server::{Connector, ConnectorServer};
use superfasttt_proto::connector::v1::{
    DescribeRequest, DescribeResponse, DiscoverRequest, DiscoverResponse, ExecuteRequest, ExecuteResponse,
    FetchContentRequest, FetchContentResponse, HandleEventRequest, HandleEventResponse, NormalizeRequest,
    NormalizeResponse, PullRequest, PullResponse, TestConnectionRequest, TestConnectionResponse,
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Result<Response<T>, Status>;
type Items<T> = tokio_stream::Empty<Result<T, Status>>;

struct Fake;

fn has(flag: &str) -> bool {
    std::env::args().any(|argument| argument == flag)
}

#[tonic::async_trait]
impl Connector for Fake {
    type PullStream = Items<PullResponse>;
    type NormalizeStream = Items<NormalizeResponse>;
    type FetchContentStream = Items<FetchContentResponse>;

    /// Answers with its environment, one variable a line, in the place of a manifest.
    async fn describe(&self, _: Request<DescribeRequest>) -> Answer<DescribeResponse> {
        let mut variables: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
        variables.sort();
        let folder = std::env::current_dir().map(|folder| folder.display().to_string()).unwrap_or_default();
        Ok(Response::new(DescribeResponse {
            manifest_json: variables.join("\n"),
            contract_revisions: vec![1],
            sdk: folder,
            ..Default::default()
        }))
    }

    /// Grows until somebody stops it.
    async fn test_connection(&self, _: Request<TestConnectionRequest>) -> Answer<TestConnectionResponse> {
        let mut hoard: Vec<Vec<u8>> = Vec::new();
        loop {
            hoard.push(vec![1; 8 * 1024 * 1024]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Crashes.
    async fn pull(&self, _: Request<PullRequest>) -> Answer<Self::PullStream> {
        eprintln!("cannot go on: the cursor is cursed");
        std::process::exit(3);
    }

    async fn normalize(&self, _: Request<Streaming<NormalizeRequest>>) -> Answer<Self::NormalizeStream> {
        Err(Status::unimplemented("fake"))
    }

    async fn fetch_content(&self, _: Request<FetchContentRequest>) -> Answer<Self::FetchContentStream> {
        Err(Status::unimplemented("fake"))
    }

    async fn discover(&self, _: Request<DiscoverRequest>) -> Answer<DiscoverResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn handle_event(&self, _: Request<HandleEventRequest>) -> Answer<HandleEventResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn execute(&self, _: Request<ExecuteRequest>) -> Answer<ExecuteResponse> {
        Err(Status::unimplemented("fake"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if has("--log-start") {
        use std::io::Write;
        let mut starts = std::fs::OpenOptions::new().create(true).append(true).open("starts")?;
        writeln!(starts, "{}", std::process::id())?;
    }
    if has("--exit-at-start") {
        eprintln!("cannot find my configuration");
        std::process::exit(2);
    }
    if has("--flood") {
        println!("this is the wrong place");
        for number in 0..100_000 {
            eprintln!("INFO line {number} of a flood that would fill any pipe");
        }
    }
    if has("--child") {
        // Outlives its parent unless somebody ends the whole group.
        let child = std::process::Command::new("sleep").arg("600").spawn()?;
        std::fs::write("child", child.id().to_string())?;
    }
    // Kept to the end of `main`: without a receiver the signal would do what it does by default.
    let _ignored = if has("--ignore-sigterm") {
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        Some(signal)
    } else {
        None
    };

    let (reporter, health) = tonic_health::server::health_reporter();
    if has("--never-ready") {
        reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    }
    let token = format!("Bearer {}", std::env::var("CONNECTOR_TOKEN")?);
    let check = move |request: Request<()>| match request.metadata().get("authorization") {
        Some(shown) if shown.as_bytes() == token.as_bytes() => Ok(request),
        _ => Err(Status::unauthenticated("wrong token")),
    };
    let listener = tokio::net::UnixListener::bind(std::env::var("CONNECTOR_SOCKET")?)?;
    tonic::transport::Server::builder()
        .layer(tonic::service::InterceptorLayer::new(check))
        .add_service(health)
        .add_service(ConnectorServer::new(Fake))
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await?;
    Ok(())
}
