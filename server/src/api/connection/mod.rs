//! `ConnectionService`: connections are made, changed, tried and deleted. `request` says what may be asked for.

mod request;
pub(in crate::api) mod schedule;

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde_json::Value;
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{self as contract, check::Outcome};
use superfasttt_proto::control::v1::connection_service_server::ConnectionService;
use superfasttt_proto::control::v1::run::Trigger;
use superfasttt_proto::control::v1::*;
use tonic::{Request, Response, Status};

use self::request::{check_name, check_settings, fault, organization, refuse};
pub(in crate::api) use self::request::{check_organization, revision};
use super::bounds::{owner, within};
use super::error::ApiError;
use super::{Api, convert, page};
use crate::access::{Caller, Purpose};
use crate::catalog::{AuthKind, apply_defaults, without_secrets};
use crate::schedule::new_id;
use crate::schedule::times::Due;
use crate::store::StoreError;
use crate::store::connections::{
    Connection as Stored, ConnectionChange, ConnectionFilter, NewConnection, Schedule as StoredSchedule,
};
use crate::store::credentials::State as CredentialState;
use crate::sync::authentication::Authentication;
use crate::sync::json::{from_struct, to_struct};
use crate::sync::port::{Connectors, Session};

const MAX_REQUEST_ID_BYTES: usize = 64;
/// Versions of a connector that are told.
const MAX_VERSIONS: usize = 16;

#[tonic::async_trait]
impl ConnectionService for Api {
    async fn create_connection(
        &self,
        request: Request<CreateConnectionRequest>,
    ) -> Result<Response<CreateConnectionResponse>, Status> {
        let (caller, mut request) = Caller::of(request)?;
        let asked = request.connection.get_or_insert_default();
        // The same request of another organisation is another request.
        asked.organization = within(&caller, &asked.organization)?;
        let hash = digest(&SHA256, &prost::Message::encode_to_vec(&request)).as_ref().to_vec();
        let asked = request.connection.unwrap_or_default();
        let now = self.clock.now();
        let mut faults = Vec::new();
        let organization = organization(&caller, &asked.organization, &mut faults)?;
        check_name(&asked.name, &mut faults);
        if request.request_id.len() > MAX_REQUEST_ID_BYTES {
            faults.push(fault("request_id", "must be at most 64 bytes"));
        }
        let settings = asked.settings.as_ref().map(from_struct).unwrap_or_default();
        let manifest = self.manifest(&asked.connector, &mut faults);
        let mut schedule = StoredSchedule::default();
        if let Some(manifest) = &manifest {
            check_settings(manifest, &settings, &mut faults);
            schedule = schedule::created(asked.schedule.as_ref(), manifest, now, &mut faults);
        }
        refuse(faults)?;
        let needs_credential = manifest.as_ref().is_some_and(|manifest| manifest.auth.kind != AuthKind::None);
        let id = new_id();
        let settings = match &manifest {
            Some(manifest) => {
                let owner = (organization.as_str(), id.as_str());
                let sealed = self.credentials.seal_settings(manifest, owner, settings, None).await;
                sealed.map_err(ApiError::from)?
            }
            None => settings,
        };
        let new = NewConnection {
            id,
            organization,
            connector: asked.connector,
            name: asked.name,
            settings,
            schedule,
            disabled: request.disabled,
            keep_raw: asked.keep_raw,
            // It was made: that is why it runs for the first time. Where it needs a credential it has none yet.
            next: (!needs_credential).then_some(Due { at: now, cause: Trigger::Settings, full: false }),
            request: (!request.request_id.is_empty()).then_some((request.request_id, hash)),
        };
        let made = self.store.create_connection(new, now).await.map_err(ApiError::from)?;
        caller.concerns(&made);
        caller.tells(|detail| detail.name.clone_from(&made.name));
        Ok(Response::new(CreateConnectionResponse { connection: Some(self.show(&made).await?) }))
    }

