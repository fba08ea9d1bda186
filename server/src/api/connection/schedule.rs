//! Schedules in requests and answers: every field is checked, and what is next due is told with its reason.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use superfasttt_proto::control::v1::run::Trigger;
use superfasttt_proto::control::v1::{self, schedule};

use super::request::fault;
use crate::api::convert::{time, timestamp};
use crate::catalog::{Frequency, FrequencyError, MAX_INTERVAL, MIN_INTERVAL, Manifest};
use crate::schedule::times::{self, Due, MAX_JITTER};
use crate::store::connections::{Connection, Overlap, Schedule};

type Faults = Vec<(String, String)>;

/// The schedule of a new connection: what was asked for, and the manifest's where nothing was.
pub(super) fn created(
    asked: Option<&v1::Schedule>,
    manifest: &Manifest,
    now: DateTime<Utc>,
    faults: &mut Faults,
) -> Schedule {
    let default = Schedule {
        frequency: Some(manifest.sync.frequency.clone()),
        full_frequency: manifest.sync.full_frequency.clone(),
        time_zone: manifest.sync.time_zone,
        ..Schedule::default()
    };
    let Some(asked) = asked else { return default };
    let mut schedule = checked(asked, None, now, faults);
    if asked.full_interval.is_none() && asked.full_cron.is_empty() {
        schedule.full_frequency = default.full_frequency;
    }
    if asked.time_zone.is_empty() {
        schedule.time_zone = default.time_zone;
    }
    schedule
}

/// The schedule of a connection with some of its fields replaced, by their names; all of them for "".
pub(super) fn updated(
    found: &Schedule,
    asked: &v1::Schedule,
    fields: &[&str],
    now: DateTime<Utc>,
    faults: &mut Faults,
) -> Schedule {
    let asked = asked.clone();
    let mut whole = message(found);
    for field in fields {
        match *field {
            "" => whole = asked.clone(),
            "interval" => whole.interval = asked.interval,
            "cron" => whole.cron = asked.cron.clone(),
            "time_zone" => whole.time_zone = asked.time_zone.clone(),
            "full_interval" => whole.full_interval = asked.full_interval,
            "full_cron" => whole.full_cron = asked.full_cron.clone(),
            "jitter" => whole.jitter = asked.jitter,
            "overlap" => whole.overlap = asked.overlap,
            "planned_at" => whole.planned_at = asked.planned_at,
            "planned_full" => whole.planned_full = asked.planned_full,
            unknown => faults.push(fault("update_mask", &format!("a schedule has no field {unknown:?}"))),
        }
    }
    checked(&whole, found.planned_at, now, faults)
}

/// When the connection is next due by a changed schedule. `None`: as it was, because something else than times makes it
/// due before that, which a new schedule must not take away.
pub(in crate::api) fn next_due(
    found: &Connection,
    schedule: &Schedule,
    now: DateTime<Utc>,
) -> Option<Option<Due>> {
    let next = times::next(&found.id, schedule, found.last_full_at, now);
    let waits = match found.next_cause {
        Trigger::Schedule | Trigger::Planned => false,
        // What never syncs by itself is not tried again by itself either.
        Trigger::Retry => next.is_some_and(|next| found.next_run_at.is_some_and(|at| at <= next.at)),
        _ => found.next_run_at.is_some_and(|at| next.is_none_or(|next| at <= next.at)),
    };
    (!waits).then_some(next)
}

/// A planned time of a request: one that exists and is to come.
pub(in crate::api) fn planned(
    field: &str,
    asked: &prost_types::Timestamp,
    now: DateTime<Utc>,
    faults: &mut Faults,
) -> Option<DateTime<Utc>> {
    // As exact as the times that it is compared with later.
    let at = time(asked).and_then(|at| DateTime::from_timestamp_micros(at.timestamp_micros()));
    match at {
        Some(at) if at > now => Some(at),
        Some(at) => {
            let (at, now) = (at.format("%FT%TZ"), now.format("%FT%TZ"));
            faults.push(fault(field, &format!("is past: it says {at}, and the server's clock {now}")));
            None
        }
        None => {
            faults.push(fault(field, "is no time"));
            None
        }
    }
}

