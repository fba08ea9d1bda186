//! The control listener from outside: probes, reflection, refusals, gRPC-Web and how it stops, by a real client over a
//! real socket.

#![expect(clippy::unwrap_used, reason = "a panic in a helper of the tests is the failure report")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use connectord::access::{Access, Audit};
use connectord::api::health::Health;
use connectord::api::listener::{BindError, Listener};
use connectord::api::not_served::NotServed;
use connectord::clock::SystemClock;
use connectord::store::SqliteStore;
use secrecy::SecretString;
use superfasttt_proto::control::v1::action_service_client::ActionServiceClient;
use superfasttt_proto::control::v1::action_service_server::{ActionService, ActionServiceServer};
use superfasttt_proto::control::v1::catalog_service_client::CatalogServiceClient;
use superfasttt_proto::control::v1::sink_service_client::SinkServiceClient;
use superfasttt_proto::control::v1::sink_service_server::SinkServiceServer;
use superfasttt_proto::control::v1::{
    ExecuteActionRequest, ExecuteActionResponse, ListConnectorsRequest, ListSinksRequest,
};
use superfasttt_proto::error::ERROR_DOMAIN;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

const SINKS: &str = SinkServiceServer::<NotServed>::NAME;
/// Longer than any test may take; a stop that needs it has failed.
const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(10);

/// A call that never ends, and tells when it has begun.
struct Stuck(Arc<Notify>);

#[tonic::async_trait]
impl ActionService for Stuck {
    async fn execute_action(
        &self,
        _: Request<ExecuteActionRequest>,
    ) -> Result<Response<ExecuteActionResponse>, Status> {
        self.0.notify_one();
        std::future::pending().await
    }
}

struct Server {
    address: SocketAddr,
    health: Health,
    stuck: Arc<Notify>,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
    _data: TempDir,
}

/// Lets in who shows this token.
async fn access(data: &Path, token: Option<&str>) -> Access {
    let store = Arc::new(SqliteStore::open(&data.join("connectord.db")).await.unwrap());
    let clock = Arc::new(SystemClock);
    let audit = Audit::new(store.clone(), clock.clone());
    Access::new(store, clock, token.map(SecretString::from), false, audit)
}

impl Server {
    async fn start(token: Option<&str>, drain_timeout: Duration) -> Self {
        let stuck = Arc::new(Notify::new());
        let routes = Routes::new(SinkServiceServer::new(NotServed))
            .add_service(ActionServiceServer::new(Stuck(Arc::clone(&stuck))));
        let health = Health::starting([SINKS]).await;
        let address = "127.0.0.1:0".parse().unwrap();
        let pages = Router::new().route("/metrics", get(async || "metrics\n"));
        let data = tempfile::tempdir().unwrap();
        let access = access(data.path(), token).await;
        let listener = Listener::bind(address, routes, pages, health.clone(), access).await.unwrap();
        let address = listener.local_addr();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(listener.serve(shutdown.clone(), drain_timeout));
        Self { address, health, stuck, shutdown, served, _data: data }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap()
    }

    async fn channel(&self) -> Channel {
        self.endpoint().connect().await.unwrap()
    }

    async fn health_of(&self, service: &str) -> Result<ServingStatus, Status> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(self.channel().await).check(request).await?;
        Ok(answer.into_inner().status())
    }

    /// Sends one request over HTTP/1.1 and gives the whole answer.
    async fn http(&self, request: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{request}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn healthz(&self) -> String {
        let answer = self.http("GET /healthz HTTP/1.1\r\nHost: localhost", b"").await;
        answer["HTTP/1.1 ".len()..].split(' ').next().unwrap().to_owned()
    }
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, ERROR_DOMAIN);
    info.reason.clone()
}

