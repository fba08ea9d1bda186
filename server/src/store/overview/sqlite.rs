//! How much waits, in SQLite.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::params;

use super::{Overview, OverviewStore};
use crate::store::columns::{micros, time, to_json};
use crate::store::{Result, SqliteStore};

#[async_trait]
impl OverviewStore for SqliteStore {
    async fn overview(&self, disabled: &[String], now: DateTime<Utc>) -> Result<Overview> {
        let disabled = to_json("disabled connectors", &disabled)?;
        self.read(move |tx| {
            let (queued, oldest): (u64, Option<i64>) = tx
                .prepare_cached(
                    "SELECT count(*), min(created_at) FROM runs \
                     WHERE state = 1 AND connector NOT IN (SELECT value FROM json_each(?1))",
                )?
                .query_row([&disabled], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let parked = tx
                .prepare_cached(
                    "SELECT count(*) FROM runs \
                     WHERE state = 3 AND connector NOT IN (SELECT value FROM json_each(?1))",
                )?
                .query_row([&disabled], |row| row.get(0))?;
            let due = tx
                .prepare_cached(
                    "SELECT count(*) FROM connections c WHERE next_run_at <= ?2 AND disabled = 0 AND paused = 0 \
                     AND deleting_at IS NULL AND connector NOT IN (SELECT value FROM json_each(?1)) \
                     AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.connection = c.pk AND r.state IN (1, 2, 3))",
                )?
                .query_row(params![disabled, micros(now)], |row| row.get(0))?;
            Ok(Overview { queued, oldest_queued_at: oldest.map(time), parked, due })
        })
        .await
    }
}
