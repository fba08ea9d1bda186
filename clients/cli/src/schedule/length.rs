//! Lengths of time as they are typed: `15m`, `1d`, `off`.

use std::time::Duration;

/// What `--frequency` and `--full-frequency` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// Only when asked, or only when needed.
    Off,
    /// This long from one run to the next.
    Every(Duration),
}

impl Frequency {
    /// The length in a message; `None` for none.
    pub fn length(self) -> Option<prost_types::Duration> {
        match self {
            Frequency::Off => None,
            Frequency::Every(length) => Some(message(length)),
        }
    }
}

/// Reads `15m`, `1h30m`, `2d`; `off` and `manual` mean no schedule.
///
/// # Errors
///
/// The text is neither.
pub fn parse_frequency(text: &str) -> Result<Frequency, String> {
    match text {
        "off" | "manual" => Ok(Frequency::Off),
        _ if text.split_whitespace().count() == 5 => {
            Err("expected a length of time such as 15m; cron expressions go with --cron or --full-cron"
                .to_owned())
        }
        _ => match parse_length(text)? {
            length if length.is_zero() => {
                Err("must be longer than nothing; for no schedule say \"off\"".to_owned())
            }
            length => Ok(Frequency::Every(length)),
        },
    }
}

/// Reads a length of time, perhaps of nothing.
///
/// # Errors
///
/// The text is none.
pub fn parse_length(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with a unit, such as 30s, 15m, 6h, 1d".to_owned();
    let length = humantime::parse_duration(text).map_err(|_| expected())?;
    // What no message can hold is refused by no server in a way that helps.
    if i64::try_from(length.as_secs()).is_err() { Err(expected()) } else { Ok(length) }
}

/// A length of time in a message.
pub fn message(length: Duration) -> prost_types::Duration {
    // `parse_length` lets nothing pass that is longer than the message can say.
    length.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_read_as_people_write_them() {
        assert_eq!(parse_frequency("15m"), Ok(Frequency::Every(Duration::from_secs(900))));
        assert_eq!(parse_frequency("1h30m"), Ok(Frequency::Every(Duration::from_secs(5_400))));
        assert_eq!(parse_frequency("1d"), Ok(Frequency::Every(Duration::from_secs(86_400))));
        assert_eq!(parse_frequency("off"), Ok(Frequency::Off));
        assert_eq!(parse_frequency("manual"), Ok(Frequency::Off));
        for wrong in ["", "15", "often", "0s", "-5m", "999999999999y"] {
            assert!(parse_frequency(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse_frequency("0 6 * * *").unwrap_err().contains("--cron"));
        assert_eq!(parse_length("0s"), Ok(Duration::ZERO));
    }
}
