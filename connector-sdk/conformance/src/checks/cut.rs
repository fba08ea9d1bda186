//! Cut at every message and resumed, a listing loses and deletes nothing.

use futures::StreamExt;
use superfasttt_proto::connector::v1::{PullMode, PullRequest, PullResponse, pull_response};

use crate::model::{Difference, Model};
use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::pull;
use crate::sync::catch_up;
use crate::wire::Wire;
use crate::workbench::Workbench;

pub(super) const CUT: &str = "\"The stream may be cut at any point, by either side … The server then calls Pull again with the last committed states. What was sent after the last checkpoint is sent again\" (connector.proto, The life of a pull)";
pub(super) const COVERED: &str = "\"everything sent so far for this scope is covered by this cursor\" (connector.proto, The life of a pull)";
pub(super) const FIX: &str =
    "write a cursor only after everything that it covers was sent, and take up the source exactly there";
const AT_ONCE: usize = 8;
/// So many messages are read at most; beyond, boundaries are chosen by the seed.
const MOST_MESSAGES: usize = 20_000;

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let documents = baseline.model.ids().len();
    let request = bench.request_in_small_pages(PullMode::Full, documents);
    let wire = bench.wire().await?;
    let case = Case::new(&wire, request, PullMode::Full, baseline.model.aged()).await?;
    let mut findings = Vec::new();
    // Everything in `aged` has to be sent again, so a listing that leaves something out by itself shows here.
    let again = Difference { surplus: Vec::new(), ..case.expected.compare(&baseline.model) };
    if let Some(told) = again.told() {
        findings.push(Finding::new(format!("without a cut, over what was held before: {told}"), CUT, FIX));
    }
    let boundaries = chosen(case.messages, bench);
    let tried = boundaries.len();
    findings.extend(case.cut_at(&wire, boundaries).await);
    Ok(Outcome::of(findings, format!("{tried} of {} boundaries", case.messages + 1)))
}

/// A pull that is cut in many places, and what it comes to without a cut.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) request: PullRequest,
    pub(super) mode: PullMode,
    /// What is held before the pull.
    pub(super) before: Model,
    /// What is held after it.
    pub(super) expected: Model,
    /// How many messages the first pull has.
    pub(super) messages: usize,
}

impl Case {
    /// Finds out what the pull comes to without a cut.
    pub(super) async fn new(
        wire: &Wire,
        request: PullRequest,
        mode: PullMode,
        before: Model,
    ) -> Result<Self, Outcome> {
        let mut models = [before.clone()];
        let pulls = catch_up(wire, &request, mode, &mut models).await.map_err(|reason| {
            Outcome::failed(format!("without a cut it came to no end: {reason}"), CUT, FIX)
        })?;
        let [expected] = models;
        let messages = pulls.first().map_or(0, |pulled| pulled.messages.len());
        Ok(Self { request, mode, before, expected, messages })
    }

    /// Cuts at each of these boundaries, and resumes.
    async fn cut_at(&self, wire: &Wire, boundaries: Vec<usize>) -> Vec<Finding> {
        let cuts = boundaries.into_iter().map(|boundary| async move {
            let read = self.read(wire, boundary).await?;
            self.resume(wire, boundary, "cut", &read).await
        });
        let results: Vec<_> = futures::stream::iter(cuts).buffer_unordered(AT_ONCE).collect().await;
        results.into_iter().filter_map(Result::err).collect()
    }

    /// The first messages of the pull.
    pub(super) async fn read(&self, wire: &Wire, boundary: usize) -> Result<Vec<PullResponse>, Finding> {
        let states = self.before.states(self.mode);
        let request = PullRequest { mode: self.mode.into(), states, ..self.request.clone() };
        let pulled = pull(wire, request, Some(boundary)).await;
        match pulled.failure() {
            Some(failure) => {
                Err(Finding::new(format!("read up to message {boundary} it ended with {failure}"), CUT, FIX))
            }
            None => Ok(pulled.messages),
        }
    }

    /// Goes on after a cut, as an engine that committed everything, and as one that committed up to the last checkpoint.
    pub(super) async fn resume(
        &self,
        wire: &Wire,
        boundary: usize,
        what: &str,
        read: &[PullResponse],
    ) -> Result<(), Finding> {
        let mut all = self.before.clone();
        all.commit_all(self.mode, read);
        let has_checkpoint = |message: &PullResponse| matches!(&message.kind, Some(pull_response::Kind::Page(page)) if page.checkpoint.is_some());
        let covered = read.iter().rposition(has_checkpoint).map_or(0, |last| last + 1);
        let mut only_covered = self.before.clone();
        only_covered.commit_all(self.mode, &read[..covered]);
        let mut models = [all, only_covered];
        let at = format!("{} {what} after {boundary} messages", self.mode.as_str_name());
        catch_up(wire, &self.request, self.mode, &mut models)
            .await
            .map_err(|reason| Finding::new(format!("{at} and resumed: {reason}"), CUT, FIX))?;
        for (model, committed) in models.iter().zip(["everything that was sent", "what a checkpoint covers"])
        {
            if let Some(told) = model.compare(&self.expected).told() {
                let seen = format!("{at}, {committed} committed, and resumed: {told}");
                return Err(Finding::new(
                    seen,
                    if committed.starts_with("what") { COVERED } else { CUT },
                    FIX,
                ));
            }
        }
        Ok(())
    }
}

/// All boundaries, or some by the seed where there are very many.
pub(super) fn chosen(messages: usize, bench: &Workbench) -> Vec<usize> {
    let all: Vec<usize> = (0..=messages).collect();
    let most = (MOST_MESSAGES / messages.max(1)).max(50);
    if bench.exhaustive || all.len() <= most { all } else { sample(all, most, bench.seed) }
}

/// Some of many, always the same for a seed, in order.
pub(super) fn sample(all: Vec<usize>, most: usize, seed: u64) -> Vec<usize> {
    use rand::SeedableRng;
    use rand::seq::IteratorRandom;
    let mut some = all.into_iter().choose_multiple(&mut rand::rngs::StdRng::seed_from_u64(seed), most);
    some.sort_unstable();
    some
}

/// Cuts a pull of changes at each of its boundaries.
pub(super) async fn changes(bench: &mut Workbench, before: &Model) -> Result<(Vec<Finding>, usize), Outcome> {
    let request = bench.request_in_small_pages(PullMode::Incremental, 1);
    let wire = bench.wire().await?;
    let case = Case::new(&wire, request, PullMode::Incremental, before.clone()).await?;
    let boundaries = chosen(case.messages, bench);
    let tried = boundaries.len();
    Ok((case.cut_at(&wire, boundaries).await, tried))
}
