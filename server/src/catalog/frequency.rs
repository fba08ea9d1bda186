//! How often something is due: a duration, or a cron expression of five fields.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How often a run is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// Each time this long after the last one was due; from a second to 366 days.
    Every(Duration),
    /// When a cron expression says so: minute, hour, day of month, month, day of week. Which time zone it is read
    /// in stands beside it.
    Cron(String),
}

/// The shortest time between two runs that are due.
pub const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// The longest time between two runs that are due.
pub const MAX_INTERVAL: Duration = Duration::from_secs(366 * 24 * 3600);

/// Why a text is no frequency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrequencyError {
    /// It is neither a duration nor looks like a cron expression.
    #[error("{0:?} is not a duration or cron")]
    Unknown(String),
    /// It is a duration that is too short, too long or too exact.
    #[error("{0:?} is not a whole number of seconds, 1 second to 366 days")]
    OutOfBounds(String),
    /// It has five fields, and one of them is wrong.
    #[error("{expression:?} is not a cron expression: {what}")]
    BadCron {
        /// What was written.
        expression: String,
        /// What is wrong with it.
        what: String,
    },
    /// It is a cron expression of a day that does not exist.
    #[error("{0:?} never comes: no month that it names has such a day")]
    Never(String),
}

impl FromStr for Frequency {
    type Err = FrequencyError;

    fn from_str(text: &str) -> Result<Self, FrequencyError> {
        let text = text.trim();
        if let Ok(every) = humantime::parse_duration(text) {
            if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&every) || every.subsec_nanos() != 0 {
                return Err(FrequencyError::OutOfBounds(text.to_owned()));
            }
            return Ok(Frequency::Every(every));
        }
        // "@daily" and the like are refused: five fields are what the documentation promises.
        if text.split_whitespace().count() != 5 {
            return Err(FrequencyError::Unknown(text.to_owned()));
        }
        let bad = |_| FrequencyError::BadCron { expression: text.to_owned(), what: wrong_field(text) };
        let cron = parse_cron(text).map_err(bad)?;
        // Whether it comes at all does not depend on when one asks.
        if cron.find_next_occurrence(&DateTime::<Utc>::UNIX_EPOCH, true).is_err() {
            return Err(FrequencyError::Never(text.to_owned()));
        }
        Ok(Frequency::Cron(text.to_owned()))
    }
}

/// Reads a cron expression of five fields.
///
/// # Errors
/// Where it is none, with what is wrong.
pub fn parse_cron(text: &str) -> Result<Cron, croner::errors::CronError> {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build().parse(text)
}

/// The fields of a cron expression, and what may stand there.
const CRON_FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of the week", "0 to 7 or SUN to SAT"),
];

/// Which field of an expression makes it wrong, and what may stand there.
fn wrong_field(expression: &str) -> String {
    for (place, (text, (field, range))) in expression.split_whitespace().zip(CRON_FIELDS).enumerate() {
        let mut alone = ["*"; 5];
        alone[place] = text;
        if parse_cron(&alone.join(" ")).is_err() {
            return format!("the {field} is {text:?}, and can be {range}, a list, a range, * or */n");
        }
    }
    "its fields do not go together".to_owned()
}

impl fmt::Display for Frequency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frequency::Every(every) => write!(formatter, "{}", humantime::format_duration(*every)),
            Frequency::Cron(expression) => formatter.write_str(expression),
        }
    }
}

impl<'de> Deserialize<'de> for Frequency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Frequency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_cron_expressions_are_read() {
        assert_eq!("15m".parse(), Ok(Frequency::Every(Duration::from_secs(900))));
        assert_eq!("2h 30m".parse(), Ok(Frequency::Every(Duration::from_secs(9000))));
        assert_eq!("0 */2 * * *".parse(), Ok(Frequency::Cron("0 */2 * * *".into())));
        assert_eq!("30 6 * * MON-FRI".parse(), Ok(Frequency::Cron("30 6 * * MON-FRI".into())));
    }

    #[test]
    fn anything_else_is_refused_with_what_is_wrong() {
        let refused = |text: &str| text.parse::<Frequency>().expect_err(text).to_string();
        for text in ["15 minuten", "", "* * * *", "* * * * * *", "@daily"] {
            assert_eq!(refused(text), format!("{text:?} is not a duration or cron"));
        }
        for text in ["0s", "10ms", "1500ms", "367d", "1000years"] {
            let expected = format!("{text:?} is not a whole number of seconds, 1 second to 366 days");
            assert_eq!(refused(text), expected);
        }
        for (text, what) in [
            ("61 * * * *", "the minute is \"61\", and can be 0 to 59"),
            ("0 6-25 * * *", "the hour is \"6-25\", and can be 0 to 23"),
            ("1 2 3 4 nope", "the day of the week is \"nope\", and can be 0 to 7 or SUN to SAT"),
        ] {
            let refused = refused(text);
            assert!(refused.starts_with(&format!("{text:?} is not a cron expression: {what}")), "{refused}");
        }
    }

    #[test]
    fn a_cron_expression_that_never_comes_is_refused() {
        for text in ["0 6 30 2 *", "0 6 31 2,4,6,9,11 *"] {
            let refused = text.parse::<Frequency>().expect_err(text).to_string();
            assert!(refused.starts_with(&format!("{text:?} never comes")), "{refused}");
        }
        for text in ["0 6 29 2 *", "0 6 30 2 MON"] {
            assert!(text.parse::<Frequency>().is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in ["15m", "2h 30m", "0 */2 * * *"] {
            let frequency: Frequency = text.parse().unwrap();
            assert_eq!(frequency.to_string(), text);
        }
    }
}
