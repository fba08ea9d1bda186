//! The address by which browsers reach the public listener.

use std::net::SocketAddr;

use url::{Host, Url};

/// How browsers and providers reach the public listener: the pages of OAuth lie under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Url);

impl PublicUrl {
    /// Reads a configured one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut url = Url::parse(text)
            .map_err(|_| "is no address; write for example \"https://connectors.example.com\"")?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err("must begin with https://");
        }
        let is_bare = url.query().is_none() && url.fragment().is_none();
        if !is_bare || !url.username().is_empty() || url.password().is_some() {
            return Err("has a user, a query or a fragment: leave that out");
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        let url = Self(url);
        if !url.is_https() && !url.is_loopback() {
            return Err("must begin with https://: what a provider answers must not be read on its way");
        }
        Ok(url)
    }

    /// The configured one, else the address that is listened on, by TLS or without.
    pub fn of(configured: Option<&str>, listening: SocketAddr, is_tls: bool) -> Self {
        let configured = configured.and_then(|text| Self::parse(text).ok());
        configured.unwrap_or_else(|| {
            // An address that means all of them is reached by none; this machine reaches it by its own.
            let host = match listening.ip() {
                ip if ip.is_unspecified() && ip.is_ipv4() => "127.0.0.1".to_owned(),
                std::net::IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
                std::net::IpAddr::V6(ip) => format!("[{ip}]"),
                ip => ip.to_string(),
            };
            let scheme = if is_tls { "https" } else { "http" };
            let url = format!("{scheme}://{host}:{}/", listening.port());
            Self(Url::parse(&url).expect("an address with its port is a URL"))
        })
    }

    /// Where providers answer to.
    pub fn redirect_uri(&self) -> String {
        format!("{}oauth/callback", self.0)
    }

    /// Where a browser begins an authorization.
    pub fn start(&self, state: &str) -> String {
        format!("{}oauth/start/{state}", self.0)
    }

    /// Whether browsers reach it by https.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether only browsers of this machine reach it.
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lie_under_it_wherever_a_proxy_puts_them() {
        let url = PublicUrl::parse("https://acme.example/connectors").unwrap();
        assert_eq!(url.redirect_uri(), "https://acme.example/connectors/oauth/callback");
        assert_eq!(url.to_string(), "https://acme.example/connectors");
        let own = PublicUrl::of(None, "127.0.0.1:7071".parse().unwrap(), false);
        assert_eq!(
            (own.redirect_uri().as_str(), own.is_loopback()),
            ("http://127.0.0.1:7071/oauth/callback", true)
        );
        let all = PublicUrl::of(None, "[::]:7071".parse().unwrap(), true);
        assert_eq!(all.to_string(), "https://[::1]:7071");
    }

    #[test]
    fn an_address_that_others_could_read_along_is_refused() {
        for bad in [
            "acme.example",
            "http://acme.example",
            "ftp://acme.example",
            "https://a@acme.example",
            "https://acme.example/?x",
        ] {
            assert!(PublicUrl::parse(bad).is_err(), "{bad}");
        }
        assert!(PublicUrl::parse("http://localhost:7071").is_ok());
    }
}