    async fn get_connection(
        &self,
        request: Request<GetConnectionRequest>,
    ) -> Result<Response<GetConnectionResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let found = self.connection(&caller, &request.connection).await?;
        Ok(Response::new(GetConnectionResponse { connection: Some(self.show(&found).await?) }))
    }

    async fn list_connections(
        &self,
        request: Request<ListConnectionsRequest>,
    ) -> Result<Response<ListConnectionsResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let limit = page::size(request.page_size)?;
        let organization = within(&caller, &request.organization)?;
        let filters = ["connections", &organization, &request.connector];
        let after = page::key(&filters, &request.page_token)?.unwrap_or_default();
        let filter =
            ConnectionFilter { organization: organization.clone(), connector: request.connector.clone() };
        let listed = self.store.connections(filter, &after, limit).await.map_err(ApiError::from)?;
        let mut connections = Vec::with_capacity(listed.items.len());
        for found in &listed.items {
            connections.push(self.show(found).await?);
        }
        let next_page_token = listed.next.map(|key| page::token(&filters, &key)).unwrap_or_default();
        Ok(Response::new(ListConnectionsResponse { connections, next_page_token }))
    }

    async fn update_connection(
        &self,
        request: Request<UpdateConnectionRequest>,
    ) -> Result<Response<UpdateConnectionResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let asked = request.connection.unwrap_or_default();
        let mask = request.update_mask.unwrap_or_default().paths;
        let revision = revision(&asked.etag, "connection.etag")?;
        let (changed, raw_epoch) = loop {
            let found = self.connection(&caller, &asked.id).await.map_err(|error| match error {
                ApiError::Invalid(_) => ApiError::field("connection.id", "is required: the server's id"),
                error => error,
            })?;
            let change = self.change(&found, &asked, &mask).await?;
            // What a mask leaves out is taken from what was read: it must be what is there when the change is written.
            let read = revision.unwrap_or(found.revision);
            match self.store.update_connection(&found.id, Some(read), change, self.clock.now()).await {
                // Somebody else's change came first. It stays, and this one is made to what it left: whoever loops here
                // waits for somebody who got on.
                Err(StoreError::Conflict(_)) if revision.is_none() => {}
                changed => break (changed.map_err(ApiError::from)?, found.raw_epoch),
            }
        };
        caller.tells(|detail| detail.fields = mask);
        if changed.raw_epoch != raw_epoch {
            self.scheduler.spawn_trim_raw_items();
        }
        Ok(Response::new(UpdateConnectionResponse { connection: Some(self.show(&changed).await?) }))
    }

    async fn delete_connection(
        &self,
        request: Request<DeleteConnectionRequest>,
    ) -> Result<Response<DeleteConnectionResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let found = self.connection(&caller, &request.connection).await?;
        caller.tells(|detail| detail.name.clone_from(&found.name));
        let revision = revision(&request.etag, "etag")?;
        let deleting =
            self.store.begin_deletion(&found.id, revision, self.clock.now()).await.map_err(ApiError::from)?;
        Ok(Response::new(DeleteConnectionResponse { connection: Some(self.show(&deleting).await?) }))
    }

    async fn test_connection(
        &self,
        request: Request<TestConnectionRequest>,
    ) -> Result<Response<TestConnectionResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let target = match request.target {
            Some(test_connection_request::Target::Connection(id)) => self.connection(&caller, &id).await?,
            Some(test_connection_request::Target::Draft(draft)) => {
                let draft = self.draft(&caller, draft)?;
                let mut faults = Vec::new();
                if let Some(manifest) = self.manifest(&draft.connector, &mut faults) {
                    check_settings(&manifest, &draft.settings, &mut faults);
                }
                refuse(faults)?;
                draft
            }
            None => return Err(ApiError::field("target", "is required: connection or draft").into()),
        };
        let answer = self.try_connection(&target).await?;
        Ok(Response::new(TestConnectionResponse {
            ok: !answer.checks.iter().any(has_failed),
            checks: answer.checks,
            account: answer.account,
        }))
    }

    async fn discover_resources(
        &self,
        request: Request<DiscoverResourcesRequest>,
    ) -> Result<Response<DiscoverResourcesResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let target = match request.target {
            Some(discover_resources_request::Target::Connection(id)) => self.connection(&caller, &id).await?,
            Some(discover_resources_request::Target::Draft(draft)) => self.draft(&caller, draft)?,
            None => return Err(ApiError::field("target", "is required: connection or draft").into()),
        };
        let mut faults = Vec::new();
        let manifest = self.manifest(&target.connector, &mut faults);
        refuse(faults)?;
        if manifest.is_some_and(|manifest| !manifest.capabilities.discover) {
            let message = format!("the connector {:?} cannot list resources", target.connector);
            return Err(ApiError::Precondition(message).into());
        }
        let asked = contract::DiscoverRequest {
            settings: None,
            credential: None,
            contract_revision: CONTRACT_REVISION,
            picker: request.picker,
            parent_id: request.parent_id,
            query: request.query,
            page_size: page::size(request.page_size)? as i32,
            page_token: request.page_token,
        };
        let (session, settings) = self.session(&target).await?;
        let mut authentication = Authentication::new(self.credentials.clone(), Purpose::Discover);
        let answer = authentication.call(&target, |credential| {
            let (session, settings) = (session.clone(), Some(settings.clone()));
            let asked = contract::DiscoverRequest { settings, credential, ..asked.clone() };
            async move { session.discover(asked).await }
        });
        let answer = answer.await.map_err(ApiError::from)?;
        Ok(Response::new(DiscoverResourcesResponse {
            resources: answer.resources,
            next_page_token: answer.next_page_token,
        }))
    }

    async fn enable_connection(
        &self,
        request: Request<EnableConnectionRequest>,
    ) -> Result<Response<EnableConnectionResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let found = self.connection(&caller, &request.connection).await?;
        let waits = self.waits_for_credential(&found).await?;
        let due = Due { at: self.clock.now(), cause: Trigger::Settings, full: false };
        let change = ConnectionChange {
            disabled: Some(false),
            next: Some(waits.is_none().then_some(due)),
            ..ConnectionChange::default()
        };
        let changed = self.switch(&caller, &request.connection, |stored| stored.disabled, change).await?;
        Ok(Response::new(EnableConnectionResponse { connection: Some(changed) }))
    }

    async fn disable_connection(
        &self,
        request: Request<DisableConnectionRequest>,
    ) -> Result<Response<DisableConnectionResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let id = request.connection;
        let change = ConnectionChange { disabled: Some(true), ..ConnectionChange::default() };
        let changed = self.switch(&caller, &id, |stored| !stored.disabled, change).await?;
        let key = self.connection(&caller, &id).await?.key;
        if let Some(run) = self.store.active_run(key).await.map_err(ApiError::from)? {
            self.store.cancel_run(&run.id, self.clock.now()).await.map_err(ApiError::from)?;
        }
        Ok(Response::new(DisableConnectionResponse { connection: Some(changed) }))
    }

    async fn pause_connection(
        &self,
        request: Request<PauseConnectionRequest>,
    ) -> Result<Response<PauseConnectionResponse>, Status> {
        let change = ConnectionChange { paused: Some(true), ..ConnectionChange::default() };
        let (caller, request) = Caller::of(request)?;
        let changed = self.switch(&caller, &request.connection, |stored| !stored.paused, change).await?;
        Ok(Response::new(PauseConnectionResponse { connection: Some(changed) }))
    }

    async fn resume_connection(
        &self,
        request: Request<ResumeConnectionRequest>,
    ) -> Result<Response<ResumeConnectionResponse>, Status> {
        let change = ConnectionChange { paused: Some(false), ..ConnectionChange::default() };
        let (caller, request) = Caller::of(request)?;
        let changed = self.switch(&caller, &request.connection, |stored| stored.paused, change).await?;
        Ok(Response::new(ResumeConnectionResponse { connection: Some(changed) }))
    }

    async fn set_default_connection(
        &self,
        request: Request<SetDefaultConnectionRequest>,
    ) -> Result<Response<SetDefaultConnectionResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let found = self.connection(&caller, &request.connection).await?;
        if found.deleting_at.is_some() {
            return Err(ApiError::Precondition("the connection is being deleted".to_owned()).into());
        }
        let category = self.manifest_of(&found)?.category.clone();
        if category.is_empty() {
            let text =
                format!("the manifest of {:?} names no category to be the default of", found.connector);
            return Err(ApiError::Precondition(text).into());
        }
        caller.tells(|detail| detail.name.clone_from(&category));
        self.store.set_default(found.key, &category).await.map_err(ApiError::from)?;
        Ok(Response::new(SetDefaultConnectionResponse { connection: Some(self.show(&found).await?) }))
    }

    async fn resolve_connection(
        &self,
        request: Request<ResolveConnectionRequest>,
    ) -> Result<Response<ResolveConnectionResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let organization = owner(&caller, &request.organization)?;
        let name = match request.by {
            Some(resolve_connection_request::By::Name(name)) => name,
            Some(resolve_connection_request::By::Category(category)) => {
                let found = self.store.default_connection(&organization, &category).await;
                // That there is none is an answer: nobody has to choose one.
                let connection = match found.map_err(ApiError::from)? {
                    Some(found) => Some(self.show(&found).await?),
                    None => None,
                };
                return Ok(Response::new(ResolveConnectionResponse { connection }));
            }
            None => return Err(ApiError::field("by", "is required: name or category").into()),
        };
        let found = self.store.connection_by_name(&organization, &name).await.map_err(ApiError::from)?;
        let found = found.ok_or_else(|| ApiError::not_found("connection", &name))?;
        Ok(Response::new(ResolveConnectionResponse { connection: Some(self.show(&found).await?) }))
    }

    async fn import_connections(
        &self,
        _request: Request<ImportConnectionsRequest>,
    ) -> Result<Response<ImportConnectionsResponse>, Status> {
        Err(ApiError::NotServed("ImportConnections".to_owned()).into())
    }

    async fn export_connections(
        &self,
        _request: Request<ExportConnectionsRequest>,
    ) -> Result<Response<ExportConnectionsResponse>, Status> {
        Err(ApiError::NotServed("ExportConnections".to_owned()).into())
    }
}

