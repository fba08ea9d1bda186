//! The provider's userinfo endpoint (OpenID Connect Core 1.0, section 5.3): whose a token is.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use superfasttt_connector::{ConnectorError, Credential, Reason};
use url::Url;

use crate::profile::Profile;
use crate::refusal::{refused, unreadable};

/// How long the provider may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A longer answer is none: claims are a few hundred bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// Asks providers. One client for all connections: it keeps nothing of any.
#[derive(Clone, Debug)]
pub(crate) struct UserInfo {
    http: reqwest::Client,
}

impl UserInfo {
    pub(crate) fn new() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the ciphers of every version")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            // A token goes to the provider and to nobody that it, or the environment, names.
            .redirect(Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .expect("a client of constants can be made");
        Self { http }
    }

    /// The account that this credential opens.
    pub(crate) async fn profile(
        &self,
        url: Url,
        credential: Option<&Credential>,
    ) -> Result<Profile, ConnectorError> {
        let token = credential.ok_or_else(no_credential)?.token()?;
        let response =
            self.http.get(url).bearer_auth(token).send().await.map_err(|error| unreachable(&error))?;
        if response.status() != reqwest::StatusCode::OK {
            #[expect(clippy::disallowed_methods, reason = "what the provider's date is compared with")]
            let now = std::time::SystemTime::now();
            return Err(refused(response.status(), response.headers(), now));
        }
        let body = read(response).await?;
        let profile: Profile =
            serde_json::from_slice(&body).map_err(|_| unreadable("it is no JSON with a claim `sub`"))?;
        if profile.sub.is_empty() { Err(unreadable("its `sub` is empty")) } else { Ok(profile) }
    }
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, ConnectorError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(unreadable("it is longer than 1 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn no_credential() -> ConnectorError {
    ConnectorError::new(Reason::CredentialRevoked, "no account is connected: a person has to connect one")
}

/// No answer, or half of one. Its kind is told and not its text, which has addresses in it.
fn unreachable(error: &reqwest::Error) -> ConnectorError {
    let how = if error.is_timeout() {
        "did not answer in time"
    } else if error.is_connect() {
        "cannot be connected to"
    } else {
        "ended its answer before it was whole"
    };
    ConnectorError::new(Reason::SourceUnavailable, format!("the provider {how}; it is tried again"))
}
