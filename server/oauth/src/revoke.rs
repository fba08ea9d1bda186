//! Withdrawing a grant, by RFC 7009 or by a provider's own way.

use chrono::{DateTime, Utc};
use http::Method;
use secrecy::{ExposeSecret, SecretString};

use crate::client::{Call, Client};
use crate::failure::Failure;
use crate::reply::Reading;
use crate::ways::{RevocationAuth, RevocationMethod, RevocationToken};

/// The tokens of a grant that is to end.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// The access token, if there is one that may be alive.
    pub access: Option<&'a SecretString>,
    /// The refresh token, if there is one.
    pub refresh: Option<&'a SecretString>,
}

/// How a withdrawal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The provider withdrew it.
    Revoked,
    /// The provider does not know the token any more, and there is no other.
    AlreadyGone,
    /// The provider wants a living access token, and there is only the refresh token of the grant, which may be alive:
    /// refresh, and withdraw again. A refresh that is [`Refused`](crate::Refused) says that it is gone.
    RefreshFirst,
    /// The provider has no way to withdraw a grant, or none for the tokens that there are: a person has to do it in
    /// the account's settings there.
    NotOffered,
}

impl Client {
    /// Withdraws a grant.
    ///
    /// # Errors
    ///
    /// See [`Failure`]; the grant may then be alive.
    pub async fn revoke(&self, grant: Grant<'_>, now: DateTime<Utc>) -> Result<Revocation, Failure> {
        let declaration = self.provider.declaration();
        let rules = &declaration.revocation;
        let Some(url) = &self.provider.revocation else { return Ok(Revocation::NotOffered) };
        let token = match rules.token {
            RevocationToken::Any => grant.refresh.or(grant.access),
            RevocationToken::RefreshToken => grant.refresh,
            RevocationToken::AccessToken => grant.access,
        };
        let bearer = match rules.auth {
            RevocationAuth::Bearer => grant.access.map(Some),
            _ => Some(None),
        };
        // What is said of an access token says nothing of the grant while there is a refresh token.
        let by_access = rules.auth == RevocationAuth::Bearer || rules.token == RevocationToken::AccessToken;
        let (gone, nothing_to_name) = if by_access && grant.refresh.is_some() {
            (Revocation::RefreshFirst, Revocation::RefreshFirst)
        } else {
            (Revocation::AlreadyGone, Revocation::NotOffered)
        };
        let (Some(token), Some(bearer)) = (token, bearer) else { return Ok(nothing_to_name) };

        let mut call = Call::default();
        call.scrubber.add(token.expose_secret());
        if !rules.token_param.is_empty() {
            call.add_secret(&rules.token_param, token.expose_secret());
        }
        match (rules.auth, bearer) {
            (_, Some(bearer)) => call.add_bearer(bearer.expose_secret()),
            (RevocationAuth::Client, None) => {
                self.add_client_auth(&mut call, declaration.client_auth, now)?
            }
            (RevocationAuth::Basic, None) => {
                call.add_basic(&self.app.client_id, self.app.secret.secret().unwrap_or_default());
            }
            (RevocationAuth::Bearer | RevocationAuth::None, None) => {}
        }
        for (name, value) in &rules.params {
            call.params.add(name, value);
        }
        // The reason of a refusal could hold the token, so only our own words are used.
        let url = url.fill(token.expose_secret(), &self.app.client_id).map_err(|_| {
            Failure::before_sending(
                "no_revocation_url",
                "withdraw the access in the account's settings there",
            )
        })?;
        let method = match rules.method {
            RevocationMethod::Post => Method::POST,
            RevocationMethod::Delete => Method::DELETE,
            RevocationMethod::Get => Method::GET,
        };
        let request = call.request(method, url, rules.request);
        let reading = Reading { declaration, token_path: "", asked: &[], scrubber: &call.scrubber, now };
        let reply = self.http.send(request).await.map_err(|error| reading.unsent(error))?;
        match reading.checked(&reply) {
            Ok(_) => Ok(Revocation::Revoked),
            // What the provider refuses because the grant is over is over.
            Err(Failure::Refused(_)) => Ok(gone),
            Err(_) if is_gone(reply.status, rules.auth, rules.method) => Ok(gone),
            Err(failure) => Err(failure),
        }
    }
}

/// A bearer token that is not accepted, or a token to delete that is not there.
fn is_gone(status: u16, auth: RevocationAuth, method: RevocationMethod) -> bool {
    (status == 401 && auth == RevocationAuth::Bearer)
        || (matches!(status, 404 | 410 | 422) && method == RevocationMethod::Delete)
}
