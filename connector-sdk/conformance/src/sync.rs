//! Pulls until a connection is caught up, as connectord does, and commits what comes to a model.

use superfasttt_proto::connector::v1::{PullMode, PullRequest};
use superfasttt_proto::error::{ConnectorError, reason_info};

use crate::model::Model;
use crate::pull::{Pulled, pull};
use crate::wire::Wire;

/// A sync of a test source takes no more pulls than this; one that does goes round in a circle.
const MOST_PULLS: usize = 2_000;
/// The contract's own limit on ids in one request.
const MOST_IDS: usize = 1000;

/// Pulls in `mode` from where the models stand until they are caught up. The models hold the same cursors: they differ in
/// what was committed without one. Gives the pulls.
///
/// # Errors
///
/// How it came to no end, in words.
pub(crate) async fn catch_up(
    wire: &Wire,
    request: &PullRequest,
    mode: PullMode,
    models: &mut [Model],
) -> Result<Vec<Pulled>, String> {
    let mut pulls = Vec::new();
    loop {
        let before = states(models, mode);
        let request = PullRequest { mode: mode.into(), states: before.clone(), ..request.clone() };
        models.iter_mut().for_each(Model::begin_pull);
        let pulled = pull(wire, request, None).await;
        for model in &mut *models {
            model.commit_all(mode, &pulled.messages);
        }
        if let Some(failure) = pulled.failure() {
            return Err(failure);
        }
        if let Some(error) = pulled.scope_errors().next() {
            let told = ConnectorError::from_proto(error.error.clone().unwrap_or_default());
            return Err(format!(
                "scope {:?} stopped with {} ({})",
                error.scope,
                reason_info(told.reason).name,
                told.message
            ));
        }
        let more = models.iter().any(Model::wants_more);
        let pulled_nothing = pulled.changes().next().is_none();
        pulls.push(pulled);
        if !more {
            break;
        }
        if pulls.len() >= MOST_PULLS || (pulled_nothing && states(models, mode) == before) {
            return Err(format!("after {} pulls it still says has_more, and gets no further", pulls.len()));
        }
    }
    ask_for_wanted(wire, request, models).await?;
    if mode == PullMode::Full {
        models.iter_mut().for_each(Model::end_full);
    }
    Ok(pulls)
}

fn states(models: &[Model], mode: PullMode) -> Vec<superfasttt_proto::connector::v1::ScopeState> {
    models.first().map(|model| model.states(mode)).unwrap_or_default()
}

/// Asks for the ids that were only said to be present.
async fn ask_for_wanted(wire: &Wire, request: &PullRequest, models: &mut [Model]) -> Result<(), String> {
    let mut wanted: Vec<String> = models.iter_mut().flat_map(Model::take_wanted).collect();
    wanted.sort();
    wanted.dedup();
    for ids in wanted.chunks(MOST_IDS) {
        let mode = PullMode::Targeted;
        let request = PullRequest { mode: mode.into(), ids: ids.to_vec(), ..request.clone() };
        let pulled = pull(wire, request, None).await;
        if let Some(failure) = pulled.failure() {
            return Err(format!(
                "the ids that it only said to be present were asked for, and it answered {failure}"
            ));
        }
        for model in &mut *models {
            model.commit_all(mode, &pulled.messages);
        }
    }
    Ok(())
}
