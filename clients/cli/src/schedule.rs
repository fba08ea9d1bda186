//! How often a connection syncs, as it is typed: `15m`, `1d`, `off`.

use std::time::Duration;

use superfasttt_proto::control::v1::Schedule;

/// What `--frequency` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// Only when asked.
    Off,
    /// This long from the start of one run to the start of the next.
    Every(Duration),
}

/// Reads `15m`, `1h30m`, `2d`; `off` and `manual` mean no schedule.
///
/// # Errors
///
/// The text is neither.
pub fn parse_frequency(text: &str) -> Result<Frequency, String> {
    match text {
        "off" | "manual" => Ok(Frequency::Off),
        _ => parse_duration(text).map(Frequency::Every),
    }
}

/// Reads a length of time.
///
/// # Errors
///
/// The text is none, or it is nothing at all.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(length) if length.is_zero() => {
            Err("must be longer than nothing; for no schedule say \"off\"".to_owned())
        }
        Ok(length) => Ok(length),
        Err(_) => Err("expected a number with a unit, such as 30s, 15m, 6h, 1d".to_owned()),
    }
}

/// Changes a schedule by what was typed. `None`: nothing was typed, so there is nothing to change.
///
/// # Errors
///
/// A full frequency alone says nothing of how often to sync when there is no schedule to add it to.
pub fn change(
    current: Option<&Schedule>,
    frequency: Option<Frequency>,
    full: Option<Frequency>,
) -> Result<Option<Schedule>, String> {
    if frequency.is_none() && full.is_none() {
        return Ok(None);
    }
    if frequency.is_none() && current.is_none() {
        return Err("--full-frequency needs --frequency beside it".to_owned());
    }
    let mut schedule = current.cloned().unwrap_or_default();
    if let Some(frequency) = frequency {
        schedule.interval = length(frequency)?;
        schedule.cron.clear();
        schedule.time_zone.clear();
    }
    if let Some(full) = full {
        schedule.full_interval = length(full)?;
    }
    Ok(Some(schedule))
}

fn length(frequency: Frequency) -> Result<Option<prost_types::Duration>, String> {
    match frequency {
        Frequency::Off => Ok(None),
        Frequency::Every(length) => {
            Ok(Some(length.try_into().map_err(|_| "is longer than can be said".to_owned())?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    #[test]
    fn frequencies_are_read_as_people_write_them() {
        assert_eq!(parse_frequency("15m"), Ok(Frequency::Every(Duration::from_secs(900))));
        assert_eq!(parse_frequency("1h30m"), Ok(Frequency::Every(Duration::from_secs(5_400))));
        assert_eq!(parse_frequency("1d"), Ok(Frequency::Every(Duration::from_secs(86_400))));
        assert_eq!(parse_frequency("off"), Ok(Frequency::Off));
        assert_eq!(parse_frequency("manual"), Ok(Frequency::Off));
        for wrong in ["", "15", "often", "0s", "-5m"] {
            assert!(parse_frequency(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_change_keeps_what_was_not_typed() {
        let current = Schedule { interval: seconds(60), full_interval: seconds(600), ..Default::default() };
        let every = |seconds| Some(Frequency::Every(Duration::from_secs(seconds)));
        assert_eq!(change(Some(&current), None, None), Ok(None));
        let changed = change(Some(&current), every(90), None).unwrap().unwrap();
        assert_eq!((changed.interval, changed.full_interval), (seconds(90), seconds(600)));
        let changed = change(Some(&current), Some(Frequency::Off), None).unwrap().unwrap();
        assert_eq!((changed.interval, changed.full_interval), (None, seconds(600)));
        assert!(change(None, None, every(5)).is_err());
    }
}
