//! What a person sets.

use std::net::IpAddr;

use superfasttt_connector::{ConnectorError, Reason};
use url::{Host, Url};

/// The connection's settings, as `manifest.json` declares them.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Settings {
    /// Host and port of the provider.
    pub(crate) issuer: String,
}

impl Settings {
    /// Where the provider tells whose a token is.
    ///
    /// # Errors
    ///
    /// SETTINGS_INVALID for what is no host of this machine: tokens go there unencrypted.
    pub(crate) fn userinfo_url(&self) -> Result<Url, ConnectorError> {
        let url = Url::parse(&format!("http://{}/me", self.issuer)).ok();
        let read_as_written = |url: &Url| {
            let (host, port) =
                (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
            self.issuer == host || self.issuer == format!("{host}:{port}")
        };
        url.filter(|url| read_as_written(url) && is_this_machine(url)).ok_or_else(|| {
            let message = "`issuer` has to be a host and a port of this machine, such as 127.0.0.1:7080";
            ConnectorError::new(Reason::SettingsInvalid, message).with_metadata("field", "issuer")
        })
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_this_machine_or_nowhere() {
        let url = |issuer: &str| Settings { issuer: issuer.to_owned() }.userinfo_url();
        for issuer in ["127.0.0.1:7080", "localhost:9", "127.0.0.1", "[::1]:7080"] {
            assert_eq!(url(issuer).unwrap().as_str(), format!("http://{issuer}/me"));
        }
        for issuer in [
            "",
            "example.com",
            "10.0.0.1:80",
            "localhost@example.com",
            "x/127.0.0.1",
            "127.0.0.1/x",
            "127.0.0.1:x",
        ] {
            assert_eq!(url(issuer).unwrap_err().reason, Reason::SettingsInvalid, "{issuer}");
        }
    }
}
