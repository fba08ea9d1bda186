//! A schedule in words.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use croner::Cron;
use superfasttt_proto::control::v1::{Connection, Schedule, schedule};

use crate::output::human;

/// When a connection syncs, in a line: "every 15 min; in full at 03:00, on Sunday (Europe/Paris)".
pub fn schedule(schedule: Option<&Schedule>) -> String {
    let Some(schedule) = schedule else { return "as the connector's manifest says".to_owned() };
    let mut text = match frequency(schedule.interval, &schedule.cron) {
        Some(frequency) => frequency,
        None => "only when asked".to_owned(),
    };
    if let Some(full) = frequency(schedule.full_interval, &schedule.full_cron) {
        text.push_str(&format!("; in full {full}"));
    }
    if !schedule.cron.is_empty() || !schedule.full_cron.is_empty() {
        let zone = if schedule.time_zone.is_empty() { "UTC" } else { &schedule.time_zone };
        text.push_str(&format!(" ({zone})"));
    }
    text
}

/// What else is set: how far cron times spread, and what becomes of a sync that is due while one is under way.
pub fn details(schedule: &Schedule) -> Vec<String> {
    let mut details = Vec::new();
    if let Some(jitter) = length(schedule.jitter) {
        details.push(format!("spread over {jitter}"));
    }
    if schedule.overlap() == schedule::Overlap::Buffer {
        details.push("one waits while another is under way".to_owned());
    }
    details
}

/// The next sync in a few words: "in 3 min, in full".
pub fn next(connection: &Connection, now: DateTime<Utc>) -> String {
    let Some(at) = human::time(connection.next_run_at.as_ref()) else { return human::NOTHING.to_owned() };
    let when =
        if at > now { human::relative(connection.next_run_at.as_ref(), now) } else { "due".to_owned() };
    if connection.next_run_full { format!("{when}, in full") } else { when }
}

fn frequency(interval: Option<prost_types::Duration>, cron: &str) -> Option<String> {
    if !cron.is_empty() {
        return Some(cron_in_words(cron));
    }
    Some(format!("every {}", length(interval.filter(|length| length.seconds != 0))?))
}

fn length(length: Option<prost_types::Duration>) -> Option<String> {
    // What a server says below nothing is nothing; the conversion would not survive the least of all numbers.
    length.filter(|length| length.seconds >= 0)?.try_into().map(human::duration).ok()
}

/// "at 06:00, on Monday" for "0 6 * * MON"; the expression itself where it is of a newer kind.
fn cron_in_words(expression: &str) -> String {
    let Ok(cron) = Cron::from_str(expression) else { return format!("at {expression}") };
    let words = cron.describe();
    let mut letters = words.trim_end_matches('.').chars();
    let first = letters.next().map(|letter| letter.to_lowercase().to_string()).unwrap_or_default();
    format!("{first}{}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    #[test]
    fn a_schedule_reads_as_a_sentence() {
        assert_eq!(schedule(None), "as the connector's manifest says");
        assert_eq!(schedule(Some(&Schedule::default())), "only when asked");
        let both = Schedule { interval: seconds(900), full_interval: seconds(86_400), ..Default::default() };
        assert_eq!(schedule(Some(&both)), "every 15 min; in full every 1 d");
        let strange = Schedule { interval: seconds(i64::MIN), ..Default::default() };
        assert_eq!(schedule(Some(&strange)), "only when asked");
        let never = Schedule { interval: seconds(900), full_interval: seconds(0), ..Default::default() };
        assert_eq!(schedule(Some(&never)), "every 15 min");
        let cron = Schedule { cron: "0 3 * * *".into(), ..Default::default() };
        assert_eq!(schedule(Some(&cron)), "at 03:00 (UTC)");
        let crons = Schedule {
            cron: "*/15 * * * *".into(),
            full_cron: "30 6 * * SUN".into(),
            time_zone: "Europe/Paris".into(),
            ..Default::default()
        };
        assert_eq!(schedule(Some(&crons)), "at every 15 minutes; in full at 06:30, on Sunday (Europe/Paris)");
        let strange = Schedule { cron: "something newer".into(), ..Default::default() };
        assert_eq!(schedule(Some(&strange)), "at something newer (UTC)");
    }

    #[test]
    fn a_sync_whose_time_has_come_is_due() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let at = |seconds, next_run_full| Connection {
            next_run_at: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            next_run_full,
            ..Default::default()
        };
        assert_eq!(next(&at(1_000_180, false), now), "in 3 min");
        assert_eq!(next(&at(1_000_180, true), now), "in 3 min, in full");
        assert_eq!(next(&at(999_000, false), now), "due");
        assert_eq!(next(&Connection::default(), now), "-");
    }
}
