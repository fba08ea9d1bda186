//! *start*: from the start of the process until its health says SERVING, with ten manifests to load.

use serde::Serialize;

use crate::connectord::{Connectord, Programs};
use crate::report::{median, note};

/// Manifests that are there.
const MANIFESTS: usize = 10;
/// How often it is measured.
const REPETITIONS: usize = 10;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    /// Manifests that were loaded.
    pub manifests: usize,
    /// Each time.
    pub times_ms: Vec<f64>,
    /// The one in the middle.
    pub median_ms: f64,
}

/// Measures it.
///
/// # Errors
/// Where connectord does not start.
pub async fn measure(programs: &Programs) -> anyhow::Result<Start> {
    let mut times_ms = Vec::new();
    for _ in 0..REPETITIONS {
        let folder = programs.new_folder(MANIFESTS)?;
        let connectord = Connectord::start(programs, folder.path()).await?;
        times_ms.push(connectord.started_in.as_secs_f64() * 1000.0);
        connectord.stop().await?;
    }
    let median_ms = median(times_ms.iter().copied());
    note(&format!("start: {median_ms:.1} ms"));
    Ok(Start { manifests: MANIFESTS, times_ms, median_ms })
}
