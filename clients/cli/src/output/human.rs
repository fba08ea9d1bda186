//! Times, sizes and numbers as people say them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use prost_types::Timestamp;

/// What stands where there is nothing to say.
pub const NOTHING: &str = "-";

/// The time to compare with. The one place that reads the clock; everything else is given it.
#[expect(clippy::disallowed_methods, reason = "the edge of the program; only shown times depend on it")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A timestamp of a message; `None` where it is absent or no time that exists.
pub fn time(timestamp: Option<&Timestamp>) -> Option<DateTime<Utc>> {
    let timestamp = timestamp?;
    DateTime::from_timestamp(timestamp.seconds, u32::try_from(timestamp.nanos).ok()?)
}

/// How far a time is from `now`: "3 min ago", "in 2 h", and the date itself beyond 30 days.
pub fn relative(timestamp: Option<&Timestamp>, now: DateTime<Utc>) -> String {
    let Some(then) = time(timestamp) else { return NOTHING.to_owned() };
    let distance = now.signed_duration_since(then);
    let Ok(length) = distance.abs().to_std() else { return then.format("%Y-%m-%d").to_string() };
    match length.as_secs() {
        0 => "now".to_owned(),
        1..2_592_000 if distance > chrono::TimeDelta::zero() => format!("{} ago", coarse(length)),
        1..2_592_000 => format!("in {}", coarse(length)),
        _ => then.format("%Y-%m-%d").to_string(),
    }
}

/// A time to the second, with how far it is: "2026-03-01 12:00:00 UTC (3 min ago)".
pub fn exact(timestamp: Option<&Timestamp>, now: DateTime<Utc>) -> String {
    match time(timestamp) {
        Some(then) => format!("{} UTC ({})", then.format("%Y-%m-%d %H:%M:%S"), relative(timestamp, now)),
        None => NOTHING.to_owned(),
    }
}

/// A length of time in its largest unit.
fn coarse(length: Duration) -> String {
    match length.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A length of time in its two largest units: "3 min 4 s".
pub fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let (large, small) = match seconds {
        0 if length.is_zero() => return "0 s".to_owned(),
        0 => return format!("{} ms", length.as_millis().max(1)),
        1..60 => return format!("{seconds} s"),
        60..3_600 => ((seconds / 60, "min"), (seconds % 60, "s")),
        3_600..86_400 => ((seconds / 3_600, "h"), (seconds % 3_600 / 60, "min")),
        _ => ((seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")),
    };
    match small.0 {
        0 => format!("{} {}", large.0, large.1),
        _ => format!("{} {} {} {}", large.0, large.1, small.0, small.1),
    }
}

/// A number of bytes, in units of 1,000.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1_000 {
        return format!("{count} B");
    }
    let mut tenths = u128::from(count) / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1_000;
        unit += 1;
    }
    if tenths >= 1_000 {
        format!("{} {}", tenths / 10, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// A number with its thousands marked: "1,204".
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut marked = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            marked.push(',');
        }
        marked.push(digit);
    }
    marked
}

/// A number of things: "1 document", "1,204 documents".
pub fn plural(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// The text, or a dash where it is empty.
pub fn or_dash(text: &str) -> String {
    if text.is_empty() { NOTHING.to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn times_are_told_from_now() {
        let now = DateTime::from_timestamp(1_000_000_000, 0).unwrap();
        for (seconds, told) in [
            (1_000_000_000, "now"),
            (999_999_990, "10 s ago"),
            (999_999_800, "3 min ago"),
            (1_000_007_300, "in 2 h"),
            (999_800_000, "2 d ago"),
            (990_000_000, "2001-05-16"),
        ] {
            assert_eq!(relative(at(seconds).as_ref(), now), told);
        }
        assert_eq!(relative(None, now), "-");
        assert_eq!(relative(Some(&Timestamp { seconds: i64::MAX, nanos: -1 }), now), "-");
        assert_eq!(exact(at(999_999_990).as_ref(), now), "2001-09-09 01:46:30 UTC (10 s ago)");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (milliseconds, told) in [
            (0, "0 s"),
            (850, "850 ms"),
            (59_900, "59 s"),
            (184_000, "3 min 4 s"),
            (7_200_000, "2 h"),
            (90_061_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), told);
        }
    }

    #[test]
    fn bytes_and_counts_read_well() {
        for (number, told) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (45_230_000, "45.2 MB"),
            (123_456_789, "123 MB"),
            (u64::MAX, "18446 PB"),
        ] {
            assert_eq!(bytes(number), told);
        }
        assert_eq!(count(0), "0");
        assert_eq!(count(1_204), "1,204");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(plural(1, "document"), "1 document");
        assert_eq!(plural(0, "document"), "0 documents");
    }
}
