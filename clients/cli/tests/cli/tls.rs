//! A server on https, with certificates made for the test.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::fake::Fake;
use crate::support::{Ran, Server, command};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn pair(authority: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Lets in clients with a certificate of `clients`, and takes them to the server at `inner`.
async fn front(authority: &Authority, clients: Option<&Authority>, inner: &str) -> SocketAddr {
    let (certificate, key) = pair(authority, "localhost");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let inner = inner.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, inner) = (acceptor.clone(), inner.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut inner = TcpStream::connect(inner).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
            });
        }
    });
    address
}

struct Files(TempDir);

impl Files {
    fn put(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_server_on_https_is_trusted_by_its_authority() {
    let server = Server::start(Fake::default()).await;
    let (authority, files) = (authority(), Files(tempfile::tempdir().unwrap()));
    let address = front(&authority, None, &server.url).await;
    let url = format!("https://localhost:{}", address.port());
    let ca = files.put("ca.pem", &authority.pem());
    for option in ["--ca", "--ca-file"] {
        let ran = Ran::of(command(&url, &format!("{option} {ca} connectors list"))).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    let other = files.put("other.pem", &self::authority().pem());
    let ran = Ran::of(command(&url, &format!("--ca {other} connectors list"))).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("cannot trust https://") && ran.err.contains("--ca-file"), "{}", ran.err);
    let garbage = files.put("garbage.pem", "nothing");
    let ran = Ran::of(command(&url, &format!("--ca {garbage} connectors list"))).await;
    assert_ne!(ran.code, 0);
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_one() {
    let server = Server::start(Fake::default()).await;
    let (authority, clients, files) = (authority(), authority(), Files(tempfile::tempdir().unwrap()));
    let address = front(&authority, Some(&clients), &server.url).await;
    let url = format!("https://localhost:{}", address.port());
    let ca = files.put("ca.pem", &authority.pem());
    let (certificate, key) = pair(&clients, "alex");
    let certificate = files.put("client.pem", &certificate);
    let key = files.put("client.key", &key);
    let shown = format!("--ca {ca} --client-cert {certificate} --client-key {key} connectors list");
    let ran = Ran::of(command(&url, &shown)).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = Ran::of(command(&url, &format!("--ca {ca} connectors list"))).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("--client-cert"), "{}", ran.err);
    // One without the other, and a certificate where nothing is encrypted, are mistakes.
    let ran = Ran::of(command(&url, &format!("--client-cert {certificate} connectors list"))).await;
    assert_eq!(ran.code, 2, "{}", ran.err);
    let ran = Ran::of(command(&server.url, &shown)).await;
    assert_eq!((ran.code, ran.err.contains("is for https")), (2, true), "{}", ran.err);
}
