//! The schedule on the command line: what is typed becomes fields of a `Schedule`, and the names of those fields, so
//! that an update touches nothing else.

use std::time::Duration;

use superfasttt_proto::control::v1::{Schedule, schedule};

use super::length::{self, Frequency, parse_frequency, parse_length};

/// When to sync, as it is typed.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "When it syncs")]
pub struct Args {
    /// How often to sync, such as 15m, 6h, 1d; "off" or "manual": only when asked
    #[arg(long, value_name = "DURATION", value_parser = parse_frequency)]
    frequency: Option<Frequency>,
    /// When to sync, as five fields of cron (minute hour day month weekday): "30 6 * * MON-FRI"
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "frequency")]
    cron: Option<String>,
    /// Where the clock of --cron and --full-cron hangs, such as Europe/Paris
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// How often a sync lists everything although the source tells its changes, such as 7d; "off": only when needed
    #[arg(long, value_name = "DURATION", value_parser = parse_frequency)]
    full_frequency: Option<Frequency>,
    /// When a sync lists everything, as cron: "0 3 * * SUN"
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "full_frequency")]
    full_cron: Option<String>,
    /// What becomes of a sync that is due while one is under way: left out, or one of them waits for its turn
    #[arg(long, value_name = "POLICY")]
    overlap: Option<Overlap>,
    /// Over how much time the connections of one cron expression spread, such as 30s; 0s: not at all
    #[arg(long, value_name = "DURATION", value_parser = parse_length)]
    jitter: Option<Duration>,
}

/// What becomes of a sync that is due while another one is under way.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Overlap {
    /// It is left out
    Skip,
    /// One waits for its turn
    Buffer,
}

/// What was typed: the fields, and which they are.
#[derive(Debug, Default, PartialEq)]
pub struct Typed {
    /// Their values.
    pub schedule: Schedule,
    /// Their names in an update's mask.
    pub paths: Vec<String>,
}

impl Args {
    /// The names of all arguments.
    pub const NAMES: [&str; 7] =
        ["frequency", "cron", "time_zone", "full_frequency", "full_cron", "overlap", "jitter"];

    /// What was typed for a change. Of an interval and a cron expression one takes the place of the other.
    pub fn change(self) -> Typed {
        let mut typed = Typed::default();
        let mut name =
            |paths: &[&str]| typed.paths.extend(paths.iter().map(|path| format!("schedule.{path}")));
        let schedule = &mut typed.schedule;
        if self.frequency.is_some() || self.cron.is_some() {
            name(&["interval", "cron"]);
            schedule.interval = self.frequency.and_then(Frequency::length);
            schedule.cron = self.cron.unwrap_or_default();
        }
        if self.full_frequency.is_some() || self.full_cron.is_some() {
            name(&["full_interval", "full_cron"]);
            // Said to be off is a length of nothing: to say nothing lets the connector's manifest decide.
            schedule.full_interval = self.full_frequency.map(|full| full.length().unwrap_or_default());
            schedule.full_cron = self.full_cron.unwrap_or_default();
        }
        if let Some(zone) = self.time_zone {
            name(&["time_zone"]);
            schedule.time_zone = zone;
        }
        if let Some(overlap) = self.overlap {
            name(&["overlap"]);
            schedule.set_overlap(match overlap {
                Overlap::Skip => schedule::Overlap::Skip,
                Overlap::Buffer => schedule::Overlap::Buffer,
            });
        }
        if let Some(jitter) = self.jitter {
            name(&["jitter"]);
            schedule.jitter = Some(length::message(jitter));
        }
        typed
    }

    /// The schedule of a new connection. `None`: as its connector's manifest says.
    ///
    /// # Errors
    ///
    /// What goes beside a frequency was typed without one.
    pub fn create(self) -> Result<Option<Schedule>, String> {
        let when = self.frequency.is_some() || self.cron.is_some();
        let typed = self.change();
        match typed.paths.first() {
            None => Ok(None),
            Some(_) if when => Ok(Some(typed.schedule)),
            Some(path) => {
                let flag =
                    path.trim_start_matches("schedule.").replace('_', "-").replace("interval", "frequency");
                Err(format!("--{flag} needs --frequency or --cron beside it"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn typed(words: &[&str]) -> Args {
        Line::try_parse_from([&["x"], words].concat()).unwrap().args
    }

    fn seconds(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    #[test]
    fn only_what_was_typed_is_named() {
        assert_eq!(typed(&[]).change(), Typed::default());
        let change = typed(&["--cron", "0 6 * * *", "--time-zone", "Europe/Paris"]).change();
        assert_eq!(change.paths, ["schedule.interval", "schedule.cron", "schedule.time_zone"]);
        assert_eq!((change.schedule.cron.as_str(), change.schedule.interval), ("0 6 * * *", None));
        let change = typed(&["--jitter", "30s", "--overlap", "buffer", "--full-frequency", "off"]).change();
        assert_eq!(
            change.paths,
            ["schedule.full_interval", "schedule.full_cron", "schedule.overlap", "schedule.jitter"]
        );
        assert_eq!((change.schedule.jitter, change.schedule.full_interval), (seconds(30), seconds(0)));
        assert_eq!(change.schedule.overlap(), schedule::Overlap::Buffer);
    }

    #[test]
    fn a_new_connection_has_a_whole_schedule_or_its_connectors() {
        assert_eq!(typed(&[]).create(), Ok(None));
        assert_eq!(typed(&["--frequency", "off"]).create(), Ok(Some(Schedule::default())));
        let schedule =
            typed(&["--frequency", "15m", "--full-cron", "0 3 * * SUN"]).create().unwrap().unwrap();
        assert_eq!((schedule.interval, schedule.full_cron.as_str()), (seconds(900), "0 3 * * SUN"));
        let error = typed(&["--full-frequency", "7d"]).create().unwrap_err();
        assert_eq!(error, "--full-frequency needs --frequency or --cron beside it");
        let error = typed(&["--time-zone", "UTC"]).create().unwrap_err();
        assert_eq!(error, "--time-zone needs --frequency or --cron beside it");
    }

    #[test]
    fn an_interval_and_a_cron_expression_do_not_go_together() {
        for words in [
            ["--frequency", "15m", "--cron", "0 6 * * *"],
            ["--full-frequency", "7d", "--full-cron", "0 6 * * *"],
        ] {
            assert!(Line::try_parse_from([&["x"], &words[..]].concat()).is_err(), "{words:?}");
        }
    }
}
