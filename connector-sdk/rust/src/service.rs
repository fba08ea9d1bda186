//! The generated service trait, answered by an author's [`Connector`].

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Stream};
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{self, Capabilities, PullResponse, Reason};
use superfasttt_proto::error::ConnectorError;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::call::Call;
use crate::checks::Checks;
use crate::connector::{Connector, unimplemented};
use crate::content::ContentWriter;
use crate::credential::Credential;
#[cfg(feature = "http")]
use crate::http::HttpSource;
use crate::limits::clip_error;
use crate::listing::{Listing, violation};
use crate::manifest;
use crate::normalizing::normalize_stream;
use crate::outlet::Outlet;
use crate::page::PageLimits;
use crate::request::{Action, Discover, Event, FetchContent, Mode, Pull, SigningSecret, TestConnection};
use crate::serve::ServeError;
use crate::sink::Sink;
use crate::stream::{TaskStream, died};
use crate::trace::TraceParent;
use crate::traffic::Traffic;
use crate::values::{json_to_struct, parse_settings, struct_to_json};

/// A change waits no longer than this for its page to fill.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// The contract's own limit on ids in one request.
const MAX_TARGETED_IDS: usize = 1000;
const DEFAULT_DISCOVER_PAGE: usize = 100;
const MAX_DISCOVER_PAGE: usize = 1000;

/// Serves one connector.
pub(crate) struct ConnectorService<C: Connector> {
    connector: Arc<C>,
    capabilities: Capabilities,
    #[cfg(feature = "http")]
    http: Arc<HttpSource>,
    /// Set when the process is asked to end: streams end with an error that says to call again.
    stopping: CancellationToken,
}

