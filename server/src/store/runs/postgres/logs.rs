//! The logs of runs in PostgreSQL.

use superfasttt_proto::connector::v1::log_record::Level;
use tokio_postgres::Row;

use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::postgres::{Outcome, Plain, Text, Tx};
use crate::store::runs::{LogLine, LogPart, StoredLogLine};
use crate::store::{Listed, Result};

/// Appends to a run's log, up to its limit.
pub(super) async fn append(tx: &Tx, run: &str, part: &LogPart) -> Outcome<()> {
    append_all(tx, &[(run, part)]).await
}

/// As [`append`], to the logs of several runs, each named once.
pub(super) async fn append_all(tx: &Tx, parts: &[(&str, &LogPart)]) -> Outcome<()> {
    let parts: Vec<_> = parts.iter().filter(|(_, part)| !part.lines.is_empty() || part.dropped > 0).collect();
    if parts.is_empty() {
        return Ok(());
    }
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let runs: Vec<&str> = parts.iter().map(|(run, _)| *run).collect();
    let max: Vec<i64> = parts.iter().map(|(_, part)| signed(part.max)).collect();
    let dropped: Vec<i64> = parts.iter().map(|(_, part)| signed(part.dropped)).collect();
    let given: Vec<i64> = parts.iter().map(|(_, part)| part.lines.len() as i64).collect();
    let mut lines = Vec::new();
    for (place, (_, part)) in parts.iter().enumerate() {
        lines.extend(
            part.lines.iter().enumerate().map(|(number, line)| (place as i64 + 1, number as i64 + 1, line)),
        );
    }
    let places: Vec<i64> = lines.iter().map(|(place, ..)| *place).collect();
    let numbers: Vec<i64> = lines.iter().map(|(_, number, _)| *number).collect();
    let times: Vec<i64> = lines.iter().map(|(.., line)| micros(line.time)).collect();
    let levels: Vec<i32> = lines.iter().map(|(.., line)| line.level as i32).collect();
    let origins: Vec<&str> = lines.iter().map(|(.., line)| line.origin).collect();
    let messages: Vec<_> = lines.iter().map(|(.., line)| Text(&line.message)).collect();
    let fields =
        lines.iter().map(|(.., line)| to_json("fields", &line.fields)).collect::<Result<Vec<_>>>()?;
    // The run's row is held while its lines are numbered.
    let sql = "WITH part AS ( \
           SELECT r.id, u.given, u.dropped, u.place, r.log_records AS kept, greatest(u.max - r.log_records, 0) AS room \
           FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY \
             AS u(run, max, dropped, given, place) JOIN runs r ON r.id = u.run ORDER BY r.id FOR NO KEY UPDATE OF r), \
         written AS (INSERT INTO run_logs (run, seq, time, level, origin, message, fields) \
           SELECT part.id, part.kept + line.number, line.time, line.level, line.origin, line.message, line.fields \
           FROM unnest($5::bigint[], $6::bigint[], $7::bigint[], $8::int[], $9::text[], $10::text[], $11::text[]) \
             AS line(place, number, time, level, origin, message, fields) \
           JOIN part ON part.place = line.place AND line.number <= part.room) \
         UPDATE runs r SET log_records = part.kept + least(part.given, part.room), \
           log_dropped = r.log_dropped + part.dropped + greatest(part.given - part.room, 0) \
         FROM part WHERE r.id = part.id";
    tx.execute(
        sql,
        &[&runs, &max, &dropped, &given, &places, &numbers, &times, &levels, &origins, &messages, &fields],
    )
    .await?;
    Ok(())
}

/// Lists a run's log; says too how many lines were dropped.
pub(super) async fn list(
    tx: &Tx,
    run: &str,
    min_level: Level,
    after: i64,
    limit: usize,
) -> Outcome<(Listed<StoredLogLine, i64>, u64)> {
    let sql = "SELECT seq, time, level, origin, message, fields FROM run_logs \
         WHERE run = $1 AND seq > $2 AND level >= $3 ORDER BY seq LIMIT $4";
    let rows = tx.query(sql, &[&run, &after, &(min_level as i32), &(limit as i64 + 1)]).await?;
    let items = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
    let dropped = tx.query_opt("SELECT log_dropped FROM runs WHERE id = $1", &[&run]).await?;
    let dropped = dropped.map_or(0, |row| row.get::<_, i64>(0).unsigned_abs());
    Ok((Listed::cut(items, limit, |line| line.seq), dropped))
}

fn read(row: &Row) -> Result<StoredLogLine> {
    Ok(StoredLogLine {
        seq: row.get(0),
        line: LogLine {
            time: time(row.get(1)),
            level: Level::try_from(row.get::<_, i32>(2)).unwrap_or_default(),
            origin: match row.get(3) {
                "connector" => "connector",
                "stderr" => "stderr",
                _ => "engine",
            },
            message: row.get::<_, Plain>(4).0,
            fields: from_json("fields", row.get(5))?,
        },
    })
}