/// Whether a check says that nothing can be synced.
pub(in crate::api) fn has_failed(check: &contract::Check) -> bool {
    matches!(check.outcome(), Outcome::Failed | Outcome::Unspecified)
}

impl Api {
    /// A connection as a message.
    async fn show(&self, stored: &Stored) -> Result<Connection, ApiError> {
        let totals = self.store.connection_totals(stored.key).await?;
        let last_run = match &stored.last_run {
            Some(id) => self.store.run(id).await?,
            None => None,
        };
        let manifest = self.catalog.get(&stored.connector).and_then(|entry| entry.manifest.clone());
        let waits = self.waits_for_credential(stored).await?;
        let mut shown = convert::connection(stored, totals, last_run.as_ref(), waits);
        if let Some(manifest) = &manifest
            && shown.next_run_at.is_some()
            && !manifest.capabilities.incremental
        {
            shown.next_run_full = true;
        }
        if self.catalog.is_disabled(&stored.connector) && stored.deleting_at.is_none() && !stored.disabled {
            shown.set_state(connection::State::Disabled);
            (shown.next_run_at, shown.next_run_full) = (None, false);
            shown.set_next_run_trigger(run::Trigger::Unspecified);
            shown.next_run_reason.clear();
            shown.status_message = format!(
                "an administrator disabled its connector in the server's configuration \
                 (connectors.{}.enabled): nothing is lost, and it goes on once the connector is enabled",
                stored.connector
            );
        }
        // Without a manifest nobody knows which settings are secret.
        let settings = Value::Object(stored.settings.clone());
        if let Some(manifest) = manifest.as_ref().filter(|_| stored.keep_raw) {
            let mut versions = self.store.normalizers(stored.key, MAX_VERSIONS).await?;
            versions.retain(|version| *version != manifest.version);
            shown.normalized_by_other_versions = versions;
        }
        let settings = manifest.map(|manifest| without_secrets(&manifest, &settings));
        shown.settings = settings.as_ref().and_then(Value::as_object).map(to_struct);
        Ok(shown)
    }

