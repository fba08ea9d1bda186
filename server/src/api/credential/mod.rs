//! `CredentialService`: what connections authenticate with. `status` is how a credential is shown, `authorizations` how an
//! account is connected, `oauth_apps` as whom.

mod authorizations;
mod oauth_apps;
mod status;

use secrecy::SecretString;
use superfasttt_oauth::Flow;
use superfasttt_proto::connector::v1::credential::Kind;
use superfasttt_proto::control::v1::credential_service_server::CredentialService;
use superfasttt_proto::control::v1::*;
use tonic::{Request, Response, Status};

use super::Api;
use super::connection::has_failed;
use super::convert;
use super::error::ApiError;
use crate::access::Caller;
use crate::catalog::AuthKind;
use crate::credentials::entered;
use crate::store::connections::Connection;

#[tonic::async_trait]
impl CredentialService for Api {
    async fn set_credential(
        &self,
        request: Request<SetCredentialRequest>,
    ) -> Result<Response<SetCredentialResponse>, Status> {
        let (caller, SetCredentialRequest { connection, credential, refresh_token }) = Caller::of(request)?;
        let connection = self.connection(&caller, &connection).await?;
        if connection.deleting_at.is_some() {
            return Err(ApiError::Precondition("the connection is being deleted".to_owned()).into());
        }
        let manifest = self.manifest_of(&connection)?;
        self.credentials.can_seal().map_err(|error| ApiError::Precondition(error.to_string()))?;
        let auth = &manifest.auth;
        let is_grant = auth.kind == AuthKind::OAuth2 && auth.oauth.flow == Flow::AuthorizationCode;
        if !refresh_token.is_empty() && !is_grant {
            let text = "is for grants of people, and the connector takes none";
            return Err(ApiError::field("refresh_token", text).into());
        }
        match auth.kind {
            AuthKind::None => {
                let text = format!("the connector {:?} takes no credential", connection.connector);
                return Err(ApiError::Precondition(text).into());
            }
            AuthKind::OAuth2 if is_grant => {
                let credential = credential.unwrap_or_default();
                let Some(Kind::Oauth2(token)) = credential.kind else {
                    let text = "a person connects an account of this connector: start an authorization \
                                (`connectorctl credentials connect`)";
                    return Err(ApiError::Precondition(text.to_owned()).into());
                };
                if token.access_token.is_empty() {
                    return Err(ApiError::field("credential.oauth2.access_token", "is required").into());
                }
                let refresh = (!refresh_token.is_empty()).then(|| SecretString::from(refresh_token));
                let expires_at = credential.expires_at.as_ref().and_then(convert::time);
                let taken = self.credentials.take_over(&connection, &manifest, token, refresh, expires_at);
                taken.await.map_err(ApiError::from)?;
            }
            AuthKind::OAuth2 => {
                if credential.is_some_and(|credential| credential.kind.is_some()) {
                    let text = "is fetched from the provider, by the OAuth app: leave it out";
                    return Err(ApiError::field("credential", text).into());
                }
                self.credentials.connect_app(&connection, &manifest).await.map_err(ApiError::from)?;
            }
            _ => {
                let checked =
                    entered::check(auth, credential.unwrap_or_default(), self.credentials.references());
                let entered = checked.map_err(ApiError::Invalid)?;
                self.credentials.enter(&connection, &manifest, entered).await.map_err(ApiError::from)?;
            }
        }
        self.try_new_credential(&connection).await?;
        Ok(Response::new(SetCredentialResponse {
            credential: Some(self.credential_status(&connection).await?),
        }))
    }

