//! The connections to sources.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;

use crate::credential::Credential;
use crate::http::hosts::PublicOnly;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A source that sends nothing for so long is given up.
const SILENT_AT_MOST: Duration = Duration::from_secs(60);

/// A client that only connects: redirects, proxies and names of the environment are not its matter. `public_only`: it
/// reaches the internet alone.
pub(super) fn client(public_only: bool) -> reqwest::Client {
    let tls = trust().with_no_client_auth();
    build(tls, public_only)
}

/// The same, showing the client certificate of a call; `None` where its credential is none.
///
/// # Errors
///
/// SETTINGS_INVALID for a certificate and a key that cannot be used together.
pub(super) fn client_of(
    credential: &Credential,
    public_only: bool,
) -> Result<Option<reqwest::Client>, ConnectorError> {
    let Ok((chain, key)) = credential.client_certificate() else { return Ok(None) };
    // The errors of the parsers may quote what they read.
    let unusable = || {
        let message = "the client certificate and its key cannot be used together: both are given as PEM";
        ConnectorError::new(Reason::SettingsInvalid, message)
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| unusable())?;
    let tls = trust().with_client_auth_cert(chain.map_err(|_| unusable())?, key).map_err(|_| unusable())?;
    Ok(Some(build(tls, public_only)))
}

fn trust() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of every version")
        .with_root_certificates(roots)
}

fn build(tls: ClientConfig, public_only: bool) -> reqwest::Client {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_WITHIN)
        .read_timeout(SILENT_AT_MOST);
    if public_only {
        builder = builder.dns_resolver(Arc::new(PublicOnly));
    }
    builder.build().expect("a client of constants can be made")
}

#[cfg(test)]
mod tests {
    use superfasttt_proto::connector::v1::{self, credential::Kind};

    use super::*;

    #[test]
    fn a_certificate_that_is_none_is_told_without_the_key() {
        let pair = |certificate: &str, key: &str| {
            let pair =
                v1::ClientCertificate { certificate_pem: certificate.into(), private_key_pem: key.into() };
            Credential::new(v1::Credential {
                kind: Some(Kind::ClientCertificate(pair)),
                ..Default::default()
            })
        };
        let block = |kind: &str| format!("-----BEGIN {kind}-----\nczNjcmV0\n-----END {kind}-----\n");
        let broken = pair(&block("CERTIFICATE"), &block("PRIVATE KEY"));
        for credential in [pair("", ""), pair("s3cret", "s3cret"), broken] {
            let error = client_of(&credential, false).unwrap_err();
            assert_eq!(error.reason, Reason::SettingsInvalid);
            assert!(!error.message.contains("s3cret") && !error.message.contains("czNjcmV0"), "{error}");
        }
    }
}
