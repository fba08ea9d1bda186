//! Runs that have ended: listed, trimmed, and with all that they counted.

use superfasttt_proto::connector::v1::log_record::Level;
use superfasttt_proto::control::v1::run::State;

use super::runs::{line, run_ids};
use super::support::*;
use crate::store::StoreError;
use crate::store::connections::Connection;
use crate::store::documents::Commit;
use crate::store::runs::{HeldSweep, RunCounts, RunEnd, RunProgress};
use crate::store::runs::{LookedAt, RunFilter};

pub async fn runs_are_listed_newest_first_in_pages(store: Shared) {
    let (a, b) = (connect(&store, "a").await, connect(&store, "b").await);
    for (id, connection) in [("r-1", &a), ("r-2", &b), ("r-3", &a), ("r-4", &a)] {
        let (_, fence) = claimed(&store, connection, id).await;
        store.end_run(fence, id, ended(State::Succeeded), at(1)).await.unwrap();
    }
    let ids = async |connection: Option<&Connection>, before: Option<&str>, limit| {
        let filter = RunFilter { connection: connection.map(|c| c.key), ..RunFilter::default() };
        let page = store.runs(filter, before.map(str::to_owned), limit).await.unwrap();
        (page.items.into_iter().map(|run| run.id).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(
        ids(None, None, 3).await,
        (vec!["r-4".into(), "r-3".into(), "r-2".into()], Some("r-2".into()))
    );
    assert_eq!(ids(None, Some("r-2"), 3).await, (vec!["r-1".into()], None));
    assert_eq!(ids(Some(&a), None, 3).await, (vec!["r-4".into(), "r-3".into(), "r-1".into()], None));
    assert_eq!(ids(Some(&b), Some("r-2"), 3).await, (vec![], None));
    for (organization, connection, found) in
        [("acme", None, 4), ("acme", Some(a.key), 3), ("other", None, 0), ("other", Some(a.key), 0)]
    {
        let filter = RunFilter { connection, organization: organization.to_owned() };
        assert_eq!(store.runs(filter, None, 9).await.unwrap().items.len(), found, "{organization}");
    }
}

pub async fn old_runs_are_trimmed_with_their_logs(store: Shared) {
    let connection = connect(&store, "a").await;
    for (id, second) in [("r-1", 10), ("r-2", 20), ("r-3", 30)] {
        let (_, fence) = claimed(&store, &connection, id).await;
        store.append_log(id, log_part(vec![line("x")], 10)).await.unwrap();
        store.end_run(fence, id, ended(State::Succeeded), at(second)).await.unwrap();
    }
    claimed(&store, &connection, "r-4").await;
    assert_eq!(store.trim_runs(at(10), 10).await.unwrap(), 0, "it did not end before");
    assert_eq!(store.trim_runs(at(31), 1).await.unwrap(), 1, "a few at a time, the oldest first");
    assert_eq!(store.run("r-1").await.unwrap(), None);
    let (log, _) = store.run_log("r-1", Level::Unspecified, 0, 10).await.unwrap();
    assert!(log.items.is_empty());
    assert_eq!(store.trim_runs(at(100), 10).await.unwrap(), 2);
    assert_eq!(store.trim_runs(at(100), 10).await.unwrap(), 0);
    assert_eq!(run_ids(&store).await, ["r-4"], "one at work always stays");
}

pub async fn runs_beyond_the_newest_are_trimmed_of_what_ran(store: Shared) {
    let (a, b) = (connect(&store, "a").await, connect(&store, "b").await);
    // All end at one moment, as runs do that end in one batch.
    for (id, connection) in [("r-1", &a), ("r-2", &b), ("r-3", &a), ("r-4", &a), ("r-5", &b), ("r-6", &a)] {
        let (_, fence) = claimed(&store, connection, id).await;
        store.end_run(fence, id, ended(State::Succeeded), at(10)).await.unwrap();
    }
    claimed(&store, &b, "r-7").await;
    let mut looked_at = LookedAt::default();
    let mut removed = 0;
    let mut looks = 0;
    loop {
        let surplus = store.trim_surplus_runs(2, looked_at.clone(), 2).await.unwrap();
        assert!(surplus.removed <= 2, "it removed {}", surplus.removed);
        (looked_at, removed, looks) = (surplus.looked_at, removed + surplus.removed, looks + 1);
        if !surplus.more {
            break;
        }
        assert!(looks < 20, "it does not come to an end");
    }
    assert_eq!(removed, 3);
    assert_eq!(
        run_ids(&store).await,
        ["r-7", "r-6", "r-5", "r-4"],
        "two are kept of each, the active one among them"
    );

    let again = store.trim_surplus_runs(0, looked_at.clone(), 10).await.unwrap();
    assert_eq!((again.removed, again.more), (0, false), "nothing has ended since");
    let (_, fence) = claimed(&store, &a, "r-8").await;
    store.end_run(fence, "r-8", ended(State::Succeeded), at(20)).await.unwrap();
    let again = store.trim_surplus_runs(1, looked_at, 10).await.unwrap();
    assert_eq!((again.removed, again.more), (2, true), "only what ran is looked at");
    assert_eq!(run_ids(&store).await, ["r-8", "r-7", "r-5"]);
}

pub async fn counts_and_held_sweeps_come_back(store: Shared) {
    let (_, run, fence) = running(&store, "docs").await;
    let counts = RunCounts { created: 3, message_bytes: u64::from(u32::MAX) + 1, ..RunCounts::default() };
    let commit = Commit {
        run: run.id.clone(),
        progress: RunProgress { counts, ..RunProgress::default() },
        ..Commit::default()
    };
    store.commit(fence, commit, at(1)).await.unwrap();
    assert_eq!(store.run(&run.id).await.unwrap().unwrap().counts, counts);
    let held = HeldSweep {
        scope: "drive".to_owned(),
        absent: 60,
        total: 100,
        message: "held".to_owned(),
        at: at(1),
    };
    let end = RunEnd { held_sweeps: vec![held.clone()], ..ended(State::SucceededWithErrors) };
    let missing = store.end_run(fence, "nobody", end.clone(), at(2)).await;
    assert!(matches!(missing, Err(StoreError::Missing("run"))), "{missing:?}");
    let ended = store.end_run(fence, &run.id, end, at(2)).await.unwrap();
    assert_eq!((ended.held_sweeps.as_slice(), ended.counts), ([held].as_slice(), counts));
    let failures = store.connection_by_key(fence.connection).await.unwrap().unwrap().failures;
    assert_eq!(failures, 0, "nothing was written of it");
}
