//! A client of the control API. Helpers panic where the server refuses; the generated clients are there for tests of
//! refusals.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, BufMut};
use serde_json::Value;
use superfasttt_connector::json_to_struct;
use superfasttt_proto::connector::v1::{Credential, DocumentEnvelope, FieldsCredential, Reason, credential};
use superfasttt_proto::control::v1::admin_service_client::AdminServiceClient;
use superfasttt_proto::control::v1::catalog_service_client::CatalogServiceClient;
use superfasttt_proto::control::v1::connection_service_client::ConnectionServiceClient;
use superfasttt_proto::control::v1::credential_service_client::CredentialServiceClient;
use superfasttt_proto::control::v1::document_service_client::DocumentServiceClient;
use superfasttt_proto::control::v1::sync_service_client::SyncServiceClient;
use superfasttt_proto::control::v1::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::within;

/// Names of connections differ within a test.
static NAMES: AtomicUsize = AtomicUsize::new(0);

/// Shows the token, where there is one.
#[derive(Clone)]
pub struct Authorize(Option<MetadataValue<Ascii>>);

impl tonic::service::Interceptor for Authorize {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Messages as the bytes that they are.
struct AsBytes;

impl Codec for AsBytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsBytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for AsBytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

type Authorized = InterceptedService<Channel, Authorize>;

/// Calls one server.
#[derive(Clone)]
pub struct Client {
    address: String,
    channel: Channel,
    authorize: Authorize,
}

impl Client {
    /// Connects with the first call.
    pub fn new(address: &str, token: Option<String>) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        let authorize = Authorize(token.map(|token| format!("Bearer {token}").parse().unwrap()));
        Self { address: address.to_owned(), channel, authorize }
    }

    /// The same server as whoever holds this token sees it.
    pub fn with_token(&self, token: &str) -> Self {
        Self::new(&self.address, Some(token.to_owned()))
    }

    /// Makes an API token of an organisation (empty: of all) with one permission. Returns its id and the token.
    pub async fn api_token(&self, name: &str, organization: &str, permission: &str) -> (String, String) {
        let token = ApiToken {
            name: name.to_owned(),
            organization: organization.to_owned(),
            permissions: vec![permission.to_owned()],
            ..ApiToken::default()
        };
        let request = CreateApiTokenRequest { api_token: Some(token) };
        let made = self.admin().create_api_token(request).await.unwrap().into_inner();
        (made.api_token.unwrap().id, made.secret)
    }

    /// What is in the audit log, the oldest first.
    pub async fn audit(&self) -> Vec<AuditEvent> {
        let request = ListAuditEventsRequest { oldest_first: true, page_size: 1000, ..Default::default() };
        self.admin().list_audit_events(request).await.unwrap().into_inner().events
    }

