//! What the HTTP clients of all calls share: the manifest's rules, the connections and the recording.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;

use prost::Message;
use prost_types::Struct;
use superfasttt_proto::connector::v1::{self, Reason};

use crate::call::Call;
use crate::credential::Credential;
use crate::http::client::HttpClient;
use crate::http::hosts::AllowedHosts;
use crate::http::network;
use crate::http::rates::RateLimits;
use crate::http::tape::Tape;
use crate::manifest::Manifest;
use crate::traffic::Traffic;

/// The author's own table of reasons.
type Reasons = Box<dyn Fn(u16) -> Option<Reason> + Send + Sync>;

/// Makes the clients of calls.
pub(crate) struct HttpSource {
    pub(super) hosts: AllowedHosts,
    pub(super) rates: RateLimits,
    pub(super) user_agent: String,
    pub(super) reasons: Reasons,
    pub(super) network: reqwest::Client,
    pub(super) tape: Tape,
    /// Of a process, so that nothing of a credential can be told from the key of its connection.
    hasher: RandomState,
}

impl HttpSource {
    /// # Errors
    ///
    /// When the recording cannot be written, or the one to replay not be read.
    pub(crate) fn new(manifest: &Manifest, reasons: Reasons, traffic: &Traffic) -> io::Result<Self> {
        let hosts = AllowedHosts::new(&manifest.allowed_hosts);
        let version = if manifest.version.is_empty() { "0" } else { &manifest.version };
        Ok(Self {
            network: network::client(hosts.are_not_named()),
            hosts,
            rates: RateLimits::new(manifest.rate_limits.clone()),
            user_agent: format!("{}/{version}", manifest.id),
            reasons,
            tape: Tape::open(traffic)?,
            hasher: RandomState::new(),
        })
    }

    /// The client of one call. Credential and settings say which connection the call is of.
    pub(crate) fn client(
        self: &Arc<Self>,
        call: &Call,
        credential: Option<&v1::Credential>,
        settings: Option<&Struct>,
    ) -> HttpClient {
        let encoded = |credential: &v1::Credential| credential.encode_to_vec();
        let identity = (credential.map(encoded), settings.map(Struct::encode_to_vec));
        let connection = self.hasher.hash_one(identity);
        let credential = credential.cloned().map(Credential::new);
        let own_network = match &credential {
            Some(credential) => network::client_of(credential, self.hosts.are_not_named()),
            None => Ok(None),
        };
        HttpClient::new(Arc::clone(self), credential, call, connection, own_network)
    }
}

impl fmt::Debug for HttpSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpSource").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}
