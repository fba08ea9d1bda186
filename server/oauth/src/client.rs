//! The calls at the token URL.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use http::Method;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use zeroize::Zeroizing;

use crate::app::App;
use crate::failure::Failure;
use crate::http::{Http, Request, secret_header};
use crate::params::{self, Params};
use crate::provider::Provider;
use crate::reply::Reading;
use crate::scrub::Scrubber;
use crate::tokens::Tokens;
use crate::ways::{ClientAuth, TokenMethod, TokenRequest};

/// The type of an assertion that names the application (RFC 7523).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An application at a provider. Each call is one request; nothing is tried a second time here. A call that is
/// dropped before it ended may have reached the provider.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) http: Http,
    pub(crate) provider: Provider,
    pub(crate) app: Arc<App>,
}

impl Client {
    /// A client of this provider.
    pub fn new(http: Http, provider: Provider, app: Arc<App>) -> Self {
        Self { http, provider, app }
    }

    /// Exchanges the code that the callback brought. `redirect_uri` and `verifier` are those of the authorization,
    /// `asked` the scopes that were asked for.
    ///
    /// # Errors
    ///
    /// See [`Failure`]. After an ambiguous one the code may be used up: the person is asked again.
    pub async fn exchange(
        &self,
        code: &SecretString,
        verifier: Option<&SecretString>,
        redirect_uri: &str,
        asked: &[String],
        now: DateTime<Utc>,
    ) -> Result<Tokens, Failure> {
        let mut call = Call::default();
        call.params.add("grant_type", "authorization_code");
        call.add_secret("code", code.expose_secret());
        call.params.add("redirect_uri", redirect_uri);
        if let Some(verifier) = verifier {
            call.add_secret("code_verifier", verifier.expose_secret());
        }
        self.token_call(call, &self.provider.declaration().token_path, asked, now).await
    }

    /// Gets a token for the application itself.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn client_credentials(&self, asked: &[String], now: DateTime<Utc>) -> Result<Tokens, Failure> {
        let declaration = self.provider.declaration();
        let mut call = Call::default();
        if declaration.client_auth != ClientAuth::Bearer {
            call.params.add("grant_type", "client_credentials");
            if !asked.is_empty() {
                call.params.add("scope", &asked.join(&declaration.scope_separator));
            }
        }
        self.token_call(call, &declaration.token_path, asked, now).await
    }

    /// Gets a fresh access token. What to do with the refresh token of the answer is told at [`Tokens::refresh`].
    ///
    /// # Errors
    ///
    /// See [`Failure`]. After an ambiguous one that [may have reached](crate::Ambiguous::may_have_reached) the provider
    /// a rotating refresh token may be used up; only the next call tells.
    pub async fn refresh(
        &self,
        refresh_token: &SecretString,
        asked: &[String],
        now: DateTime<Utc>,
    ) -> Result<Tokens, Failure> {
        let declaration = self.provider.declaration();
        let token_path = declaration.refreshed_token_path.as_ref().unwrap_or(&declaration.token_path);
        let mut call = Call::default();
        call.params.add("grant_type", "refresh_token");
        call.add_secret("refresh_token", refresh_token.expose_secret());
        self.token_call(call, token_path, asked, now).await
    }

    async fn token_call(
        &self,
        mut call: Call,
        token_path: &str,
        asked: &[String],
        now: DateTime<Utc>,
    ) -> Result<Tokens, Failure> {
        let declaration = self.provider.declaration();
        self.add_client_auth(&mut call, declaration.client_auth, now)?;
        for (name, value) in &declaration.token_params {
            if !declaration.is_ours(name) {
                call.params.add(name, value);
            }
        }
        let method = match declaration.method {
            TokenMethod::Post => Method::POST,
            TokenMethod::Get => Method::GET,
        };
        let way = match (declaration.method, declaration.request) {
            (TokenMethod::Get, TokenRequest::Form) => TokenRequest::Query,
            (_, way) => way,
        };
        let request = call.request(method, self.provider.token_url.clone(), way);
        let reading = Reading { declaration, token_path, asked, scrubber: &call.scrubber, now };
        let reply = self.http.send(request).await.map_err(|error| reading.unsent(error))?;
        reading.tokens(&reply)
    }

    /// Shows the provider who we are.
    pub(crate) fn add_client_auth(
        &self,
        call: &mut Call,
        client_auth: ClientAuth,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let client_id = &self.app.client_id;
        let assertion = |audience: Option<&str>| {
            let key = self.app.secret.key().ok_or_else(|| {
                Failure::before_sending(
                    "no_signing_key",
                    "enter the application's private key: it signs its requests",
                )
            })?;
            key.assertion(client_id, audience, now)
                .ok_or_else(|| Failure::before_sending("not_signed", "check the application's private key"))
        };
        match (client_auth, self.app.secret.secret()) {
            (ClientAuth::Basic, Some(secret)) => call.add_basic(client_id, secret),
            (ClientAuth::Post | ClientAuth::Basic, secret) => {
                call.params.add("client_id", client_id);
                if let Some(secret) = secret {
                    call.add_secret("client_secret", secret);
                }
            }
            (ClientAuth::Assertion, _) => {
                let assertion = assertion(Some(self.provider.token_url.as_str()))?;
                call.params.add("client_id", client_id);
                call.params.add("client_assertion_type", ASSERTION_TYPE);
                call.add_secret("client_assertion", &assertion);
            }
            (ClientAuth::Bearer, _) => call.add_bearer(&assertion(None)?),
        }
        Ok(())
    }
}

