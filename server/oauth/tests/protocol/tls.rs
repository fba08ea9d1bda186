//! Whom we trust.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, json};
use superfasttt_oauth::{
    App, AppSecret, Client, Declaration, Egress, Failure, Http, HttpOptions, Provider, Unclear, UrlRules,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

/// A provider behind a certificate of an authority of its own: its port, and that authority.
async fn provider() -> (u16, CertificateDer<'static>) {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();

    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let body = r#"{"access_token": "a"}"#;
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, authority.der().clone())
}

async fn call(host: &str, port: u16, extra_roots: Vec<CertificateDer<'static>>) -> Result<(), Failure> {
    let declaration: Declaration = serde_json::from_value(
        json!({"flow": "client_credentials", "token_url": format!("https://{host}:{port}/token")}),
    )
    .unwrap();
    let rules = UrlRules { allowed_hosts: &[], operator_hosts: &[], allow_loopback: true };
    let provider = Provider::new(declaration.into(), &Map::new(), &rules).unwrap();
    let egress = Egress { allow_loopback: true, ..Egress::default() };
    let http = Http::new(HttpOptions { egress, extra_roots, ..HttpOptions::default() }).unwrap();
    let app = App { client_id: CLIENT_ID.to_owned(), secret: AppSecret::Secret(secret(CLIENT_SECRET)) };
    Client::new(http, provider, app.into()).client_credentials(&[], now()).await.map(|_| ())
}

#[tokio::test]
async fn only_known_authorities_are_trusted_and_an_operator_may_add_one() {
    let (port, authority) = provider().await;
    for (host, roots) in [("localhost", vec![]), ("127.0.0.1", vec![authority.clone()])] {
        match call(host, port, roots).await {
            Err(Failure::Ambiguous(unclear)) => {
                assert_eq!((unclear.reason, unclear.may_have_reached), (Unclear::Unreachable, false));
                assert!(unclear.said.contains("certificate"), "{}", unclear.said);
            }
            other => panic!("{host}: {other:?}"),
        }
    }
    call("localhost", port, vec![authority]).await.unwrap();
}
