//! I5: a source that loses an event is compared with what is stored by ids and versions (LIST), between full pulls and by
//! the connection's schedule. What vanished is asked for once more before it is deleted; what is unknown is fetched; and
//! a listing that stops half-way proves nothing.

use prost_types::{Duration, FieldMask};
use serde_json::json;
use superfasttt_proto::connector::v1::{PullMode, Reason};
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::control::v1::{
    Connection, PauseConnectionRequest, ResumeConnectionRequest, Run, Schedule, UpdateConnectionRequest,
};

use crate::support::{
    COMPARED, Client, Server, Source, Step, checkpoint, complete, deletion, doc, fail, more, present, reason,
};

async fn pause(client: &Client, id: &str) {
    let request = PauseConnectionRequest { connection: id.to_owned() };
    client.connections().pause_connection(request).await.unwrap();
}

/// A connection that has listed these documents at version 1.
async fn listed(server: &Server, ids: &[&str]) -> Source {
    let mut documents: Vec<Step> = ids.iter().map(|id| doc(id, "1")).collect();
    documents.push(complete("1"));
    let script = server.script();
    script.next_pulls([documents]);
    // It syncs once for being new, and then by the schedule that the test gives it.
    let settings = json!({"script": script.path()});
    let connection = server.client.create(COMPARED, settings, false).await.id;
    let run = server.client.scheduled_run(&connection, "").await;
    assert_eq!(server.client.end_of(&run.id).await.state(), State::Succeeded);
    pause(&server.client, &connection).await;
    let source = Source { script, connection };
    source.script.next_pulls_of("INCREMENTAL", [vec![checkpoint("2")]]);
    source
}

/// Lets the schedule bring a run that looks at everything; returns how that run ended. `listing` plays LIST.
async fn compared(server: &Server, source: &Source, listing: Vec<Step>) -> Run {
    let (client, id) = (&server.client, &source.connection);
    let before = client.runs_of(id).await[0].id.clone();
    // The run waits until no second one can follow it.
    let (at, go) = (format!("at-{before}"), format!("go-{before}"));
    let held = [vec![source.script.touch(&at), source.script.wait(&go)], listing].concat();
    source.script.next_pulls_of("LIST", [held]);
    let schedule = Schedule {
        interval: Some(Duration { seconds: 30 * 86_400, nanos: 0 }),
        full_interval: Some(Duration { seconds: 1, nanos: 0 }),
        ..Schedule::default()
    };
    let connection = Connection { id: id.to_owned(), schedule: Some(schedule), ..Connection::default() };
    let update_mask = Some(FieldMask { paths: vec!["schedule".to_owned()] });
    let request = UpdateConnectionRequest { connection: Some(connection), update_mask };
    client.connections().update_connection(request).await.unwrap();
    client
        .connections()
        .resume_connection(ResumeConnectionRequest { connection: id.to_owned() })
        .await
        .unwrap();
    let run = client.scheduled_run(id, &before).await;
    source.script.reached(&at).await;
    pause(client, id).await;
    source.script.release(&go);
    client.end_of(&run.id).await
}

/// The modes of the pulls after the first so many.
fn modes(source: &Source, after: usize) -> Vec<String> {
    let pulls = source.script.pulls().into_iter().skip(after);
    pulls.map(|pull| pull["mode"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn i5_what_vanished_without_an_event_is_found_confirmed_and_deleted() {
    let server = Server::start().await;
    let source = listed(&server, &["changed", "gone", "overlooked", "same"]).await;
    let position = server.client.feed("").await.position;
    source.script.next_pulls_of(
        "TARGETED",
        [vec![doc("changed", "2"), doc("unknown", "1")], vec![deletion("gone"), doc("overlooked", "1")]],
    );
    let listing =
        vec![present("same", "1"), present("changed", "2"), present("unknown", "1"), complete("listed")];
    let run = compared(&server, &source, listing).await;
    assert_eq!((run.state(), run.mode()), (State::Succeeded, PullMode::List), "{run:?}");
    assert_eq!(
        modes(&source, 1),
        ["INCREMENTAL", "LIST", "TARGETED", "TARGETED"],
        "nothing is pulled in full"
    );
    let asked: Vec<_> = source.script.pulls().into_iter().skip(3).map(|pull| pull["ids"].clone()).collect();
    assert_eq!(asked, [json!(["changed", "unknown"]), json!(["gone", "overlooked"])]);
    assert_eq!(server.client.ids(&source.connection).await, "changed overlooked same unknown");
    assert_eq!(server.client.documents(&source.connection).await["changed"].title, "changed 2");
    let mut told = server.client.feed(&position).await.told();
    told.sort();
    assert_eq!(told, ["-gone", "changed", "unknown"], "and nothing of what is as it was");

    // Changes go on from their own cursor, which the comparison did not touch.
    server.client.sync_well(&source.connection).await;
    assert_eq!(source.script.last_pull(), ("INCREMENTAL".to_owned(), "2".to_owned()));
}

#[tokio::test]
async fn i5_a_comparison_that_fails_half_way_deletes_nothing() {
    let mut server = Server::start().await;
    let source = listed(&server, &["a", "b", "gone"]).await;
    let position = server.client.feed("").await.position;
    let half = vec![present("a", "1"), more("half"), fail("ACCESS_DENIED")];
    let run = compared(&server, &source, half).await;
    assert_eq!((run.state(), reason(&run)), (State::Failed, Reason::AccessDenied), "{run:?}");
    assert_eq!(modes(&source, 1), ["INCREMENTAL", "LIST"], "nobody is asked for what was not listed");
    assert_eq!(server.client.ids(&source.connection).await, "a b gone");

    // Nor one that ends well, and does not say that it was all.
    server.kill9().await;
    server.restart().await;
    let run = compared(&server, &source, vec![present("b", "1"), checkpoint("rest")]).await;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    assert_eq!(source.script.last_pull(), ("LIST".to_owned(), "half".to_owned()), "it went on where it was");
    assert_eq!(server.client.ids(&source.connection).await, "a b gone");
    assert!(server.client.feed(&position).await.entries.is_empty());

    // The whole one does, and what it does not name is asked for first.
    source.script.next_pulls_of("TARGETED", [vec![deletion("gone")]]);
    let listing = vec![present("a", "1"), present("b", "1"), complete("listed")];
    let run = compared(&server, &source, listing).await;
    assert_eq!((run.state(), run.counts.unwrap().deleted), (State::Succeeded, 1));
    assert_eq!(source.script.pulls().pop().unwrap()["ids"], json!(["gone"]));
    assert_eq!(server.client.ids(&source.connection).await, "a b");
    assert_eq!(server.client.feed(&position).await.told(), ["-gone"]);
}
