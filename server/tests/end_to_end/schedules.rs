//! When connections sync: cron in a time zone, planned runs, and what a person is told of the next one.

use std::time::SystemTime;

use prost_types::{FieldMask, Timestamp};
use serde_json::json;
use superfasttt_proto::control::v1::run::Trigger;
use superfasttt_proto::control::v1::schedule::Overlap;
use superfasttt_proto::control::v1::*;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Client, SCRIPTED, Server, Source, complete, new_connection};

async fn update(client: &Client, id: &str, schedule: Schedule, paths: &[&str]) -> Result<Connection, Status> {
    let connection = Connection { id: id.to_owned(), schedule: Some(schedule), ..Connection::default() };
    let update_mask = Some(FieldMask { paths: paths.iter().map(ToString::to_string).collect() });
    let request = UpdateConnectionRequest { connection: Some(connection), update_mask };
    let answer = client.connections().update_connection(request).await?;
    Ok(answer.into_inner().connection.unwrap())
}

/// Plans a full run this many seconds from now.
async fn plan(client: &Client, id: &str, seconds: i64) -> Result<StartSyncResponse, Status> {
    #[expect(clippy::disallowed_methods, reason = "the server is a process and has the machine's clock")]
    let mut at = Timestamp::from(SystemTime::now());
    at.seconds += seconds;
    let request = StartSyncRequest { connection: id.to_owned(), full: true, at: Some(at) };
    Ok(client.runs().start_sync(request).await?.into_inner())
}

async fn pause(client: &Client, id: &str) {
    let request = PauseConnectionRequest { connection: id.to_owned() };
    client.connections().pause_connection(request).await.unwrap();
}

async fn resume(client: &Client, id: &str) {
    let request = ResumeConnectionRequest { connection: id.to_owned() };
    client.connections().resume_connection(request).await.unwrap();
}

/// A connection that syncs only when asked, and the run that it had for being new.
async fn unscheduled(server: &Server, source: &Source) -> Run {
    let id = &source.connection;
    resume(&server.client, id).await;
    let first = server.client.scheduled_run(id, "").await;
    server.client.end_of(&first.id).await;
    update(&server.client, id, Schedule::default(), &["schedule"]).await.unwrap();
    first
}

#[tokio::test]
async fn cron_is_followed_in_its_time_zone_and_the_next_run_has_a_reason() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![complete("1")]]).await;
    let id = &source.connection;
    unscheduled(&server, &source).await;
    let schedule = Schedule {
        cron: "30 6 * * *".to_owned(),
        time_zone: "Asia/Kolkata".to_owned(),
        jitter: Some(prost_types::Duration::default()),
        overlap: Overlap::Buffer.into(),
        ..Schedule::default()
    };
    let changed = update(&server.client, id, schedule.clone(), &["schedule"]).await.unwrap();
    assert_eq!(changed.schedule, Some(schedule.clone()));
    let next = changed.next_run_at.unwrap();
    assert_eq!((next.seconds % 86_400, next.nanos), (3600, 0), "half past six in Kolkata is one o'clock UTC");
    assert_eq!(changed.next_run_trigger(), Trigger::Schedule);
    assert_eq!(changed.next_run_reason, "cron 30 6 * * * (Asia/Kolkata)");
    pause(&server.client, id).await;
    let shown = server.client.connection(id).await;
    assert_eq!((shown.next_run_at, shown.next_run_reason.as_str()), (None, ""), "its schedule is paused");
    resume(&server.client, id).await;

    let every = Schedule { interval: Some(prost_types::Duration { seconds: 3600, nanos: 0 }), ..schedule };
    let paths = ["schedule.interval", "schedule.cron"];
    let refused = update(&server.client, id, every.clone(), &paths).await.unwrap_err();
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "connection.schedule.cron", "one or the other");
    let every = Schedule { cron: String::new(), ..every };
    let changed = update(&server.client, id, every, &paths).await.unwrap();
    assert_eq!(changed.next_run_reason, "every 1h");
    assert_eq!(changed.schedule.unwrap().overlap(), Overlap::Buffer, "what was not named stays");
}

#[tokio::test]
async fn a_planned_run_comes_once_at_its_time() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![complete("1")], vec![complete("2")]]).await;
    let id = &source.connection;
    let first = unscheduled(&server, &source).await;
    pause(&server.client, id).await;
    assert_eq!(plan(&server.client, id, 3600).await.unwrap_err().code(), Code::FailedPrecondition, "paused");
    resume(&server.client, id).await;
    let past = plan(&server.client, id, -60).await.unwrap_err();
    assert_eq!(past.get_details_bad_request().unwrap().field_violations[0].field, "at");

    plan(&server.client, id, 3600).await.unwrap();
    let shown = server.client.connection(id).await;
    assert_eq!(shown.next_run_trigger(), Trigger::Planned);
    assert_eq!(shown.next_run_reason, "a run was planned for this time");
    assert!(shown.next_run_full);
    let paths = ["schedule.planned_at", "schedule.planned_full"];
    let forgotten = update(&server.client, id, Schedule::default(), &paths).await.unwrap();
    assert_eq!(forgotten.next_run_at, None);

    plan(&server.client, id, 3600).await.unwrap();
    // It takes the place of the one before.
    let answer = plan(&server.client, id, 2).await.unwrap();
    assert!(answer.run.is_none() && answer.planned_at.is_some());
    let run = server.client.scheduled_run(id, &first.id).await;
    assert_eq!(run.trigger(), Trigger::Planned);
    let ended = server.client.end_of(&run.id).await;
    assert!(ended.started_at.unwrap().seconds >= answer.planned_at.unwrap().seconds, "not before its time");
    let after = server.client.connection(id).await;
    assert_eq!((after.next_run_at, after.schedule.unwrap().planned_at), (None, None), "once");
}

#[tokio::test]
async fn a_schedule_is_refused_with_its_fields() {
    let server = Server::start().await;
    let mut request = new_connection(SCRIPTED, json!({"script": "s"}));
    let schedule = Schedule {
        cron: "0 6 30 2 *".to_owned(),
        time_zone: "Europe/Pari".to_owned(),
        ..Schedule::default()
    };
    request.connection.as_mut().unwrap().schedule = Some(schedule);
    let refused = server.client.connections().create_connection(request).await.unwrap_err();
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    let texts: Vec<_> =
        violations.iter().map(|fault| (fault.field.as_str(), fault.description.as_str())).collect();
    assert_eq!(
        texts,
        [
            ("connection.schedule.cron", "\"0 6 30 2 *\" never comes: no month that it names has such a day"),
            (
                "connection.schedule.time_zone",
                "there is no time zone \"Europe/Pari\"; did you mean \"Europe/Paris\"?"
            ),
        ]
    );
}
