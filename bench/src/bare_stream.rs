//! The bare side of the streams: a tonic server, in a process of its own, that holds all messages in memory and sends
//! them, or makes them as it sends them. Next to it, a client that decodes messages and drops them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use superfasttt_connector::{struct_to_json, testing};
use superfasttt_proto::connector::v1::connector_client::ConnectorClient;
use superfasttt_proto::connector::v1::pull_response::Kind;
use superfasttt_proto::connector::v1::{
    Change, Checkpoint, DocumentEnvelope, Page, PullRequest, PullResponse, change,
};
use superfasttt_proto::control::v1::WatchDocumentsRequest;
use superfasttt_proto::control::v1::document_service_client::DocumentServiceClient;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::server::{Grpc, ServerStreamingService};
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::connectord::cpu_time_of;
use crate::source::{Settings, Source};

/// Serves on a Unix socket what the connector's pull of so many documents is, once, and until it is killed.
///
/// # Errors
/// Where the arguments or the socket cannot be used.
pub fn serve_pull(socket: &Path, documents: &str) -> anyhow::Result<()> {
    let settings = serde_json::to_value(Settings::new(documents.parse()?))?;
    runtime()?.block_on(async {
        let mut source = testing::connect(Source::new()).await;
        let pulled = source.pull(testing::full_pull(settings)).await?.into_inner();
        let messages: Vec<_> = pulled.collect().await;
        let listener = UnixListener::bind(socket)?;
        say_ready(&socket.display())?;
        let routes = routes::<PullRequest, _>(Held::new(messages));
        Ok(Server::builder()
            .add_routes(routes)
            .serve_with_incoming(UnixListenerStream::new(listener))
            .await?)
    })
}

/// Documents in a page that is made as it is sent: two pages to a checkpoint, each about as large as those of the SDK.
const MADE_PAGE: u64 = 500;

/// Serves on a Unix socket pulls whose documents are made as they are sent, as many as each asks for, until it is
/// killed: what an author would write without an SDK.
///
/// # Errors
/// Where the socket cannot be used.
pub fn serve_made(socket: &Path) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let listener = UnixListener::bind(socket)?;
        say_ready(&socket.display())?;
        Ok(Server::builder()
            .add_routes(routes(Made(Arc::new(Source::new()))))
            .serve_with_incoming(UnixListenerStream::new(listener))
            .await?)
    })
}

/// Serves over TCP the feed of the connectord at `address`, once, and until it is killed.
///
/// # Errors
/// Where that connectord does not give its feed.
pub fn serve_feed(address: &str) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let mut client = DocumentServiceClient::connect(address.to_owned()).await?;
        let request = WatchDocumentsRequest { until_caught_up: true, ..Default::default() };
        let messages: Vec<_> = client.watch_documents(request).await?.into_inner().collect().await;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        say_ready(&format!("http://{}", listener.local_addr()?))?;
        let incoming = TcpListenerStream::new(listener).inspect(|stream| {
            // As connectord's listener does.
            let _ = stream.as_ref().map(|stream| stream.set_nodelay(true));
        });
        let routes = routes::<WatchDocumentsRequest, _>(Held::new(messages));
        Ok(Server::builder().add_routes(routes).serve_with_incoming(incoming).await?)
    })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Tells the one who started this process that it listens, and where.
fn say_ready(address: &dyn std::fmt::Display) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{address}")?;
    stdout.flush()
}

type Messages<T> = Vec<Result<T, Status>>;

/// Answers the first call, of whatever method, with the messages.
#[derive(Clone)]
struct Held<T>(Arc<Mutex<Messages<T>>>);

impl<T> Held<T> {
    fn new(messages: Messages<T>) -> Self {
        Self(Arc::new(Mutex::new(messages)))
    }
}

impl<Q: Send + 'static, T: Send + 'static> ServerStreamingService<Q> for Held<T> {
    type Response = T;
    type ResponseStream = stream::Iter<std::vec::IntoIter<Result<T, Status>>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<Q>) -> Self::Future {
        let messages = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        std::future::ready(Ok(Response::new(stream::iter(messages))))
    }
}

