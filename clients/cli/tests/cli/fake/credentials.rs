//! What the fake knows of credentials and OAuth apps.

use std::collections::VecDeque;
use std::sync::Mutex;

use superfasttt_proto::control::v1 as control;
use superfasttt_proto::control::v1::credential_service_server::CredentialService;
use tonic::{Request, Response, Status};

use super::{Answer, Fake, Later, check, unused};

/// The link that a person opens.
pub const LINK: &str = "http://127.0.0.1:7071/oauth/start/s3cr3t-state";
/// The only OAuth app.
pub const APP: &str = "0197f3a0-0000-7000-8000-0000000000bb";

/// What it answers, and what it was asked.
#[derive(Default)]
pub struct Credentials {
    /// How the credential does.
    pub status: control::CredentialStatus,
    /// What GetAuthorization answers, one after the other.
    pub ends: Mutex<VecDeque<control::GetAuthorizationResponse>>,
    /// StartAuthorization.
    pub starts: Mutex<Vec<control::StartAuthorizationRequest>>,
    /// SetCredential.
    pub sets: Mutex<Vec<control::SetCredentialRequest>>,
    /// CreateOAuthApp and UpdateOAuthApp.
    pub apps: Mutex<Vec<control::OAuthApp>>,
    /// DeleteOAuthApp.
    pub deleted: Mutex<Vec<String>>,
}

fn app() -> control::OAuthApp {
    control::OAuthApp {
        id: APP.to_owned(),
        connector: "filesystem".to_owned(),
        client_id: "123".to_owned(),
        has_client_secret: true,
        redirect_uri: "http://127.0.0.1:7071/oauth/callback".to_owned(),
        etag: "\"1\"".to_owned(),
        ..Default::default()
    }
}

impl Fake {
    fn credentials(&self) -> &Credentials {
        self.credentials.as_ref().expect("it is served only where it is there")
    }
}

#[tonic::async_trait]
impl CredentialService for Fake {
    async fn start_authorization(
        &self,
        request: Request<control::StartAuthorizationRequest>,
    ) -> Answer<control::StartAuthorizationResponse> {
        check(&request.get_ref().connection)?;
        self.credentials().starts.lock().unwrap().push(request.into_inner());
        Ok(Response::new(control::StartAuthorizationResponse {
            authorization_url: LINK.to_owned(),
            expires_at: None,
            state: String::new(),
            authorization: "a1".to_owned(),
        }))
    }

    async fn get_authorization(
        &self,
        request: Request<control::GetAuthorizationRequest>,
    ) -> Answer<control::GetAuthorizationResponse> {
        assert_eq!(request.get_ref().authorization, "a1");
        let next = self.credentials().ends.lock().unwrap().pop_front();
        next.map(Response::new).ok_or_else(|| Status::not_found("no authorization"))
    }

    async fn get_credential(
        &self,
        request: Request<control::GetCredentialRequest>,
    ) -> Answer<control::GetCredentialResponse> {
        check(&request.get_ref().connection)?;
        let credential = Some(self.credentials().status.clone());
        Ok(Response::new(control::GetCredentialResponse { credential }))
    }

    async fn set_credential(
        &self,
        request: Request<control::SetCredentialRequest>,
    ) -> Answer<control::SetCredentialResponse> {
        self.credentials().sets.lock().unwrap().push(request.into_inner());
        let credential = Some(self.credentials().status.clone());
        Ok(Response::new(control::SetCredentialResponse { credential }))
    }

    async fn create_o_auth_app(
        &self,
        request: Request<control::CreateOAuthAppRequest>,
    ) -> Answer<control::CreateOAuthAppResponse> {
        self.credentials().apps.lock().unwrap().extend(request.into_inner().oauth_app);
        Ok(Response::new(control::CreateOAuthAppResponse { oauth_app: Some(app()) }))
    }

    async fn list_o_auth_apps(
        &self,
        _: Request<control::ListOAuthAppsRequest>,
    ) -> Answer<control::ListOAuthAppsResponse> {
        let oauth_apps = vec![app()];
        Ok(Response::new(control::ListOAuthAppsResponse { oauth_apps, next_page_token: String::new() }))
    }

    async fn update_o_auth_app(
        &self,
        request: Request<control::UpdateOAuthAppRequest>,
    ) -> Answer<control::UpdateOAuthAppResponse> {
        self.credentials().apps.lock().unwrap().extend(request.into_inner().oauth_app);
        Ok(Response::new(control::UpdateOAuthAppResponse { oauth_app: Some(app()) }))
    }

    async fn delete_o_auth_app(
        &self,
        request: Request<control::DeleteOAuthAppRequest>,
    ) -> Answer<control::DeleteOAuthAppResponse> {
        let request = request.into_inner();
        assert!(request.force, "an account is connected through it");
        self.credentials().deleted.lock().unwrap().push(request.oauth_app);
        Ok(Response::new(control::DeleteOAuthAppResponse {}))
    }

    unused! {
        complete_authorization(CompleteAuthorizationRequest) -> CompleteAuthorizationResponse,
        revoke_credential(RevokeCredentialRequest) -> RevokeCredentialResponse,
        refresh_credential(RefreshCredentialRequest) -> RefreshCredentialResponse,
        confirm_account(ConfirmAccountRequest) -> ConfirmAccountResponse,
        get_o_auth_app(GetOAuthAppRequest) -> GetOAuthAppResponse,
    }
}
