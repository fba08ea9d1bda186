//! Both listeners on TLS: what is not encrypted is told so, who has no certificate is not let in, and a new certificate needs no
//! restart.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use superfasttt_proto::control::v1::GetServerInfoRequest;
use superfasttt_proto::control::v1::admin_service_client::AdminServiceClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::support::{Server, until_async};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn pair(authority: &Authority) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

/// Writes a new pair; returns its certificate.
fn put(folder: &Path, name: &str, authority: &Authority) -> CertificateDer<'static> {
    let (certificate, key) = pair(authority);
    fs::write(folder.join(format!("{name}.pem")), &certificate).unwrap();
    fs::write(folder.join(format!("{name}.key")), key).unwrap();
    CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()
}

/// A port that the log tells after `word`.
fn port(server: &Server, word: &str) -> u16 {
    let log = server.log();
    let line = log.lines().find(|line| line.contains("connectord is serving")).unwrap();
    let address = line.split(&format!(" {word}=")).nth(1).unwrap().split(' ').next().unwrap();
    address.rsplit(':').next().unwrap().parse().unwrap()
}

/// Asks for `/healthz` at a port; returns the answer and the server's certificate.
async fn healthz(port: u16, authority: &Authority) -> std::io::Result<(String, CertificateDer<'static>)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
    Ok((answer, leaf))
}

#[tokio::test]
async fn both_listeners_speak_tls_and_take_new_certificates() {
    let (authority, clients) = (authority(), authority());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    put(folder.path(), "control", &authority);
    let first = put(folder.path(), "public", &authority);
    fs::write(file("clients.pem"), clients.pem()).unwrap();
    let server = Server::builder()
        .with("SERVER__TLS__CERTIFICATE_FILE", file("control.pem"))
        .with("SERVER__TLS__PRIVATE_KEY_FILE", file("control.key"))
        .with("SERVER__TLS__CLIENT_CA_FILE", file("clients.pem"))
        .with("SERVER__PUBLIC_TLS__CERTIFICATE_FILE", file("public.pem"))
        .with("SERVER__PUBLIC_TLS__PRIVATE_KEY_FILE", file("public.key"))
        .start()
        .await;
    let (control, public) = (port(&server, "address"), port(&server, "public_address"));

    // gRPC over TLS, for who has a certificate.
    let channel = async |identity: Option<(String, String)>| {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()));
        if let Some((certificate, key)) = identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let endpoint =
            Endpoint::from_shared(format!("https://localhost:{control}")).unwrap().tls_config(tls).unwrap();
        AdminServiceClient::new(endpoint.connect_lazy())
            .get_server_info(GetServerInfoRequest::default())
            .await
    };
    let answer = channel(Some(pair(&clients))).await;
    assert!(answer.is_ok(), "{answer:?}");
    assert!(channel(None).await.is_err());
    assert!(channel(Some(pair(&authority))).await.is_err());

    // Who speaks plainly is told so, on both.
    for port in [control, public] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        // Without the end of our side it waits for the rest of what we say.
        tokio::time::timeout(std::time::Duration::from_secs(30), read).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("use https"), "{answer}");
    }

    // The public listener asks nobody for a certificate, and takes a new one of its own while it runs.
    let (answer, shown) = healthz(public, &authority).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(shown, first);
    let second = put(folder.path(), "public", &authority);
    until_async("the new certificate", async || {
        healthz(public, &authority).await.ok().filter(|(_, shown)| *shown == second)
    })
    .await;
    assert!(server.log().contains("the public listener uses a new certificate"));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_keeps_the_server_from_starting() {
    let mut server = Server::start().await;
    server.stop().await;
    server.set("SERVER__TLS__CERTIFICATE_FILE", "/no/such/file.pem");
    server.set("SERVER__TLS__PRIVATE_KEY_FILE", "/no/such/file.key");
    let (status, said) = server.start_another().await;
    assert!(!status.success());
    assert!(said.contains("server.tls: /no/such/file.pem cannot be read"), "{said}");
}