/// The schedule as a message.
pub(in crate::api) fn message(schedule: &Schedule) -> v1::Schedule {
    let split = |frequency: &Option<Frequency>| match frequency {
        Some(Frequency::Every(every)) => (Some(duration(*every)), String::new()),
        Some(Frequency::Cron(expression)) => (None, expression.clone()),
        None => (None, String::new()),
    };
    let (interval, cron) = split(&schedule.frequency);
    let (full_interval, full_cron) = split(&schedule.full_frequency);
    let cron_is_read = !cron.is_empty() || !full_cron.is_empty() || schedule.time_zone != Tz::UTC;
    v1::Schedule {
        interval,
        cron,
        time_zone: if cron_is_read { schedule.time_zone.name().to_owned() } else { String::new() },
        full_interval,
        full_cron,
        jitter: schedule.jitter.map(duration),
        overlap: match schedule.overlap {
            Overlap::Skip => schedule::Overlap::Skip,
            Overlap::Buffer => schedule::Overlap::Buffer,
        }
        .into(),
        planned_at: schedule.planned_at.map(timestamp),
        planned_full: schedule.planned_full,
    }
}

/// Why the connection is next due, for a person. It is due at `at`.
pub(in crate::api) fn reason(connection: &Connection, at: DateTime<Utc>) -> String {
    match connection.next_cause {
        Trigger::Settings if connection.last_run.is_none() => "it is new".to_owned(),
        Trigger::Settings => "its settings changed, or it was enabled".to_owned(),
        Trigger::Retry => "the last run failed: it is tried again".to_owned(),
        Trigger::Planned => "a run was planned for this time".to_owned(),
        Trigger::Event => "the source told of a change".to_owned(),
        Trigger::Manual => "somebody asked for it".to_owned(),
        Trigger::Schedule | Trigger::Unspecified => by_schedule(connection, at),
    }
}

/// Which of both frequencies makes it due.
fn by_schedule(connection: &Connection, at: DateTime<Utc>) -> String {
    let schedule = &connection.schedule;
    let zone = schedule.time_zone;
    let words = |frequency: &Frequency| match frequency {
        Frequency::Every(_) => format!("every {frequency}"),
        Frequency::Cron(expression) => format!("cron {expression} ({zone})"),
    };
    let ordinary = Schedule { full_frequency: None, planned_at: None, ..schedule.clone() };
    let before = at - TimeDelta::milliseconds(1);
    let is_ordinary = times::next(&connection.id, &ordinary, None, before).is_some_and(|due| due.at == at);
    match (&schedule.frequency, &schedule.full_frequency) {
        (Some(frequency), None) => words(frequency),
        (Some(frequency), Some(_)) if is_ordinary => words(frequency),
        (_, Some(full)) => format!("in full {}", words(full)),
        // It was due when its schedule was taken from it.
        (None, None) => String::new(),
    }
}

/// A whole schedule of a request; `kept` is the planned time that it has already.
fn checked(
    asked: &v1::Schedule,
    kept: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    faults: &mut Faults,
) -> Schedule {
    // A length of nothing says in so many words that no run has to be full.
    let full_interval = asked.full_interval.filter(|length| (length.seconds, length.nanos) != (0, 0));
    let ordinary = frequency(["interval", "cron"], asked.interval.as_ref(), &asked.cron, faults);
    let full_frequency =
        frequency(["full_interval", "full_cron"], full_interval.as_ref(), &asked.full_cron, faults);
    let time_zone = time_zone(&asked.time_zone, faults);
    let jitter =
        asked.jitter.as_ref().and_then(|jitter| length("jitter", jitter, Duration::ZERO, MAX_JITTER, faults));
    let overlap = match schedule::Overlap::try_from(asked.overlap) {
        Ok(schedule::Overlap::Unspecified | schedule::Overlap::Skip) => Overlap::Skip,
        Ok(schedule::Overlap::Buffer) => Overlap::Buffer,
        Err(_) => {
            faults.push(field_fault("overlap", "is not known: give OVERLAP_SKIP or OVERLAP_BUFFER"));
            Overlap::Skip
        }
    };
    let planned_at = match &asked.planned_at {
        Some(at) if kept.is_some() && time(at) == kept => kept,
        Some(at) => planned("connection.schedule.planned_at", at, now, faults),
        None => None,
    };
    if asked.planned_full && asked.planned_at.is_none() {
        faults.push(field_fault("planned_full", "needs planned_at: the time of the planned run"));
    }
    Schedule {
        frequency: ordinary,
        full_frequency,
        time_zone,
        planned_at,
        planned_full: asked.planned_full,
        jitter,
        overlap,
    }
}

