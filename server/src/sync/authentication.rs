//! What a connector is called with: a credential that is good now, and a new one where the source says that it ended.

use std::sync::Arc;

use superfasttt_proto::connector::v1::{Credential, Reason};
use superfasttt_proto::error::ConnectorError;

use super::port::CredentialSource;
use crate::access::Purpose;
use crate::credentials::{Usable, UsedFor};
use crate::store::connections::Connection;

/// The credential of a connection, call after call.
pub struct Authentication {
    source: Arc<dyn CredentialSource>,
    purpose: Purpose,
    /// The run that it is for; empty: none.
    run: String,
    /// What the last call was made with.
    held: Option<Usable>,
    /// What the source said had ended, since it last took one.
    refused: Option<Usable>,
}

impl Authentication {
    /// For a run.
    pub fn for_run(source: Arc<dyn CredentialSource>, run: String) -> Self {
        Self { run, ..Self::new(source, Purpose::Run) }
    }

    /// For this purpose.
    pub fn new(source: Arc<dyn CredentialSource>, purpose: Purpose) -> Self {
        Self { source, purpose, run: String::new(), held: None, refused: None }
    }

    /// What the next call is made with. `None`: the connector asks for nothing.
    ///
    /// # Errors
    /// As [`CredentialSource::credential`].
    pub async fn credential(
        &mut self,
        connection: &Connection,
    ) -> Result<Option<Credential>, ConnectorError> {
        self.held = None;
        let used_for = UsedFor { purpose: self.purpose, run: &self.run };
        self.held = self.source.clone().credential(connection, self.refused.as_ref(), used_for).await?;
        Ok(self.held.as_ref().map(|held| held.credential.clone()))
    }

    /// The source took what it was called with.
    pub fn taken(&mut self) {
        self.refused = None;
    }

    /// What to do after a call that failed: `Ok` where it is to be made again, with a new credential.
    ///
    /// # Errors
    /// The error, where that does not help; `CREDENTIAL_REVOKED` where the source did not take a new one either.
    pub async fn after(
        &mut self,
        connection: &Connection,
        error: ConnectorError,
    ) -> Result<(), ConnectorError> {
        let Some(held) = self.held.take() else { return Err(error) };
        let error = match error.reason {
            Reason::CredentialExpired if self.refused.is_none() => {
                self.refused = Some(held);
                return Ok(());
            }
            Reason::CredentialExpired => {
                let message = format!("the source takes no new credential either: {}", error.message);
                ConnectorError { reason: Reason::CredentialRevoked, message, ..error }
            }
            Reason::CredentialRevoked => error,
            _ => return Err(error),
        };
        self.source.refused(connection, &held, &error).await;
        Err(error)
    }

    /// Makes a call, and once more where the source says that the credential has ended.
    ///
    /// # Errors
    /// As [`Self::credential`] and [`Self::after`].
    pub async fn call<T, Answer: Future<Output = Result<T, ConnectorError>>>(
        &mut self,
        connection: &Connection,
        call: impl Fn(Option<Credential>) -> Answer,
    ) -> Result<T, ConnectorError> {
        loop {
            let credential = self.credential(connection).await?;
            match call(credential).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.after(connection, error).await?,
            }
        }
    }
}
