//! A run as it goes, on stderr: redrawn in place on a terminal, a line now and then elsewhere.

use std::collections::VecDeque;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use superfasttt_proto::connector::v1::{Progress, PullMode};
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::control::v1::{Run, RunCounts};
use tokio::time::Instant;

use crate::output::text::{printable, shorten, word};
use crate::output::{human, note};

/// How often a line is written where nothing can be redrawn.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Over how long the rate is taken.
const RATE_OVER: Duration = Duration::from_secs(5);

/// How much of a connector's message is shown.
const MESSAGE_LENGTH: usize = 60;

/// Shows one run.
pub struct RunView {
    name: String,
    /// Present on a terminal.
    bar: Option<ProgressBar>,
    run: Option<Run>,
    rate: Rate,
    began: Instant,
    last_line: Option<Instant>,
    lost: bool,
}

impl RunView {
    /// A view of a run of the connection `name`.
    pub fn new(name: &str) -> Self {
        use std::io::IsTerminal as _;
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            // The template has no variable parts, so it is right or wrong for everyone.
            bar.set_style(
                ProgressStyle::with_template("{spinner} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar
        });
        Self {
            name: printable(name),
            bar,
            run: None,
            rate: Rate::default(),
            began: Instant::now(),
            last_line: None,
            lost: false,
        }
    }

    /// The run has changed.
    pub fn update(&mut self, run: &Run) {
        if std::mem::take(&mut self.lost) {
            self.say(&format!("{}: the server is back", self.name));
        }
        let now = Instant::now();
        self.rate.add(now, documents(&run.counts.unwrap_or_default()));
        let changed = self.run.as_ref().is_none_or(|known| known.state != run.state);
        let due = self.last_line.is_none_or(|last| now - last >= LINE_EVERY);
        self.run = Some(run.clone());
        if self.bar.is_some() {
            self.tick();
        } else if changed || due {
            self.last_line = Some(now);
            note(&format!("{}: {}", self.name, describe(run, self.rate.per_second(now)).join("; ")));
        }
    }

    /// Time has passed.
    pub fn tick(&self) {
        if let (Some(bar), Some(run)) = (&self.bar, &self.run) {
            let mut lines = describe(run, self.rate.per_second(Instant::now()));
            let watched = Duration::from_secs(self.began.elapsed().as_secs());
            lines[0].push_str(&format!(", {}", human::duration(watched)));
            bar.set_message(format!("{}: {}", self.name, lines.join("\n  ")));
            bar.tick();
        }
    }

    /// The server does not answer; it is tried again.
    pub fn lost(&mut self) {
        if !std::mem::replace(&mut self.lost, true) {
            self.say(&format!("{}: lost the server; trying to reach it again", self.name));
        }
    }

    /// Takes the view off the terminal, so that what is printed next stands alone.
    pub fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => note(line),
        }
    }
}

/// What a run is doing, in up to three parts.
fn describe(run: &Run, per_second: Option<u64>) -> Vec<String> {
    let counts = run.counts.unwrap_or_default();
    let mut state = word(run.state().as_str_name(), "STATE_");
    if run.state() == State::Parked {
        state.push_str(&format!(
            ", the source asked for a pause; goes on {}",
            human::relative(run.resume_at.as_ref(), human::now())
        ));
    }
    if run.mode() == PullMode::Full {
        state.push_str(", full");
    }
    let mut parts = vec![state, count_line(&counts)];
    let mut details = Vec::new();
    if counts.content_bytes > 0 {
        details.push(format!("{} read", human::bytes(counts.content_bytes)));
    }
    if let Some(rate) = per_second {
        details.push(format!("{} documents/s", human::count(rate)));
    }
    if let Some(progress) = run.progress.as_ref().and_then(progress_line) {
        details.push(progress);
    }
    if !details.is_empty() {
        parts.push(details.join(", "));
    }
    parts
}

/// The counts that people ask for.
pub fn count_line(counts: &RunCounts) -> String {
    let mut line = format!(
        "{} created, {} updated, {} unchanged, {} deleted",
        human::count(counts.created),
        human::count(counts.updated),
        human::count(counts.unchanged),
        human::count(counts.deleted)
    );
    if counts.item_errors > 0 {
        line.push_str(&format!(", {}", human::plural(counts.item_errors, "item error")));
    }
    line
}

fn progress_line(progress: &Progress) -> Option<String> {
    let mut parts = Vec::new();
    match (progress.items_seen, progress.items_total) {
        (0, 0) => {}
        (seen, 0) => parts.push(format!("{} seen", human::plural(seen, "item"))),
        (seen, total) => {
            let percent = u128::from(seen) * 100 / u128::from(total);
            parts.push(format!(
                "{} of {} ({} %)",
                human::count(seen),
                human::plural(total, "item"),
                percent.min(100)
            ));
        }
    }
    if !progress.message.is_empty() {
        parts.push(printable(&shorten(&progress.message, MESSAGE_LENGTH)));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn documents(counts: &RunCounts) -> u64 {
    counts.created + counts.updated + counts.unchanged + counts.deleted
}

/// Documents per second over the last few seconds.
#[derive(Default)]
struct Rate {
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    fn add(&mut self, now: Instant, documents: u64) {
        // The newest sample before the window stays: it says where the window began.
        while self.samples.get(1).is_some_and(|(time, _)| now - *time >= RATE_OVER) {
            self.samples.pop_front();
        }
        self.samples.push_back((now, documents));
    }

    /// `None` until there is something to compare with.
    fn per_second(&self, now: Instant) -> Option<u64> {
        let (began, before) = self.samples.front()?;
        let (_, after) = self.samples.back()?;
        let elapsed = (now - *began).as_millis();
        if self.samples.len() < 2 || elapsed < 500 {
            return None;
        }
        u64::try_from(u128::from(after.saturating_sub(*before)) * 1_000 / elapsed).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_says_what_it_is_doing() {
        let run = Run {
            state: State::Running.into(),
            mode: PullMode::Full.into(),
            counts: Some(RunCounts {
                created: 1_204,
                unchanged: 3,
                item_errors: 1,
                content_bytes: 45_230_000,
                ..Default::default()
            }),
            progress: Some(Progress {
                items_seen: 500,
                items_total: 2_000,
                message: "reading /r\u{1b}".into(),
            }),
            ..Default::default()
        };
        assert_eq!(
            describe(&run, Some(1_830)),
            [
                "running, full",
                "1,204 created, 0 updated, 3 unchanged, 0 deleted, 1 item error",
                "45.2 MB read, 1,830 documents/s, 500 of 2,000 items (25 %), reading /r\u{fffd}",
            ]
        );
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let mut rate = Rate::default();
        rate.add(start, 1_000);
        assert_eq!(rate.per_second(start + Duration::from_secs(1)), None);
        rate.add(start + Duration::from_secs(1), 1_500);
        assert_eq!(rate.per_second(start + Duration::from_secs(1)), Some(500));
        for second in 2..=10 {
            rate.add(start + Duration::from_secs(second), 1_500);
        }
        assert_eq!(rate.per_second(start + Duration::from_secs(10)), Some(0));
    }
}