/// An interval, or a cron expression instead.
fn frequency(
    [interval_field, cron_field]: [&str; 2],
    interval: Option<&prost_types::Duration>,
    cron: &str,
    faults: &mut Faults,
) -> Option<Frequency> {
    let example = "for example \"30 6 * * MON-FRI\" is half past six on working days";
    if interval.is_some() && !cron.is_empty() {
        faults.push(field_fault(cron_field, &format!("goes instead of {interval_field}: give one of them")));
        return None;
    }
    if let Some(interval) = interval {
        return length(interval_field, interval, MIN_INTERVAL, MAX_INTERVAL, faults).map(Frequency::Every);
    }
    if cron.is_empty() {
        return None;
    }
    let wrong = match cron.parse() {
        Ok(Frequency::Cron(expression)) => return Some(Frequency::Cron(expression)),
        Ok(Frequency::Every(_)) | Err(FrequencyError::OutOfBounds(_)) => {
            format!("{cron:?} is a length of time: it goes in {interval_field}")
        }
        Err(FrequencyError::Unknown(_)) => {
            format!(
                "{cron:?} is not five fields (minute, hour, day of the month, month, day of the week); {example}"
            )
        }
        Err(error @ FrequencyError::BadCron { .. }) => format!("{error}; {example}"),
        Err(error @ FrequencyError::Never(_)) => error.to_string(),
    };
    faults.push(field_fault(cron_field, &wrong));
    None
}

/// A length of time within bounds, in whole seconds.
fn length(
    field: &str,
    asked: &prost_types::Duration,
    least: Duration,
    most: Duration,
    faults: &mut Faults,
) -> Option<Duration> {
    let whole = u64::try_from(asked.seconds).ok().filter(|_| asked.nanos == 0).map(Duration::from_secs);
    let length = whole.filter(|length| (least..=most).contains(length));
    if length.is_none() {
        let bounds = |length| humantime::format_duration(length);
        let (least, most) = (bounds(least), bounds(most));
        faults.push(field_fault(field, &format!("must be a whole number of seconds, {least} to {most}")));
    }
    length
}

/// A time zone by its name; UTC for none.
fn time_zone(name: &str, faults: &mut Faults) -> Tz {
    if name.is_empty() {
        return Tz::UTC;
    }
    Tz::from_str(name).unwrap_or_else(|_| {
        let near = |zone: &Tz| strsim::jaro_winkler(&zone.name().to_lowercase(), &name.to_lowercase());
        // A city without its continent is what people write most.
        let city = TZ_VARIANTS.iter().find(|zone| {
            zone.name()
                .rsplit('/')
                .next()
                .is_some_and(|city| city.eq_ignore_ascii_case(&name.replace(' ', "_")))
        });
        let close = city.or_else(|| TZ_VARIANTS.iter().max_by(|a, b| near(a).total_cmp(&near(b))));
        let hint = match close.filter(|zone| city.is_some() || near(zone) > 0.8) {
            Some(zone) => format!("did you mean {:?}?", zone.name()),
            None => "give an IANA name such as \"Europe/Paris\"".to_owned(),
        };
        faults.push(field_fault("time_zone", &format!("there is no time zone {name:?}; {hint}")));
        Tz::UTC
    })
}

fn field_fault(field: &str, text: &str) -> (String, String) {
    fault(&format!("connection.schedule.{field}"), text)
}

fn duration(length: Duration) -> prost_types::Duration {
    // At most `MAX_INTERVAL`.
    length.try_into().unwrap_or_default()
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
