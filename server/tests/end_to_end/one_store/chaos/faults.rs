//! What goes wrong.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::Rng;
use rand::rngs::StdRng;

use super::storm::Stage;
use crate::support::Server;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A connectord dies, and is started again a moment later.
    KillReplica,
    /// A connector's process dies.
    KillConnector,
    /// A connectord stands still for longer than its lease, and goes on as if nothing had happened.
    SuspendReplica,
    /// The database dies, and is started again a moment later.
    KillDatabase,
    /// The database is stopped in order, is away for a while, and comes back.
    StopDatabase,
}

/// The lease of replicas in these tests, the shortest that is allowed.
pub const LEASE: Duration = Duration::from_secs(3);

impl Fault {
    /// Lets it happen, and everything be up again.
    pub async fn happen(self, stage: &mut Stage, random: &mut StdRng) {
        let replica = random.random_range(0..stage.servers.len());
        match self {
            Fault::KillReplica => {
                stage.servers[replica].kill9().await;
                tokio::time::sleep(Duration::from_millis(random.random_range(0..1500))).await;
                stage.servers[replica].restart().await;
                stage.tell_clients();
            }
            Fault::KillConnector => connectors(&stage.servers[replica]).into_iter().for_each(end),
            Fault::SuspendReplica => {
                let pid = pid(&stage.servers[replica]);
                kill(pid, Signal::SIGSTOP).expect("it is a child of this process");
                tokio::time::sleep(LEASE + Duration::from_millis(random.random_range(500..2500))).await;
                kill(pid, Signal::SIGCONT).expect("it is a child of this process");
            }
            Fault::KillDatabase => {
                stage.database().kill();
                tokio::time::sleep(Duration::from_millis(random.random_range(0..1500))).await;
                stage.database().up();
            }
            Fault::StopDatabase => {
                stage.database().down();
                tokio::time::sleep(Duration::from_millis(random.random_range(2000..5000))).await;
                stage.database().up();
            }
        }
    }
}

fn pid(server: &Server) -> Pid {
    Pid::from_raw(i32::try_from(server.pid()).expect("a pid is small"))
}

/// The connectors that a connectord has started: its children of that name.
fn connectors(server: &Server) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let ours = value("PPid:")? == server.pid().to_string() && value("Name:")? == "connector";
        ours.then(|| Pid::from_raw(pid))
    });
    processes.collect()
}

/// Kills a process that may have ended by itself.
fn end(pid: Pid) {
    let _ = kill(pid, Signal::SIGKILL);
}
