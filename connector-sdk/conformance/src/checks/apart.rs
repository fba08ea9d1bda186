//! 100 pulls of several connections at once stay apart.

use superfasttt_proto::connector::v1::{PullMode, PullRequest};

use crate::credential::with_canaries;
use crate::model::Model;
use crate::outcome::{Finding, Outcome, Verdict};
use crate::sync::catch_up;
use crate::wire::Wire;
use crate::workbench::Workbench;

const MANY: &str = "\"A connector keeps nothing between calls, serves many connections at the same time\" (connector.proto, No memory)";
const FIX: &str = "keep settings, credential and clients in the call, and nowhere else";
const PULLS: usize = 100;

/// A connection, and what it brings when it is alone; `None`: it may bring nothing.
struct Connection {
    what: &'static str,
    request: PullRequest,
    expected: Option<Model>,
}

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let wire = bench.wire().await?;
    let first = bench.request(PullMode::Full);
    let mut connections = vec![Connection {
        what: "the connection",
        request: first.clone(),
        expected: Some(baseline.model.clone()),
    }];
    if let Some(request) = bench.another_request()? {
        let mut models = [Model::default()];
        catch_up(&wire, &request, PullMode::Full, &mut models).await.map_err(|reason| {
            Outcome::not_tried(format!(
                "the connection `another` of conformance.json cannot be pulled: {reason}"
            ))
        })?;
        let [expected] = models;
        connections.push(Connection { what: "another connection", request, expected: Some(expected) });
    }
    // Where the source is asked at all, a wrong credential opens nothing, whoever else is there.
    if let (Some(wrong), true, true) =
        (with_canaries(&bench.manifest.auth, "wrong"), first.credential.is_some(), bench.proxy.is_some())
    {
        let request = PullRequest { credential: Some(wrong), ..first };
        connections.push(Connection {
            what: "a connection with a wrong credential",
            request,
            expected: None,
        });
    }
    if connections.len() == 1 {
        return Ok(Outcome::not_tried(
            "all pulls would be of the same connection: give `another` in conformance.json, whose documents are others",
        ));
    }
    let pulls = (0..PULLS).map(|number| {
        let (wire, connection) = (&wire, &connections[number % connections.len()]);
        async move { of_pull(wire, connection).await }
    });
    let results = futures::future::join_all(pulls).await;
    let mut findings: Vec<Finding> = results.into_iter().flatten().collect();
    if !bench.is_alive() {
        findings.push(Finding::new(
            format!("the process ended at {PULLS} pulls at once"),
            MANY,
            "read its log",
        ));
    }
    Ok(Outcome::of(findings, format!("{PULLS} pulls of {} connections", connections.len())))
}

async fn of_pull(wire: &Wire, connection: &Connection) -> Option<Finding> {
    let mut models = [Model::default()];
    let pulled = catch_up(wire, &connection.request, PullMode::Full, &mut models).await;
    let [model] = models;
    let what = connection.what;
    let seen = match (&connection.expected, pulled) {
        (Some(expected), Ok(_)) => format!(
            "beside others, {what} brought other documents than alone; {}",
            model.compare(expected).told()?
        ),
        (Some(_), Err(reason)) => format!("beside others, {what} came to no end: {reason}"),
        (None, _) if model.ids().is_empty() => return None,
        (None, _) => format!("beside others, {what} brought {} documents", model.ids().len()),
    };
    Some(Finding::new(seen, MANY, FIX))
}
