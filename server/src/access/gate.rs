//! Who calls, by the token that came with the call: the installation's own from the configuration, which may do everything,
//! or one of the API tokens in the store. Where the configuration has no token and asks for none, whoever reaches the
//! listener may do everything; but a token that is shown counts, so that a revoked one opens nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

use super::{Audit, Caller, Permission};
use crate::clock::SharedClock;
use crate::redact::{self, Kept};
use crate::store::api_tokens::{ApiToken, TokenHash};
use crate::store::audit::Actor;
use crate::store::{Store, StoreError};

/// What every API token begins with: so that people, and those who search code for secrets, know one.
pub const PREFIX: &str = "sfc_";
/// How often it is written when a token was last used.
const NOTED_EVERY: TimeDelta = TimeDelta::seconds(60);
const NOTES_WRITTEN_EVERY: Duration = Duration::from_secs(15);

/// A new token: 256 random bits. `None`: the system gives no random numbers.
pub fn new_token() -> Option<String> {
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).ok()?;
    Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
}

/// The hash by which a token is stored and found.
pub fn hash(token: &[u8]) -> TokenHash {
    let mut hash = TokenHash::default();
    hash.copy_from_slice(digest(&SHA256, token).as_ref());
    hash
}

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There was no token.
    #[error("a token is required")]
    Required,
    /// It is none of this server's.
    #[error("the token is not one of this server")]
    Wrong,
    /// It was good until a while ago.
    #[error("the token has expired")]
    Expired(Actor),
    /// A person ended it.
    #[error("the token was revoked")]
    Revoked(Actor),
    /// Nobody can tell.
    #[error("the store failed: {0}")]
    Store(StoreError),
}

/// What a call was let in with. While it is there, the token is kept out of all that is written.
#[derive(Clone, Debug)]
pub struct Standing {
    access: Access,
    hash: TokenHash,
    _kept: Kept,
}

impl Standing {
    /// Whether it would be let in now.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), Refused> {
        self.access.api_token(self.hash, String::new()).await.map(|_| ())
    }
}

/// Lets callers in. Clones are the same.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: SharedClock,
    /// The installation's own token.
    token: Option<SecretString>,
    require_token: bool,
    audit: Audit,
    used: Mutex<HashMap<String, Used>>,
}

/// When a token was last shown.
struct Used {
    at: DateTime<Utc>,
    /// What of that is to be written, or was. `None`: nothing was yet.
    noted: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Access").field("require_token", &self.0.require_token).finish_non_exhaustive()
    }
}

impl Access {
    /// Lets in who shows `token` or an API token of the store; without a `token` everybody, unless `require_token`.
    pub fn new(
        store: Arc<dyn Store>,
        clock: SharedClock,
        token: Option<SecretString>,
        require_token: bool,
        audit: Audit,
    ) -> Self {
        Self(Arc::new(Inner { store, clock, token, require_token, audit, used: Mutex::default() }))
    }

    /// What calls are written to.
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    /// Who it is that shows this token (`None`: none) and comes from this address.
    ///
    /// # Errors
    /// Why it is nobody who may come in.
    pub async fn identify(&self, shown: Option<&[u8]>, address: Option<IpAddr>) -> Result<Caller, Refused> {
        let address = address.map(|address| address.to_canonical().to_string()).unwrap_or_default();
        let everything = |name: &str| {
            let actor = Actor { token: String::new(), name: name.to_owned(), address: address.clone() };
            Caller::new(actor, String::new(), vec![Permission::Admin])
        };
        let Some(shown) = shown else {
            let open = self.0.token.is_none() && !self.0.require_token;
            return if open { Ok(everything("anyone")) } else { Err(Refused::Required) };
        };
        // The time tells the token's length, which is no secret, and nothing of its characters.
        let own = self.0.token.as_ref().map(|token| token.expose_secret().as_bytes());
        if own.is_some_and(|own| bool::from(shown.ct_eq(own))) {
            return Ok(everything("server.token"));
        }
        if !shown.starts_with(PREFIX.as_bytes()) {
            return Err(Refused::Wrong);
        }
        let (token, actor) = self.api_token(hash(shown), address).await?;
        self.used(&token, self.0.clock.now());
        Ok(Caller::new(actor, token.organization, token.permissions))
    }

    /// The API token of this hash, where it is good.
    async fn api_token(&self, hash: TokenHash, address: String) -> Result<(ApiToken, Actor), Refused> {
        let token = self.0.store.api_token_by_hash(hash).await.map_err(Refused::Store)?;
        let token = token.ok_or(Refused::Wrong)?;
        let actor = Actor { token: token.id.clone(), name: token.name.clone(), address };
        if token.revoked_at.is_some() {
            return Err(Refused::Revoked(actor));
        }
        if token.expires_at.is_some_and(|at| at <= self.0.clock.now()) {
            return Err(Refused::Expired(actor));
        }
        Ok((token, actor))
    }

    /// For a call that may go on for long: whether the API token that it was let in with still is good. `None`: it was let
    /// in by something else, which does not end while the process lives.
    pub fn standing(&self, shown: &[u8]) -> Option<Standing> {
        let is_api_token = shown.starts_with(PREFIX.as_bytes());
        is_api_token.then(|| Standing { access: self.clone(), hash: hash(shown), _kept: redact::keep(shown) })
    }

    fn used(&self, token: &ApiToken, now: DateTime<Utc>) {
        let mut used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = used.entry(token.id.clone()).or_insert(Used { at: now, noted: token.last_used_at });
        entry.at = now.max(entry.at);
    }

    /// Writes when tokens were last used, now and then, until `shutdown`; then once more.
    pub async fn run(self, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(NOTES_WRITTEN_EVERY)).await.is_some() {
            self.note(NOTED_EVERY).await;
        }
        self.note(TimeDelta::zero()).await;
    }

    /// Writes the last use of those tokens of which what is written is older than `age`.
    async fn note(&self, age: TimeDelta) {
        let mut due = Vec::new();
        {
            let mut used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
            // One that was not used since is forgotten: it costs nothing to learn of it again.
            used.retain(|_, token| token.noted.is_none_or(|noted| noted < token.at));
            for (id, token) in &mut *used {
                if token.noted.is_none_or(|noted| token.at - noted >= age) {
                    due.push((id.clone(), token.at));
                    token.noted = Some(token.at);
                }
            }
        }
        if due.is_empty() {
            return;
        }
        if let Err(error) = self.0.store.note_api_tokens(due).await {
            // The next use is noted again; this is no more than a hint for people.
            tracing::warn!(%error, "it could not be written when API tokens were last used");
        }
    }
}