/// A call that is being made, with the secrets that its reply must not bring into a message.
#[derive(Default)]
pub(crate) struct Call {
    pub(crate) params: Params,
    headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) scrubber: Scrubber,
}

impl Call {
    pub(crate) fn add_secret(&mut self, name: &str, value: &str) {
        self.scrubber.add(value);
        self.params.add(name, value);
    }

    /// Client id and secret, each encoded as in a form before they are joined (RFC 6749, section 2.3.1).
    pub(crate) fn add_basic(&mut self, client_id: &str, secret: &str) {
        let mut pair = Zeroizing::new(Vec::with_capacity(3 * (client_id.len() + secret.len()) + 1));
        params::push_encoded(&mut pair, client_id);
        pair.push(b':');
        params::push_encoded(&mut pair, secret);
        let encoded = Zeroizing::new(STANDARD.encode(&*pair));
        self.scrubber.add(secret);
        self.scrubber.add(&encoded);
        self.add_authorization("Basic ", &encoded);
    }

    pub(crate) fn add_bearer(&mut self, token: &str) {
        self.scrubber.add(token);
        self.add_authorization("Bearer ", token);
    }

    fn add_authorization(&mut self, scheme: &str, value: &str) {
        let mut bytes = Zeroizing::new(Vec::with_capacity(scheme.len() + value.len()));
        bytes.extend_from_slice(scheme.as_bytes());
        bytes.extend_from_slice(value.as_bytes());
        // A stored token is visible ASCII, so it is always a header value; without it the provider says the rest.
        self.headers.extend(secret_header(bytes).map(|value| (AUTHORIZATION, value)));
    }

    pub(crate) fn request(&mut self, method: Method, mut url: Url, way: TokenRequest) -> Request {
        let headers = std::mem::take(&mut self.headers);
        let body = match way {
            TokenRequest::Form => Some(("application/x-www-form-urlencoded", self.params.form())),
            TokenRequest::Json => Some(("application/json", self.params.json())),
            TokenRequest::Query => None,
        };
        if body.is_none() && !self.params.is_empty() {
            self.params.add_to_query(&mut url);
        }
        // An empty form is no body at all: providers that want none refuse one.
        let body = body.filter(|_| !self.params.is_empty());
        Request { method, url, headers, body }
    }
}
