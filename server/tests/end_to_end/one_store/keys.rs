//! The keys of the vault, with real processes: a rotation is killed in the middle and goes on, while a server runs and
//! another replica writes; then the old key is not needed any more. A wrong key keeps a server from starting. Once on each
//! store: they differ in where the keys come from.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use connectord::config::DatabaseConfig;
use connectord::store::{PostgresStore, SqliteStore, Store};
use connectord::vault::{KeyId, KeyRing, KeySource, Place, Vault, watch};
use secrecy::{ExposeSecret, SecretString};

use crate::support::{Server, postgres, until, within};

/// Secrets that are there before the first rotation.
const SECRETS: usize = 4000;

fn place(number: usize) -> Place {
    Place::of_connection("acme", &format!("c-{number}"), "refresh_token")
}

async fn write(store: &dyn Store, vault: &Vault, number: usize) {
    let sealed = vault.seal(&place(number), format!("token {number}").as_bytes()).unwrap();
    store.secret_or(place(number), sealed).await.unwrap();
}

/// What a command prints, run on a thread of its own.
async fn run(mut command: Command) -> (bool, String) {
    let output =
        tokio::task::spawn_blocking(move || command.stdout(Stdio::piped()).stderr(Stdio::piped()).output());
    let output = within("the command's end", output).await.unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// Runs a rotation with a new key and kills it once it has told of its first secrets.
async fn rotate_and_kill(mut command: Command) {
    let killed = tokio::task::spawn_blocking(move || {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let told = lines.by_ref().map(Result::unwrap).find(|line| line.contains("are sealed again"));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(told.is_some() && !status.success(), "it ended by itself");
    });
    within("the rotation's end", killed).await.unwrap();
}

/// A replica in this process, which seals secrets until it is stopped.
struct Replica {
    vault: Vault,
    next: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    writing: tokio::task::JoinHandle<()>,
}

impl Replica {
    async fn start(store: &Arc<dyn Store>, keys: &Path) -> Self {
        let vault = Vault::with_keys(KeySource::File(keys.to_owned())).await.unwrap();
        tokio::spawn(watch(vault.clone(), store.clone()));
        let numbers: Vec<usize> = (0..SECRETS).collect();
        for some in numbers.chunks(200) {
            futures::future::join_all(some.iter().map(|number| write(store.as_ref(), &vault, *number))).await;
        }
        let (next, stop) = (Arc::new(AtomicUsize::new(SECRETS)), Arc::new(AtomicBool::new(false)));
        let (store, sealing, number, stopped) = (store.clone(), vault.clone(), next.clone(), stop.clone());
        let writing = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                write(store.as_ref(), &sealing, number.load(Ordering::Relaxed)).await;
                number.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        Self { vault, next, stop, writing }
    }

    /// Says how many secrets it has written.
    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.writing.await.unwrap();
        self.next.load(Ordering::Relaxed)
    }
}

fn ids(keys: &Path) -> Vec<KeyId> {
    KeyRing::parse(&fs::read_to_string(keys).unwrap()).unwrap().ids().collect()
}

async fn a_rotation_that_is_killed_goes_on(mut server: Server, store: Arc<dyn Store>, keys: PathBuf) {
    let first = ids(&keys);
    let replica = Replica::start(&store, &keys).await;
    // Where the machine was too slow to kill it in the middle, once more.
    let mut counts = store.count_secrets().await.unwrap();
    for _ in 0..5 {
        rotate_and_kill(server.command(&["keys", "rotate", "--generate"])).await;
        counts = store.count_secrets().await.unwrap();
        if counts.len() > 1 {
            break;
        }
    }
    assert!(counts.len() > 1, "it was killed in the middle: {counts:?}");
    assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
    let newest = ids(&keys)[0];
    assert_ne!(newest, first[0]);

    let (good, said) = run(server.command(&["keys", "rotate"])).await;
    assert!(good, "{said}");
    assert!(said.contains(&format!("all are sealed with key {newest}")), "{said}");
    assert!(replica.next.load(Ordering::Relaxed) > SECRETS, "the replica went on writing");
    assert_eq!(replica.vault.ring().unwrap().newest().id(), newest, "and heard of the key");
    let written = replica.stop().await;
    let counts = store.count_secrets().await.unwrap();
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [Some(newest)]);
    until("the server reads its keys again", || server.log().contains(&format!("read again key={newest}")))
        .await;
    let (good, said) = run(server.command(&["keys", "status"])).await;
    let row = |key: KeyId, remark: &str| {
        said.lines().any(|line| line.contains(&key.to_string()) && line.contains(remark))
    };
    assert!(good && row(newest, &format!("{}  newest: seals", written + 1)), "{said}");
    assert!(row(first[0], "0  seals nothing"), "{said}");

    // The old keys go; everything opens.
    let newest_alone = fs::read_to_string(&keys).unwrap().lines().next().unwrap().to_owned();
    fs::write(&keys, &newest_alone).unwrap();
    server.stop().await;
    server.restart().await;
    let vault = Vault::with_keys(KeySource::File(keys.clone())).await.unwrap();
    for number in [0, 1, SECRETS / 2, SECRETS - 1, SECRETS, written - 1] {
        let sealed = store.secret(place(number)).await.unwrap().unwrap();
        let opened = vault.open(&place(number), &sealed).await.unwrap();
        assert_eq!(opened.expose_secret(), format!("token {number}").as_bytes());
    }

    // A wrong key opens nothing, and says which one is missing.
    server.stop().await;
    let (_, another) = run(server.command(&["keys", "generate"])).await;
    fs::write(&keys, &another).unwrap();
    let (status, said) = server.start_another().await;
    assert!(!status.success() && said.contains(&format!("sealed with key {newest}")), "{said}");
    let (good, said) = run(server.command(&["keys", "rotate", "--generate"])).await;
    assert!(!good && said.contains("are they of another one?"), "{said}");
    assert_eq!(fs::read_to_string(&keys).unwrap(), another, "a key file of another store is left as it is");
    let (good, said) = run(server.command(&["keys", "status"])).await;
    assert!(good && said.contains("MISSING"), "{said}");
    for key in [newest_alone.trim(), another.trim()] {
        assert!(!server.log().contains(key) && !said.contains(key), "keys are not told");
    }
    store.close().await;
}

#[tokio::test]
async fn a_rotation_that_is_killed_goes_on_in_sqlite() {
    let server = Server::start().await;
    let data = server.folder().join("data");
    let store = SqliteStore::open_beside(&data.join("connectord.db")).await.unwrap();
    let keys = data.join("vault.key");
    assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600, "the server made it");
    a_rotation_that_is_killed_goes_on(server, Arc::new(store), keys).await;
}

#[tokio::test]
async fn a_rotation_that_is_killed_goes_on_in_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let database = postgres::Database::new().await;
    let url = database.url();
    // It serves without keys, until there are secrets.
    let mut server = Server::builder().with("DATABASE__URL", &url).start().await;
    let (good, key) = run(server.command(&["keys", "generate"])).await;
    assert!(good);
    fs::write(&keys, key).unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    server.stop().await;
    server.set("VAULT__KEY_FILE", keys.display());
    server.restart().await;
    let config = DatabaseConfig { url: Some(SecretString::from(url)), ..DatabaseConfig::default() };
    let store = PostgresStore::open(&config).await.unwrap();
    a_rotation_that_is_killed_goes_on(server, Arc::new(store), keys).await;
}
