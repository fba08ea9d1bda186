//! API tokens: made, listed, ended. A token is shown once, in the answer that makes it, and nowhere else.

use superfasttt_proto::control::v1::{
    ApiToken, CreateApiTokenRequest, CreateApiTokenResponse, ListApiTokensRequest, ListApiTokensResponse,
    RevokeApiTokenResponse,
};

use crate::access::{Caller, Permission, gate};
use crate::api::convert::{time, timestamp};
use crate::api::error::ApiError;
use crate::api::{Api, page};
use crate::redact;
use crate::schedule::new_id;
use crate::store::StoreError;
use crate::store::api_tokens::{ApiToken as Stored, NewApiToken};

impl Api {
    /// Makes a token.
    pub(super) async fn make_token(
        &self,
        caller: &Caller,
        request: CreateApiTokenRequest,
    ) -> Result<CreateApiTokenResponse, ApiError> {
        let asked = request.api_token.unwrap_or_default();
        let now = self.clock.now();
        let mut faults = Vec::new();
        let mut fault = |field: &str, text: String| faults.push((format!("api_token.{field}"), text));
        if !is_name(&asked.name, "-_") {
            let text = "must be 1 to 63 of a-z, 0-9, \"-\" and \"_\", beginning with a letter or digit";
            fault("name", text.to_owned());
        }
        if !asked.organization.is_empty() && !is_name(&asked.organization, "-") {
            fault("organization", "must be 1 to 63 of a-z, 0-9 and \"-\", or empty for all".to_owned());
        }
        let mut permissions = Vec::new();
        for name in &asked.permissions {
            match name.parse() {
                Ok(permission) => permissions.push(permission),
                Err(unknown) => fault("permissions", format!("{name:?} {unknown}")),
            }
        }
        permissions.sort_unstable();
        permissions.dedup();
        if asked.permissions.is_empty() {
            fault("permissions", "are required: name what the token may do".to_owned());
        }
        if permissions.contains(&Permission::Admin) && !asked.organization.is_empty() {
            let text =
                "\"admin\" is for the whole installation: leave the organization out, or the permission";
            fault("permissions", text.to_owned());
        }
        let expires_at = asked.expires_at.as_ref().map(time);
        if expires_at.is_some_and(|at| at.is_none_or(|at| at <= now)) {
            fault("expires_at", "must be a time to come".to_owned());
        }
        if !faults.is_empty() {
            return Err(ApiError::Invalid(faults));
        }
        let secret = gate::new_token().ok_or_else(|| {
            ApiError::Precondition("the system gives no random numbers: a token cannot be made".to_owned())
        })?;
        let _kept = redact::keep(&secret);
        let new = NewApiToken {
            id: new_id(),
            name: asked.name,
            hash: gate::hash(secret.as_bytes()),
            organization: asked.organization,
            permissions,
            expires_at: expires_at.flatten(),
        };
        let made = self.store.create_api_token(new, now).await.map_err(|error| match error {
            StoreError::Taken(_) => ApiError::Taken(
                "an API token of this name exists: revoke it first, or choose another".to_owned(),
            ),
            error => error.into(),
        })?;
        note(caller, &made);
        Ok(CreateApiTokenResponse { api_token: Some(shown(made)), secret })
    }

    /// A page of tokens.
    pub(super) async fn tokens(
        &self,
        request: ListApiTokensRequest,
    ) -> Result<ListApiTokensResponse, ApiError> {
        let limit = page::size(request.page_size)?;
        let filters = ["api_tokens", &request.organization];
        let after = page::key(&filters, &request.page_token)?.unwrap_or_default();
        let organization = Some(request.organization.clone()).filter(|name| !name.is_empty());
        let listed = self.store.api_tokens(organization, &after, limit).await?;
        Ok(ListApiTokensResponse {
            api_tokens: listed.items.into_iter().map(shown).collect(),
            next_page_token: listed.next.map(|key| page::token(&filters, &key)).unwrap_or_default(),
        })
    }

    /// Ends a token.
    pub(super) async fn end_token(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<RevokeApiTokenResponse, ApiError> {
        if id.is_empty() {
            return Err(ApiError::field("api_token", "is required: the server's id of an API token"));
        }
        let revoked =
            self.store.revoke_api_token(id, self.clock.now()).await.map_err(|error| match error {
                // The id is not repeated: somebody may have put the token itself there.
                StoreError::Missing(_) => ApiError::not_found("API token", ""),
                error => error.into(),
            })?;
        note(caller, &revoked);
        Ok(RevokeApiTokenResponse { api_token: Some(shown(revoked)) })
    }
}

fn note(caller: &Caller, token: &Stored) {
    caller.concerns_any("api_token", &token.id, &token.organization);
    caller.tells(|detail| {
        detail.name.clone_from(&token.name);
        detail.permissions = token.permissions.iter().map(ToString::to_string).collect();
    });
}

fn shown(token: Stored) -> ApiToken {
    ApiToken {
        id: token.id,
        name: token.name,
        organization: token.organization,
        permissions: token.permissions.iter().map(ToString::to_string).collect(),
        created_at: Some(timestamp(token.created_at)),
        expires_at: token.expires_at.map(timestamp),
        last_used_at: token.last_used_at.map(timestamp),
        revoked_at: token.revoked_at.map(timestamp),
    }
}

/// Whether this is 1 to 63 letters, digits and these, beginning with a letter or digit.
fn is_name(name: &str, others: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    name.len() <= 63
        && name.starts_with(plain)
        && name.chars().all(|letter| plain(letter) || others.contains(letter))
}
