//! The certificate of a listener as its files have it: read, checked, and made into what a handshake needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::ring::digest;
use chrono::{DateTime, Utc};
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::Decode;
use zeroize::Zeroizing;

use crate::config::TlsConfig;
use crate::redact::{self, Kept};

/// What is spoken over TLS, the better one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why certificate files cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A file is not there, or not for this user.
    #[error("{path} cannot be read: {detail}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// A file holds something else.
    #[error("{path} has no {wanted} in PEM{detail}")]
    Nothing {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
        /// What is wrong with what is there.
        detail: String,
    },
    /// Each is what it should be, and together they are of no use.
    #[error("{certificate} and {key} are no pair that can be used: {detail}")]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        detail: String,
    },
    /// Nobody would take it, and there is one that they take.
    #[error("the certificate in {path} ended on {ended}, and the one in use is good still")]
    Ended {
        /// The certificate's file.
        path: PathBuf,
        /// When.
        ended: DateTime<Utc>,
    },
}

/// The files of a listener.
#[derive(Clone, Debug)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// What the files hold.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

impl Contents {
    /// A name for it.
    pub(super) fn digest(&self) -> [u8; 32] {
        sha256(&[&self.certificate, &self.key, self.client_ca.as_deref().unwrap_or_default()])
    }
}

/// The digest of several texts, each with its length.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&part.len().to_le_bytes());
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A certificate that can be used.
#[derive(Debug)]
pub(super) struct Certificate {
    /// What a handshake needs.
    pub(super) config: Arc<ServerConfig>,
    /// When it ends.
    pub(super) ends: DateTime<Utc>,
    /// The key is not to be written anywhere.
    _kept: Kept,
}

impl Files {
    /// The files of a section; `None` where it names none.
    pub(super) fn of(config: &TlsConfig) -> Option<Self> {
        Some(Self {
            certificate: config.certificate_file.clone()?,
            key: config.private_key_file.clone()?,
            client_ca: config.client_ca_file.clone(),
        })
    }

    /// The certificate's file.
    pub(super) fn certificate(&self) -> &Path {
        &self.certificate
    }

    pub(super) fn read(&self) -> Result<Contents, CertificateError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| CertificateError::Unreadable {
                path: path.to_owned(),
                detail: error.to_string(),
            })
        };
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key: Zeroizing::new(read(&self.key)?),
            client_ca: self.client_ca.as_deref().map(read).transpose()?,
        })
    }

    /// Makes a certificate of what was read.
    pub(super) fn certificate_of(&self, contents: &Contents) -> Result<Certificate, CertificateError> {
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|error| nothing(&self.key, "private key", &error))?;
        let ends = end_of(&chain[0]).ok_or_else(|| {
            nothing(&self.certificate, "certificate", &"what is there cannot be read as one")
        })?;
        let unfit = |detail: String| CertificateError::Unfit {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            detail,
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| unfit(error.to_string()))?;
        let builder = match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(pem)) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path, pem)? {
                    roots.add(authority).map_err(|error| nothing(path, "certificate", &error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|error| nothing(path, "certificate of an authority", &error))?,
                )
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| unfit(error.to_string()))?;
        config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
        let kept = redact::keep(contents.key.as_slice());
        Ok(Certificate { config: Arc::new(config), ends, _kept: kept })
    }
}

/// All certificates of a file; at least one.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(CertificateError::Nothing {
            path: path.to_owned(),
            wanted: "certificate",
            detail: String::new(),
        }),
        Ok(found) => Ok(found),
        Err(error) => Err(nothing(path, "certificate", &error)),
    }
}

fn nothing(path: &Path, wanted: &'static str, detail: &dyn std::fmt::Display) -> CertificateError {
    CertificateError::Nothing { path: path.to_owned(), wanted, detail: format!(": {detail}") }
}

/// When a certificate ends.
fn end_of(certificate: &CertificateDer<'_>) -> Option<DateTime<Utc>> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    DateTime::from_timestamp(i64::try_from(end.as_secs()).ok()?, 0)
}
