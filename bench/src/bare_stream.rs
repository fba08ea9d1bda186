//! The bare side of the streams: a tonic server, in a process of its own, that holds all messages in memory and sends
//! them; it serves one call. Next to it, a client that decodes messages and drops them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use futures::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use superfasttt_connector::testing;
use superfasttt_proto::connector::v1::{PullRequest, PullResponse};
use superfasttt_proto::control::v1::document_service_client::DocumentServiceClient;
use superfasttt_proto::control::v1::{WatchDocumentsRequest, WatchDocumentsResponse};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::server::{Grpc, ServerStreamingService};
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::connectord::Programs;
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
        let routes = routes::<PullRequest, PullResponse>(messages);
        Ok(Server::builder()
            .add_routes(routes)
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
        let routes = routes::<WatchDocumentsRequest, WatchDocumentsResponse>(messages);
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
struct Held<T>(Arc<Mutex<Messages<T>>>);

impl<Q: Send + 'static, T: Send + 'static> ServerStreamingService<Q> for Held<T> {
    type Response = T;
    type ResponseStream = stream::Iter<std::vec::IntoIter<Result<T, Status>>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<Q>) -> Self::Future {
        let messages = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        std::future::ready(Ok(Response::new(stream::iter(messages))))
    }
}

fn routes<Q, T>(messages: Messages<T>) -> Routes
where
    Q: prost::Message + Default + 'static,
    T: prost::Message + Default + 'static,
{
    let held = Arc::new(Mutex::new(messages));
    let service = tower::service_fn(move |request| {
        let held = Held(held.clone());
        async move {
            let mut grpc = Grpc::new(ProstCodec::<T, Q>::default());
            Ok::<_, std::convert::Infallible>(grpc.server_streaming(held, request).await)
        }
    });
    Routes::from(axum::Router::new().fallback_service(service))
}

/// The process of a bare server. It is killed when this is dropped.
#[derive(Debug)]
pub struct BareServer {
    address: String,
    _process: tokio::process::Child,
}

impl BareServer {
    /// Starts one and waits until it listens.
    ///
    /// # Errors
    /// Where it ends instead.
    pub async fn start(programs: &Programs, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut process = tokio::process::Command::new(&programs.source)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", programs.source.display()))?;
        let stdout = process.stdout.take().context("its stdout is a pipe")?;
        let first = BufReader::new(stdout).lines().next_line().await?;
        let address = first.context("the bare server ended before it listened")?;
        Ok(Self { address, _process: process })
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
