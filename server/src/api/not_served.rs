//! The control services that no part of this version serves. They are here so that a client which knows them is told
//! so by name, and so that reflection shows the whole contract.

use superfasttt_proto::control::v1::action_service_server::ActionService;
use superfasttt_proto::control::v1::sink_service_server::SinkService;
use superfasttt_proto::control::v1::*;
use tonic::{Request, Response, Status};

use super::error::ApiError;

/// Answers each rpc of [`ActionService`] and [`SinkService`] with UNIMPLEMENTED.
#[derive(Clone, Copy, Debug)]
pub struct NotServed;

/// Implements one generated server trait: every rpc says that it is not served.
macro_rules! not_served {
    ($service:ident { $($rpc:ident($request:ty) -> $response:ty;)* }) => {
        #[tonic::async_trait]
        impl $service for NotServed {
            $(
                async fn $rpc(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                    Err(not_served(stringify!($service), stringify!($request)))
                }
            )*
        }
    };
}

not_served!(ActionService {
    execute_action(ExecuteActionRequest) -> ExecuteActionResponse;
});

not_served!(SinkService {
    create_sink(CreateSinkRequest) -> CreateSinkResponse;
    get_sink(GetSinkRequest) -> GetSinkResponse;
    list_sinks(ListSinksRequest) -> ListSinksResponse;
    delete_sink(DeleteSinkRequest) -> DeleteSinkResponse;
});

/// A request's type is named after its rpc, and spells it as the contract does.
fn not_served(service: &str, request: &str) -> Status {
    let rpc = request.strip_suffix("Request").unwrap_or(request);
    ApiError::NotServed(format!("{service}.{rpc}")).into()
}
