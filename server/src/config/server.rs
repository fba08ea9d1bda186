//! Section `server`: where connectord listens and who may call it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use super::problem::Checks;
use super::public_url::PublicUrl;
use super::tls::TlsConfig;
use super::units::duration;

/// Where connectord listens and who may call it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where the control API, the console, metrics and health are served.
    pub control_listen: SocketAddr,
    /// Where OAuth callbacks and webhooks come in.
    pub public_listen: SocketAddr,
    /// How browsers and providers reach `public_listen`. `None`: as it is.
    pub public_url: Option<String>,
    /// What callers of the control API must show. Filled from `token_file` where that is given.
    #[serde(with = "secret")]
    pub token: Option<SecretString>,
    /// A file that holds the token.
    pub token_file: Option<PathBuf>,
    /// Ask every caller for a token, also where there is none above.
    pub require_token: bool,
    /// How long a stop waits for calls and runs to end.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
    /// The section `server.tls`, of the control listener. It is no key of this one.
    #[serde(skip)]
    pub tls: TlsConfig,
    /// The section `server.public_tls`, of the public listener.
    #[serde(skip)]
    pub public_tls: TlsConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            control_listen: SocketAddr::new(loopback, 7070),
            public_listen: SocketAddr::new(loopback, 7071),
            public_url: None,
            token: None,
            token_file: None,
            require_token: false,
            drain_timeout: Duration::from_secs(30),
            tls: TlsConfig::default(),
            public_tls: TlsConfig::default(),
        }
    }
}

impl ServerConfig {
    /// Reads the token's file, where there is one.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub(super) fn read_token_file(&mut self) -> Result<(), String> {
        let Some(path) = &self.token_file else { return Ok(()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        // An editor ends a file with a newline.
        self.token = Some(SecretString::from(text.trim_end()));
        Ok(())
    }

    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        let token_key = if self.token_file.is_some() { "token_file" } else { "token" };
        let asks = self.token.is_some() || self.require_token;
        checks.require(asks || self.control_listen.ip().is_loopback(), "control_listen", || {
            format!(
                "{} can be reached from other machines; set server.token, server.token_file or server.require_token, or \
                 listen on 127.0.0.1",
                self.control_listen
            )
        });
        if let Some(token) = &self.token {
            let token = token.expose_secret();
            checks.require(!token.is_empty(), token_key, || "the token is empty".to_owned());
            // Anything else cannot travel in an Authorization header.
            checks.require(token.bytes().all(|byte| byte.is_ascii_graphic()), token_key, || {
                "the token has characters other than visible ASCII".to_owned()
            });
        }
        if let Some(url) = &self.public_url {
            let read = PublicUrl::parse(url);
            checks.require(read.is_ok(), "public_url", || {
                format!("{url:?} {}", read.err().unwrap_or_default())
            });
        }
        let ports_differ = self.control_listen != self.public_listen || self.control_listen.port() == 0;
        checks.require(ports_differ, "public_listen", || {
            "it is the same as server.control_listen; give it a port of its own".to_owned()
        });
    }
}

/// For `#[serde(with = "secret")]`: a value that is read but never written out, nor quoted in an error.
pub(super) mod secret {
    use super::{Deserialize, SecretString, Serializer};

    pub(in crate::config) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SecretString>, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Some(SecretString::from(text))),
            _ => Err(serde::de::Error::custom("it is not a text; put it between quotes")),
        }
    }

    pub(in crate::config) fn serialize<S: Serializer>(
        _: &Option<SecretString>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}
