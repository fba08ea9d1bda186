//! Health, reflection and the token around the connector.

use std::time::Duration;

use superfasttt_proto::DESCRIPTORS;
use superfasttt_proto::connector::v1::connector_server::ConnectorServer;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Request, Status};
use tonic_health::ServingStatus;

use crate::connector::Wrong;
use crate::fault::Fault;

/// Serves until SIGTERM.
pub async fn serve(fault: Fault) -> std::io::Result<()> {
    if fault == Fault::EndsAtStart {
        return Err(std::io::Error::other("a library is missing"));
    }
    let variable =
        |name: &str| std::env::var(name).map_err(|_| std::io::Error::other("connectord starts it"));
    let token = format!("Bearer {}", variable("CONNECTOR_TOKEN")?);
    let guard = move |request: Request<()>| -> Result<Request<()>, Status> {
        let given = request.metadata().get("authorization");
        let right = given.is_some_and(|given| given.as_bytes() == token.as_bytes());
        if right { Ok(request) } else { Err(Status::unauthenticated("no valid token")) }
    };
    let open = move |request: Request<()>| -> Result<Request<()>, Status> { Ok(request) };
    let (health, health_service) = tonic_health::server::health_reporter();
    if fault != Fault::ServiceHasNoHealth {
        health.set_serving::<ConnectorServer<Wrong>>().await;
    }
    let reflection =
        || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
    let reflection_v1 = reflection().build_v1().map_err(std::io::Error::other)?;
    let reflection_v1alpha = reflection().build_v1alpha().map_err(std::io::Error::other)?;
    let reflects = fault != Fault::HasNoReflection;
    let mut routes = tonic::service::Routes::builder();
    if fault == Fault::IsHealthyWithoutToken {
        routes.add_service(InterceptedService::new(health_service, open));
    } else {
        routes.add_service(InterceptedService::new(health_service, guard.clone()));
    }
    if fault == Fault::DescribesWithoutToken {
        // Everything but Describe asks for the token in the connector itself.
        routes.add_service(ConnectorServer::new(Wrong::new(fault, Some(Box::new(guard.clone())))));
    } else {
        routes.add_service(InterceptedService::new(
            ConnectorServer::new(Wrong::new(fault, None)),
            guard.clone(),
        ));
    }
    if reflects {
        routes.add_service(InterceptedService::new(reflection_v1, guard.clone()));
        routes.add_service(InterceptedService::new(reflection_v1alpha, guard));
    }
    if fault == Fault::SpeaksOnStdout {
        #[expect(clippy::print_stdout, reason = "the fault")]
        {
            println!("listening");
        }
    }
    let socket = UnixListener::bind(variable("CONNECTOR_SOCKET")?)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        terminate.recv().await;
        if fault == Fault::IgnoresSigterm {
            std::future::pending::<()>().await;
        }
        health.set_service_status("", ServingStatus::NotServing).await;
    };
    let server =
        Server::builder().add_routes(routes.routes()).serve_with_incoming(UnixListenerStream::new(socket));
    tokio::select! {
        ended = server => ended.map_err(std::io::Error::other),
        () = stop => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(())
        }
    }
}
