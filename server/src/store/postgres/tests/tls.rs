//! TLS to the database: a cluster that has a certificate of an authority made here.

use std::net::TcpListener;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::SecretString;

use super::*;
use crate::config::SslMode;
use crate::store::testing::postgres::{Cluster, ClusterOptions};

/// A cluster that speaks TLS as `localhost`, and the file of its authority.
fn cluster(folder: &std::path::Path) -> (Cluster, PathBuf) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let root = folder.join("root.pem");
    std::fs::write(&root, authority.pem()).unwrap();
    // Free a moment ago; a test that loses the race for it fails at the start and says so.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cluster = Cluster::start(ClusterOptions { port: Some(port), ..ClusterOptions::default() });
    for (name, text) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
        let file = cluster.data().join(name);
        std::fs::write(&file, text).unwrap();
        cluster.give(&file);
    }
    let on = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
    std::fs::write(cluster.data().join("pg_hba.conf"), on).unwrap();
    let settings = cluster.data().join("postgresql.auto.conf");
    std::fs::write(&settings, "ssl = on\n").unwrap();
    cluster.give(&settings);
    cluster.down();
    cluster.up();
    (cluster, root)
}

#[tokio::test]
async fn tls_is_spoken_as_sslmode_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let (cluster, root) = tokio::task::spawn_blocking(move || cluster(&path)).await.unwrap();
    let open = async |sslmode, root_certificates: Option<&PathBuf>, url: String| {
        let config = DatabaseConfig {
            url: Some(SecretString::from(url)),
            sslmode,
            root_certificates: root_certificates.cloned(),
            connect_timeout: Duration::from_millis(500),
            ..DatabaseConfig::default()
        };
        let store = PostgresStore::open(&config).await?;
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let encrypted = store.single(sql, |tx, sql| {
            Box::pin(async move { Ok(tx.query_one(sql, &[]).await?.get::<_, bool>(0)) })
        });
        let encrypted = encrypted.await?;
        store.close().await;
        Ok::<_, StoreError>(encrypted)
    };
    let url = || cluster.tcp_url("postgres");
    assert!(open(None, None, url()).await.unwrap(), "prefer takes what is offered");
    assert!(open(Some(SslMode::Require), None, url()).await.unwrap());
    assert!(open(Some(SslMode::VerifyFull), Some(&root), url()).await.unwrap());
    let in_url = format!("{}?sslmode=verify-full&sslrootcert={}", url(), root.display());
    assert!(open(None, None, in_url).await.unwrap(), "as PostgreSQL's own clients take it");
    // The server lets nobody in without.
    assert!(open(Some(SslMode::Disable), None, url()).await.is_err());
    let unknown = open(Some(SslMode::VerifyFull), None, url()).await.unwrap_err().to_string();
    assert!(unknown.contains("certificate"), "{unknown}");
    let other_name = url().replace("localhost", "127.0.0.1");
    let refused = open(Some(SslMode::VerifyFull), Some(&root), other_name).await.unwrap_err().to_string();
    assert!(refused.contains("certificate"), "{refused}");
    tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
}
