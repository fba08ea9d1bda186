//! Runs: found by their connection, listed, their logs.

use superfasttt_proto::control::v1::run::State;

use crate::fake::Fake;
use crate::support::{RUN, Server};
use crate::sync_wait::run;

#[tokio::test]
async fn the_newest_run_is_found_by_its_connections_name() {
    let server = Server::start(Fake { script: vec![run(State::Succeeded, 3)], ..Default::default() }).await;
    for line in ["runs show docs", "runs cancel docs", &format!("runs show {RUN}")] {
        let ran = server.run(&format!("-o json {line}")).await;
        assert_eq!((ran.code, ran.json()[0]["id"].as_str()), (0, Some(RUN)), "{line}: {ran:?}");
    }
    let never = Server::start(Fake::default()).await;
    let ran = never.run("runs show docs").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("never ran yet"), "{}", ran.err);
}

#[tokio::test]
async fn a_list_names_connections_for_people() {
    let server = Server::start(Fake { script: vec![run(State::Succeeded, 3)], ..Default::default() }).await;
    let ran = server.run("runs list docs").await;
    assert!(ran.out.lines().nth(1).unwrap().starts_with("docs        succeeded  full"), "{}", ran.out);
}

#[tokio::test]
async fn a_log_stops_at_its_present_end_unless_it_is_followed() {
    let server = Server::start(Fake { script: vec![run(State::Succeeded, 3)], ..Default::default() }).await;
    let ran = server.run("runs logs docs").await;
    assert_eq!(ran.out, "- info  engine    began a=1 b=2 c=3\n");
    let ran = server.run("-o json runs logs docs --follow").await;
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.out,
        "{\"origin\":\"engine\",\"message\":\"began\",\"fields\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}}\n\
         {\"origin\":\"engine\",\"message\":\"ended\",\"fields\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}}\n"
    );
}
