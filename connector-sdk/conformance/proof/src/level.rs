//! How far a connector may be trusted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A level holds when every check of it, and of the levels before it, is passed or does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It starts, says who it is, and lets nobody else in.
    Serves,
    /// What it sends is valid, and a sync brings what the source has, also when it is cut off.
    Syncs,
    /// It keeps that up when it is killed, cancelled, used by many and used for long.
    Survives,
}

impl Level {
    /// All of them, the lowest first.
    pub const ALL: [Level; 3] = [Level::Serves, Level::Syncs, Level::Survives];

    /// Its number, from 1 on.
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Serves => "serves",
            Level::Syncs => "syncs",
            Level::Survives => "survives",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |level: &Level| level.as_str() == text || level.number().to_string() == text;
        Level::ALL
            .into_iter()
            .find(named)
            .ok_or_else(|| "the levels are `serves` (1), `syncs` (2) and `survives` (3)".to_owned())
    }
}
