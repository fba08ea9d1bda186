//! A connectord with canned answers: one connector, one connection, a script of run states, a short feed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use prost_types::value::Kind as ValueKind;
use prost_types::{Struct, Value};
use superfasttt_proto::control::v1 as control;
use superfasttt_proto::control::v1::Run;
use tokio_stream::Stream;
use tonic::transport::server::Router;
use tonic::{Response, Status};

mod catalog;
mod connections;
pub mod credentials;
mod documents;
mod runs;

use crate::support::CONNECTION;

/// A stream of answers.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What it answers, and what it was asked.
#[derive(Default)]
pub struct Fake {
    /// What WatchRun sends, in order.
    pub script: Vec<Run>,
    /// How many streams break after their first message before one goes through.
    pub breaks: AtomicUsize,
    /// Streams of runs stay open after the script.
    pub hold: bool,
    /// StartSync says that this run is under way already.
    pub already_running: bool,
    /// The answer to CreateConnection, where it is a refusal.
    pub refusal: Option<Status>,
    /// What the held sweeps of the connection are.
    pub held: Vec<control::HeldSweep>,
    /// What PreviewRenormalization sends, in order.
    pub preview: Vec<control::PreviewRenormalizationResponse>,
    /// What it knows of credentials; without it that service is not there.
    pub credentials: Option<credentials::Credentials>,
    /// Every request that matters to a test.
    pub asked: Asked,
    /// How many documents ListDocuments has.
    pub documents: usize,
}

/// Every request that matters to a test.
#[derive(Default)]
pub struct Asked {
    /// CreateConnection.
    pub creates: Mutex<Vec<control::CreateConnectionRequest>>,
    /// UpdateConnection.
    pub updates: Mutex<Vec<control::UpdateConnectionRequest>>,
    /// StartSync.
    pub syncs: Mutex<Vec<control::StartSyncRequest>>,
    /// PreviewRenormalization.
    pub previews: Mutex<Vec<control::PreviewRenormalizationRequest>>,
    /// WatchDocuments.
    pub watches: Mutex<Vec<control::WatchDocumentsRequest>>,
    /// CommitPosition.
    pub commits: Mutex<Vec<control::CommitPositionRequest>>,
    /// The authorization of each request to the catalogue.
    pub tokens: Mutex<Vec<Option<String>>>,
}

impl Fake {
    /// Everything that a connectord serves and these tests use.
    pub async fn routes(fake: &Arc<Self>) -> Router {
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status("", tonic_health::ServingStatus::Serving).await;
        tonic::transport::Server::builder()
            .add_service(health_service)
            .add_service(control::catalog_service_server::CatalogServiceServer::from_arc(fake.clone()))
            .add_service(control::connection_service_server::ConnectionServiceServer::from_arc(fake.clone()))
            .add_service(control::sync_service_server::SyncServiceServer::from_arc(fake.clone()))
            .add_service(control::document_service_server::DocumentServiceServer::from_arc(fake.clone()))
            .add_service(control::admin_service_server::AdminServiceServer::from_arc(fake.clone()))
            .add_optional_service(
                fake.credentials.is_some().then(|| {
                    control::credential_service_server::CredentialServiceServer::from_arc(fake.clone())
                }),
            )
    }
}

/// Text as a value of a `Struct`.
pub fn text(text: &str) -> Value {
    Value { kind: Some(ValueKind::StringValue(text.into())) }
}

/// A `Struct` of these members.
pub fn group<const N: usize>(members: [(&str, Value); N]) -> Struct {
    Struct { fields: BTreeMap::from(members.map(|(key, value)| (key.to_owned(), value))) }
}

fn nested(inner: Struct) -> Value {
    Value { kind: Some(ValueKind::StructValue(inner)) }
}

fn check(connection: &str) -> Result<(), Status> {
    if connection == CONNECTION { Ok(()) } else { Err(Status::not_found("there is no such connection")) }
}

type Answer<T> = Result<Response<T>, Status>;

/// What `async_trait` makes of an answer; it does not look into macros.
type Later<'a, T> = Pin<Box<dyn Future<Output = Answer<T>> + Send + 'a>>;

/// Rpcs that no test calls.
macro_rules! unused {
    ($($name:ident($request:ident) -> $response:ident),+ $(,)?) => {
        $(
            fn $name<'life0, 'async_trait>(&'life0 self, _: Request<control::$request>) -> Later<'async_trait, control::$response>
            where
                'life0: 'async_trait,
                Self: 'async_trait,
            {
                Box::pin(async move {
                    Err(Status::unimplemented("not in this fake"))
                })
            }
        )+
    };
}
use unused;
