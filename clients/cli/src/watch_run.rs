//! Following a run until it has ended, over restarts of the server.

use std::time::Duration;

use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::control::v1::{Run, WatchRunRequest};
use tokio::time::Instant;

use crate::client::Client;
use crate::error::{Result, is_connection_lost};
use crate::resolve::empty_answer;
use crate::run_view::RunView;

/// How long a lost server is waited for before giving up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the view is drawn again while nothing comes.
const TICK: Duration = Duration::from_millis(250);

/// How following a run ended.
pub enum Followed {
    /// The run ended; this is its last state.
    Ended(Box<Run>),
    /// The person pressed Ctrl-C: the run goes on.
    Left,
}

/// Whether nothing more will happen to a run.
pub fn has_ended(run: &Run) -> bool {
    matches!(run.state(), State::Succeeded | State::SucceededWithErrors | State::Failed | State::Cancelled)
}

/// Shows a run as it goes, until it has ended or the person has seen enough.
///
/// # Errors
///
/// The server refused, or stayed away longer than a minute.
pub async fn follow(client: &Client, run: &str, view: &mut RunView) -> Result<Followed> {
    let mut retry = Retry::new();
    loop {
        let lost = match watch_once(client, run, view, &mut retry).await {
            Ok(Some(followed)) => return Ok(followed),
            Ok(None) => None,
            Err(crate::error::Error::Rpc(status)) if is_connection_lost(&status) => Some(status),
            Err(error) => return Err(error),
        };
        // A stream that ends in good order before the run does is a server on its way down.
        let Some(pause) = retry.pause() else {
            return Err(lost.map_or_else(|| empty_answer("WatchRun"), crate::error::Error::Rpc));
        };
        view.lost();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Followed::Left),
        }
    }
}

/// One stream from its begin to its end; `None` where it ended before the run did.
async fn watch_once(
    client: &Client,
    run: &str,
    view: &mut RunView,
    retry: &mut Retry,
) -> Result<Option<Followed>> {
    let request = WatchRunRequest { run: run.to_owned() };
    let mut stream = tokio::select! {
        answer = async { client.sync().watch_run(request).await } => answer?.into_inner(),
        _ = tokio::signal::ctrl_c() => return Ok(Some(Followed::Left)),
    };
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            message = stream.message() => {
                let Some(message) = message? else { return Ok(None) };
                let run = message.run.ok_or_else(|| empty_answer("WatchRun"))?;
                retry.reset();
                view.update(&run);
                if has_ended(&run) {
                    return Ok(Some(Followed::Ended(Box::new(run))));
                }
            }
            _ = tick.tick() => view.tick(),
            _ = tokio::signal::ctrl_c() => return Ok(Some(Followed::Left)),
        }
    }
}

/// Waits longer each time, and not for ever.
pub struct Retry {
    next: Duration,
    since: Option<Instant>,
}

impl Retry {
    /// Nothing has failed yet.
    pub fn new() -> Self {
        Self { next: TICK, since: None }
    }

    /// It works again.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// How long to wait before trying again; `None`: it has been long enough.
    pub fn pause(&mut self) -> Option<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() > PATIENCE {
            return None;
        }
        let pause = self.next;
        self.next = (pause * 2).min(Duration::from_secs(4));
        Some(pause)
    }

    /// Whether the pause that was just given is the first since it last worked.
    pub fn is_first(&self) -> bool {
        self.next == TICK * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lost_server_is_waited_for_a_minute() {
        let mut retry = Retry::new();
        let mut waited = Duration::ZERO;
        while let Some(pause) = retry.pause() {
            tokio::time::advance(pause).await;
            waited += pause;
        }
        assert!((PATIENCE..PATIENCE + Duration::from_secs(5)).contains(&waited), "{waited:?}");
        retry.reset();
        assert_eq!(retry.pause(), Some(TICK));
    }
}
