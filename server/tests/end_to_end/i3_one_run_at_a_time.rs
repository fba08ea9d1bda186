//! I3: a connection has one run at a time, however often it is asked for.

use futures::future::join_all;
use superfasttt_proto::control::v1::{ResetSyncStateRequest, StartSyncRequest};
use tonic::Code;

use crate::support::{SCRIPTED, Server, checkpoint, complete};

#[tokio::test]
async fn i3_many_requests_at_once_are_one_run() {
    let server = Server::start().await;
    let script = server.script();
    script.next_pulls([vec![script.touch("at"), script.wait("go"), complete("1")], vec![checkpoint("2")]]);
    let settings = serde_json::json!({"script": script.path()});
    let connection = server.client.create_paused(SCRIPTED, settings).await;
    let ask = || async {
        let request = StartSyncRequest { connection: connection.clone(), full: false, at: None };
        server.client.runs().start_sync(request).await.unwrap().into_inner()
    };
    let answers = join_all((0..20).map(|_| ask())).await;
    let begun = answers.iter().filter(|answer| !answer.already_running).count();
    assert_eq!(begun, 1);
    let run = answers[0].run.clone().unwrap().id;
    assert!(answers.iter().all(|answer| answer.run.as_ref().unwrap().id == run));
    script.reached("at").await;
    assert!(ask().await.already_running, "also while it runs");
    // Nor does anybody take the connection from it.
    let reset = ResetSyncStateRequest { connection: connection.clone(), scopes: vec![] };
    let refused = server.client.runs().reset_sync_state(reset.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    script.release("go");
    server.client.end_of(&run).await;
    assert_eq!(script.pulls().len(), 1);

    // Afterwards it is allowed: then the next run lists in full.
    server.client.runs().reset_sync_state(reset).await.unwrap();
    script.next_pulls([vec![complete("2")], vec![checkpoint("3")]]);
    server.client.sync_well(&connection).await;
    let modes: Vec<_> = script.pulls().into_iter().map(|pull| pull["mode"].clone()).collect();
    assert_eq!(modes, ["FULL", "FULL", "INCREMENTAL"]);
}
