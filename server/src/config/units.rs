//! How durations and sizes are written in the configuration: "15m", "512MiB".

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes, written as a whole number or with a unit: KiB, MiB, GiB, TiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 6] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1), ("", 1)];

impl ByteSize {
    /// `count` bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// `count` mebibytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// As a number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// As a number of bytes in memory; a size beyond what can be addressed is as good as the largest that can.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let not_a_size = || format!("{text:?} is not a size; write for example \"512MiB\" or 536870912");
        let digits_end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (count, unit) = text.split_at(digits_end);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(not_a_size)?;
        let count: u64 = count.parse().map_err(|_| not_a_size())?;
        count.checked_mul(*factor).map(Self).ok_or_else(not_a_size)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS
            .into_iter()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        let unit = if unit.is_empty() { "B" } else { unit };
        write!(formatter, "{}{unit}", self.0 / factor)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
            Other(serde_json::Value),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(count) => Ok(Self(count)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
            Written::Other(value) => Err(serde::de::Error::custom(format!(
                "{value} is not a size; write for example \"512MiB\" or 536870912"
            ))),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// For `#[serde(with = "duration")]`: a duration as people write it.
pub(super) mod duration {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        value.as_str().and_then(|text| humantime::parse_duration(text).ok()).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{value} is not a duration; write for example \"15m\" or \"30s\""
            ))
        })
    }

    pub(in crate::config) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown_with_their_unit() {
        for (text, bytes, shown) in [
            ("0", 0, "0B"),
            ("1536", 1536, "1536B"),
            ("2048", 2048, "2KiB"),
            ("512MiB", 512 << 20, "512MiB"),
            ("1 GiB", 1 << 30, "1GiB"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.as_u64(), size.to_string().as_str()), (bytes, shown));
            assert_eq!(shown.parse(), Ok(size));
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_an_example() {
        for text in ["", "MiB", "-1", "1.5GiB", "10 MB", "99999999999TiB", "18446744073709551616"] {
            let error = text.parse::<ByteSize>().expect_err(text);
            assert!(error.contains("write for example \"512MiB\""), "{error}");
        }
    }
}
