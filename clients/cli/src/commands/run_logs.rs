//! `runs logs`: a run's log, to its end or as it grows.

use std::time::Duration;

use clap::ValueEnum;
use superfasttt_proto::connector::v1::log_record::Level;
use superfasttt_proto::control::v1::{ListRunLogsRequest, RunLogRecord};

use crate::context::Context;
use crate::error::{Result, is_connection_lost};
use crate::output::text::{printable, word};
use crate::output::{human, note};
use crate::resolve;
use crate::watch_run::Retry;

/// How often a log that grows is asked for again.
const POLL: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  connectorctl runs logs docs                      the newest run of the connection docs
  connectorctl runs logs docs --follow
  connectorctl -o json runs logs RUN --level warn | jq -r .message";

/// Which log, and what of it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The run's id, or a connection's name for its newest run
    run: String,
    /// Go on until the run has ended
    #[arg(long, short)]
    follow: bool,
    /// Only lines that matter at least so much
    #[arg(long, value_enum, value_name = "LEVEL")]
    level: Option<MinLevel>,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum MinLevel {
    /// Everything
    Debug,
    /// What is worth knowing
    Info,
    /// What is not as it should be
    Warn,
    /// What failed
    Error,
}

impl From<MinLevel> for Level {
    fn from(level: MinLevel) -> Self {
        match level {
            MinLevel::Debug => Level::Debug,
            MinLevel::Info => Level::Info,
            MinLevel::Warn => Level::Warn,
            MinLevel::Error => Level::Error,
        }
    }
}

/// `runs logs RUN [--follow] [--level LEVEL]`.
pub async fn run(context: &mut Context, args: Args) -> Result<()> {
    let run = resolve::run_id(context, &args.run).await?;
    let mut request = ListRunLogsRequest { run, page_size: 500, ..Default::default() };
    request.min_level = args.level.map_or(Level::Unspecified, Level::from).into();
    let mut client = context.client.sync();
    let mut retry = Retry::new();
    let mut dropped = 0;
    loop {
        let page = match client.list_run_logs(request.clone()).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if args.follow && is_connection_lost(&status) => {
                let Some(pause) = retry.pause() else { return Err(status.into()) };
                tokio::time::sleep(pause).await;
                continue;
            }
            Err(status) => return Err(status.into()),
        };
        retry.reset();
        for record in &page.records {
            if context.out.is_json() {
                context.out.message(record)?;
            } else {
                context.out.line(&line(record))?;
            }
        }
        context.out.flush()?;
        dropped = dropped.max(page.dropped);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        match (page.records.is_empty(), args.follow) {
            (false, _) => {}
            (true, true) => tokio::time::sleep(POLL).await,
            (true, false) => break,
        }
    }
    if dropped > 0 {
        note(&format!("the log was full: {} more were not kept", human::plural(dropped, "line")));
    }
    Ok(())
}

/// A line for a person: time, level, who, what, facts.
fn line(record: &RunLogRecord) -> String {
    let time = human::time(record.time.as_ref());
    let time = time
        .map_or_else(|| human::NOTHING.to_owned(), |time| time.format("%Y-%m-%d %H:%M:%S%.3fZ").to_string());
    let level = match record.level() {
        Level::Unspecified => "info".to_owned(),
        level => word(level.as_str_name(), "LEVEL_"),
    };
    let mut line = format!("{time} {level:<5} {:<9} {}", record.origin, record.message);
    for (key, value) in &record.fields {
        line.push_str(&format!(" {key}={value}"));
    }
    printable(&line)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_record_is_one_line_that_cannot_steer_the_terminal() {
        let record = RunLogRecord {
            time: Some(prost_types::Timestamp { seconds: 0, nanos: 5_000_000 }),
            level: Level::Warn.into(),
            origin: "connector".into(),
            message: "two\nlines\u{1b}[2J".into(),
            fields: BTreeMap::from([("scope".into(), "s1".into())]),
        };
        assert_eq!(line(&record), "1970-01-01 00:00:00.005Z warn  connector two lines\u{fffd}[2J scope=s1");
    }
}
