//! Starts the connector `demo` of a connectors directory, prints its process id and holds it until it is killed:
//! for the test that nothing outlives the server. Arguments: the connectors directory, the folder for sockets.

#![expect(clippy::print_stdout, reason = "what it prints is what the test looks at")]

use std::path::PathBuf;
use std::sync::Arc;

use connectord::catalog::Catalog;
use connectord::clock::SystemClock;
use connectord::config::ProcessConfig;
use connectord::process::ProcessHost;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    connectord::process::set_non_dumpable()?;
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (Some(connectors), Some(sockets)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: hold_connector CONNECTORS_DIR SOCKETS_DIR");
    };
    let catalog = Catalog::load(&connectors)?;
    let host = ProcessHost::new(ProcessConfig::default(), Arc::new(SystemClock), catalog, &sockets)?;
    let lease = host.acquire("demo", "acme", "c1").await?;
    println!("{}", lease.pid().unwrap_or_default());
    std::future::pending().await
}
