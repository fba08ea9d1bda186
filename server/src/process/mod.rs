//! The process host: finds, starts, watches and stops the processes of connectors.
//!
//! [`ProcessHost::acquire`] gives a [`Lease`] on a process that is ready, and starts one where there is none; the
//! process stays while the lease is held. Each process has its own socket, token and process group, a clean
//! environment and a memory limit; what it writes to stderr becomes log records. One that ends by itself is a
//! crash: the next start waits, each time longer; so does one that no longer answers its `health` checks. `hardening` is what keeps a connector from reading the server's
//! secrets.

mod cgroup;
mod channel;
mod hardening;
mod health;
mod host;
mod launcher;
mod lease;
mod level;
mod output;
mod running;
mod session;
mod slot;
mod start;
mod status;

pub use channel::BearerToken;
pub use hardening::set_non_dumpable;
pub use health::{ConnectorHealth, HealthState};
pub use host::{HostError, ProcessHost};
pub use lease::{ConnectorClient, Lease, PullClient};
pub use output::ProcessLine;
pub use status::{ProcessState, ProcessStatus};
