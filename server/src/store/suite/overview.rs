//! What operators see of what waits.

use superfasttt_proto::control::v1::run::{State, Trigger};

use super::support::*;
use crate::store::connections::NewConnection;
use crate::store::overview::Overview;
use crate::store::runs::{RunEnd, Work};

pub async fn what_waits_is_counted_but_for_disabled_connectors(store: Shared) {
    assert_eq!(store.overview(&[], at(0)).await.unwrap(), Overview::default());
    // Two that are queued, one of them since second 3, one that is worked on, one that is parked.
    running(&store, "running").await;
    let (_, parked, fence) = running(&store, "parked").await;
    let end = RunEnd { resume_at: Some(at(500)), ..ended(State::Parked) };
    store.end_run(fence, &parked.id, end, at(2)).await.unwrap();
    let other = NewConnection { connector: "other".to_owned(), ..new_connection("other") };
    let other = store.create_connection(other, start()).await.unwrap();
    store.queue_run("r-other".to_owned(), other.key, Trigger::Manual, Work::Changes, at(3)).await.unwrap();
    let queued = connect(&store, "queued").await;
    store.queue_run("r-queued".to_owned(), queued.key, Trigger::Manual, Work::Changes, at(4)).await.unwrap();
    // One that is due from second 10 on, and two that wait for a person.
    for (name, disabled, connector) in
        [("due", false, "demo"), ("disabled", true, "demo"), ("due-other", false, "other")]
    {
        let new = NewConnection {
            disabled,
            connector: connector.to_owned(),
            next: due(at(10)),
            ..new_connection(name)
        };
        store.create_connection(new, start()).await.unwrap();
    }

    let waits = Overview { queued: 2, oldest_queued_at: Some(at(3)), parked: 1, due: 0 };
    assert_eq!(store.overview(&[], at(9)).await.unwrap(), waits);
    assert_eq!(store.overview(&[], at(10)).await.unwrap(), Overview { due: 2, ..waits });
    let disabled = ["other".to_owned(), "nothing".to_owned()];
    let without = Overview { queued: 1, oldest_queued_at: Some(at(4)), parked: 1, due: 1 };
    assert_eq!(store.overview(&disabled, at(10)).await.unwrap(), without);
    // What is queued is not due any more.
    store.queue_due_runs(|| "r-due".to_owned(), 1, at(11)).await.unwrap();
    let counted = store.overview(&[], at(11)).await.unwrap();
    assert_eq!((counted.queued, counted.due), (3, 1));
}
