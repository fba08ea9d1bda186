//! The thread that starts programs.

use std::io;
use std::sync::mpsc;

use superfasttt_launch::Launch;
use tokio::process::Child;
use tokio::sync::oneshot;

type Request = (std::process::Command, oneshot::Sender<io::Result<Child>>);

/// The thread that starts programs. The kernel ends a child when the *thread* that started it ends, not the process;
/// a runtime's threads come and go, so this one lives as long as the host, and dropping the host ends all connectors.
#[derive(Debug)]
pub(super) struct Launcher {
    requests: mpsc::Sender<Request>,
}

impl Launcher {
    /// Starts the thread, inside of a Tokio runtime.
    pub(super) fn start() -> io::Result<Self> {
        let (requests, queue) = mpsc::channel::<Request>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("launcher".to_owned()).spawn(move || {
            let _runtime = runtime.enter();
            for (command, reply) in queue {
                let mut command = tokio::process::Command::from(command);
                command.kill_on_drop(true);
                // Whoever asked may have gone; the child is then dropped, and with it killed.
                let _ = reply.send(command.spawn());
            }
        })?;
        Ok(Self { requests })
    }

    /// Starts a program.
    pub(super) async fn launch(&self, launch: Launch<'_>) -> io::Result<Child> {
        let command = launch.command()?;
        let (reply, child) = oneshot::channel();
        let gone = || io::Error::other("the launcher thread has ended");
        self.requests.send((command, reply)).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}
