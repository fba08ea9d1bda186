//! Rotation over the store in memory, and what the start makes of a canary; with real processes in `tests/end_to_end`.

use std::sync::Arc;

use secrecy::SecretString;

use super::super::{Key, KeySource, OpenError, key_file, open, watch};
use super::*;
use crate::config::{Config, DatabaseConfig, VaultConfig};
use crate::store::memory::MemoryStore;
use crate::store::secrets::SecretStore;

fn text(keys: &[&Key]) -> SecretString {
    let lines: Vec<String> = keys.iter().map(|key| key.to_base64().to_string()).collect();
    SecretString::from(lines.join("\n"))
}

async fn vault(keys: &[&Key]) -> Vault {
    Vault::with_keys(KeySource::Text(text(keys))).await.unwrap()
}

fn config(keys: &[&Key]) -> Config {
    Config { vault: VaultConfig { keys: Some(text(keys)), ..VaultConfig::default() }, ..Config::default() }
}

fn place(number: usize) -> Place {
    Place::of_connection("acme", &format!("c-{number:04}"), "token")
}

async fn put(vault: &Vault, store: &MemoryStore, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let sealed = vault.seal(&place(number), number.to_string().as_bytes()).unwrap();
        store.secret_or(place(number), sealed).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn everything_gets_the_newest_key_and_the_canary_first() {
    let (old, new) = (Key::generate(), Key::generate());
    let store = MemoryStore::new(true);
    let before = open(&config(&[&old]), &store).await.unwrap();
    put(&before, &store, 0..1200).await;
    let after = vault(&[&new, &old]).await;
    let mut told = Vec::new();
    let rotated = rotate(&after, &store, |progress| told.push(progress)).await.unwrap();
    assert_eq!(rotated, Rotated { resealed: 1201, failed: Vec::new() });
    let done = |done| Progress::Resealed { done, of: 1201 };
    assert_eq!(told, [done(501), done(1001), done(1201), Progress::Settling(SETTLE)]);
    let with_new_alone = vault(&[&new]).await;
    for number in [0, 600, 1199] {
        let sealed = store.secret(place(number)).await.unwrap().unwrap();
        let opened = with_new_alone.open(&place(number), &sealed).await.unwrap();
        assert_eq!(opened.expose_secret(), number.to_string().as_bytes());
    }
    open(&config(&[&new]), &store).await.unwrap();
    assert_eq!(rotate(&after, &store, |_| ()).await.unwrap(), Rotated::default(), "there is nothing to do");
}

#[tokio::test(start_paused = true)]
async fn what_a_server_wrote_meanwhile_with_the_old_key_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = key_file::in_folder(folder.path());
    let store = MemoryStore::new(false);
    let mut config = Config::default();
    config.data.dir = folder.path().to_owned();
    // A server, which looks at the canary now and then.
    let server = open(&config, &store).await.unwrap();
    let old = server.ring().unwrap().newest().id();
    let watching = tokio::spawn(watch(server.clone(), Arc::new(store.clone())));
    put(&server, &store, 0..3).await;
    tokio::time::sleep(LOOK * 2).await;
    let newest = key_file::put_new_in_front(&path).unwrap().newest().id();
    let rotating = Vault::with_keys(KeySource::File(path)).await.unwrap();
    let writes = std::sync::atomic::AtomicUsize::new(3);
    let (server_store, writer) = (store.clone(), server.clone());
    let rotated = rotate(&rotating, &store, |progress| {
        if let Progress::Settling(_) = progress {
            // It does not know the new key yet the first time.
            let number = writes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let (store, writer) = (server_store.clone(), writer.clone());
            tokio::spawn(async move { put(&writer, &store, number..number + 1).await });
        }
    })
    .await
    .unwrap();
    assert_eq!(rotated.resealed, 3 + 1 + 1, "with the canary, and what was written meanwhile");
    assert_eq!(server.ring().unwrap().newest().id(), newest);
    assert_eq!(store.count_secrets().await.unwrap().into_keys().collect::<Vec<_>>(), [Some(newest)]);
    assert_ne!(newest, old);
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn what_does_not_open_stays_as_it_was_and_is_named_once() {
    let (old, new, lost) = (Key::generate(), Key::generate(), Key::generate());
    let store = MemoryStore::new(true);
    put(&vault(&[&old]).await, &store, 0..2).await;
    put(&vault(&[&lost]).await, &store, 2..3).await;
    // Moved from another row.
    let stolen = store.secret(place(0)).await.unwrap().unwrap();
    store.secret_or(place(3), stolen.clone()).await.unwrap();
    let rotated = rotate(&vault(&[&new, &old]).await, &store, |_| ()).await.unwrap();
    assert_eq!(rotated.resealed, 2);
    let failed = [(place(2), VaultError::UnknownKey(lost.id())), (place(3), VaultError::Damaged)];
    assert_eq!(rotated.failed, failed);
    assert_eq!(store.secret(place(3)).await.unwrap(), Some(stolen));
}

#[tokio::test]
async fn a_wrong_key_ring_keeps_the_server_from_starting() {
    let (right, wrong) = (Key::generate(), Key::generate());
    let store = MemoryStore::new(true);
    open(&config(&[&right]), &store).await.unwrap();
    open(&config(&[&wrong, &right]), &store).await.unwrap();
    let refused = open(&config(&[&wrong]), &store).await.unwrap_err().to_string();
    assert!(refused.contains(&right.id().to_string()), "{refused}");
    assert!(refused.contains("vault.keys"), "{refused}");
    // Without keys at all it serves only where nothing is sealed.
    let mut none = Config::default();
    none.database = DatabaseConfig { url: Some(SecretString::from("postgres://db/x")), ..none.database };
    assert!(matches!(open(&none, &store).await, Err(OpenError::NoKeys { key, .. }) if key == right.id()));
    let empty = open(&none, &MemoryStore::new(true)).await.unwrap();
    assert_eq!(empty.ring().unwrap_err(), VaultError::NoKeys);
}

#[tokio::test]
async fn an_embedded_installation_makes_its_key_once_and_never_a_second_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = key_file::in_folder(folder.path());
    let store = MemoryStore::new(false);
    let mut config = Config::default();
    config.data.dir = folder.path().to_owned();
    let made = open(&config, &store).await.unwrap().ring().unwrap().newest().id();
    assert_eq!(open(&config, &store).await.unwrap().ring().unwrap().newest().id(), made);
    std::fs::remove_file(&path).unwrap();
    let refused = open(&config, &store).await.unwrap_err().to_string();
    assert!(refused.contains(&made.to_string()) && refused.contains("vault.key is not there"), "{refused}");
    assert!(!path.exists(), "no new key, which would open nothing");
    // A file that is configured is never made.
    config.vault.key_file = Some(folder.path().join("elsewhere"));
    let refused = open(&config, &MemoryStore::new(false)).await.unwrap_err();
    assert!(matches!(refused, OpenError::Source(_)), "{refused}");
}
