//! Whose account a credential opens. A connection stays with one account: what another one holds is mixed into its
//! documents only when a person says so.

use superfasttt_proto::connector::v1::{AccountIdentity, Reason};
use superfasttt_proto::error::{ConnectorError, reason_info};

use super::refresh::over;
use super::usable::got_at;
use super::{Credentials, Usable, as_it_is};
use crate::catalog::AuthKind;
use crate::store::connections::Connection;
use crate::store::credentials::{Account, CredentialPut, State, Status, Trouble};

impl Credentials {
    /// Takes note of what a test of the connection found: that its credential works, and whose account it opens (`None`:
    /// the source does not say). Where that is another one than before, runs wait until a person has confirmed it.
    ///
    /// # Errors
    /// `INTERNAL` where the store is at fault.
    pub async fn tested(
        &self,
        connection: &Connection,
        identity: Option<&AccountIdentity>,
    ) -> Result<(), ConnectorError> {
        let mut goes_on = false;
        let now = self.clock.now();
        self.change(connection, |found| {
            let Some(found) = found.filter(|found| found.status.state != State::Revoked) else {
                return Ok(None);
            };
            let before = &found.status;
            let identity = identity.filter(|identity| !identity.id.is_empty()).map(account);
            if identity.is_none() && before.other_account.is_some() {
                // Nobody has said that it is not the other one any more.
                return Ok(None);
            }
            if before.state == State::NeedsReconnect && found.kind == AuthKind::OAuth2 {
                // What was tried has been ended since.
                return Ok(None);
            }
            let is_other = match (&before.account, &identity) {
                (Some(known), Some(found)) => known.id != found.id,
                _ => false,
            };
            let status = if is_other {
                Status {
                    state: State::Pending,
                    since: if before.other_account.is_some() { before.since } else { now },
                    trouble: Some(other_account(before.account.as_ref(), identity.as_ref(), now)),
                    other_account: identity,
                    ..before.clone()
                }
            } else {
                let waited = before.state != State::Connected;
                Status {
                    state: State::Connected,
                    since: if waited { now } else { before.since },
                    trouble: before.trouble.clone().filter(|_| !waited),
                    account: identity.or_else(|| before.account.clone()),
                    other_account: None,
                    ..before.clone()
                }
            };
            goes_on = before.state != State::Connected && status.state == State::Connected;
            Ok((status != *before).then(|| CredentialPut { status, ..as_it_is(found) }))
        })
        .await?;
        if goes_on { self.sync_again(connection, false).await } else { Ok(()) }
    }

    /// A person says that the connection goes on with the other account. Everything is listed again: what the former one
    /// saw, and this one does not, goes.
    ///
    /// # Errors
    /// `NOT_FOUND` where no such account waits.
    pub async fn confirm(&self, connection: &Connection, account_id: &str) -> Result<(), ConnectorError> {
        self.change(connection, |found| {
            let waits =
                found.and_then(|found| found.status.other_account.clone().map(|other| (found, other)));
            let Some((found, other)) = waits.filter(|(_, other)| other.id == account_id) else {
                let message = format!(
                    "no account {account_id:?} waits to be confirmed: look at the credential's status"
                );
                return Err(ConnectorError::new(Reason::NotFound, message));
            };
            let status = Status {
                state: State::Connected,
                since: self.clock.now(),
                trouble: None,
                account: Some(other),
                other_account: None,
                ..found.status.clone()
            };
            Ok(Some(CredentialPut { status, ..as_it_is(found) }))
        })
        .await?;
        self.sync_again(connection, true).await
    }

    /// The source takes this credential no more: a person has to act. Nothing changes where another one is there by now.
    pub(super) async fn refused_by_source(
        &self,
        connection: &Connection,
        held: &Usable,
        error: &ConnectorError,
    ) {
        let written = self.change(connection, |found| {
            let same = |found: &&_| got_at(found) == held.got_at && found.status.state != State::Revoked;
            let Some(found) = found.filter(same) else { return Ok(None) };
            let mut status = over(&found.status, &error.message, self.clock.now());
            if let Some(trouble) = &mut status.trouble {
                reason_info(error.reason).name.clone_into(&mut trouble.reason);
            }
            Ok(Some(CredentialPut { status, refresh_at: None, ..as_it_is(found) }))
        });
        if let Err(error) = written.await {
            tracing::warn!(connection = %connection.id, %error, "it could not be written down that an account has to be connected again");
        }
    }
}

fn account(identity: &AccountIdentity) -> Account {
    let name = [&identity.display_name, &identity.email].into_iter().find(|name| !name.is_empty());
    Account { id: identity.id.clone(), name: name.cloned().unwrap_or_default() }
}

fn other_account(
    before: Option<&Account>,
    now: Option<&Account>,
    since: chrono::DateTime<chrono::Utc>,
) -> Trouble {
    let shown = |account: Option<&Account>| {
        let account = account.cloned().unwrap_or_default();
        if account.name.is_empty() { account.id } else { format!("{} ({})", account.name, account.id) }
    };
    let message = format!(
        "this is another account: {} instead of {}. Runs wait until a person confirms it (`connectorctl credentials confirm`) \
         or connects the former one again",
        shown(now),
        shown(before)
    );
    Trouble { reason: String::new(), message, since }
}
