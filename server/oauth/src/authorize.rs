//! Where a person is sent to agree.

use std::fmt;

use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope};
use secrecy::SecretString;
use url::Url;
use zeroize::Zeroizing;

use crate::client::Client;
use crate::failure::Failure;

/// The begin of a grant.
pub struct Authorization {
    /// Where the person is sent.
    pub url: Url,
    /// What the callback must bring back: to be compared in constant time, and used once.
    pub state: SecretString,
    /// What [`Client::exchange`] needs beside the code; `None`: the provider takes no proof key.
    pub verifier: Option<SecretString>,
}

/// The URL holds the state, so only its beginning is shown.
impl fmt::Debug for Authorization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Authorization").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes the address to which a person is sent, with a fresh `state` and proof key. `scopes` are those of
    /// [`Declaration::scopes_for`](crate::Declaration::scopes_for).
    ///
    /// # Errors
    ///
    /// The provider has no such address, or `redirect_uri` is none.
    pub fn authorize(&self, redirect_uri: &str, scopes: &[String]) -> Result<Authorization, Failure> {
        let declaration = self.provider.declaration();
        let Some(url) = self.provider.authorization_url.clone() else {
            let mend = "use the connector without a person's consent: it knows no other way";
            return Err(Failure::before_sending("no_authorization_url", mend));
        };
        let redirect_uri = RedirectUrl::new(redirect_uri.to_owned()).map_err(|_| {
            Failure::before_sending(
                "invalid_redirect_uri",
                "correct the public address in the server's configuration",
            )
        })?;
        let state = CsrfToken::new_random_len(32);
        let client = BasicClient::new(ClientId::new(self.app.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(url))
            .set_redirect_uri(redirect_uri);
        let mut request = client.authorize_url(|| state.clone());

        // The standard's `scope` is joined by spaces; every other list is one value, joined as the provider wants.
        let mut asked: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let optional = declaration.optional_scopes.iter().map(String::as_str);
        let mut lists: Vec<(&str, Vec<&str>)> = Vec::new();
        match &declaration.optional_scope_param {
            Some(name) => lists.push((name, optional.collect())),
            None => asked.extend(optional.filter(|scope| !scopes.iter().any(|asked| asked == scope))),
        }
        for (name, further) in &declaration.further_scopes {
            lists.push((name, further.iter().map(String::as_str).collect()));
        }
        lists.retain(|(_, scopes)| !scopes.is_empty());
        if declaration.scope_param != "scope" {
            lists.push((&declaration.scope_param, std::mem::take(&mut asked)));
        }
        if !asked.is_empty() {
            request = request.add_scope(Scope::new(asked.join(&declaration.scope_separator)));
        }
        for (name, scopes) in lists {
            request = request.add_extra_param(name, scopes.join(&declaration.scope_separator));
        }
        for (name, value) in &declaration.authorize_params {
            if !declaration.is_ours(name) {
                request = request.add_extra_param(name, value);
            }
        }
        let mut verifier = None;
        if declaration.pkce {
            let (challenge, secret): (PkceCodeChallenge, PkceCodeVerifier) =
                PkceCodeChallenge::new_random_sha256();
            request = request.set_pkce_challenge(challenge);
            verifier = Some(SecretString::from(secret.into_secret()));
        }
        let (url, state) = request.url();
        let state = Zeroizing::new(state.into_secret());
        Ok(Authorization { url, state: SecretString::from(state.as_str()), verifier })
    }
}
