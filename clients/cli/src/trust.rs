//! Which certificates to trust for https: a file that was given, else the bundle that the system keeps; and which one to
//! show.

use std::path::Path;

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::error::{Error, Result};

/// Where systems keep their bundle: Debian and Arch, Fedora, SUSE, then Alpine, macOS and the BSDs.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// TLS that trusts `ca_file`, or what the system trusts.
///
/// # Errors
///
/// The file cannot be read, or the system has no bundle.
pub fn config(ca_file: Option<&Path>) -> Result<ClientTlsConfig> {
    let pem = match ca_file {
        Some(path) => std::fs::read(path)
            .map_err(|error| Error::Usage(format!("cannot read --ca-file {}: {error}", path.display())))?,
        None => system_bundle().ok_or_else(|| {
            Error::Usage(
                "this system has no list of trusted certificates; give one with --ca-file".to_owned(),
            )
        })?,
    };
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}

/// The certificate to show to a server that asks for one.
///
/// # Errors
///
/// A file cannot be read.
pub fn identity(certificate: &Path, key: &Path) -> Result<Identity> {
    let read = |option: &str, path: &Path| {
        std::fs::read(path)
            .map_err(|error| Error::Usage(format!("cannot read {option} {}: {error}", path.display())))
    };
    Ok(Identity::from_pem(read("--client-cert", certificate)?, read("--client-key", key)?))
}

fn system_bundle() -> Option<Vec<u8>> {
    let chosen = std::env::var_os("SSL_CERT_FILE").and_then(|path| std::fs::read(path).ok());
    chosen.or_else(|| BUNDLES.iter().find_map(|path| std::fs::read(path).ok()))
}
