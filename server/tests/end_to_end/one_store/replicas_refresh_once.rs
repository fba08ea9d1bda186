//! Many uses of one account at once, over three replicas, at a provider that takes each refresh token once and ends the grant
//! when one comes again: one refresh, and nobody is disconnected.

use connectord::clock::{Clock, SystemClock};
use serde_json::json;
use superfasttt_oauth_testing::{FakeProvider, Rules};
use superfasttt_proto::control::v1::credential_status::State;
use superfasttt_proto::control::v1::{
    DiscoverResourcesRequest, TestConnectionRequest, discover_resources_request, test_connection_request,
};
use tokio::task::JoinSet;

use crate::connect_an_account::{CONNECTOR, begin, store_app};
use crate::support::postgres::Database;
use crate::support::{Person, Server, checkpoint, complete, content_doc, until_async};

/// Tests of the connection and discoveries at once, half of each, beside a run that fetches content.
const USES: usize = 49;

#[tokio::test]
async fn fifty_uses_over_three_replicas_are_one_refresh() {
    let database = Database::new().await;
    let keys = connectord::vault::Key::generate().to_base64().to_string();
    let provider = FakeProvider::with_rules(Rules { expires_in: Some(1), ..Rules::default() }).await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        let replica = Server::builder()
            .with("DATABASE__URL", database.url())
            .with("OAUTH__ALLOW_LOOPBACK", true)
            .with("VAULT__KEYS", &keys)
            .start()
            .await;
        let auth = json!({
            "type": "oauth2", "authorization_url": provider.url("/authorize"), "token_url": provider.url("/token"),
            "scopes": ["read"],
        });
        replica.add_connector(CONNECTOR, auth).await;
        replicas.push(replica);
    }
    let first = &replicas[0];
    let documents = ["a", "b", "c"].map(|id| content_doc(id, "1"));
    let steps = documents.into_iter().chain([complete("1")]).collect();
    let source = first.source(CONNECTOR, [steps, vec![checkpoint("2")]]).await;
    for id in ["a", "b", "c"] {
        source.script.text(id, "text");
    }
    store_app(first, "client").await;
    let begun = begin(first, &source.connection).await;
    let page = Person::default().open(&begun.authorization_url).await;
    assert_eq!(page.name(), "connected", "{page:?}");

    // What is there ends within a second; what comes now lasts.
    provider.change(|rules| rules.expires_in = Some(3600));
    let before = provider.counts();
    until_async("the end of the token", async || {
        let ends = first.client.credential(&source.connection).await.expires_at.unwrap();
        (SystemClock.now().timestamp() > ends.seconds).then_some(())
    })
    .await;
    let mut uses = JoinSet::new();
    for number in 0..USES {
        let mut client = replicas[number % 3].client.connections();
        let connection = source.connection.clone();
        if number % 2 == 0 {
            let target = Some(test_connection_request::Target::Connection(connection));
            uses.spawn(
                async move { client.test_connection(TestConnectionRequest { target }).await.map(drop) },
            );
        } else {
            let target = Some(discover_resources_request::Target::Connection(connection));
            let request = DiscoverResourcesRequest { target, ..Default::default() };
            uses.spawn(async move { client.discover_resources(request).await.map(drop) });
        }
    }
    let run = first.client.begin(&source.connection, true).await;
    while let Some(used) = uses.join_next().await {
        used.unwrap().unwrap();
    }
    let ended = first.client.end_of(&run.id).await;
    assert_eq!(ended.error, None, "{ended:?}");
    let after = provider.counts();
    assert_eq!((after.refreshes - before.refreshes, after.reuses), (1, 0));
    for replica in &replicas {
        assert_eq!(replica.client.credential(&source.connection).await.state(), State::Connected);
    }
}
