//! The process host with real processes of `examples/fake_connector.rs`.

#![expect(clippy::unwrap_used, reason = "a panic is the failure report, in helpers too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use connectord::catalog::Catalog;
use connectord::clock::SystemClock;
use connectord::config::{ByteSize, Isolation, ProcessConfig};
use connectord::process::{Lease, ProcessHost, ProcessState, ProcessStatus};
use futures::future::join_all;
use superfasttt_proto::connector::v1::connector_client::ConnectorClient;
use superfasttt_proto::connector::v1::{
    DescribeRequest, DescribeResponse, PullRequest, Reason, TestConnectionRequest,
};

/// A connectors directory with the connector `demo`, and a host for it.
struct Setup {
    folder: tempfile::TempDir,
    catalog: Arc<Catalog>,
    host: ProcessHost,
}

/// What tests wait for comes within this time, or never.
const SOON: Duration = Duration::from_secs(30);

impl Setup {
    fn new(arguments: &[&str], change: impl FnOnce(&mut ProcessConfig)) -> Self {
        Self::at("run", arguments, change)
    }

    /// With its sockets in a folder of this name.
    fn at(sockets: &str, arguments: &[&str], change: impl FnOnce(&mut ProcessConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_manifest(folder.path(), arguments);
        let catalog = Catalog::load(&folder.path().join("connectors")).unwrap();
        let mut config = ProcessConfig { stop_grace: Duration::from_secs(10), ..ProcessConfig::default() };
        change(&mut config);
        let sockets = folder.path().join(sockets);
        let host = ProcessHost::new(config, Arc::new(SystemClock), Arc::clone(&catalog), &sockets).unwrap();
        Self { folder, catalog, host }
    }

    async fn acquire(&self) -> Lease {
        self.host.acquire("demo", "acme", "c1").await.expect("a connector that is ready")
    }

    fn status(&self) -> ProcessStatus {
        let statuses = self.host.status("demo");
        assert_eq!(statuses.len(), 1, "{statuses:?}");
        statuses.into_iter().next().unwrap()
    }

    fn connector_file(&self, name: &str) -> PathBuf {
        self.folder.path().join("connectors/demo").join(name)
    }

    /// How often the connector was started, by its own account.
    fn starts(&self) -> usize {
        fs::read_to_string(self.connector_file("starts")).unwrap_or_default().lines().count()
    }
}

fn write_manifest(folder: &Path, arguments: &[&str]) {
    let mut command = vec![example("fake_connector").to_string_lossy().into_owned()];
    command.extend(arguments.iter().map(ToString::to_string));
    let manifest = serde_json::json!({
        "id": "demo", "auth": {"type": "none"}, "sync": {"mode": "full"}, "runtime": {"command": command},
    });
    let connector = folder.join("connectors/demo");
    fs::create_dir_all(&connector).unwrap();
    fs::write(connector.join("manifest.json"), manifest.to_string()).unwrap();
}

/// A program of `examples/`, which cargo builds along with the tests of the package.
fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(path.exists(), "run `cargo build -p connectord --examples` first: {} is missing", path.display());
    path
}

async fn describe(lease: &Lease) -> DescribeResponse {
    lease.client().describe(DescribeRequest { contract_revision: 1 }).await.unwrap().into_inner()
}

fn is_alive(pid: u32) -> bool {
    // A zombie has ended; it only waits for somebody to hear of it.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}

/// Waits until something holds that no event tells.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("{what} did not come about"));
}

#[tokio::test]
async fn a_connector_is_started_and_called_and_stopped() {
    let setup = Setup::new(&[], |_| {});
    let lease = setup.acquire().await;
    assert_eq!(describe(&lease).await.contract_revisions, [1]);
    let status = setup.status();
    assert_eq!((status.state, status.pid, status.restarts), (ProcessState::Ready, lease.pid(), 0));
    assert_eq!(status.organization.as_deref(), Some("acme"));
    assert_eq!(status.connection, None);
    assert!(lease.failure().await.is_none(), "a process that lives has not failed");

    setup.host.shutdown().await;
    assert!(!is_alive(lease.pid().unwrap()));
    assert_eq!(setup.status().state, ProcessState::Stopped);
    let error = setup.host.acquire("demo", "acme", "c1").await.unwrap_err();
    assert!(error.message.contains("the server stops"), "{error}");
    // Its socket went with it.
    assert_eq!(fs::read_dir(setup.folder.path().join("run")).unwrap().count(), 0);
}

