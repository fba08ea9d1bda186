//! A time as it is typed for `sync --at`.

use chrono::{DateTime, Utc};

/// What `--at` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Plan a sync for this time.
    Time(DateTime<Utc>),
    /// Plan none any more.
    None,
}

/// Reads `2026-12-01T06:00Z`, with seconds or without, at an offset such as +01:00 or in UTC; `none` plans nothing.
///
/// # Errors
///
/// The text is neither. A time without an offset is not guessed at: the server and the person may be in two zones.
pub fn parse_at(text: &str) -> Result<At, String> {
    if text == "none" {
        return Ok(At::None);
    }
    let typed = text.trim().replacen(' ', "T", 1).replace(['z', 'Z'], "+00:00");
    for format in ["%Y-%m-%dT%H:%M%:z", "%Y-%m-%dT%H:%M:%S%.f%:z"] {
        if let Ok(time) = DateTime::parse_from_str(&typed, format) {
            return Ok(At::Time(time.to_utc()));
        }
    }
    Err("expected a time with its offset, such as 2026-12-01T06:00Z or 2026-12-01T07:00+01:00, or \"none\""
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_offset_only() {
        let six = At::Time("2026-12-01T06:00:00Z".parse().unwrap());
        for text in [
            "2026-12-01T06:00Z",
            "2026-12-01 06:00Z",
            "2026-12-01T06:00:00Z",
            "2026-12-01T07:00+01:00",
            "2026-12-01T11:30:00+05:30",
        ] {
            assert_eq!(parse_at(text), Ok(six), "{text}");
        }
        assert_eq!(parse_at("none"), Ok(At::None));
        for wrong in ["2026-12-01T06:00", "06:00Z", "tomorrow", "2026-13-01T06:00Z", ""] {
            assert!(parse_at(wrong).unwrap_err().contains("2026-12-01T06:00Z"), "{wrong}");
        }
    }
}