#[tokio::test]
async fn probes_hear_each_phase() {
    let server = Server::start(None, LONG).await;
    for (is_serving, status, http) in [
        (false, ServingStatus::NotServing, "503"),
        (true, ServingStatus::Serving, "200"),
        (false, ServingStatus::NotServing, "503"),
    ] {
        if is_serving {
            server.health.serving().await;
        } else {
            server.health.draining().await;
        }
        assert_eq!(server.health_of("").await.unwrap(), status);
        assert_eq!(server.health_of(SINKS).await.unwrap(), status);
        assert_eq!(server.healthz().await, http);
    }
    assert_eq!(server.health_of("no.such.Service").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_server_that_starts_is_not_serving() {
    let server = Server::start(None, LONG).await;
    assert_eq!(server.health_of("").await.unwrap(), ServingStatus::NotServing);
    assert_eq!(server.health_of(SINKS).await.unwrap(), ServingStatus::NotServing);
    assert_eq!(server.healthz().await, "503");
}

/// Lists the services and describes one, in one version of reflection.
macro_rules! explore {
    ($version:ident, $server:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

        let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
        let mut requests = vec![ask(MessageRequest::ListServices(String::new()))];
        for symbol in [
            SINKS,
            "superfasttt.control.v1.SinkService.ListSinks",
            "superfasttt.connector.v1.DocumentEnvelope",
            "google.protobuf.Struct",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ] {
            requests.push(ask(MessageRequest::FileContainingSymbol(symbol.to_owned())));
        }
        let descriptions = requests.len() - 1;
        let mut client = ServerReflectionClient::new($server.channel().await);
        let answers = client.server_reflection_info(tokio_stream::iter(requests)).await.unwrap();
        let mut answers = answers.into_inner();
        let mut services = Vec::new();
        let mut described = 0;
        while let Some(answer) = answers.message().await.unwrap() {
            match answer.message_response.unwrap() {
                MessageResponse::ListServicesResponse(list) => {
                    services.extend(list.service.into_iter().map(|service| service.name));
                }
                MessageResponse::FileDescriptorResponse(_) => described += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(described, descriptions);
        services.sort();
        services
    }};
}

#[tokio::test]
async fn reflection_shows_what_is_served_in_both_versions() {
    let server = Server::start(None, LONG).await;
    let served = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        SINKS,
    ];
    assert_eq!(explore!(v1, server), served);
    assert_eq!(explore!(v1alpha, server), served);
}

#[tokio::test]
async fn what_is_not_served_is_unimplemented_and_not_a_page() {
    let server = Server::start(None, LONG).await;
    let channel = server.channel().await;

    let mut catalog = CatalogServiceClient::new(channel.clone());
    let unknown = catalog.list_connectors(ListConnectorsRequest::default()).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
    assert!(unknown.message().contains("superfasttt.control.v1.CatalogService"), "{unknown}");
    assert_eq!(reason(&unknown), "UNIMPLEMENTED");

    let mut sinks = SinkServiceClient::new(channel.clone());
    let not_served = sinks.list_sinks(ListSinksRequest::default()).await.unwrap_err();
    assert_eq!(not_served.code(), Code::Unimplemented);
    assert!(not_served.message().starts_with("SinkService.ListSinks is not served"), "{not_served}");

    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = format!("/{SINKS}/NoSuchMethod").parse().unwrap();
    let codec = tonic_prost::ProstCodec::<ListSinksRequest, ListSinksRequest>::default();
    let method = grpc.unary(Request::new(ListSinksRequest::default()), path, codec).await.unwrap_err();
    assert_eq!(method.code(), Code::Unimplemented);

    let web =
        "POST /no.such.Service/Do HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/grpc-web+proto";
    let answer = server.http(web, &[0; 5]).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("grpc-status: 12\r\n"), "{answer}");
    assert!(answer.contains("content-type: application/grpc-web+proto\r\n"), "{answer}");

    let answer = server.http("GET /wp-login.php HTTP/1.1\r\nHost: localhost", b"").await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("content-type: text/plain"), "{answer}");
}

#[tokio::test]
async fn grpc_web_is_answered_over_http_1() {
    let server = Server::start(None, LONG).await;
    server.health.serving().await;
    let request = "POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: localhost:1\r\n\
                   Origin: http://localhost:1\r\nContent-Type: application/grpc-web+proto";
    // An uncompressed frame with an empty message.
    let answer = server.http(request, &[0, 0, 0, 0, 0]).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\0\0\0\0\u{2}\u{8}\u{1}"), "the message with status SERVING: {answer:?}");
    assert!(answer.contains("grpc-status:0"), "the frame of trailers: {answer:?}");
}