#[tokio::test]
async fn the_environment_is_clean_and_the_folder_its_own() {
    let setup = Setup::new(&[], |_| {});
    let answer = describe(&setup.acquire().await).await;
    let allowed = ["CONNECTOR_LOG", "CONNECTOR_SOCKET", "CONNECTOR_TOKEN", "LANG", "PATH", "TMPDIR"];
    for name in answer.manifest_json.lines() {
        assert!(allowed.contains(&name), "{name} reached the connector");
    }
    for name in ["CONNECTOR_SOCKET", "CONNECTOR_TOKEN", "CONNECTOR_LOG"] {
        assert!(answer.manifest_json.lines().any(|there| there == name), "{name} is missing");
    }
    assert_eq!(Path::new(&answer.sdk), setup.connector_file("").canonicalize().unwrap());
}

#[tokio::test]
async fn a_caller_without_the_token_is_refused() {
    let setup = Setup::new(&[], |_| {});
    let _lease = setup.acquire().await;
    let folder = fs::read_dir(setup.folder.path().join("run")).unwrap().next().unwrap().unwrap();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let socket = folder.path().join("s");
    let channel = tonic::transport::Endpoint::from_static("http://localhost")
        .connect_with_connector(tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
        }))
        .await
        .unwrap();
    let refused = ConnectorClient::new(channel).describe(DescribeRequest { contract_revision: 1 }).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unauthenticated);
}

#[tokio::test]
async fn a_long_folder_name_does_not_break_the_socket() {
    let setup = Setup::at(&"x".repeat(120), &[], |_| {});
    describe(&setup.acquire().await).await;
}