    /// What a person has to do before the connection can be used, where that is so.
    async fn waits_for_credential(&self, stored: &Stored) -> Result<Option<String>, ApiError> {
        let entry = self.catalog.get(&stored.connector);
        let manifest = entry.and_then(|entry| entry.manifest.clone());
        if manifest.is_none_or(|manifest| manifest.auth.kind == AuthKind::None) {
            return Ok(None);
        }
        let found = self.store.credentials(vec![stored.key]).await?.pop();
        let Some(found) = found else {
            return Ok(Some("connect an account, or enter its credential".to_owned()));
        };
        if found.status.state == CredentialState::Connected {
            return Ok(None);
        }
        let trouble = found.status.trouble.map(|trouble| trouble.message);
        Ok(Some(
            trouble.unwrap_or_else(|| "connect its account again, or enter its credential again".to_owned()),
        ))
    }

    /// Asks the connector whether a connection works, and takes note of whose account it is.
    pub(in crate::api) async fn try_connection(
        &self,
        target: &Stored,
    ) -> Result<contract::TestConnectionResponse, ApiError> {
        let (session, settings) = self.session(target).await?;
        let mut authentication = Authentication::new(self.credentials.clone(), Purpose::Test);
        let answer = authentication.call(target, |credential| {
            let (session, settings) = (session.clone(), Some(settings.clone()));
            let contract_revision = CONTRACT_REVISION;
            let asked = contract::TestConnectionRequest { settings, credential, contract_revision };
            async move { session.test_connection(asked).await }
        });
        let answer = answer.await?;
        if !answer.checks.iter().any(has_failed) {
            self.credentials.tested(target, answer.account.as_ref()).await?;
        }
        Ok(answer)
    }

    /// Makes a change unless it is made already.
    async fn switch(
        &self,
        caller: &Caller,
        id: &str,
        applies: fn(&Stored) -> bool,
        change: ConnectionChange,
    ) -> Result<Connection, ApiError> {
        let mut found = self.connection(caller, id).await?;
        if found.deleting_at.is_some() {
            return Err(ApiError::Precondition("the connection is being deleted".to_owned()));
        }
        if applies(&found) {
            found = self.store.update_connection(&found.id, None, change, self.clock.now()).await?;
        }
        self.show(&found).await
    }

    /// The connector of a connection, and the settings that it is given.
    async fn session(&self, target: &Stored) -> Result<(Arc<dyn Session>, prost_types::Struct), ApiError> {
        let mut faults = Vec::new();
        let manifest = self.manifest(&target.connector, &mut faults);
        refuse(faults)?;
        let settings = Value::Object(self.credentials.open_settings(target).await?);
        let settings = manifest.map_or(settings.clone(), |manifest| apply_defaults(&manifest, &settings));
        let session = self.host.open(target).await?;
        Ok((session, settings.as_object().map(to_struct).unwrap_or_default()))
    }
}
