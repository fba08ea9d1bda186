//! Sections `server.tls` and `server.public_tls`: the certificate of a listener.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::problem::Checks;

/// The certificate of a listener. Without one it speaks no TLS.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM of the certificate, then of those between it and an authority that clients know.
    pub certificate_file: Option<PathBuf>,
    /// PEM of its private key.
    pub private_key_file: Option<PathBuf>,
    /// PEM of the authorities of clients. Where it is given, who shows no certificate of theirs is not let in.
    pub client_ca_file: Option<PathBuf>,
}

impl TlsConfig {
    /// Whether TLS is spoken.
    pub fn is_given(&self) -> bool {
        self.certificate_file.is_some()
    }

    pub(super) fn validate(&self, checks: &mut Checks<'_>, is_public: bool) {
        let (certificate, key) = (&self.certificate_file, &self.private_key_file);
        checks.require(certificate.is_none() || key.is_some(), "certificate_file", || {
            "private_key_file is missing: a certificate is nothing without its key".to_owned()
        });
        checks.require(key.is_none() || certificate.is_some(), "private_key_file", || {
            "certificate_file is missing: clients have to be shown it".to_owned()
        });
        let client_ca = self.client_ca_file.is_some();
        checks.require(!client_ca || certificate.is_some(), "client_ca_file", || {
            "clients show certificates only where TLS is spoken: give certificate_file and private_key_file".to_owned()
        });
        checks.require(!client_ca || !is_public, "client_ca_file", || {
            "browsers and providers that come to the public listener have no certificate: leave it out"
                .to_owned()
        });
    }
}