#[tokio::test]
async fn many_callers_of_a_cold_connector_start_one_process() {
    let setup = Setup::new(&["--log-start"], |_| {});
    let leases = join_all((0..50).map(|_| setup.acquire())).await;
    assert_eq!(setup.starts(), 1);
    assert!(leases.iter().all(|lease| lease.pid() == leases[0].pid()));
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_start() {
    let setup = Setup::new(&["--log-start"], |_| {});
    let gone = tokio::time::timeout(Duration::from_millis(1), setup.acquire()).await;
    assert!(gone.is_err(), "no process starts that fast");
    setup.acquire().await;
    assert_eq!(setup.starts(), 1);
}

#[tokio::test]
async fn isolation_separates_organisations() {
    let setup = Setup::new(&[], |_| {});
    let (one, same, other) = tokio::join!(
        setup.host.acquire("demo", "acme", "c1"),
        setup.host.acquire("demo", "acme", "c2"),
        setup.host.acquire("demo", "other", "c3"),
    );
    let (one, same, other) = (one.unwrap(), same.unwrap(), other.unwrap());
    assert_eq!(one.pid(), same.pid());
    assert_ne!(one.pid(), other.pid());
    assert_eq!(setup.host.status("demo").len(), 2);

    let setup = Setup::new(&[], |config| config.isolation = Isolation::Connection);
    let one = setup.host.acquire("demo", "acme", "c1").await.unwrap();
    let other = setup.host.acquire("demo", "acme", "c2").await.unwrap();
    assert_ne!(one.pid(), other.pid());
}

#[tokio::test]
async fn a_crash_in_a_call_is_told_with_the_last_lines() {
    let setup = Setup::new(&[], |config| config.restart_backoff_initial = Duration::from_millis(1));
    let lease = setup.acquire().await;
    let mut lines = lease.subscribe_stderr().unwrap();
    lease.client().pull(PullRequest::default()).await.unwrap_err();
    let error = lease.failure().await.expect("the process ended");
    assert_eq!(error.reason, Reason::ConnectorCrashed);
    assert!(error.message.contains("exit status: 3"), "{error}");
    assert!(error.message.contains("the cursor is cursed"), "{error}");
    assert!(lines.recv().await.unwrap().text.contains("the cursor is cursed"));

    until("the state after a crash", || setup.status().state == ProcessState::Backoff).await;
    let status = setup.status();
    assert_eq!(status.pid, None);
    assert!(status.last_error.unwrap().contains("the cursor is cursed"));
    let again = loop {
        match setup.host.acquire("demo", "acme", "c1").await {
            Ok(lease) => break lease,
            Err(error) => tokio::time::sleep(error.retry_after.expect("a pause")).await,
        }
    };
    describe(&again).await;
    assert_eq!(setup.status().restarts, 1);
}

#[tokio::test]
async fn after_a_crash_the_next_start_waits() {
    let setup = Setup::new(&["--exit-at-start", "--log-start"], |config| {
        config.restart_backoff_initial = Duration::from_secs(600);
        config.restart_backoff_max = Duration::from_secs(600);
    });
    let error = setup.host.acquire("demo", "acme", "c1").await.unwrap_err();
    assert_eq!(error.reason, Reason::ConnectorCrashed);
    assert!(error.message.contains("exit status: 2"), "{error}");
    assert!(error.message.contains("cannot find my configuration"), "{error}");
    assert_eq!(setup.status().state, ProcessState::Failed);
    // The pause is any part of ten minutes, so it is hardly ever over before this line.
    let error = setup.host.acquire("demo", "acme", "c1").await.unwrap_err();
    assert!(error.retry_after.unwrap() <= Duration::from_secs(600));
    assert!(error.message.contains("is started again in"), "{error}");
    assert_eq!(setup.starts(), 1);
}

#[tokio::test]
async fn a_connector_that_never_is_ready_is_given_up() {
    let setup = Setup::new(&["--never-ready"], |config| config.start_timeout = Duration::from_millis(500));
    let error = setup.host.acquire("demo", "acme", "c1").await.unwrap_err();
    assert_eq!(error.reason, Reason::ConnectorCrashed);
    assert!(error.message.contains("not ready within 500ms"), "{error}");
    let status = setup.status();
    assert_eq!((status.state, status.pid), (ProcessState::Failed, None));
    setup.host.shutdown().await;
    assert_eq!(fs::read_dir(setup.folder.path().join("run")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_shutdown_ends_a_start_that_is_under_way() {
    let setup = Setup::new(&["--never-ready"], |config| config.start_timeout = Duration::from_secs(600));
    let host = setup.host.clone();
    let start = tokio::spawn(async move { host.acquire("demo", "acme", "c1").await.map(drop) });
    let mut pid = None;
    until("the start of the process", || {
        pid = setup.host.status("demo").first().and_then(|status| status.pid);
        pid.is_some()
    })
    .await;
    assert_eq!(setup.status().state, ProcessState::Starting);
    tokio::time::timeout(SOON, setup.host.shutdown())
        .await
        .expect("a shutdown that does not wait for the start");
    assert!(start.await.unwrap().unwrap_err().message.contains("the server stops"));
    assert!(!is_alive(pid.unwrap()));
    assert_eq!(setup.status().state, ProcessState::Stopped);
}

#[tokio::test]
async fn a_host_that_is_dropped_ends_its_processes() {
    let Setup { folder: _folder, catalog: _catalog, host } = Setup::new(&[], |_| {});
    let pid = host.acquire("demo", "acme", "c1").await.unwrap().pid().unwrap();
    drop(host);
    until("the end of the process", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_program_that_cannot_be_started_says_so() {
    let setup = Setup::new(&[], |_| {});
    assert_eq!(setup.host.acquire("nope", "acme", "c1").await.unwrap_err().reason, Reason::NotFound);
    fs::write(
        setup.connector_file("manifest.json"),
        r#"{"id": "demo", "auth": {"type": "none"}, "sync": {"mode": "full"}, "runtime": {"command": ["./gone"]}}"#,
    )
    .unwrap();
    setup.catalog.rescan().unwrap();
    let error = setup.host.acquire("demo", "acme", "c1").await.unwrap_err();
    assert!(error.message.contains("not runnable") && error.message.contains("does not exist"), "{error}");
}

#[tokio::test]
async fn an_idle_process_is_stopped_and_a_leased_one_is_not() {
    let setup = Setup::new(&[], |config| config.idle_timeout = Duration::from_millis(100));
    let lease = setup.acquire().await;
    let pid = lease.pid().unwrap();
    // Nothing is to happen here, so there is nothing to wait for: several times as long as it may be idle.
    tokio::time::sleep(Duration::from_millis(500)).await;
    describe(&lease).await;
    drop(lease);
    until("the stop for idleness", || setup.status().state == ProcessState::Stopped).await;
    until("the end of the process", || !is_alive(pid)).await;
    assert_eq!(setup.status().last_error, None);
    // It was no crash, so there is no pause.
    describe(&setup.acquire().await).await;
}

#[tokio::test]
async fn a_process_that_ignores_the_request_to_stop_is_killed_with_its_children() {
    let setup = Setup::new(&["--ignore-sigterm", "--child"], |config| {
        config.stop_grace = Duration::from_millis(100);
    });
    let lease = setup.acquire().await;
    let child: u32 = fs::read_to_string(setup.connector_file("child")).unwrap().parse().unwrap();
    assert!(is_alive(child));
    setup.host.shutdown().await;
    assert!(!is_alive(lease.pid().unwrap()));
    until("the end of the connector's child", || !is_alive(child)).await;
}

#[tokio::test]
async fn a_process_over_its_memory_limit_is_killed() {
    let setup = Setup::new(&[], |config| config.memory_limit_bytes = ByteSize::mib(100));
    let lease = setup.acquire().await;
    let call = lease.client().test_connection(TestConnectionRequest::default()).await;
    call.expect_err("the process was killed in the middle of the call");
    let error = lease.failure().await.expect("the process ended");
    assert_eq!(error.reason, Reason::ConnectorCrashed);
    assert!(error.message.contains("went over its memory limit of 100MiB"), "{error}");
}

#[tokio::test]
async fn a_flood_on_stderr_blocks_nobody() {
    let setup = Setup::new(&["--flood"], |_| {});
    // It could not become ready if nobody read its output.
    describe(&setup.acquire().await).await;
}

#[tokio::test]
async fn a_changed_manifest_gets_a_new_process_and_lets_the_old_one_finish() {
    let setup = Setup::new(&[], |_| {});
    let old = setup.acquire().await;
    assert_eq!(setup.acquire().await.pid(), old.pid());
    write_manifest(setup.folder.path(), &["--log-start"]);
    assert!(setup.catalog.rescan().unwrap());
    let new = setup.acquire().await;
    assert_ne!(new.pid(), old.pid());
    describe(&old).await;
    describe(&new).await;
    let pid = old.pid().unwrap();
    drop(old);
    until("the end of the old process", || !is_alive(pid)).await;
    describe(&new).await;
    assert_eq!(setup.status().state, ProcessState::Ready);
}

#[tokio::test]
async fn a_remote_connector_is_reached_at_its_endpoint() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_reporter, health) = tonic_health::server::health_reporter();
    let serving = tonic::transport::Server::builder()
        .add_service(health)
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    let server = tokio::spawn(serving);

    let setup = Setup::new(&[], |config| config.start_timeout = Duration::from_secs(5));
    let manifest = serde_json::json!({
        "id": "demo", "auth": {"type": "none"}, "sync": {"mode": "full"},
        "runtime": {"endpoint": format!("http://{address}")},
    });
    fs::write(setup.connector_file("manifest.json"), manifest.to_string()).unwrap();
    setup.catalog.rescan().unwrap();
    let lease = setup.acquire().await;
    assert_eq!((lease.pid(), setup.status().state), (None, ProcessState::Ready));
    // This server serves health and nothing else.
    let answer = lease.client().describe(DescribeRequest { contract_revision: 1 }).await;
    assert_eq!(answer.unwrap_err().code(), tonic::Code::Unimplemented);
    server.abort();
}

/// A remote connector on TLS, which asks for a certificate of its authority and for the token.
#[tokio::test]
async fn a_remote_connector_is_reached_with_a_certificate_and_a_token() {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let pair = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &authority).unwrap().pem(), key.serialize_pem())
    };
    let (certificate, key) = pair("connector.internal");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(authority.pem()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_reporter, health) = tonic_health::server::health_reporter();
    let asks_for_token = |request: tonic::Request<()>| {
        let shown = request.metadata().get("authorization").and_then(|shown| shown.to_str().ok());
        if shown == Some("Bearer right-token") {
            Ok(request)
        } else {
            Err(tonic::Status::unauthenticated("no"))
        }
    };
    let serving = Server::builder()
        .tls_config(tls)
        .unwrap()
        .add_service(tonic::service::interceptor::InterceptedService::new(health, asks_for_token))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    let server = tokio::spawn(serving);

    let setup = Setup::new(&[], |config| {
        config.start_timeout = Duration::from_secs(2);
        config.restart_backoff_max = Duration::from_millis(1);
    });
    let manifest = serde_json::json!({
        "id": "demo", "auth": {"type": "none"}, "sync": {"mode": "full"},
        "runtime": {"endpoint": format!("https://localhost:{port}"), "token_file": "token", "tls": {
            "ca_file": "ca.pem", "certificate_file": "client.pem", "private_key_file": "client.key",
            "server_name": "connector.internal",
        }},
    });
    let put = |name: &str, text: &str| fs::write(setup.connector_file(name), text).unwrap();
    put("manifest.json", &manifest.to_string());
    setup.catalog.rescan().unwrap();
    // After a failure the next start waits a little.
    let tried = async || loop {
        match setup.host.acquire("demo", "acme", "c1").await {
            Err(error) if error.message.contains("is started again") => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tried => return tried,
        }
    };
    let refused = async || tried().await.err().unwrap().message;
    let told = refused().await;
    assert!(told.contains("token cannot be read"), "{told}");
    put("token", "wrong-token\n");
    let told = refused().await;
    assert!(told.contains("ca.pem cannot be read"), "{told}");
    put("ca.pem", &authority.pem());
    let (certificate, key) = pair("client");
    put("client.pem", &certificate);
    put("client.key", &key);
    let told = refused().await;
    assert!(told.contains("Unauthenticated"), "{told}");
    // A file that is put right is seen, without a restart and without a change of the manifest.
    put("token", "right-token\n");
    let lease = tried().await.unwrap();
    assert_eq!((lease.pid(), setup.status().state), (None, ProcessState::Ready));
    drop(lease);
    // A certificate of nobody that the connector knows.
    let stranger = rcgen::generate_simple_self_signed(vec!["client".to_owned()]).unwrap();
    put("client.pem", &stranger.cert.pem());
    put("client.key", &stranger.signing_key.serialize_pem());
    let told = refused().await;
    assert!(told.contains("not ready within"), "{told}");
    server.abort();
}

/// Needs root, as the feature does.
#[tokio::test]
async fn a_connector_runs_as_the_user_that_is_configured() {
    use std::os::unix::fs::PermissionsExt;
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let setup = Setup::new(&[], |config| config.run_as = Some("nobody".to_owned()));
    // All on the way to the program must be open to that user, as a packaged installation is.
    let program = setup.connector_file("connector");
    fs::copy(example("fake_connector"), &program).unwrap();
    for folder in program.ancestors().skip(1).take_while(|folder| folder.starts_with(setup.folder.path())) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let manifest = r#"{"id": "demo", "auth": {"type": "none"}, "sync": {"mode": "full"}}"#;
    fs::write(setup.connector_file("manifest.json"), manifest).unwrap();
    setup.catalog.rescan().unwrap();
    let lease = setup.acquire().await;
    describe(&lease).await;
    let status = fs::read_to_string(format!("/proc/{}/status", lease.pid().unwrap())).unwrap();
    let line =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    assert!(line("Uid:").split_whitespace().all(|uid| uid == nobody.uid.to_string()), "{status}");
    assert!(line("Gid:").split_whitespace().all(|gid| gid == nobody.gid.to_string()), "{status}");
    assert_eq!(line("Groups:"), "");
    assert_eq!(line("NoNewPrivs:"), "1");
    setup.host.shutdown().await;
}

#[tokio::test]
async fn a_killed_server_leaves_no_connector_behind() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let folder = tempfile::tempdir().unwrap();
    write_manifest(folder.path(), &[]);
    let sockets = folder.path().join("run");
    let mut server = tokio::process::Command::new(example("hold_connector"))
        .args([&folder.path().join("connectors"), &sockets])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
    let connector: u32 = line.parse().unwrap();
    assert!(is_alive(connector));
    server.kill().await.unwrap();
    until("the end of the connector", || !is_alive(connector)).await;
    // The next server clears away the socket that was left.
    assert_eq!(fs::read_dir(&sockets).unwrap().count(), 1);
    let catalog = Catalog::load(&folder.path().join("connectors")).unwrap();
    let _host = ProcessHost::new(ProcessConfig::default(), Arc::new(SystemClock), catalog, &sockets).unwrap();
    assert_eq!(fs::read_dir(&sockets).unwrap().count(), 0);
}
