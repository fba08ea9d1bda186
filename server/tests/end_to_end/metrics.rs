//! What Prometheus finds at `/metrics` after real runs: every metric of the table that should be there, with the labels
//! of the table and no others, and numbers that are true.

use std::collections::{BTreeMap, BTreeSet};

use connectord::telemetry::metrics::{Kind, TABLE};
use serde_json::json;
use superfasttt_oauth_testing::Rules;
use superfasttt_proto::control::v1::RefreshCredentialRequest;

use crate::connect_an_account::{self, CONNECTOR, begin, fake, store_app};
use crate::support::{
    Client, Person, SCRIPTED, Server, checkpoint, complete, content_doc, deletion, doc, fail, item_error,
    store, until_async,
};

/// The samples of a page: name, labels, value.
fn samples(page: &str) -> Vec<(String, BTreeMap<String, String>, f64)> {
    let line = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
        let labels = labels.map(|label| {
            let (name, value) = label.split_once("=\"").unwrap();
            (name.to_owned(), value.trim_end_matches('"').to_owned())
        });
        (name.to_owned(), labels.collect(), value.parse().unwrap())
    };
    page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(line).collect()
}

async fn scrape(client: &Client) -> String {
    let (status, page) = client.http("/metrics", "").await;
    assert_eq!(status, 200, "{page}");
    page
}

/// The one value of a metric with these labels, whatever other labels it has.
fn value(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let matches = |found: &BTreeMap<String, String>| {
        labels.iter().all(|(name, value)| found.get(*name).is_some_and(|found| found == value))
    };
    let values: Vec<f64> =
        samples(page).into_iter().filter(|(n, l, _)| n == name && matches(l)).map(|(.., v)| v).collect();
    assert!(values.len() <= 1, "{name} {labels:?} is not one series");
    values.first().copied()
}

#[tokio::test]
async fn a_scrape_after_runs_shows_the_whole_table() {
    let mut server = Server::start().await;
    let source = server
        .source(
            SCRIPTED,
            [
                vec![content_doc("a", "1"), doc("b", "1"), item_error("c"), complete("1")],
                vec![doc("b", "2"), doc("b", "2"), deletion("a"), checkpoint("2")],
                vec![fail("SETTINGS_INVALID")],
            ],
        )
        .await;
    source.script.text("a", "the text of a");
    let client = &server.client;
    client.sync(&source.connection).await;
    client.feed_of("cortex").await;
    client.sync(&source.connection).await;
    client.sync_to_failure(&source.connection).await;
    // A connection that waits, and a crash.
    client.create(SCRIPTED, json!({"script": server.script().path()}), false).await;

    let connector = ("connector", SCRIPTED);
    let page = until_async("the end of the last run", async || {
        let page = scrape(client).await;
        let ended = value(&page, "connectord_runs_ended_total", &[connector, ("outcome", "succeeded")]);
        // What is read of the store is a few seconds old.
        let queued = value(&page, "connectord_runs_queued", &[]);
        (ended == Some(2.0) && queued == Some(0.0)).then_some(page)
    })
    .await;
    let count = |name: &str, labels: &[(&str, &str)]| value(&page, name, &[&[connector], labels].concat());
    assert_eq!(count("connectord_runs_started_total", &[("trigger", "manual")]), Some(3.0));
    assert_eq!(count("connectord_runs_ended_total", &[("outcome", "succeeded_with_errors")]), Some(1.0));
    assert_eq!(count("connectord_runs_ended_total", &[("outcome", "failed")]), Some(1.0));
    assert_eq!(count("connectord_run_failures_total", &[("reason", "SETTINGS_INVALID")]), Some(1.0));
    assert_eq!(count("connectord_run_duration_seconds_count", &[("outcome", "failed")]), Some(1.0));
    assert_eq!(count("connectord_runs_in_progress", &[]), Some(0.0));
    assert_eq!(count("connectord_documents_total", &[("outcome", "created")]), Some(2.0));
    assert_eq!(count("connectord_documents_total", &[("outcome", "updated")]), Some(1.0));
    assert_eq!(count("connectord_documents_total", &[("outcome", "deleted")]), Some(1.0));
    assert_eq!(count("connectord_item_errors_total", &[("reason", "ACCESS_DENIED")]), Some(1.0));
    assert_eq!(count("connectord_contents_fetched_total", &[]), Some(1.0));
    assert_eq!(count("connectord_content_bytes_total", &[]), Some("the text of a".len() as f64));
    assert_eq!(count("connectord_pulls_total", &[("mode", "incremental"), ("outcome", "ok")]), Some(1.0));
    assert_eq!(count("connectord_connector_healthy", &[]), Some(1.0));
    assert_eq!(count("connectord_connector_processes", &[("state", "ready")]), Some(1.0));
    assert_eq!(value(&page, "connectord_store_up", &[]), Some(1.0));
    assert_eq!(value(&page, "connectord_build_info", &[("store", store())]), Some(1.0));
    assert!(
        value(&page, "connectord_store_operation_duration_seconds_count", &[("operation", "claim_runs")])
            .unwrap()
            > 2.0
    );
    let never = value(&page, "connectord_connector_healthy", &[("connector", "filesystem")]).unwrap();
    assert!(never.is_nan(), "what never ran is not ill: {never}");

    every_series_is_in_the_table(&page);
    let shown: BTreeSet<String> = samples(&page).into_iter().map(|(name, ..)| name).collect();
    // Those need what this test does not do: an account, a restart, a sweep that is held, another replica, a collector, time.
    let not_here = [
        "connectord_authorizations_total",
        "connectord_credential_refreshes_total",
        "connectord_connector_failures_total",
        "connectord_connector_health_checks_total",
        "connectord_connector_restarts_total",
        "connectord_lease_renewals_total",
        "connectord_leases_lost_total",
        "connectord_sweeps_held_total",
        "connectord_trace_exports_total",
        "connectord_contents_without_text_total",
    ];
    for metric in TABLE.iter().filter(|metric| !not_here.contains(&metric.name)) {
        let name = match metric.kind {
            Kind::Histogram => format!("{}_bucket", metric.name),
            Kind::Counter | Kind::Gauge => metric.name.to_owned(),
        };
        assert!(shown.contains(&name), "{name} is not shown:\n{page}");
    }
    assert!(!page.contains(&source.connection), "no ids of connections");
    server.stop().await;
}

