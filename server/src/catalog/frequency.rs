//! How often something is due: a duration, or a cron expression of five fields.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How often a run is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// Each time this long after the last one was due; at least a second.
    Every(Duration),
    /// When a cron expression says so: minute, hour, day of month, month, day of week. Which time zone it is read
    /// in stands beside it.
    Cron(String),
}

/// A text that is neither a duration nor a cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration or cron; write for example \"15m\" or \"0 */2 * * *\"")]
pub struct FrequencyError(String);

impl FromStr for Frequency {
    type Err = FrequencyError;

    fn from_str(text: &str) -> Result<Self, FrequencyError> {
        let text = text.trim();
        if let Ok(every) = humantime::parse_duration(text) {
            if every < Duration::from_secs(1) {
                return Err(FrequencyError(text.to_owned()));
            }
            return Ok(Frequency::Every(every));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        // "@daily" and the like are refused: five fields are what the documentation promises.
        if text.split_whitespace().count() == 5 && parser.parse(text).is_ok() {
            return Ok(Frequency::Cron(text.to_owned()));
        }
        Err(FrequencyError(text.to_owned()))
    }
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
    fn anything_else_is_refused_with_an_example() {
        for text in
            ["15 minuten", "", "0s", "10ms", "* * * *", "* * * * * *", "61 * * * *", "@daily", "1 2 3 4 nope"]
        {
            let error = text.parse::<Frequency>().expect_err(text);
            assert!(error.to_string().ends_with("write for example \"15m\" or \"0 */2 * * *\""), "{error}");
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
