//! How much waits, in PostgreSQL.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Overview, OverviewStore};
use crate::store::columns::{micros, time};
use crate::store::documents::postgres::count;
use crate::store::postgres::Text;
use crate::store::{PostgresStore, Result};

#[async_trait]
impl OverviewStore for PostgresStore {
    async fn overview(&self, disabled: &[String], now: DateTime<Utc>) -> Result<Overview> {
        self.single((disabled.to_vec(), micros(now)), |tx, (disabled, now)| {
            Box::pin(async move {
                let disabled: Vec<_> = disabled.iter().map(|connector| Text(connector)).collect();
                let sql = "SELECT (SELECT count(*) FROM runs WHERE state = 1 AND connector <> ALL($1)), \
                     (SELECT count(*) FROM runs WHERE state = 3 AND connector <> ALL($1)), \
                     (SELECT count(*) FROM connections c WHERE next_run_at <= $2 AND next_run_at IS NOT NULL \
                       AND NOT disabled AND NOT paused AND deleting_at IS NULL AND connector <> ALL($1) AND NOT EXISTS \
                       (SELECT 1 FROM runs r WHERE r.connection = c.pk AND r.state IN (1, 2, 3))), \
                     (SELECT min(created_at) FROM runs WHERE state = 1 AND connector <> ALL($1))";
                let row = tx.query_one(sql, &[&disabled, now]).await?;
                Ok(Overview {
                    queued: count(&row, 0),
                    parked: count(&row, 1),
                    due: count(&row, 2),
                    oldest_queued_at: row.get::<_, Option<i64>>(3).map(time),
                })
            })
        })
        .await
    }
}
