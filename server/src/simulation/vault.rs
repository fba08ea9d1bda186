//! The credentials of the simulation, behind the port through which runs get them: a vault that fails, a provider that is
//! away, and tokens that the source stops taking. A source that has stopped taking a token takes the next one: at the end of a history every connection has to have one that is taken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rand::Rng;
use serde_json::{Map, Value};
use superfasttt_proto::connector::v1::credential::Kind;
use superfasttt_proto::connector::v1::{Credential, OAuthToken, Reason};
use superfasttt_proto::error::ConnectorError;

use super::port::Port;
use super::world::{World, lock};
use crate::credentials::{Usable, UsedFor};
use crate::redact::Kept;
use crate::store::connections::Connection;
use crate::sync::port::CredentialSource;

/// The tokens of all connections, by number.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<BTreeMap<String, Grant>>);

#[derive(Clone, Copy, Debug, Default)]
struct Grant {
    /// The newest token.
    issued: u64,
    /// The oldest that the source takes.
    taken: u64,
}

impl Tokens {
    /// What the source says to a token; `Err`: no more.
    pub(super) fn admit(
        &self,
        world: &World,
        connection: &str,
        credential: Option<&Credential>,
    ) -> Result<(), ConnectorError> {
        let Some(token) = credential.and_then(number) else {
            world.accuse("a call comes without the connection's token");
            return Ok(());
        };
        let grant = lock(&self.0).get(connection).copied().unwrap_or_default();
        if token >= grant.taken { Ok(()) } else { Err(ended()) }
    }

    /// The source takes none of the tokens any more that there are.
    pub(super) fn end(&self, connection: &str) -> ConnectorError {
        let mut grants = lock(&self.0);
        let grant = grants.entry(connection.to_owned()).or_default();
        grant.taken = grant.issued + 1;
        ended()
    }

    fn issue(&self, connection: &str, refused: Option<u64>) -> u64 {
        let mut grants = lock(&self.0);
        let grant = grants.entry(connection.to_owned()).or_default();
        if refused == Some(grant.issued) {
            grant.issued += 1;
        }
        grant.issued
    }
}

fn ended() -> ConnectorError {
    ConnectorError::new(Reason::CredentialExpired, "the token has ended")
}

fn number(credential: &Credential) -> Option<u64> {
    match &credential.kind {
        Some(Kind::Oauth2(token)) => token.access_token.parse().ok(),
        _ => None,
    }
}

/// The vault as one replica meets it.
pub(super) struct SimulatedVault {
    pub world: Arc<World>,
    pub port: Arc<Port>,
}

#[async_trait]
impl CredentialSource for SimulatedVault {
    async fn settings(&self, connection: &Connection) -> Result<Map<String, Value>, ConnectorError> {
        Ok(connection.settings.clone())
    }

    async fn credential(
        self: Arc<Self>,
        connection: &Connection,
        refused: Option<&Usable>,
        _: UsedFor<'_>,
    ) -> Result<Option<Usable>, ConnectorError> {
        self.port.pass().await;
        if self.world.happens(|weather| weather.vault_fails) {
            let reasons =
                [Reason::Internal, Reason::SourceUnavailable, Reason::RateLimited, Reason::CredentialRevoked];
            let reason = self.world.choose(|chance| reasons[chance.random_range(0..reasons.len())]);
            return Err(ConnectorError::new(reason, "there is no token to be had"));
        }
        let refused = refused.and_then(|refused| number(&refused.credential));
        let token = self.world.tokens.issue(&connection.id, refused).to_string();
        self.port.pass().await;
        let kind = Kind::Oauth2(OAuthToken { access_token: token, ..OAuthToken::default() });
        let credential = Credential { kind: Some(kind), ..Credential::default() };
        Ok(Some(Usable { credential, expires_at: None, got_at: None, kept: Kept::default() }))
    }

    async fn refused(&self, connection: &Connection, _: &Usable, _: &ConnectorError) {
        self.port.pass().await;
        self.world
            .tell(format_args!("  {}: a person has to connect {} again", self.port.name, connection.id));
    }

    async fn withdraw(self: Arc<Self>, _: &Connection) {
        self.port.pass().await;
    }
}