    async fn revoke_credential(
        &self,
        request: Request<RevokeCredentialRequest>,
    ) -> Result<Response<RevokeCredentialResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let connection = self.connection(&caller, &request.connection).await?;
        let told = self.credentials.revoke(&connection).await.map_err(ApiError::from)?;
        // A run under way has the access token in its hands.
        if let Some(run) = self.store.active_run(connection.key).await.map_err(ApiError::from)? {
            self.store.cancel_run(&run.id, self.clock.now()).await.map_err(ApiError::from)?;
        }
        Ok(Response::new(RevokeCredentialResponse {
            credential: Some(self.credential_status(&connection).await?),
            provider_message: told.unwrap_or_default(),
        }))
    }

    async fn get_credential(
        &self,
        request: Request<GetCredentialRequest>,
    ) -> Result<Response<GetCredentialResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let connection = self.connection(&caller, &request.connection).await?;
        Ok(Response::new(GetCredentialResponse {
            credential: Some(self.credential_status(&connection).await?),
        }))
    }

    async fn refresh_credential(
        &self,
        request: Request<RefreshCredentialRequest>,
    ) -> Result<Response<RefreshCredentialResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let connection = self.connection(&caller, &request.connection).await?;
        self.credentials.refresh_now(&connection).await.map_err(ApiError::from)?;
        Ok(Response::new(RefreshCredentialResponse {
            credential: Some(self.credential_status(&connection).await?),
        }))
    }

    async fn confirm_account(
        &self,
        request: Request<ConfirmAccountRequest>,
    ) -> Result<Response<ConfirmAccountResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let connection = self.connection(&caller, &request.connection).await?;
        if request.account_id.is_empty() {
            return Err(
                ApiError::field("account_id", "is required: the id of the status's other_account").into()
            );
        }
        self.credentials.confirm(&connection, &request.account_id).await.map_err(ApiError::from)?;
        Ok(Response::new(ConfirmAccountResponse {
            credential: Some(self.credential_status(&connection).await?),
        }))
    }

    async fn start_authorization(
        &self,
        request: Request<StartAuthorizationRequest>,
    ) -> Result<Response<StartAuthorizationResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        Ok(Response::new(self.begin_authorization(&caller, request).await?))
    }

    async fn complete_authorization(
        &self,
        request: Request<CompleteAuthorizationRequest>,
    ) -> Result<Response<CompleteAuthorizationResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        Ok(Response::new(self.end_authorization(&caller, request).await?))
    }

    async fn get_authorization(
        &self,
        request: Request<GetAuthorizationRequest>,
    ) -> Result<Response<GetAuthorizationResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        Ok(Response::new(self.look_at_authorization(&caller, request).await?))
    }

    async fn create_o_auth_app(
        &self,
        request: Request<CreateOAuthAppRequest>,
    ) -> Result<Response<CreateOAuthAppResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let asked = request.oauth_app.unwrap_or_default();
        Ok(Response::new(self.create_oauth_app(&caller, asked).await?))
    }

    async fn get_o_auth_app(
        &self,
        request: Request<GetOAuthAppRequest>,
    ) -> Result<Response<GetOAuthAppResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        Ok(Response::new(self.get_oauth_app(&caller, &request.oauth_app).await?))
    }

    async fn list_o_auth_apps(
        &self,
        request: Request<ListOAuthAppsRequest>,
    ) -> Result<Response<ListOAuthAppsResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        Ok(Response::new(self.list_oauth_apps(&caller, request).await?))
    }

    async fn update_o_auth_app(
        &self,
        request: Request<UpdateOAuthAppRequest>,
    ) -> Result<Response<UpdateOAuthAppResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let asked = request.oauth_app.unwrap_or_default();
        Ok(Response::new(self.update_oauth_app(&caller, asked).await?))
    }

    async fn delete_o_auth_app(
        &self,
        request: Request<DeleteOAuthAppRequest>,
    ) -> Result<Response<DeleteOAuthAppResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        Ok(Response::new(self.delete_oauth_app(&caller, &request.oauth_app, request.force).await?))
    }
}

impl Api {
    /// Tries a credential that is there since a moment, and takes note of whose account it opens. That it cannot be tried,
    /// or that the source does not take it, is what its status says then.
    pub(in crate::api) async fn try_new_credential(&self, connection: &Connection) -> Result<(), ApiError> {
        match self.try_connection(connection).await {
            Ok(answer) if answer.checks.iter().any(has_failed) => {
                tracing::info!(connection = %connection.id, "a new credential is stored, and the test of the connection fails");
            }
            Ok(_) => {}
            Err(error @ ApiError::Store(_)) => return Err(error),
            Err(error) => {
                tracing::info!(connection = %connection.id, ?error, "a new credential is stored, and could not be tried");
            }
        }
        self.credentials.sync_when_connected(connection).await?;
        Ok(())
    }
}
