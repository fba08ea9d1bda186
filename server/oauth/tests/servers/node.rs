//! Servers that we did not write, as these tests want them.

use superfasttt_oauth_testing::NodeServer;

use crate::support::{CLIENT_SECRET, REDIRECT_URI};

/// Starts a script; `None`: there is no Node on this machine.
pub async fn start(script: &str) -> Option<NodeServer> {
    let variables = [("CLIENT_SECRET", CLIENT_SECRET), ("REDIRECT_URI", REDIRECT_URI)];
    NodeServer::start(script, &variables, env!("CARGO_TARGET_TMPDIR")).await
}
