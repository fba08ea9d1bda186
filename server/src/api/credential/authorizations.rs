//! Authorizations over the control API: they are begun here, and what came of them is told here. Browsers go their own way
//! (`api/public`).

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::get_authorization_response::State;
use superfasttt_proto::control::v1::{
    CompleteAuthorizationRequest, CompleteAuthorizationResponse, GetAuthorizationRequest,
    GetAuthorizationResponse, StartAuthorizationRequest, StartAuthorizationResponse,
};
use superfasttt_proto::error::ConnectorError;

use crate::access::Caller;
use crate::api::error::ApiError;
use crate::api::{Api, convert};
use crate::credentials::authorize::{Answer, Ask, BeginError, Look, Refusal, Shown, TryIt};
use crate::credentials::of_failure;
use crate::store::connections::Connection;

/// How long a connector may take to say whose account it is: a person waits.
const TRIAL: Duration = Duration::from_secs(45);
const LONGEST_WAIT_S: i64 = 60;

impl Api {
    pub(super) async fn begin_authorization(
        &self,
        caller: &Caller,
        request: StartAuthorizationRequest,
    ) -> Result<StartAuthorizationResponse, ApiError> {
        let connection = self.connection(caller, &request.connection).await?;
        let manifest = self.manifest_of(&connection)?;
        let given = |text: String| (!text.is_empty()).then_some(text);
        let ask = Ask {
            return_url: given(request.return_url),
            redirect_uri: given(request.redirect_uri),
            extra_scopes: request.extra_scopes,
            capabilities: request.capabilities,
        };
        let begun = self.authorizations.begin(&connection, &manifest, ask).await?;
        Ok(StartAuthorizationResponse {
            authorization_url: begun.url.expose_secret().to_owned(),
            expires_at: Some(convert::timestamp(begun.expires_at)),
            state: begun.state.map(|state| state.expose_secret().to_owned()).unwrap_or_default(),
            authorization: begun.id,
        })
    }

    pub(super) async fn end_authorization(
        &self,
        caller: &Caller,
        request: CompleteAuthorizationRequest,
    ) -> Result<CompleteAuthorizationResponse, ApiError> {
        let given = |text: String| (!text.is_empty()).then_some(text);
        if request.state.is_empty() {
            return Err(ApiError::field("state", "is required: as StartAuthorization gave it"));
        }
        let answer = Answer {
            state: SecretString::from(request.state),
            code: given(request.code).map(SecretString::from),
            error: given(request.error),
            error_description: given(request.error_description),
            iss: given(request.iss),
        };
        if answer.code.is_none() && answer.error.is_none() {
            return Err(ApiError::field("code", "is required, where the provider answered with no error"));
        }
        // Before it is taken: another organisation's is not there.
        let whose = self.authorizations.of_state(&answer.state).await?;
        self.seen(caller, whose)?;
        let answered = self.authorizations.answer(answer, &Shown::State, self.trial()).await;
        answered.result?;
        let connection = answered.connection.ok_or(Refusal::Gone)?;
        Ok(CompleteAuthorizationResponse { credential: Some(self.credential_status(&connection).await?) })
    }

    pub(super) async fn look_at_authorization(
        &self,
        caller: &Caller,
        request: GetAuthorizationRequest,
    ) -> Result<GetAuthorizationResponse, ApiError> {
        if request.authorization.is_empty() {
            return Err(ApiError::field("authorization", "is required: as StartAuthorization gave it"));
        }
        let wait = request.wait.unwrap_or_default();
        let wait =
            Duration::try_from(wait).ok().filter(|wait| wait.as_secs() <= LONGEST_WAIT_S.unsigned_abs());
        let wait = wait.ok_or_else(|| ApiError::field("wait", "must be 0 to 60 s"))?;
        // Before it is waited for: how long an answer takes would tell that there is something to wait for.
        let whose = self.authorizations.of_id(&request.authorization).await?;
        let connection = self.seen(caller, whose)?;
        let look = self.authorizations.look(&request.authorization, wait).await?.ok_or_else(not_found)?;
        let (state, message) = match look {
            Look::Pending => (State::Pending, String::new()),
            Look::Succeeded => (State::Succeeded, String::new()),
            Look::Failed(message) => (State::Failed, message),
            Look::Expired(message) => (State::Expired, message),
        };
        Ok(GetAuthorizationResponse { state: state.into(), message, connection: connection.id })
    }

    /// The connection of an authorization, as this caller sees it.
    fn seen(&self, caller: &Caller, whose: Option<Connection>) -> Result<Connection, ApiError> {
        let connection = whose.ok_or_else(not_found)?;
        if !caller.sees(&connection.organization) {
            caller.denied_other_organization("connection", &connection.id);
            return Err(not_found());
        }
        caller.concerns(&connection);
        Ok(connection)
    }

    /// Tries connections whose account was connected a moment ago.
    pub(crate) fn trial(&self) -> TryIt {
        let api = self.clone();
        Arc::new(move |connection: Connection| {
            let api = api.clone();
            Box::pin(async move {
                match tokio::time::timeout(TRIAL, api.try_new_credential(&connection)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(connection = %connection.id, ?error, "a new account could not be tried");
                    }
                    Err(_) => {
                        tracing::warn!(connection = %connection.id, "the connector did not say in time whose account it is");
                    }
                }
            })
        })
    }
}

/// None of this id or `state`, or none that the caller may see.
fn not_found() -> ApiError {
    ApiError::NotFound { kind: "authorization", id: String::new() }
}

impl From<BeginError> for ApiError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Field(field, fault) => ApiError::field(field, fault),
            BeginError::Connector(error) => ApiError::Connector(error),
            BeginError::Store(error) => error.into(),
            BeginError::NoGrant { .. }
            | BeginError::ByItself(_)
            | BeginError::Deleting
            | BeginError::Vault(_) => ApiError::Precondition(error.to_string()),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown | Refusal::Gone => not_found(),
            Refusal::Malformed => ApiError::field("state", "is none that this server gives"),
            Refusal::Exchange(failure) => ApiError::Connector(of_failure(&failure)),
            Refusal::Here(error) => ApiError::Connector(error),
            Refusal::Away(error) => ApiError::Store(error),
            Refusal::Denied(_) => {
                ApiError::Connector(ConnectorError::new(Reason::AccessDenied, refusal.to_string()))
            }
            Refusal::Expired
            | Refusal::Used
            | Refusal::OtherBrowser
            | Refusal::OfBrowser
            | Refusal::OtherProvider
            | Refusal::Provider { .. } => ApiError::Precondition(refusal.to_string()),
        }
    }
}
