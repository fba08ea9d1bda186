//! The logs of runs: ordered, bounded, filtered by level.

use std::collections::BTreeMap;

use superfasttt_proto::connector::v1::log_record::Level;

use super::support::*;
use crate::store::runs::LogLine;

fn line(seconds: i64, level: Level, message: &str) -> LogLine {
    let fields = BTreeMap::from([("n".to_owned(), seconds.to_string())]);
    LogLine { time: at(seconds), level, origin: "connector", message: message.to_owned(), fields }
}

pub async fn a_log_is_read_in_order_and_pages(store: Shared) {
    let (_, run, _) = running(&store, "docs").await;
    let lines =
        vec![line(1, Level::Info, "one"), line(2, Level::Debug, "two"), line(3, Level::Warn, "three")];
    store.append_log(&run.id, log_part(lines.clone(), 100)).await.unwrap();
    store.append_log(&run.id, log_part(vec![line(4, Level::Error, "four")], 100)).await.unwrap();
    let (page, dropped) = store.run_log(&run.id, Level::Unspecified, 0, 3).await.unwrap();
    assert_eq!(page.items.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(page.items.into_iter().map(|line| line.line).collect::<Vec<_>>(), lines);
    assert_eq!((page.next, dropped), (Some(3), 0));
    let (page, _) = store.run_log(&run.id, Level::Unspecified, 3, 3).await.unwrap();
    assert_eq!((page.items.len(), page.items[0].seq, page.next), (1, 4, None));
    let (page, _) = store.run_log(&run.id, Level::Warn, 0, 1).await.unwrap();
    assert_eq!((page.items[0].line.message.as_str(), page.next), ("three", Some(3)));
}

pub async fn a_log_is_bounded_and_says_what_was_dropped(store: Shared) {
    let (_, run, _) = running(&store, "docs").await;
    let lines = |count: i64| (0..count).map(|second| line(second, Level::Info, "x")).collect::<Vec<_>>();
    store.append_log(&run.id, log_part(lines(3), 5)).await.unwrap();
    store.append_log(&run.id, log_part(lines(4), 5)).await.unwrap();
    store.append_log(&run.id, log_part(lines(1), 5)).await.unwrap();
    store.append_log(&run.id, log_part(Vec::new(), 5)).await.unwrap();
    let (page, dropped) = store.run_log(&run.id, Level::Unspecified, 0, 100).await.unwrap();
    assert_eq!((page.items.len(), dropped), (5, 3));
    assert_eq!(page.items.last().unwrap().seq, 5);
}

pub async fn a_log_of_no_run_is_nothing(store: Shared) {
    store.append_log("nobody", log_part(vec![line(1, Level::Info, "x")], 5)).await.unwrap();
    let (page, dropped) = store.run_log("nobody", Level::Unspecified, 0, 5).await.unwrap();
    assert_eq!((page.items.len(), page.next, dropped), (0, None, 0));
}
