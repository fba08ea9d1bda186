//! When a connection syncs, as a person or its connector's manifest said it: one JSON column of the connection. What
//! it means in time is in `schedule::times`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use superfasttt_proto::control::v1::run::Trigger;

use crate::catalog::Frequency;

/// When a connection syncs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// How often a run is due. `None`: only when asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency: Option<Frequency>,
    /// How often a run is full although the source has a change feed. `None`: only when needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_frequency: Option<Frequency>,
    /// Where cron expressions are read.
    #[serde(skip_serializing_if = "is_default")]
    pub time_zone: Tz,
    /// One run at this time, beside the others. Whoever queues that run forgets it: [`Self::forget_planned`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_at: Option<DateTime<Utc>>,
    /// The planned run is a full one.
    #[serde(skip_serializing_if = "is_default")]
    pub planned_full: bool,
    /// Within which time the connections of one cron expression spread. `None`: the default.
    #[serde(skip_serializing_if = "Option::is_none", with = "duration")]
    pub jitter: Option<Duration>,
    /// What becomes of a run that is due while another one is under way.
    #[serde(skip_serializing_if = "is_default")]
    pub overlap: Overlap,
}

/// What becomes of a run that is due while another one of the connection is queued, running or parked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out: the next one is due as the schedule says.
    #[default]
    Skip,
    /// One waits, however many are left out, and is queued when the one under way has ended.
    Buffer,
}

impl Schedule {
    /// Forgets the planned run where its time has come. For whoever queues a run at `now`: that run is it.
    pub fn forget_planned(&mut self, now: DateTime<Utc>) {
        if self.planned_at.is_some_and(|at| at <= now) {
            self.planned_at = None;
            self.planned_full = false;
        }
    }

    /// Whether a run that is due for this cause while another is under way waits for its turn. What somebody asked
    /// for, or a source told, is never left out: the run under way may have passed already what it is about.
    pub fn buffers(&self, cause: Trigger) -> bool {
        match cause {
            Trigger::Planned | Trigger::Event => true,
            _ => self.overlap == Overlap::Buffer,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A duration as people write it, "30s".
mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(&humantime::format_duration(*value)),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| humantime::parse_duration(&text).map_err(de::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_as_it_was_written() {
        let full = Schedule {
            frequency: Some("0 6 * * MON-FRI".parse().unwrap()),
            full_frequency: Some("7d".parse().unwrap()),
            time_zone: Tz::Europe__Paris,
            planned_at: DateTime::from_timestamp(1_767_225_600, 0),
            planned_full: true,
            jitter: Some(Duration::from_secs(30)),
            overlap: Overlap::Buffer,
        };
        let text = serde_json::to_string(&full).unwrap();
        assert_eq!(
            text,
            r#"{"frequency":"0 6 * * MON-FRI","full_frequency":"7days","time_zone":"Europe/Paris","#
                .to_owned()
                + r#""planned_at":"2026-01-01T00:00:00Z","planned_full":true,"jitter":"30s","overlap":"buffer"}"#
        );
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), full);
        assert_eq!(serde_json::to_string(&Schedule::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<Schedule>("{}").unwrap(), Schedule::default());
    }

    #[test]
    fn a_planned_run_is_forgotten_once_its_time_has_come() {
        let at = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
        let planned = Schedule { planned_at: Some(at), planned_full: true, ..Schedule::default() };
        let mut schedule = planned.clone();
        schedule.forget_planned(at - chrono::TimeDelta::seconds(1));
        assert_eq!(schedule, planned);
        schedule.forget_planned(at);
        assert_eq!(schedule, Schedule::default());
    }

    #[test]
    fn what_was_asked_for_is_never_left_out() {
        let mut schedule = Schedule::default();
        assert!(!schedule.buffers(Trigger::Schedule));
        assert!(schedule.buffers(Trigger::Planned) && schedule.buffers(Trigger::Event));
        schedule.overlap = Overlap::Buffer;
        assert!(schedule.buffers(Trigger::Schedule));
    }
}