#[tokio::test]
async fn a_token_is_asked_of_everything_but_probes() {
    let server = Server::start(Some("s3cret"), LONG).await;
    let list = async |token: Option<&str>| {
        let mut request = Request::new(ListSinksRequest::default());
        if let Some(token) = token {
            let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        SinkServiceClient::new(server.channel().await).list_sinks(request).await.unwrap_err()
    };
    let missing = list(None).await;
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::Unauthenticated, "TOKEN_REQUIRED"));
    let wrong = list(Some("s3creT")).await;
    assert_eq!((wrong.code(), reason(&wrong).as_str()), (Code::Unauthenticated, "TOKEN_WRONG"));
    assert_eq!(list(Some("s3cret")).await.code(), Code::Unimplemented, "the call itself was reached");

    assert_eq!(server.health_of("").await.unwrap(), ServingStatus::NotServing);
    assert_eq!(server.healthz().await, "503");

    let answer = server.http("GET /console HTTP/1.1\r\nHost: localhost", b"").await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("www-authenticate: Bearer"), "{answer}");
    let reflection = "POST /grpc.reflection.v1.ServerReflection/ServerReflectionInfo HTTP/1.1\r\n\
                      Host: localhost\r\nContent-Type: application/grpc-web-text";
    let answer = server.http(reflection, b"").await;
    assert!(answer.contains("grpc-status: 16\r\n"), "{answer}");
    assert!(answer.contains("content-type: application/grpc-web-text+proto\r\n"), "{answer}");
}

#[tokio::test]
async fn a_page_that_rebinds_its_name_is_refused() {
    let server = Server::start(None, LONG).await;
    for request in [
        "GET /healthz HTTP/1.1\r\nHost: evil.com",
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1.evil.com:7070",
        "GET /healthz HTTP/1.1\r\nHost: localhost@evil.com",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.com",
        "GET /healthz HTTP/1.1\r\nHost: ",
        "GET /healthz HTTP/1.0",
        "GET /healthz HTTP/1.1\r\nHost: localhost:7070\r\nOrigin: http://evil.com",
        "GET /healthz HTTP/1.1\r\nHost: localhost:7070\r\nOrigin: null",
        "GET http://evil.com/healthz HTTP/1.1\r\nHost: localhost",
    ] {
        let answer = server.http(request, b"").await;
        let status = answer.split(' ').nth(1);
        assert_eq!(status, Some("403"), "{request}: {answer}");
    }

    let web = "POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: localhost\r\n\
               Origin: http://evil.com\r\nContent-Type: application/grpc-web+proto";
    let answer = server.http(web, &[0; 5]).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("grpc-status: 7\r\n"), "{answer}");

    let origin = "http://evil.com:7070".parse().unwrap();
    let channel = server.endpoint().origin(origin).connect().await.unwrap();
    let refused = HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "HOST_REFUSED"));
}

#[tokio::test]
async fn a_stop_ends_open_watches_and_waits_for_no_client() {
    let server = Server::start(None, LONG).await;
    server.health.serving().await;
    let mut client = HealthClient::new(server.channel().await);
    let mut watch = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    // A connection that says nothing, and one between two requests.
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 1024]).await.unwrap() > 0);

    // A watch over gRPC-Web, which has no trailers to end with.
    let mut web = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /grpc.health.v1.Health/Watch HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/grpc-web+proto\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0";
    web.write_all(head.as_bytes()).await.unwrap();
    assert!(web.read(&mut [0; 1024]).await.unwrap() > 0);

    server.shutdown.cancel();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let end = watch.message().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    assert!(end.message().contains("the server is stopping"), "{end}");
    let mut web_end = Vec::new();
    web.read_to_end(&mut web_end).await.unwrap();
    let web_end = String::from_utf8_lossy(&web_end);
    assert!(web_end.contains("grpc-status:14"), "{web_end}");
    tokio::time::timeout(SOON, server.served).await.expect("the stop waits for a client").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "it still accepts");
}

#[tokio::test]
async fn a_stop_waits_for_calls_no_longer_than_it_was_told() {
    let server = Server::start(None, Duration::from_millis(100)).await;
    let mut client = ActionServiceClient::new(server.channel().await);
    let call = tokio::spawn(async move { client.execute_action(ExecuteActionRequest::default()).await });
    server.stuck.notified().await;
    server.shutdown.cancel();
    tokio::time::timeout(SOON, server.served).await.expect("the stop waits for the call").unwrap();
    let cut = tokio::time::timeout(SOON, call).await.unwrap().unwrap();
    assert!(cut.is_err());
}

#[tokio::test]
async fn a_taken_port_is_told_with_the_mend() {
    let server = Server::start(None, LONG).await;
    let health = Health::starting([]).await;
    let data = tempfile::tempdir().unwrap();
    let access = access(data.path(), None).await;
    let error =
        Listener::bind(server.address, Routes::default(), Router::new(), health, access).await.unwrap_err();
    assert!(matches!(error, BindError::Taken { .. }));
    let expected =
        format!("{} is taken: another connectord runs there, or set server.control_listen", server.address);
    assert_eq!(error.to_string(), expected);
}
