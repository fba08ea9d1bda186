//! What is counted: the same in one row, bounded, kept while the store is away, and never waited for.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta};

use super::audit::MAX_COUNTED;
use super::{Audit, CredentialUse, Purpose};
use crate::clock::MockClock;
use crate::store::audit::{Actor, AuditEvent, AuditFilter, AuditStore};
use crate::store::connections::{Connection, ConnectionStore, NewConnection, Schedule};
use crate::store::memory::MemoryStore;

struct Log {
    audit: Audit,
    store: MemoryStore,
    clock: MockClock,
    connection: Connection,
}

impl Log {
    async fn new() -> Self {
        let store = MemoryStore::new(false);
        let clock = MockClock::new(DateTime::UNIX_EPOCH);
        let new = NewConnection {
            id: "c1".to_owned(),
            organization: "acme".to_owned(),
            connector: "drive".to_owned(),
            name: "docs".to_owned(),
            settings: Default::default(),
            schedule: Schedule::default(),
            disabled: false,
            keep_raw: false,
            next: None,
            request: None,
        };
        let connection = store.create_connection(new, DateTime::UNIX_EPOCH).await.unwrap();
        let audit = Audit::new(Arc::new(store.clone()), Arc::new(clock.clone()));
        Self { audit, store, clock, connection }
    }

    fn uses(&self, purpose: Purpose, run: &str) {
        self.audit.credential_used(CredentialUse { connection: &self.connection, purpose, run, found: true });
    }

    async fn written(&self) -> Vec<AuditEvent> {
        let filter = AuditFilter { oldest_first: true, ..AuditFilter::default() };
        self.store.audit_events(filter, None, MAX_COUNTED + 1).await.unwrap().items
    }
}

#[tokio::test]
async fn uses_of_a_credential_are_one_row_for_each_purpose_and_run() {
    let log = Log::new().await;
    for _ in 0..1000 {
        log.uses(Purpose::Run, "r1");
        log.clock.advance(TimeDelta::milliseconds(1));
    }
    log.uses(Purpose::Run, "r2");
    log.uses(Purpose::Test, "");
    assert_eq!(log.written().await.len(), 0, "nothing waited for the store");
    log.audit.flush().await;
    let mut written = log.written().await;
    written.sort_by(|a, b| (&a.detail.purpose, &a.detail.run).cmp(&(&b.detail.purpose, &b.detail.run)));
    let told = |event: &AuditEvent| (event.detail.purpose.clone(), event.detail.run.clone(), event.count);
    let text = str::to_owned;
    let expected =
        [(text("run"), text("r1"), 1000), (text("run"), text("r2"), 1), (text("test"), text(""), 1)];
    assert_eq!(written.iter().map(told).collect::<Vec<_>>(), expected);
    let first = &written[0];
    assert_eq!(
        (first.first_at, first.last_at - first.first_at),
        (DateTime::UNIX_EPOCH, TimeDelta::milliseconds(999))
    );
    assert_eq!((first.action.as_str(), first.target.as_str()), ("credential.use", "connection/c1"));
    assert_eq!((first.actor.name.as_str(), first.organization.as_str()), ("connectord", "acme"));
    // What comes after is a row of its own.
    log.uses(Purpose::Run, "r1");
    log.audit.flush().await;
    assert_eq!(log.written().await.len(), 4);
}

#[tokio::test]
async fn what_cannot_be_written_is_kept_for_the_next_time() {
    let log = Log::new().await;
    log.uses(Purpose::Run, "r1");
    log.store.set_away(true);
    log.audit.flush().await;
    log.uses(Purpose::Run, "r1");
    log.store.set_away(false);
    log.audit.flush().await;
    let written = log.written().await;
    assert_eq!(written.iter().map(|event| event.count).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn whoever_is_turned_away_again_and_again_fills_nothing() {
    let log = Log::new().await;
    for number in 0..MAX_COUNTED + 10 {
        let actor = Actor { address: format!("2001:db8::{number:x}"), ..Actor::default() };
        log.audit.turned_away(actor, "unknown", "UNAUTHENTICATED", "TOKEN_WRONG");
    }
    log.uses(Purpose::Run, "r1");
    log.audit.flush().await;
    assert_eq!(log.written().await.len(), MAX_COUNTED, "what found no room is not there");
    log.uses(Purpose::Run, "r1");
    log.audit.flush().await;
    assert_eq!(log.written().await.len(), MAX_COUNTED + 1, "there is room again");
}
