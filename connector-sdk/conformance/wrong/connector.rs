//! The service.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use superfasttt_proto::connector::v1::check::Outcome;
use superfasttt_proto::connector::v1::connector_server::Connector;
use superfasttt_proto::connector::v1::{
    Capabilities, Check, ContentHeader, DescribeRequest, DescribeResponse, DiscoverRequest, DiscoverResponse,
    ExecuteRequest, ExecuteResponse, FetchContentRequest, FetchContentResponse, HandleEventRequest,
    HandleEventResponse, NormalizeRequest, NormalizeResponse, PullRequest, PullResponse, Reason,
    TestConnectionRequest, TestConnectionResponse, fetch_content_response, normalize_request,
    normalize_response,
};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status, Streaming};

use crate::fault::Fault;
use crate::listing;
use crate::pull::{Connection, Memory, Pull};

type Guard = Box<dyn Fn(Request<()>) -> Result<Request<()>, Status> + Send + Sync>;

/// The connector, wrong in one thing.
pub struct Wrong {
    fault: Fault,
    memory: Arc<Memory>,
    /// Where not every rpc asks for the token.
    guard: Option<Guard>,
}

impl Wrong {
    pub fn new(fault: Fault, guard: Option<Guard>) -> Self {
        Self { fault, memory: Arc::default(), guard }
    }

    fn guarded<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let Some(guard) = &self.guard else { return Ok(()) };
        let mut bare = Request::new(());
        request.metadata().clone_into(bare.metadata_mut());
        guard(bare).map(drop)
    }

    fn status(&self, error: &ConnectorError) -> Status {
        let plain = error.reason == Reason::CredentialRevoked;
        match self.fault {
            Fault::ErrorsHaveNoReason if plain => Status::unknown(error.message.clone()),
            Fault::ErrorsNameTheWrongActor if plain => {
                error.clone().with_metadata("actor", "nobody").to_status()
            }
            _ => error.to_status(),
        }
    }
}

/// Messages of a task, which ends when nobody reads them any more.
pub struct TaskStream<T> {
    messages: mpsc::Receiver<Result<T, Status>>,
    task: JoinHandle<()>,
    /// Whether the task goes on all the same.
    works_on: bool,
}

impl<T> Drop for TaskStream<T> {
    fn drop(&mut self) {
        if !self.works_on {
            self.task.abort();
        }
    }
}

impl<T> Stream for TaskStream<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_recv(context)
    }
}

