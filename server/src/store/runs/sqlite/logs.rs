//! The logs of runs in SQLite.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use superfasttt_proto::connector::v1::log_record::Level;

use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::runs::{LogLine, LogPart, StoredLogLine};
use crate::store::{Listed, Result};

/// Appends to a run's log, up to its limit.
pub(super) fn append(tx: &Transaction<'_>, run: &str, part: &LogPart) -> Result<()> {
    if part.lines.is_empty() && part.dropped == 0 {
        return Ok(());
    }
    let kept: Option<i64> = tx
        .prepare_cached("SELECT log_records FROM runs WHERE id = ?1")?
        .query_row([run], |row| row.get(0))
        .optional()?;
    let Some(kept) = kept else { return Ok(()) };
    let (kept, dropped) = insert_lines(tx, run, kept, part)?;
    tx.prepare_cached("UPDATE runs SET log_records = ?1, log_dropped = log_dropped + ?2 WHERE id = ?3")?
        .execute(params![kept, dropped, run])?;
    Ok(())
}

/// Writes lines behind the `kept` ones of a run's log, up to its limit. Says how many there are then, and how many had
/// no room.
pub(super) fn insert_lines(tx: &Transaction<'_>, run: &str, kept: i64, part: &LogPart) -> Result<(i64, u64)> {
    let room = (part.max as i64 - kept).max(0) as usize;
    let mut insert = tx.prepare_cached(
        "INSERT INTO run_logs (run, seq, time, level, origin, message, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut seq = kept;
    for line in part.lines.iter().take(room) {
        seq += 1;
        let fields = to_json("fields", &line.fields)?;
        insert.execute(params![
            run,
            seq,
            micros(line.time),
            line.level as i32,
            line.origin,
            line.message,
            fields
        ])?;
    }
    Ok((seq, part.lines.len().saturating_sub(room) as u64 + part.dropped))
}

/// Lists lines behind `after`; says too how many were dropped.
pub(super) fn list(
    tx: &Transaction<'_>,
    run: &str,
    min_level: Level,
    after: i64,
    limit: usize,
) -> Result<(Listed<StoredLogLine, i64>, u64)> {
    let rows = tx
        .prepare_cached(
            "SELECT seq, time, level, origin, message, fields FROM run_logs \
             WHERE run = ?1 AND seq > ?2 AND level >= ?3 ORDER BY seq LIMIT ?4",
        )?
        .query_map(params![run, after, min_level as i32, limit as i64 + 1], read_line)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let items = rows.into_iter().collect::<Result<Vec<_>>>()?;
    let dropped: Option<u64> = tx
        .prepare_cached("SELECT log_dropped FROM runs WHERE id = ?1")?
        .query_row([run], |row| row.get(0))
        .optional()?;
    Ok((Listed::cut(items, limit, |line| line.seq), dropped.unwrap_or(0)))
}

fn read_line(row: &Row<'_>) -> rusqlite::Result<Result<StoredLogLine>> {
    let fields: String = row.get(5)?;
    let fields = match from_json("fields", &fields) {
        Ok(fields) => fields,
        Err(error) => return Ok(Err(error)),
    };
    let origin: String = row.get(3)?;
    Ok(Ok(StoredLogLine {
        seq: row.get(0)?,
        line: LogLine {
            time: time(row.get(1)?),
            level: Level::try_from(row.get::<_, i32>(2)?).unwrap_or_default(),
            origin: match origin.as_str() {
                "connector" => "connector",
                "stderr" => "stderr",
                _ => "engine",
            },
            message: row.get(4)?,
            fields,
        },
    }))
}