impl<C: Connector> ConnectorService<C> {
    #[cfg_attr(
        not(feature = "http"),
        expect(unused_variables, reason = "without a client there is no traffic")
    )]
    pub(crate) fn new(
        connector: C,
        traffic: &Traffic,
        stopping: CancellationToken,
    ) -> Result<Self, ServeError> {
        let manifest = manifest::read(connector.manifest())?;
        let connector = Arc::new(connector);
        #[cfg(feature = "http")]
        let http = {
            let author = Arc::clone(&connector);
            let reasons = Box::new(move |status| author.status_reason(status));
            Arc::new(HttpSource::new(&manifest, reasons, traffic)?)
        };
        Ok(Self {
            connector,
            capabilities: manifest.capabilities,
            #[cfg(feature = "http")]
            http,
            stopping,
        })
    }

    fn require(&self, served: bool, capability: &str) -> Result<(), Status> {
        if served { Ok(()) } else { Err(unimplemented(capability).to_status()) }
    }

    /// Whether the manifest and the contract allow this pull.
    fn check_pull(&self, request: &v1::PullRequest) -> Result<Mode, Status> {
        check_revision(request.contract_revision)?;
        let mode = Mode::from_proto(request.mode())
            .ok_or_else(|| violation("the pull names no mode").to_status())?;
        match mode {
            Mode::Incremental => self.require(self.capabilities.incremental, "incremental pulls")?,
            Mode::List => self.require(self.capabilities.list, "LIST pulls")?,
            Mode::Targeted => self.require(self.capabilities.targeted, "TARGETED pulls")?,
            Mode::Full => {}
        }
        let ids = request.ids.len();
        if (mode == Mode::Targeted) != (ids > 0) || ids > MAX_TARGETED_IDS {
            let message =
                format!("a TARGETED pull names 1 to {MAX_TARGETED_IDS} ids and no other names any: {ids}");
            return Err(violation(message).to_status());
        }
        Ok(mode)
    }
}

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl<C: Connector> v1::connector_server::Connector for ConnectorService<C> {
    async fn describe(
        &self,
        request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        check_revision(request.into_inner().contract_revision)?;
        Ok(Response::new(v1::DescribeResponse {
            manifest_json: self.connector.manifest().to_owned(),
            capabilities: Some(self.capabilities),
            contract_revisions: vec![CONTRACT_REVISION],
            sdk: concat!("rust/", env!("CARGO_PKG_VERSION")).to_owned(),
        }))
    }

    async fn test_connection(
        &self,
        request: Request<v1::TestConnectionRequest>,
    ) -> Result<Response<v1::TestConnectionResponse>, Status> {
        let trace = TraceParent::of(request.metadata());
        let request = request.into_inner();
        let call = Call::begin(trace, request.credential.as_ref());
        #[cfg(feature = "http")]
        let http = self.http.client(&call, request.credential.as_ref(), request.settings.as_ref());
        check_revision(request.contract_revision)?;
        let settings = match parse_settings(request.settings) {
            Ok(settings) => Arc::new(settings),
            // A failed check is an answer: a person sees it beside the settings.
            Err(error) => {
                let fix = "correct the connection's settings";
                let checks = Checks::new().failed("settings_valid", error.message, fix);
                return Ok(Response::new(checks.into_response()));
            }
        };
        let work = self.connector.test_connection(TestConnection {
            settings,
            credential: request.credential.map(Credential::new),
            #[cfg(feature = "http")]
            http,
        });
        Ok(Response::new(guarded(call.run("test_connection", work)).await?.into_response()))
    }

    async fn discover(
        &self,
        request: Request<v1::DiscoverRequest>,
    ) -> Result<Response<v1::DiscoverResponse>, Status> {
        self.require(self.capabilities.discover, "discover")?;
        let trace = TraceParent::of(request.metadata());
        let request = request.into_inner();
        let call = Call::begin(trace, request.credential.as_ref());
        #[cfg(feature = "http")]
        let http = self.http.client(&call, request.credential.as_ref(), request.settings.as_ref());
        check_revision(request.contract_revision)?;
        let page_size = match usize::try_from(request.page_size) {
            Ok(0) => DEFAULT_DISCOVER_PAGE,
            Ok(size) => size.min(MAX_DISCOVER_PAGE),
            Err(_) => return Err(violation("page_size is negative").to_status()),
        };
        let work = self.connector.discover(Discover {
            settings: struct_to_json(request.settings.unwrap_or_default()),
            credential: request.credential.map(Credential::new),
            #[cfg(feature = "http")]
            http,
            picker: request.picker,
            parent_id: request.parent_id,
            query: request.query,
            page_size,
            page_token: request.page_token,
        });
        Ok(Response::new(guarded(call.run("discover", work)).await?))
    }

    type PullStream = BoxStream<PullResponse>;

    async fn pull(&self, request: Request<v1::PullRequest>) -> Result<Response<Self::PullStream>, Status> {
        let trace = TraceParent::of(request.metadata());
        let request = request.into_inner();
        let call = Call::begin(trace, request.credential.as_ref());
        #[cfg(feature = "http")]
        let http = self.http.client(&call, request.credential.as_ref(), request.settings.as_ref());
        let mode = self.check_pull(&request)?;
        let settings: Arc<C::Settings> = Arc::new(parse_settings(request.settings)?);
        let limits = PageLimits::from_proto(request.limits.as_ref());
        let listing = Listing::new(mode, &self.capabilities, &request.ids);
        let want_raw = request.want_raw;
        let lifetime = request.limits.and_then(|limits| limits.credential_lifetime);
        let pull = Pull {
            settings: Arc::clone(&settings),
            credential: request.credential.map(Credential::new),
            #[cfg(feature = "http")]
            http,
            mode,
            scopes: request.scopes,
            except_scopes: request.except_scopes,
            states: request.states,
            stateless_scopes: request.known_scopes,
            ids: request.ids,
            credential_lifetime: lifetime.and_then(|lifetime| lifetime.try_into().ok()),
        };
        let connector = Arc::clone(&self.connector);
        let stream = TaskStream::spawn(&self.stopping, |responses, cancel| async move {
            let outlet = Arc::new(Outlet::new(responses, limits, listing));
            let sink =
                Sink::new(Arc::clone(&connector), settings, (mode, want_raw), Arc::clone(&outlet), cancel);
            let result = call.run("pull", run_pull(&*connector, pull, &sink, &outlet)).await;
            outlet.finish(result).await
        });
        Ok(Response::new(Box::pin(stream)))
    }

    type NormalizeStream = BoxStream<v1::NormalizeResponse>;

    async fn normalize(
        &self,
        request: Request<Streaming<v1::NormalizeRequest>>,
    ) -> Result<Response<Self::NormalizeStream>, Status> {
        let stream = normalize_stream(Arc::clone(&self.connector), request.into_inner());
        Ok(Response::new(Box::pin(stream)))
    }

    type FetchContentStream = BoxStream<v1::FetchContentResponse>;

    async fn fetch_content(
        &self,
        request: Request<v1::FetchContentRequest>,
    ) -> Result<Response<Self::FetchContentStream>, Status> {
        self.require(self.capabilities.fetch_content, "fetch_content")?;
        let trace = TraceParent::of(request.metadata());
        let request = request.into_inner();
        let call = Call::begin(trace, request.credential.as_ref());
        #[cfg(feature = "http")]
        let http = self.http.client(&call, request.credential.as_ref(), request.settings.as_ref());
        check_revision(request.contract_revision)?;
        let fetch = FetchContent {
            settings: Arc::new(parse_settings(request.settings)?),
            credential: request.credential.map(Credential::new),
            #[cfg(feature = "http")]
            http,
            id: request.id,
            content_ref: request.content_ref,
            version: request.version,
            max_bytes: (request.max_bytes > 0).then_some(request.max_bytes),
        };
        let connector = Arc::clone(&self.connector);
        let stream = TaskStream::spawn(&self.stopping, |responses, cancel| async move {
            let mut content = ContentWriter::new(responses, cancel, fetch.max_bytes);
            call.run("fetch_content", connector.fetch_content(fetch, &mut content)).await?;
            content.finish().await
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn handle_event(
        &self,
        request: Request<v1::HandleEventRequest>,
    ) -> Result<Response<v1::HandleEventResponse>, Status> {
        self.require(self.capabilities.handle_event, "handle_event")?;
        let trace = TraceParent::of(request.metadata());
        let request = request.into_inner();
        let call = Call::begin(trace, request.credential.as_ref());
        #[cfg(feature = "http")]
        let http = self.http.client(&call, request.credential.as_ref(), request.settings.as_ref());
        check_revision(request.contract_revision)?;
        let settings = match request.settings {
            Some(settings) => Some(Arc::new(parse_settings(Some(settings))?)),
            None => None,
        };
        let work = self.connector.handle_event(Event {
            settings,
            credential: request.credential.map(Credential::new),
            #[cfg(feature = "http")]
            http,
            method: request.method,
            path: request.path,
            headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
            body: Bytes::from(request.body),
            signing_secret: SigningSecret(request.signing_secret),
        });
        Ok(Response::new(guarded(call.run("handle_event", work)).await?))
    }

    async fn execute(
        &self,
        request: Request<v1::ExecuteRequest>,
    ) -> Result<Response<v1::ExecuteResponse>, Status> {
        self.require(self.capabilities.execute, "execute")?;
        let trace = TraceParent::of(request.metadata());
        let request = request.into_inner();
        let call = Call::begin(trace, request.credential.as_ref());
        #[cfg(feature = "http")]
        let http = self.http.client(&call, request.credential.as_ref(), request.settings.as_ref());
        check_revision(request.contract_revision)?;
        let work = self.connector.execute(Action {
            settings: Arc::new(parse_settings(request.settings)?),
            credential: request.credential.map(Credential::new),
            #[cfg(feature = "http")]
            http,
            action: request.action,
            input: struct_to_json(request.input.unwrap_or_default()),
            idempotency_key: request.idempotency_key,
        });
        let output = guarded(call.run("execute", work)).await?;
        Ok(Response::new(v1::ExecuteResponse { output: Some(json_to_struct(output)) }))
    }
}

/// Runs the author's pull, and sends what waits for a page once a second meanwhile.
async fn run_pull<C: Connector>(
    connector: &C,
    pull: Pull<C::Settings>,
    sink: &Sink<C>,
    outlet: &Outlet,
) -> Result<(), ConnectorError> {
    let author = AssertUnwindSafe(connector.pull(pull, sink)).catch_unwind();
    tokio::pin!(author);
    let mut flush = tokio::time::interval(FLUSH_EVERY);
    flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            result = &mut author => return result.unwrap_or_else(died),
            _ = flush.tick() => outlet.tick(),
        }
    }
}

/// An author's unary call: a panic becomes an error, and errors become statuses.
async fn guarded<T>(call: impl Future<Output = Result<T, ConnectorError>>) -> Result<T, Status> {
    let result = AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(died);
    result.map_err(|error| clip_error(error).to_status())
}

fn check_revision(revision: u32) -> Result<(), Status> {
    if revision >= CONTRACT_REVISION {
        return Ok(());
    }
    let message =
        format!("the request speaks contract revision {revision}; this connector speaks {CONTRACT_REVISION}");
    Err(ConnectorError::new(Reason::ProtocolViolation, message).to_status())
}