    /// Calls any rpc with an encoded message; returns the encoded answers to the end of the stream.
    pub async fn call(&self, path: &str, request: Vec<u8>) -> Result<Vec<Vec<u8>>, Status> {
        let service = InterceptedService::new(self.channel.clone(), self.authorize.clone());
        let mut grpc = tonic::client::Grpc::new(service);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = path.parse().unwrap();
        let mut stream = grpc.server_streaming(Request::new(request), path, AsBytes).await?.into_inner();
        let mut answers = Vec::new();
        while let Some(answer) = stream.message().await? {
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Asks for a page over plain HTTP, with these header lines. Returns the status and the body.
    pub async fn http(&self, path: &str, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The generated client.
    pub fn catalog(&self) -> CatalogServiceClient<Authorized> {
        CatalogServiceClient::with_interceptor(self.channel.clone(), self.authorize.clone())
    }

    /// The generated client.
    pub fn connections(&self) -> ConnectionServiceClient<Authorized> {
        ConnectionServiceClient::with_interceptor(self.channel.clone(), self.authorize.clone())
    }

    /// The generated client.
    pub fn runs(&self) -> SyncServiceClient<Authorized> {
        SyncServiceClient::with_interceptor(self.channel.clone(), self.authorize.clone())
    }

    /// The generated client.
    pub fn documents_service(&self) -> DocumentServiceClient<Authorized> {
        DocumentServiceClient::with_interceptor(self.channel.clone(), self.authorize.clone())
    }

    /// The generated client.
    pub fn admin(&self) -> AdminServiceClient<Authorized> {
        AdminServiceClient::with_interceptor(self.channel.clone(), self.authorize.clone())
    }

    /// The generated client.
    pub fn credentials(&self) -> CredentialServiceClient<Authorized> {
        CredentialServiceClient::with_interceptor(self.channel.clone(), self.authorize.clone())
    }

    /// How the credential of a connection does.
    pub async fn credential(&self, connection: &str) -> CredentialStatus {
        let request = GetCredentialRequest { connection: connection.to_owned() };
        let answer = self.credentials().get_credential(request).await.unwrap();
        answer.into_inner().credential.unwrap()
    }

    /// Enters values by the names of the fields.
    pub async fn enter(&self, connection: &str, values: &[(&str, &str)]) -> Result<CredentialStatus, Status> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let kind = credential::Kind::Fields(FieldsCredential { values: values.collect() });
        let credential = Some(Credential { kind: Some(kind), ..Credential::default() });
        let connection = connection.to_owned();
        let request = SetCredentialRequest { connection, credential, ..Default::default() };
        Ok(self.credentials().set_credential(request).await?.into_inner().credential.unwrap())
    }

    /// A connection that only syncs when it is told to. Returns its id.
    pub async fn create_paused(&self, connector: &str, settings: Value) -> String {
        let connection = self.create(connector, settings, true).await.id;
        let mut client = self.connections();
        client.pause_connection(PauseConnectionRequest { connection: connection.clone() }).await.unwrap();
        client.enable_connection(EnableConnectionRequest { connection: connection.clone() }).await.unwrap();
        connection
    }

    /// A connection. One that is not disabled syncs at once.
    pub async fn create(&self, connector: &str, settings: Value, disabled: bool) -> Connection {
        let request = CreateConnectionRequest { disabled, ..new_connection(connector, settings) };
        self.connections().create_connection(request).await.unwrap().into_inner().connection.unwrap()
    }

    /// The connection as it is now.
    pub async fn connection(&self, id: &str) -> Connection {
        let request = GetConnectionRequest { connection: id.to_owned() };
        self.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap()
    }

    /// Keeps raw items of a connection, or no longer.
    pub async fn keep_raw(&self, id: &str, keep_raw: bool) -> Connection {
        let connection = Connection { id: id.to_owned(), keep_raw, ..Connection::default() };
        let request = UpdateConnectionRequest {
            connection: Some(connection),
            update_mask: Some(prost_types::FieldMask { paths: vec!["keep_raw".to_owned()] }),
        };
        self.connections().update_connection(request).await.unwrap().into_inner().connection.unwrap()
    }

    /// Asks for a re-normalization.
    pub async fn begin_renormalization(&self, connection: &str) -> Run {
        let request = RenormalizeConnectionRequest { connection: connection.to_owned() };
        self.runs().renormalize_connection(request).await.unwrap().into_inner().run.unwrap()
    }

    /// Re-normalizes a connection to the end.
    pub async fn renormalize(&self, connection: &str) -> Run {
        let run = self.begin_renormalization(connection).await;
        self.end_of(&run.id).await
    }

    /// What a re-normalization would change: by id, and the totals.
    pub async fn preview(
        &self,
        connection: &str,
    ) -> (BTreeMap<String, DocumentDifference>, RenormalizationTotals) {
        let request =
            PreviewRenormalizationRequest { connection: connection.to_owned(), sample_size: 0, all: true };
        let mut stream = self.runs().preview_renormalization(request).await.unwrap().into_inner();
        let mut documents = BTreeMap::new();
        loop {
            let message = stream.message().await.unwrap().expect("the last message says that it is done");
            documents.extend(message.documents.into_iter().map(|document| (document.id.clone(), document)));
            if message.done {
                return (documents, message.totals.unwrap());
            }
        }
    }

    /// Changes settings.
    pub async fn change_settings(&self, id: &str, settings: Value) {
        let connection = Connection {
            id: id.to_owned(),
            settings: Some(json_to_struct(settings.as_object().unwrap().clone())),
            ..Connection::default()
        };
        let update_mask = Some(prost_types::FieldMask { paths: vec!["settings".to_owned()] });
        let request = UpdateConnectionRequest { connection: Some(connection), update_mask };
        self.connections().update_connection(request).await.unwrap();
    }

    /// Begins a run. Fails where one is under way.
    pub async fn begin(&self, connection: &str, full: bool) -> Run {
        let request = StartSyncRequest { connection: connection.to_owned(), full, at: None };
        let started = self.runs().start_sync(request).await.unwrap().into_inner();
        assert!(!started.already_running, "a run was under way already: {:?}", started.run);
        started.run.unwrap()
    }

    /// Syncs to the end.
    pub async fn sync(&self, connection: &str) -> Run {
        let run = self.begin(connection, false).await;
        self.end_of(&run.id).await
    }

    /// Lists everything.
    pub async fn sync_full(&self, connection: &str) -> Run {
        let run = self.begin(connection, true).await;
        self.end_of(&run.id).await
    }

    /// Syncs to an end without any fault.
    pub async fn sync_well(&self, connection: &str) -> RunCounts {
        let run = self.sync(connection).await;
        assert_eq!(run.state(), run::State::Succeeded, "{run:?}");
        run.counts.unwrap()
    }

    /// Syncs to a failure; returns its reason and message.
    pub async fn sync_to_failure(&self, connection: &str) -> (Reason, String) {
        let run = self.sync(connection).await;
        assert_eq!(run.state(), run::State::Failed, "{run:?}");
        let error = run.error.unwrap();
        (error.reason(), error.message)
    }

    /// Follows a run to its last state.
    pub async fn end_of(&self, run: &str) -> Run {
        self.followed(run).await.pop().expect("a watched run tells its state at least once")
    }

    /// Everything that following a run tells.
    pub async fn followed(&self, run: &str) -> Vec<Run> {
        let request = WatchRunRequest { run: run.to_owned() };
        let mut stream = self.runs().watch_run(request).await.unwrap().into_inner();
        let mut told = Vec::new();
        within("the end of the run", async {
            while let Some(message) = stream.message().await.unwrap() {
                told.push(message.run.unwrap());
            }
        })
        .await;
        told
    }

    /// Follows a run until it is in a state.
    pub async fn reaches(&self, run: &str, state: run::State) -> Run {
        let request = WatchRunRequest { run: run.to_owned() };
        let mut stream = self.runs().watch_run(request).await.unwrap().into_inner();
        within(&format!("state {state:?}"), async {
            while let Some(message) = stream.message().await.unwrap() {
                let run = message.run.unwrap();
                if run.state() == state {
                    return run;
                }
            }
            panic!("the run ended without ever being {state:?}");
        })
        .await
    }

    /// The runs of a connection, newest first.
    pub async fn runs_of(&self, connection: &str) -> Vec<Run> {
        let request = ListRunsRequest { connection: connection.to_owned(), ..ListRunsRequest::default() };
        self.runs().list_runs(request).await.unwrap().into_inner().runs
    }

    /// The newest run of a connection that follows its schedule, once there is one with another id than `but`.
    pub async fn scheduled_run(&self, connection: &str, but: &str) -> Run {
        within("a run by the schedule", async {
            loop {
                match self.runs_of(connection).await.into_iter().next() {
                    Some(run) if run.id != but => return run,
                    _ => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                }
            }
        })
        .await
    }

    /// The lines of a run's log: origin and message.
    pub async fn log_of(&self, run: &str) -> Vec<(String, String)> {
        let request = ListRunLogsRequest { run: run.to_owned(), page_size: 1000, ..Default::default() };
        let records = self.runs().list_run_logs(request).await.unwrap().into_inner().records;
        records.into_iter().map(|record| (record.origin, record.message)).collect()
    }

    /// What could not be read: id (or locator, or "?") and reason.
    pub async fn item_errors(&self, connection: &str) -> BTreeMap<String, Reason> {
        let request = ListItemErrorsRequest {
            connection: connection.to_owned(),
            page_size: 1000,
            ..Default::default()
        };
        let errors = self.runs().list_item_errors(request).await.unwrap().into_inner().item_errors;
        let named = errors.into_iter().map(|record| {
            let name = if record.item.is_empty() { record.locator } else { record.item };
            let reason = record.error.unwrap().reason();
            (if name.is_empty() { "?".to_owned() } else { name }, reason)
        });
        named.collect()
    }

    /// Where a scope of a connection stands.
    pub async fn scope(&self, connection: &str, scope: &str) -> ScopeSyncState {
        let request = GetSyncStateRequest { connection: connection.to_owned() };
        let scopes = self.runs().get_sync_state(request).await.unwrap().into_inner().scopes;
        scopes.into_iter().find(|state| state.scope == scope).unwrap_or_default()
    }

    /// Every document of a connection with its text, by id.
    pub async fn documents(&self, connection: &str) -> BTreeMap<String, DocumentEnvelope> {
        let entries = self.entries(connection).await;
        let count = entries.len();
        let documents: BTreeMap<_, _> =
            entries.into_iter().map(envelope).map(|d| (d.id.clone(), d)).collect();
        assert_eq!(documents.len(), count, "a document is there twice");
        documents
    }

    /// The ids of a connection's documents, joined.
    pub async fn ids(&self, connection: &str) -> String {
        self.documents(connection).await.into_keys().collect::<Vec<_>>().join(" ")
    }

    /// Every document of a connection as the API lists it.
    pub async fn entries(&self, connection: &str) -> Vec<FeedEntry> {
        let mut entries = Vec::new();
        let mut request = ListDocumentsRequest {
            connection: connection.to_owned(),
            include_content: true,
            page_size: 1000,
            ..ListDocumentsRequest::default()
        };
        loop {
            let page = self.documents_service().list_documents(request.clone()).await.unwrap().into_inner();
            entries.extend(page.entries);
            if page.next_page_token.is_empty() {
                return entries;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The feed from a position to its present end.
    pub async fn feed(&self, position: &str) -> Feed {
        let request = WatchDocumentsRequest { position: position.to_owned(), ..Default::default() };
        self.read_feed(request).await
    }

    /// The feed from where a consumer stands to its present end.
    pub async fn feed_of(&self, consumer: &str) -> Feed {
        let request = WatchDocumentsRequest { consumer: consumer.to_owned(), ..Default::default() };
        self.read_feed(request).await
    }

    /// Moves a consumer.
    pub async fn commit(&self, consumer: &str, position: &str) -> u64 {
        let request = CommitPositionRequest { consumer: consumer.to_owned(), position: position.to_owned() };
        self.documents_service().commit_position(request).await.unwrap().into_inner().lag
    }

    /// What a request brings to the present end of the feed.
    pub async fn read_feed(&self, request: WatchDocumentsRequest) -> Feed {
        let request = WatchDocumentsRequest { until_caught_up: true, ..request };
        let mut stream = self.documents_service().watch_documents(request).await.unwrap().into_inner();
        let mut feed = Feed::default();
        within("the end of the feed", async {
            while let Some(message) = stream.message().await.unwrap() {
                feed.entries.extend(message.entries);
                feed.snapshot_begun |= message.snapshot_begin;
                feed.snapshot_ended |= message.snapshot_end;
                feed.position = message.position;
            }
        })
        .await;
        feed
    }
}

/// What a reader of the feed got.
#[derive(Debug, Default)]
pub struct Feed {
    /// In order.
    pub entries: Vec<FeedEntry>,
    /// Where the reader stands now.
    pub position: String,
    /// A snapshot began.
    pub snapshot_begun: bool,
    /// And ended.
    pub snapshot_ended: bool,
}

impl Feed {
    /// The entries in short: `a` a document, `a=` one whose content the reader has, `-a` a tombstone.
    pub fn told(&self) -> Vec<String> {
        let told = self.entries.iter().map(|entry| match entry.kind.as_ref().unwrap() {
            feed_entry::Kind::Document(document) if entry.content_unchanged => format!("{}=", document.id),
            feed_entry::Kind::Document(document) => document.id.clone(),
            feed_entry::Kind::Tombstone(tombstone) => format!("-{}", tombstone.id),
        });
        told.collect()
    }
}

/// The document of an entry that is one.
fn envelope(entry: FeedEntry) -> DocumentEnvelope {
    match entry.kind.unwrap() {
        feed_entry::Kind::Document(document) => document,
        feed_entry::Kind::Tombstone(tombstone) => panic!("a tombstone of {}", tombstone.id),
    }
}

/// A document's text.
pub fn text(documents: &BTreeMap<String, DocumentEnvelope>, id: &str) -> String {
    let document = documents.get(id).unwrap_or_else(|| panic!("there is no document {id}"));
    document.content.clone().unwrap_or_default()
}

/// The reason of a run's error.
pub fn reason(run: &Run) -> Reason {
    run.error.as_ref().map_or(Reason::Unspecified, RunError::reason)
}

/// The request for a connection of a name that no other has.
pub fn new_connection(connector: &str, settings: Value) -> CreateConnectionRequest {
    let connection = Connection {
        connector: connector.to_owned(),
        name: format!("connection-{}", NAMES.fetch_add(1, Ordering::Relaxed)),
        settings: Some(json_to_struct(settings.as_object().unwrap().clone())),
        ..Connection::default()
    };
    CreateConnectionRequest { connection: Some(connection), ..CreateConnectionRequest::default() }
}
