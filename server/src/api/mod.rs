//! The control API: one thin file per service. Each parses a request, calls the domain, and maps the answer; `error` is
//! the one table from failures to statuses, `convert` the one place where domain types become messages, `bounds` the one
//! place that says what a caller sees.

mod admin;
mod bounds;
mod catalog;
mod connection;
mod convert;
mod credential;
mod document;
mod error;
pub mod health;
mod item_errors;
pub mod listener;
pub mod not_served;
mod page;
pub mod public;
mod renormalize;
mod sync;
mod sync_state;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use superfasttt_proto::control::served::document_service_server::DocumentServiceServer;
use superfasttt_proto::control::v1::action_service_server::ActionServiceServer;
use superfasttt_proto::control::v1::admin_service_server::AdminServiceServer;
use superfasttt_proto::control::v1::catalog_service_server::CatalogServiceServer;
use superfasttt_proto::control::v1::connection_service_server::ConnectionServiceServer;
use superfasttt_proto::control::v1::credential_service_server::CredentialServiceServer;
use superfasttt_proto::control::v1::sink_service_server::SinkServiceServer;
use superfasttt_proto::control::v1::sync_service_server::SyncServiceServer;
use tonic::server::NamedService;
use tonic::service::Routes;

use crate::access::Audit;
use crate::catalog::Catalog;
use crate::clock::SharedClock;
use crate::credentials::Credentials;
use crate::credentials::authorize::Authorizations;
use crate::process::ProcessHost;
use crate::schedule::Scheduler;
use crate::store::Store;
pub(crate) use convert::time;
use not_served::NotServed;

/// What the services share.
#[derive(Clone)]
pub struct Api {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: SharedClock,
    /// What connectors there are.
    pub catalog: Arc<Catalog>,
    /// Their processes.
    pub host: ProcessHost,
    /// Who works.
    pub scheduler: Arc<Scheduler>,
    /// What connections authenticate with.
    pub credentials: Arc<Credentials>,
    /// How accounts are connected.
    pub authorizations: Arc<Authorizations>,
    /// What was done is written here.
    pub audit: Audit,
    /// When the process was started.
    pub started_at: DateTime<Utc>,
}

impl Api {
    /// The names of all services of the contract.
    pub const SERVICES: [&str; 8] = [
        CatalogServiceServer::<Api>::NAME,
        ConnectionServiceServer::<Api>::NAME,
        SyncServiceServer::<Api>::NAME,
        DocumentServiceServer::<Api>::NAME,
        AdminServiceServer::<Api>::NAME,
        CredentialServiceServer::<Api>::NAME,
        ActionServiceServer::<NotServed>::NAME,
        SinkServiceServer::<NotServed>::NAME,
    ];

    /// All services of the contract.
    pub fn routes(&self) -> Routes {
        Routes::default()
            .add_service(CatalogServiceServer::new(self.clone()))
            .add_service(ConnectionServiceServer::new(self.clone()))
            .add_service(SyncServiceServer::new(self.clone()))
            .add_service(DocumentServiceServer::new(self.clone()))
            .add_service(AdminServiceServer::new(self.clone()))
            .add_service(CredentialServiceServer::new(self.clone()))
            .add_service(ActionServiceServer::new(NotServed))
            .add_service(SinkServiceServer::new(NotServed))
    }
}
