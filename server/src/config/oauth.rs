//! Section `oauth`: how accounts are connected at providers.

use serde::{Deserialize, Serialize};
use superfasttt_oauth::Egress;
use url::Url;

use super::problem::Checks;
use super::return_url::{self, ReturnUrl};

/// How accounts are connected at providers.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuthConfig {
    /// Hosts of providers beside those that manifests allow, such as one of your own.
    pub allowed_hosts: Vec<String>,
    /// Networks that providers may be in though they are not public.
    pub allowed_networks: Vec<String>,
    /// Providers may be on this machine, by http too: for development and tests.
    pub allow_loopback: bool,
    /// Where people and answers of providers may be sent: beginnings of addresses.
    pub return_urls: Vec<String>,
}

impl OAuthConfig {
    /// Which addresses may be connected to.
    pub fn egress(&self) -> Egress {
        let networks = self.allowed_networks.iter().filter_map(|network| network.parse().ok());
        Egress { allowed_networks: networks.collect(), allow_loopback: self.allow_loopback }
    }

    /// The address, where people may be sent there.
    ///
    /// # Errors
    /// Why not.
    pub fn return_url(&self, text: &str) -> Result<Url, &'static str> {
        return_url::allowed(&self.return_urls, text)
    }

    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        for network in &self.allowed_networks {
            let is_network = network.parse::<ipnet::IpNet>().is_ok();
            checks.require(is_network, "allowed_networks", || {
                format!("{network:?} is no network; write for example \"10.1.0.0/16\"")
            });
        }
        for url in &self.return_urls {
            let read = ReturnUrl::parse(url);
            checks.require(read.is_ok(), "return_urls", || {
                format!("{url:?} {}", read.err().unwrap_or_default())
            });
        }
        for host in &self.allowed_hosts {
            checks.require(!host.is_empty() && !host.contains('/'), "allowed_hosts", || {
                format!("{host:?} is no host; write for example \"login.example.org\"")
            });
        }
    }
}