#[tokio::test]
async fn what_providers_answer_is_counted() {
    let server = connect_an_account::server().await;
    let provider = fake(&server, Rules::default()).await;
    let source = connect_an_account::source(&server).await;
    store_app(&server, "client").await;
    let (client, id) = (&server.client, &source.connection);
    for denies in [true, false] {
        provider.change(|rules| rules.denies = denies);
        let begun = begin(&server, id).await;
        Person::default().open(&begun.authorization_url).await;
    }
    let refresh = RefreshCredentialRequest { connection: id.clone() };
    client.credentials().refresh_credential(refresh.clone()).await.unwrap();
    provider.end_all_grants();
    client.credentials().refresh_credential(refresh).await.unwrap_err();

    let page = scrape(client).await;
    for (name, outcome) in [
        ("connectord_authorizations_total", "denied"),
        ("connectord_authorizations_total", "connected"),
        ("connectord_credential_refreshes_total", "ok"),
        ("connectord_credential_refreshes_total", "refused"),
    ] {
        let labels = [("connector", CONNECTOR), ("outcome", outcome)];
        assert_eq!(value(&page, name, &labels), Some(1.0), "{name} {outcome}:\n{page}");
    }
    every_series_is_in_the_table(&page);
}

/// Names, kinds and labels are those of the table: what nobody has described is not shown, and no label has slipped in.
fn every_series_is_in_the_table(page: &str) {
    for (name, labels, _) in samples(page) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let metric = TABLE
            .iter()
            .find(|metric| {
                metric.name == name || (metric.kind == Kind::Histogram && base == Some(metric.name))
            })
            .unwrap_or_else(|| panic!("{name} is not in the table"));
        let labels: BTreeSet<&str> =
            labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
        assert_eq!(labels, metric.labels.iter().copied().collect(), "{name}");
        assert!(page.contains(&format!("# TYPE {} {}", metric.name, metric.kind)), "{name}");
        assert!(page.contains(&format!("# HELP {} ", metric.name)), "{name}");
    }
}

#[tokio::test]
async fn a_consumer_that_falls_behind_is_seen_in_entries_and_seconds() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), doc("b", "1"), complete("1")]]).await;
    let client = &server.client;
    client.feed_of("cortex").await;
    client.sync_well(&source.connection).await;
    let page = until_async("the lag", async || {
        let page = scrape(client).await;
        let lag = value(&page, "connectord_feed_consumer_lag_entries", &[("consumer", "cortex")]);
        (lag == Some(2.0)).then_some(page)
    })
    .await;
    assert!(value(&page, "connectord_feed_consumer_lag_seconds", &[("consumer", "cortex")]).unwrap() > 0.0);
    let position = client.feed_of("cortex").await.position;
    client.commit("cortex", &position).await;
    until_async("the end of the lag", async || {
        let page = scrape(client).await;
        let lag = value(&page, "connectord_feed_consumer_lag_seconds", &[("consumer", "cortex")]);
        (lag == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_scraper_shows_the_token_like_everybody() {
    let server = Server::builder().with("SERVER__TOKEN", "s3cret").start().await;
    assert_eq!(server.client.http("/metrics", "").await.0, 401);
    assert_eq!(server.client.http("/metrics", "Authorization: Bearer wrong\r\n").await.0, 401);
    let (status, page) = server.client.http("/metrics", "Authorization: Bearer s3cret\r\n").await;
    assert_eq!(status, 200);
    assert!(page.contains("connectord_process_uptime_seconds"));
    assert!(!page.contains("s3cret"));
}
