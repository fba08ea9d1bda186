//! Which hosts a connector may talk to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;
use url::{Host, Url};

/// The manifest's `allowed_hosts`. Without any: every host of the internet.
#[derive(Debug)]
pub(super) struct AllowedHosts(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    /// `*.`: every name below, and not the name itself.
    below: bool,
    name: String,
    port: Option<u16>,
}

impl AllowedHosts {
    pub(super) fn new(lines: &[String]) -> Self {
        Self(lines.iter().map(|line| Pattern::new(line)).collect())
    }

    /// Whether names are looked at only once they are resolved, by [`PublicOnly`].
    pub(super) fn are_not_named(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a request may go to `url`.
    ///
    /// # Errors
    ///
    /// SETTINGS_INVALID, which says what is missing in the manifest.
    pub(super) fn check(&self, url: &Url) -> Result<(), ConnectorError> {
        let (Some(host), "http" | "https") = (url.host(), url.scheme()) else {
            let message = "an address is none of http or https: see the connection's settings";
            return Err(ConnectorError::new(Reason::SettingsInvalid, message));
        };
        let allowed = match host {
            // A name is looked at when it is resolved.
            _ if !self.are_not_named() => self.0.iter().any(|pattern| pattern.matches(url)),
            Host::Domain(_) => true,
            Host::Ipv4(address) => is_public(address.into()),
            Host::Ipv6(address) => is_public(address.into()),
        };
        if allowed { Ok(()) } else { Err(refused(url)) }
    }
}

impl Pattern {
    fn new(line: &str) -> Self {
        let (name, port) = match line.rsplit_once(':') {
            // No request goes to port 0, so that what is no port lets none pass.
            Some((name, port)) => (name, Some(port.parse().unwrap_or(0))),
            None => (line, None),
        };
        let below = name.strip_prefix("*.");
        Self { below: below.is_some(), name: below.unwrap_or(name).to_ascii_lowercase(), port }
    }

    fn matches(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let is_named = if self.below {
            host.strip_suffix(&self.name).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.name
        };
        is_named && self.port.is_none_or(|port| url.port_or_known_default() == Some(port))
    }
}

/// Why a request was not sent to this host.
pub(super) fn refused(url: &Url) -> ConnectorError {
    let host = url.host_str().unwrap_or_default();
    let message = format!(
        "the connector may not talk to {host}: the manifest does not name it; its author adds {host:?} to `allowed_hosts`"
    );
    ConnectorError::new(Reason::SettingsInvalid, message).with_metadata("host", host)
}

/// Resolves names to addresses of the internet alone. What was looked at is what is connected to, so a name cannot change
/// its mind between the two.
pub(super) struct PublicOnly;

/// A name stands for an address of this machine or of a private network.
#[derive(Debug)]
pub(super) struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name is that of a private address")
    }
}

impl std::error::Error for NotPublic {}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|address| !is_public(address.ip())) {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether an address is one of the internet: not of this machine, a private network, link-local or reserved (the special
/// registries of RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_reserved =
        matches!((a, b, c), (0 | 240.., _, _) | (100, 64..=127, _) | (192, 0, 0) | (198, 18 | 19, _));
    !(is_reserved
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let inner = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match parts {
        // An address of version 4 within: as it is, and behind a translator (NAT64, 6to4).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(inner(high, low))
        }
        [0x2002, high, low, ..] => is_public_v4(inner(high, low)),
        // Tunnels and documentation.
        [0x2001, 0 | 0xdb8, ..] => false,
        // The rest of what is given out at all; it leaves out loopback, local, link-local and multicast.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(lines: &[&str], url: &str) -> bool {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        AllowedHosts::new(&lines).check(&url.parse().unwrap()).is_ok()
    }

    #[test]
    fn only_what_the_manifest_names_is_asked() {
        for (line, url, allowed) in [
            ("api.example.com", "https://API.example.com:8443/x", true),
            ("api.example.com", "https://api.example.com./x", true),
            ("api.example.com", "https://api.example.com.evil.example/", false),
            ("api.example.com", "https://api.example.com@evil.example/", false),
            ("api.example.com", "ftp://api.example.com/", false),
            ("*.example.com", "https://a.b.example.com/", true),
            ("*.example.com", "https://example.com/", false),
            ("*.example.com", "https://notexample.com/", false),
            ("api.example.com:443", "https://api.example.com/", true),
            ("api.example.com:443", "https://api.example.com:8443/", false),
            ("api.example.com:99999", "https://api.example.com/", false),
            ("127.0.0.1", "http://127.0.0.1:7090/", true),
            ("127.0.0.1", "http://127.0.0.2:7090/", false),
        ] {
            assert_eq!(allows(&[line], url), allowed, "{line} {url}");
        }
        let lines = ["api.example.com".to_owned()];
        let error =
            AllowedHosts::new(&lines).check(&"https://evil.example/?key=x".parse().unwrap()).unwrap_err();
        assert_eq!(error.reason, Reason::SettingsInvalid);
        assert!(error.message.contains("\"evil.example\" to `allowed_hosts`"), "{error}");
    }

    #[test]
    fn without_names_nothing_of_this_machine_or_network_is_asked() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://10.1.2.3/",
            "http://169.254.169.254/",
            "http://100.64.0.1/",
            "http://0.0.0.0/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
        ] {
            assert!(!allows(&[], url), "{url}");
        }
        for url in ["http://example.com/", "http://8.8.8.8/", "http://[2606:4700::1111]/"] {
            assert!(allows(&[], url), "{url}");
        }
    }
}
