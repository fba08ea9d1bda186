//! A reader that follows the feed all along, from whichever replica answers, and keeps what it was told.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use superfasttt_proto::control::v1::{FeedEntry, WatchDocumentsRequest, WatchDocumentsResponse, feed_entry};
use tokio::sync::watch;

use crate::support::Client;

/// What the reader holds: connection and id, and the text.
pub type Held = BTreeMap<(String, String), String>;

/// The reader.
#[derive(Clone, Default)]
pub struct Reader {
    held: Arc<Mutex<Held>>,
}

impl Reader {
    /// What it holds now.
    pub fn held(&self) -> Held {
        self.held.lock().unwrap().clone()
    }

    /// Follows until the task is dropped. A replica that goes away is left for the next one, at the same position.
    pub async fn follow(self, mut clients: watch::Receiver<Vec<Client>>) {
        let mut position = String::new();
        let mut told = None;
        for replica in 0_usize.. {
            let client = {
                let clients = clients.borrow_and_update();
                clients[replica % clients.len()].clone()
            };
            let request = WatchDocumentsRequest { position: position.clone(), ..Default::default() };
            if let Ok(stream) = client.documents_service().watch_documents(request).await {
                let mut stream = stream.into_inner();
                while let Ok(Ok(Some(message))) =
                    tokio::time::timeout(Duration::from_secs(5), stream.message()).await
                {
                    position.clone_from(&message.position);
                    self.take(message, &mut told);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Takes what it is told. `told` is what a snapshot has named so far: what it does not name is gone.
    fn take(&self, message: WatchDocumentsResponse, told: &mut Option<HashSet<(String, String)>>) {
        if message.snapshot_begin {
            *told = Some(HashSet::new());
        }
        let mut held = self.held.lock().unwrap();
        for entry in message.entries {
            if let (Some(key), Some(told)) = (take(&mut held, entry), told.as_mut()) {
                told.insert(key);
            }
        }
        if message.snapshot_end
            && let Some(told) = told.take()
        {
            held.retain(|key, _| told.contains(key));
        }
    }
}

/// Takes one entry; returns the document that it tells of.
fn take(held: &mut Held, entry: FeedEntry) -> Option<(String, String)> {
    match entry.kind? {
        feed_entry::Kind::Document(document) => {
            let key = (entry.connection, document.id);
            if !entry.content_unchanged {
                held.insert(key.clone(), document.content.unwrap_or_default());
            }
            assert!(
                held.contains_key(&key),
                "the content of {key:?} is said to be known, and was never told"
            );
            Some(key)
        }
        feed_entry::Kind::Tombstone(tombstone) => {
            held.remove(&(entry.connection, tombstone.id));
            None
        }
    }
}
