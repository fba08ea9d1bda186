//! The audit log in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::MemoryStore;
use crate::store::audit::{AuditEvent, AuditFilter, AuditStore};
use crate::store::{Listed, Result};

#[async_trait]
impl AuditStore for MemoryStore {
    async fn append_audit(&self, events: Vec<AuditEvent>) -> Result<()> {
        self.write(|data| {
            for event in events {
                let key = data.next_key();
                data.audit_log.insert(key, event);
            }
            Ok(())
        })
        .await
    }

    async fn audit_events(
        &self,
        filter: AuditFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Listed<AuditEvent, i64>> {
        self.read(|data| {
            let matches = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
            let wanted = |(key, event): &(i64, AuditEvent)| {
                let beyond = |after: i64| if filter.oldest_first { *key > after } else { *key < after };
                after.is_none_or(beyond)
                    && matches(&filter.organization, &event.organization)
                    && matches(&filter.target, &event.target)
                    && (matches(&filter.actor, &event.actor.token) || filter.actor == event.actor.name)
                    && filter.since.is_none_or(|since| event.last_at >= since)
                    && filter.until.is_none_or(|until| event.first_at < until)
            };
            let events = data.audit_log.iter().map(|(key, event)| (*key, event.clone()));
            let mut found: Vec<_> = events.filter(wanted).collect();
            if !filter.oldest_first {
                found.reverse();
            }
            Listed::cut(found, limit, |(key, _)| *key).map(|(_, event)| event)
        })
        .await
    }

    async fn trim_audit(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        self.write(|data| {
            let old = data.audit_log.iter().filter(|(_, event)| event.last_at < before);
            let mut old: Vec<_> = old.map(|(key, event)| (event.last_at, *key)).collect();
            old.sort_unstable();
            old.truncate(limit);
            for (_, key) in &old {
                data.audit_log.remove(key);
            }
            Ok(old.len() as u64)
        })
        .await
    }
}