#[tonic::async_trait]
impl Connector for Wrong {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let mut manifest_json = std::fs::read_to_string("manifest.json")?;
        if self.fault == Fault::DescribesAnotherManifest {
            manifest_json = manifest_json.replace("\"1.0.0\"", "\"0.9.0\"");
        }
        let list = self.fault != Fault::DescribesOtherCapabilities;
        Ok(Response::new(DescribeResponse {
            manifest_json,
            capabilities: Some(Capabilities {
                incremental: true,
                full_listing: true,
                list,
                targeted: true,
                fetch_content: true,
                ..Default::default()
            }),
            contract_revisions: vec![1],
            sdk: String::new(),
        }))
    }

    async fn test_connection(
        &self,
        request: Request<TestConnectionRequest>,
    ) -> Result<Response<TestConnectionResponse>, Status> {
        self.guarded(&request)?;
        let request = request.into_inner();
        let memory = Arc::clone(&self.memory);
        let answer =
            match Connection::new(self.fault, memory, request.settings.as_ref(), request.credential.as_ref())
            {
                Ok(connection) => connection.get("/items").await.map(drop),
                Err(error) => Err(error),
            };
        let name = if self.fault == Fault::NamesACheckInWords { "Key accepted" } else { "key_accepted" };
        let check = match answer {
            Ok(()) => Check {
                message: "it is accepted".to_owned(),
                outcome: Outcome::Passed.into(),
                ..Default::default()
            },
            Err(error) if self.fault == Fault::FailsTestConnection => return Err(self.status(&error)),
            Err(error) => Check {
                message: error.message,
                outcome: Outcome::Failed.into(),
                fix: "enter the key again".to_owned(),
                ..Default::default()
            },
        };
        Ok(Response::new(TestConnectionResponse {
            checks: vec![Check { name: name.to_owned(), ..check }],
            account: None,
        }))
    }

    async fn discover(
        &self,
        request: Request<DiscoverRequest>,
    ) -> Result<Response<DiscoverResponse>, Status> {
        self.guarded(&request)?;
        match self.fault {
            Fault::ServesDiscoverUndeclared => Ok(Response::new(DiscoverResponse::default())),
            _ => Err(Status::unimplemented("discover is not served")),
        }
    }

    type PullStream = TaskStream<PullResponse>;

    async fn pull(&self, request: Request<PullRequest>) -> Result<Response<Self::PullStream>, Status> {
        self.guarded(&request)?;
        let request = request.into_inner();
        let memory = Arc::clone(&self.memory);
        let connection =
            Connection::new(self.fault, memory, request.settings.as_ref(), request.credential.as_ref());
        let connection = connection.map_err(|error| self.status(&error))?;
        let fault = self.fault;
        let status = {
            let wrong = Wrong::new(fault, None);
            move |error: &ConnectorError| wrong.status(error)
        };
        let (sender, messages) = mpsc::channel(4);
        let (out, mut pulled) = mpsc::channel(4);
        let task = tokio::spawn(async move {
            let pull = Pull { connection: connection.clone(), request, out };
            let to_client = sender.clone();
            // Ends, and with it the pull, when nobody reads.
            let forward = async move {
                while let Some(message) = pulled.recv().await {
                    if to_client.send(Ok(message)).await.is_err() {
                        return false;
                    }
                }
                true
            };
            let run = async {
                let ended = pull.run().await;
                drop(pull);
                ended
            };
            let (ended, heard) = tokio::join!(run, forward);
            if !heard {
                after_cancel(fault, &connection).await;
            } else if let Err(error) = ended {
                sender.send(Err(status(&error))).await.ok();
            }
        });
        let works_on = matches!(fault, Fault::WorksOnAfterACancel | Fault::LeavesAThreadPerCancel);
        Ok(Response::new(TaskStream { messages, task, works_on }))
    }

    type NormalizeStream = TaskStream<NormalizeResponse>;

    async fn normalize(
        &self,
        request: Request<Streaming<NormalizeRequest>>,
    ) -> Result<Response<Self::NormalizeStream>, Status> {
        self.guarded(&request)?;
        let mut requests = request.into_inner();
        let fault = self.fault;
        let (sender, messages) = mpsc::channel(4);
        let task = tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                let Some(normalize_request::Kind::Raw(raw)) = request.kind else { continue };
                if fault == Fault::NormalizeLeavesOneOut && raw.id.ends_with("-7") {
                    continue;
                }
                let document = normalize_response::Kind::Document(listing::normalized(fault, &raw));
                if sender.send(Ok(NormalizeResponse { kind: Some(document) })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(TaskStream { messages, task, works_on: false }))
    }

    type FetchContentStream = TaskStream<FetchContentResponse>;

    async fn fetch_content(
        &self,
        request: Request<FetchContentRequest>,
    ) -> Result<Response<Self::FetchContentStream>, Status> {
        self.guarded(&request)?;
        let request = request.into_inner();
        let bytes = format!("the bytes of {}", request.content_ref).into_bytes();
        if request.max_bytes > 0
            && bytes.len() as u64 > request.max_bytes
            && self.fault != Fault::ContentIgnoresTheLimit
        {
            return Err(
                ConnectorError::new(Reason::ContentTooLarge, "it is larger than what is taken").to_status()
            );
        }
        let length = bytes.len() as u64 + u64::from(self.fault == Fault::ContentIsShort);
        let header =
            ContentHeader { length_bytes: Some(length), version: request.version, ..Default::default() };
        let (sender, messages) = mpsc::channel(4);
        let task = tokio::spawn(async move {
            let kinds = [
                fetch_content_response::Kind::Header(header),
                fetch_content_response::Kind::Chunk(bytes.into()),
            ];
            for kind in kinds {
                sender.send(Ok(FetchContentResponse { kind: Some(kind) })).await.ok();
            }
        });
        Ok(Response::new(TaskStream { messages, task, works_on: false }))
    }

    async fn handle_event(
        &self,
        request: Request<HandleEventRequest>,
    ) -> Result<Response<HandleEventResponse>, Status> {
        self.guarded(&request)?;
        Err(Status::unimplemented("handle_event is not served"))
    }

    async fn execute(&self, request: Request<ExecuteRequest>) -> Result<Response<ExecuteResponse>, Status> {
        self.guarded(&request)?;
        Err(Status::unimplemented("execute is not served"))
    }
}

/// What goes on although nobody reads any more.
async fn after_cancel(fault: Fault, connection: &Connection) {
    match fault {
        Fault::WorksOnAfterACancel => {
            for _ in 0..50 {
                connection.get("/items").await.ok();
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Fault::LeavesAThreadPerCancel => {
            std::thread::spawn(|| std::thread::sleep(Duration::from_secs(30)));
        }
        _ => {}
    }
}
