//! How a credential is shown: how it does, and what a person has to do.

use chrono::{DateTime, TimeDelta, Utc};
use superfasttt_proto::connector::v1::AccountIdentity;
use superfasttt_proto::control::v1::credential_status::State;
use superfasttt_proto::control::v1::{CredentialField, CredentialStatus};

use crate::api::Api;
use crate::api::convert::timestamp;
use crate::api::error::ApiError;
use crate::catalog::{AuthField, Manifest};
use crate::credentials::entered;
use crate::store::connections::Connection;
use crate::store::credentials::{self, Account, Credential};

/// How long before its end a person is told of what only a person can renew.
const TOLD_AHEAD: TimeDelta = TimeDelta::days(7);

impl Api {
    /// How the credential of a connection does.
    pub(super) async fn credential_status(
        &self,
        connection: &Connection,
    ) -> Result<CredentialStatus, ApiError> {
        let manifest = self.manifest_of(connection)?;
        let found = self.store.credential(connection.key).await?;
        let found = found.filter(|(credential, _)| credential.kind == manifest.auth.kind);
        let mut shown = CredentialStatus {
            connection: connection.id.clone(),
            auth_type: manifest.auth.kind.as_str().to_owned(),
            fields: entered::fields(&manifest.auth).into_iter().map(field).collect(),
            state: State::Pending.into(),
            ..CredentialStatus::default()
        };
        let Some((credential, secrets)) = found else {
            "there is none yet: connect an account, or enter what the connector asks for"
                .clone_into(&mut shown.message);
            return Ok(shown);
        };
        let renews = self.credentials.renews(&credential, &secrets, &manifest);
        let status = &credential.status;
        // A grant may end though it is renewed; what cannot be renewed ends with its token.
        let ends_at = if renews { grant_ends(&credential, &manifest) } else { credential.expires_at };
        let (state, message) = state(&credential, renews, ends_at, self.clock.now());
        Ok(CredentialStatus {
            state: state.into(),
            message,
            account: status.account.as_ref().map(account),
            other_account: status.other_account.as_ref().map(account),
            granted_scopes: status.granted_scopes.clone(),
            missing_scopes: status.missing_scopes.clone(),
            expires_at: credential.expires_at.map(timestamp),
            refreshed_at: status.refreshed_at.map(timestamp),
            connected_at: status.connected_at.map(timestamp),
            refresh_at: credential.refresh_at.filter(|_| renews).map(timestamp),
            since: Some(timestamp(status.since)),
            reason: status.trouble.as_ref().map(|trouble| trouble.reason.clone()).unwrap_or_default(),
            oauth_app: status.oauth_app.clone(),
            ..shown
        })
    }

    /// The manifest of a connection's connector, or why there is none.
    pub(in crate::api) fn manifest_of(
        &self,
        connection: &Connection,
    ) -> Result<std::sync::Arc<Manifest>, ApiError> {
        let entry = self.catalog.get(&connection.connector);
        entry.and_then(|entry| entry.manifest.clone()).ok_or_else(|| {
            ApiError::Precondition(format!(
                "the connector {:?} is not in the catalogue, or its manifest is not valid",
                connection.connector
            ))
        })
    }
}

/// When the provider ends the grant, however often it is renewed. `None`: it does not, as far as the manifest says.
fn grant_ends(credential: &Credential, manifest: &Manifest) -> Option<DateTime<Utc>> {
    let lifetime = TimeDelta::from_std(manifest.auth.oauth.refresh_lifetime?).ok()?;
    credential.status.connected_at?.checked_add_signed(lifetime)
}

/// The state for a person, and what there is to say. `renews`: it can be renewed without one, until it ends.
fn state(
    credential: &Credential,
    renews: bool,
    ends_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> (State, String) {
    let status = &credential.status;
    let said = status.trouble.as_ref().map(|trouble| trouble.message.clone()).unwrap_or_default();
    let left = ends_at.map(|end| end - now);
    match status.state {
        credentials::State::Pending => (State::Pending, said),
        credentials::State::NeedsReconnect => (State::NeedsReconnect, said),
        credentials::State::Revoked => {
            let message = "it was taken away: connect the account, or enter it, to sync again";
            (State::Revoked, message.to_owned())
        }
        // Whether it has ended the provider says, when it is renewed.
        credentials::State::Connected if !renews && left.is_some_and(|left| left <= TimeDelta::zero()) => {
            let message =
                "it has ended, and there is nothing to renew it with: connect again, or enter a new one";
            (State::NeedsReconnect, message.to_owned())
        }
        credentials::State::Connected if left.is_some_and(|left| left < TOLD_AHEAD) => {
            let message = if renews {
                "the provider ends the access soon, however often it is renewed: connect again before"
            } else {
                "it ends soon, and there is nothing to renew it with: connect again, or enter a new one"
            };
            (State::Expiring, message.to_owned())
        }
        credentials::State::Connected if !said.is_empty() => {
            (State::Expiring, format!("it could not be renewed so far, which is tried again: {said}"))
        }
        credentials::State::Connected if !status.missing_scopes.is_empty() => {
            let message = format!(
                "not everything that was asked for was granted (missing: {}): what needs that cannot be synced; connect \
                 again and agree to it",
                status.missing_scopes.join(", ")
            );
            (State::Connected, message)
        }
        credentials::State::Connected => (State::Connected, String::new()),
    }
}

fn account(account: &Account) -> AccountIdentity {
    AccountIdentity { id: account.id.clone(), display_name: account.name.clone(), email: String::new() }
}

fn field(field: AuthField) -> CredentialField {
    CredentialField {
        label: field.label.unwrap_or_else(|| field.name.clone()),
        name: field.name,
        help: field.help,
        placeholder: field.placeholder,
        pattern: field.pattern.unwrap_or_default(),
        required: field.required,
        secret: field.secret,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::AuthKind;
    use crate::store::ConnectionKey;
    use crate::store::credentials::Status;
    use crate::store::suite::support::start;

    #[test]
    fn a_person_is_told_a_week_before_a_grant_ends_that_is_renewed_all_the_time() {
        let manifest = r#"{"id": "demo", "sync": {"mode": "full"}, "auth": {"type": "oauth2", "refresh_lifetime": "365d",
            "authorization_url": "https://a.example/a", "token_url": "https://a.example/t"}}"#;
        let manifest = Manifest::parse(manifest).unwrap();
        let connected =
            Status { state: credentials::State::Connected, connected_at: Some(start()), ..Status::default() };
        let credential = Credential {
            connection: ConnectionKey(1),
            version: 1,
            kind: AuthKind::OAuth2,
            status: connected,
            expires_at: Some(start() + TimeDelta::hours(1)),
            refresh_at: None,
            updated_at: start(),
        };
        let ends_at = grant_ends(&credential, &manifest);
        let after = |days| state(&credential, true, ends_at, start() + TimeDelta::days(days));
        assert_eq!(after(357), (State::Connected, String::new()));
        let (told, message) = after(359);
        assert!(told == State::Expiring && message.contains("connect again before"), "{message}");
        assert_eq!(after(366).0, State::Expiring, "the provider says when it has");
        // One that cannot be renewed ends with its token.
        let after = |minutes| {
            state(&credential, false, credential.expires_at, start() + TimeDelta::minutes(minutes)).0
        };
        assert_eq!((after(10), after(60)), (State::Expiring, State::NeedsReconnect));
    }
}
