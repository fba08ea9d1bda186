use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::*;
use crate::clock::{Clock, MockClock, SystemClock};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A pair of PEM texts for `name`, good until the end of this year.
fn pair(authority: &Authority, name: &str, until_year: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.not_after = date_time_ymd(until_year, 12, 31);
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

struct Setup {
    folder: TempDir,
    authority: Authority,
}

impl Setup {
    fn new() -> Self {
        let setup = Self { folder: tempfile::tempdir().unwrap(), authority: authority() };
        setup.put(&pair(&setup.authority, "localhost", 4000));
        setup
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, (certificate, key): &(String, String)) {
        fs::write(self.path("server.pem"), certificate).unwrap();
        fs::write(self.path("server.key"), key).unwrap();
    }

    fn config(&self, client_ca: Option<&Path>) -> TlsConfig {
        TlsConfig {
            certificate_file: Some(self.path("server.pem")),
            private_key_file: Some(self.path("server.key")),
            client_ca_file: client_ca.map(Path::to_owned),
        }
    }

    fn load(&self) -> Tls {
        self.try_load(Arc::new(SystemClock)).unwrap()
    }

    fn try_load(&self, clock: SharedClock) -> Result<Tls, CertificateError> {
        Tls::load("test", &self.config(None), clock).map(Option::unwrap)
    }

    /// A client that trusts our authority, and shows this pair.
    fn client(&self, pair: Option<&(String, String)>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match pair {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }
}

/// One connection: what the server presented, and the protocol; the error where there is none.
async fn meet(tls: &Tls, client: ClientConfig) -> io::Result<(CertificateDer<'static>, Option<Vec<u8>>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("localhost").unwrap();
    let served = async {
        // In TLS 1.3 a client believes it is in before the server has looked at its certificate.
        if let Some(mut stream) = tls.accept(accepted).await {
            stream.write_all(b"!").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    };
    let calls = async {
        let mut stream = connector.connect(name, stream).await?;
        stream.read_exact(&mut [0]).await?;
        let (_, connection) = stream.get_ref();
        let leaf = connection.peer_certificates().unwrap()[0].clone().into_owned();
        Ok((leaf, connection.alpn_protocol().map(<[u8]>::to_vec)))
    };
    tokio::join!(served, calls).1
}

fn leaf(pair: &(String, String)) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.0.as_bytes()).unwrap()
}

/// What is logged while `work` goes on.
fn log_of(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn new_look(tls: &Tls) -> Look {
    Look { seen: None, tried: tls.loaded, told_of_end: None }
}

#[tokio::test]
async fn the_protocol_is_agreed_on() {
    let setup = Setup::new();
    let tls = setup.load();
    for (offered, agreed) in [
        (vec![b"h2".to_vec(), b"http/1.1".to_vec()], Some(b"h2".to_vec())),
        (vec![b"http/1.1".to_vec()], Some(b"http/1.1".to_vec())),
        (vec![], None),
    ] {
        let mut client = setup.client(None);
        client.alpn_protocols = offered;
        assert_eq!(meet(&tls, client).await.unwrap().1, agreed);
    }
}

#[tokio::test]
async fn a_new_pair_is_used_and_a_broken_one_is_told_and_left() {
    let setup = Setup::new();
    let tls = setup.load();
    let mut look = new_look(&tls);
    let presented = async || meet(&tls, setup.client(None)).await.unwrap().0;
    assert_eq!(log_of(|| tls.look(&mut look)) + &log_of(|| tls.look(&mut look)), "", "nothing has changed");

    let second = pair(&setup.authority, "localhost", 4000);
    setup.put(&second);
    tls.look(&mut look);
    assert_ne!(presented().await, leaf(&second), "it may be half written");
    let log = log_of(|| tls.look(&mut look));
    assert!(log.contains("uses a new certificate"), "{log}");
    assert_eq!(presented().await, leaf(&second));

    let other = pair(&setup.authority, "localhost", 4000);
    let ended = pair(&setup.authority, "localhost", 2020);
    for (broken, told) in [
        ((other.0.clone(), second.1.clone()), "no pair that can be used"),
        ((other.0.clone(), "nothing".to_owned()), "no private key"),
        ((String::new(), other.1.clone()), "no certificate"),
        (ended, "ended on 2020-12-31"),
    ] {
        setup.put(&broken);
        let log = log_of(|| {
            tls.look(&mut look);
            tls.look(&mut look);
        });
        assert!(log.contains("ERROR") && log.contains(told), "{told}: {log}");
        assert!(!log.contains("PRIVATE"), "{log}");
        assert_eq!(log_of(|| tls.look(&mut look)), "", "once is enough");
        assert_eq!(presented().await, leaf(&second));
    }
    fs::remove_file(setup.path("server.key")).unwrap();
    let log = log_of(|| {
        tls.look(&mut look);
        tls.look(&mut look);
    });
    assert!(log.contains("server.key cannot be read"), "{log}");
    assert_eq!(presented().await, leaf(&second));

    // Put right again, it is taken.
    setup.put(&other);
    tls.look(&mut look);
    tls.look(&mut look);
    assert_eq!(presented().await, leaf(&other));
}

#[tokio::test]
async fn watching_brings_the_new_certificate_behind_a_link_that_is_swapped() {
    let setup = Setup::new();
    // As an orchestrator mounts secrets: a link to a folder of one version.
    for version in ["one", "two"] {
        fs::create_dir(setup.path(version)).unwrap();
    }
    let pairs = [pair(&setup.authority, "localhost", 4000), pair(&setup.authority, "localhost", 4000)];
    for (pair, version) in pairs.iter().zip(["one", "two"]) {
        fs::write(setup.path(version).join("tls.crt"), &pair.0).unwrap();
        fs::write(setup.path(version).join("tls.key"), &pair.1).unwrap();
    }
    std::os::unix::fs::symlink("one", setup.path("now")).unwrap();
    let config = TlsConfig {
        certificate_file: Some(setup.path("now/tls.crt")),
        private_key_file: Some(setup.path("now/tls.key")),
        client_ca_file: None,
    };
    let mut tls = Tls::load("test", &config, Arc::new(SystemClock)).unwrap().unwrap();
    tls.look_every = Duration::from_millis(5);
    let watched = tls.clone();
    let watching = tokio::spawn(async move { watched.watch().await });
    assert_eq!(meet(&tls, setup.client(None)).await.unwrap().0, leaf(&pairs[0]));
    std::os::unix::fs::symlink("two", setup.path("next")).unwrap();
    fs::rename(setup.path("next"), setup.path("now")).unwrap();
    let arrives = async { while meet(&tls, setup.client(None)).await.unwrap().0 != leaf(&pairs[1]) {} };
    tokio::time::timeout(Duration::from_secs(30), arrives).await.unwrap();
    watching.abort();
}

#[tokio::test]
async fn with_mutual_tls_only_clients_of_the_authority_are_let_in() {
    let setup = Setup::new();
    let clients = authority();
    fs::write(setup.path("clients.pem"), clients.pem()).unwrap();
    let config = setup.config(Some(&setup.path("clients.pem")));
    let tls = Tls::load("test", &config, Arc::new(SystemClock)).unwrap().unwrap();
    let good = pair(&clients, "client", 4000);
    let met = meet(&tls, setup.client(Some(&good))).await;
    assert!(met.is_ok(), "{met:?}");
    let refused =
        async |pair: Option<&(String, String)>| meet(&tls, setup.client(pair)).await.unwrap_err().to_string();
    let told = refused(None).await;
    assert!(told.contains("CertificateRequired"), "{told}");
    let told = refused(Some(&pair(&setup.authority, "client", 4000))).await;
    assert!(told.contains("UnknownCA") || told.contains("DecryptError"), "{told}");
    let told = refused(Some(&pair(&clients, "client", 2020))).await;
    assert!(told.contains("CertificateExpired"), "{told}");
}

#[tokio::test]
async fn a_client_that_speaks_plainly_is_told_so() {
    let setup = Setup::new();
    let tls = setup.load();
    let answer = async |request: &[u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        client.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let served = tls.accept(accepted);
        let reads = async {
            client.read_to_end(&mut answer).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let (served, ()) = tokio::join!(served, reads);
        assert!(served.is_none());
        String::from_utf8_lossy(&answer).into_owned()
    };
    let told = answer(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(
        told.starts_with("HTTP/1.1 400 ") && told.ends_with("this port speaks TLS: use https\n"),
        "{told}"
    );
    let told = answer(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(told.contains("this port speaks TLS"), "{told}");
}

/// The clock goes on by itself while everything waits.
#[tokio::test(start_paused = true)]
async fn a_client_that_stops_in_its_handshake_is_dropped() {
    let setup = Setup::new();
    let tls = setup.load();
    for beginning in [&b""[..], &[HANDSHAKE_RECORD, 3], b"GET"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(beginning).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(tls.accept(accepted).await.is_none());
    }
}

#[tokio::test]
async fn the_end_of_a_certificate_is_told_before_and_after() {
    let setup = Setup::new();
    setup.put(&pair(&setup.authority, "localhost", 2030));
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let clock = Arc::new(MockClock::new(at("2030-12-01T00:00:00Z")));
    let tls = setup.try_load(clock.clone()).unwrap();
    let mut told = None;
    let mut log = || log_of(|| tls.tell_of_its_end(&mut told));
    assert_eq!(log(), "");
    clock.set(at("2030-12-20T00:00:00Z"));
    let soon = log();
    assert!(soon.contains("WARN") && soon.contains("ends soon") && soon.contains("2030-12-31"), "{soon}");
    assert_eq!(log(), "", "once a day");
    clock.set(at("2031-01-01T00:00:00Z"));
    let ended = log();
    assert!(ended.contains("ERROR") && ended.contains("has ended"), "{ended}");
    assert!(clock.now() > at("2030-12-31T00:00:00Z"));
}

#[test]
fn what_keeps_it_from_loading_names_the_file() {
    let setup = Setup::new();
    let load = |setup: &Setup| setup.try_load(Arc::new(SystemClock)).unwrap_err().to_string();
    fs::write(setup.path("server.key"), pair(&setup.authority, "localhost", 4000).1).unwrap();
    let told = load(&setup);
    assert!(told.contains("server.pem and ") && told.contains("server.key are no pair"), "{told}");
    fs::write(setup.path("server.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let told = load(&setup);
    assert!(told.contains("server.pem has no certificate"), "{told}");
    fs::remove_file(setup.path("server.pem")).unwrap();
    assert!(load(&setup).contains("server.pem cannot be read"));
}