/// Answers each pull with the documents that it asks for.
#[derive(Clone)]
struct Made(Arc<Source>);

impl ServerStreamingService<PullRequest> for Made {
    type Response = PullResponse;
    type ResponseStream = BoxStream<'static, Result<PullResponse, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<PullRequest>) -> Self::Future {
        let source = self.0.clone();
        let settings = request.into_inner().settings.unwrap_or_default();
        let settings = serde_json::from_value::<Settings>(struct_to_json(settings).into());
        std::future::ready(match settings {
            Ok(settings) => {
                let pages = (1..=settings.documents).step_by(MADE_PAGE as usize);
                let pages = pages.map(move |first| Ok(made_page(&source, first, &settings)));
                Ok(Response::new(stream::iter(pages).boxed()))
            }
            Err(error) => Err(Status::invalid_argument(error.to_string())),
        })
    }
}

fn made_page(source: &Source, first: u64, settings: &Settings) -> PullResponse {
    let last = (first + MADE_PAGE - 1).min(settings.documents);
    let change = |number| Change { kind: Some(change::Kind::Document(source.document(number, settings))) };
    let checkpoint = last.is_multiple_of(settings.page_documents).then(|| Checkpoint {
        cursor: last.to_string().into_bytes(),
        has_more: true,
        ..Checkpoint::default()
    });
    let page = Page { changes: (first..=last).map(change).collect(), checkpoint, ..Page::default() };
    PullResponse { kind: Some(Kind::Page(page)) }
}

fn routes<Q, S>(served: S) -> Routes
where
    Q: prost::Message + Default + 'static,
    S: ServerStreamingService<Q, Response: prost::Message + Default + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
    S::ResponseStream: Send,
    S::Future: Send,
{
    let service = tower::service_fn(move |request| {
        let served = served.clone();
        async move {
            let mut grpc = Grpc::new(ProstCodec::<S::Response, Q>::default());
            Ok::<_, std::convert::Infallible>(grpc.server_streaming(served, request).await)
        }
    });
    Routes::from(axum::Router::new().fallback_service(service))
}

/// The process of a bare server. It is killed when this is dropped.
#[derive(Debug)]
pub struct BareServer {
    address: String,
    process: tokio::process::Child,
}

impl BareServer {
    /// Starts one with this program and these arguments, and waits until it says where it listens.
    ///
    /// # Errors
    /// Where it ends instead.
    pub async fn start(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut process = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let stdout = process.stdout.take().context("its stdout is a pipe")?;
        let first = BufReader::new(stdout).lines().next_line().await?;
        let address = first.context("the bare server ended before it listened")?;
        Ok(Self { address, process })
    }

    /// The processor time that it has used.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        cpu_time_of(self.process.id().context("it has ended")?)
    }

    /// A channel to it, as tonic makes one by itself.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn connect(&self) -> anyhow::Result<Channel> {
        if self.address.starts_with("http://") {
            return Ok(Endpoint::from_shared(self.address.clone())?.connect().await?);
        }
        let socket = PathBuf::from(&self.address);
        let connect = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // The address only fills the authority of requests.
        Ok(Endpoint::from_static("http://localhost").connect_with_connector(connect).await?)
    }
}

/// Pulls to the end, decodes and drops; says how many changes came. What is to be done with each document of them is done.
///
/// # Errors
/// Where the stream breaks.
pub async fn read_pull(
    channel: Channel,
    request: PullRequest,
    mut look: impl FnMut(&DocumentEnvelope) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    // The SDKs send pages of up to 4 MiB, which is also what tonic takes unless told otherwise.
    let mut messages = ConnectorClient::new(channel).pull(request).await?.into_inner();
    let mut received = 0;
    while let Some(message) = messages.message().await? {
        if let Some(Kind::Page(page)) = message.kind {
            received += page.changes.len() as u64;
            for change in &page.changes {
                if let Some(change::Kind::Document(document)) = &change.kind {
                    look(document)?;
                }
            }
        }
    }
    Ok(received)
}
