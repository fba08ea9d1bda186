//! Two connectords behind one public address: the link is opened at one of them, the provider's answer comes to the other,
//! and who waits for it at the first hears of it.

use std::net::SocketAddr;

use serde_json::json;
use superfasttt_oauth_testing::{FakeProvider, Rules};
use superfasttt_proto::control::v1::get_authorization_response::State as Ended;
use tokio::net::{TcpListener, TcpStream};

use crate::connect_an_account::{CONNECTOR, begin, ended, source, store_app};
use crate::support::postgres::Database;
use crate::support::{Person, Server};

/// Takes connections on a socket to each of these in turn.
async fn take_turns(listener: TcpListener, replicas: [SocketAddr; 2]) {
    for turn in 0.. {
        let Ok((mut browser, _)) = listener.accept().await else { return };
        let mut server = TcpStream::connect(replicas[turn % 2]).await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut browser, &mut server).await });
    }
}

/// Where its public listener is.
fn public_address(server: &Server) -> SocketAddr {
    let log = server.log();
    let (_, rest) = log.rsplit_once("public_address=").expect("it serves");
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_answer_may_come_to_another_replica_than_began() {
    let database = Database::new().await;
    let keys = connectord::vault::Key::generate().to_base64().to_string();
    let provider = FakeProvider::with_rules(Rules::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let public_url = format!("http://{}", listener.local_addr().unwrap());
    let replica = async || {
        let server = Server::builder()
            .with("DATABASE__URL", database.url())
            .with("SERVER__PUBLIC_URL", &public_url)
            .with("OAUTH__ALLOW_LOOPBACK", true)
            .with("VAULT__KEYS", &keys)
            .start()
            .await;
        let auth = json!({
            "type": "oauth2", "authorization_url": provider.url("/authorize"), "token_url": provider.url("/token"),
            "scopes": ["read"],
        });
        server.add_connector(CONNECTOR, auth).await;
        server
    };
    let (first, second) = (replica().await, replica().await);
    let proxy = tokio::spawn(take_turns(listener, [public_address(&first), public_address(&second)]));
    let source = source(&first).await;
    store_app(&first, "client").await;

    let begun = begin(&first, &source.connection).await;
    assert!(begun.authorization_url.starts_with(&public_url), "{}", begun.authorization_url);
    let connecting = async {
        let mut person = Person::default();
        let is_back = |url: &url::Url| url.path() == "/oauth/callback";
        let back = person.open_until(&begun.authorization_url, is_back).await.url;
        person.open(back.as_str()).await
    };
    let (end, page) = tokio::join!(ended(&first, &begun), connecting);
    assert_eq!((page.status, page.name()), (200, "connected"), "{page:?}");
    assert_eq!(end.state(), Ended::Succeeded, "who waits at the first hears of it");
    let connected = |server: &Server| server.log().contains("an account was connected");
    assert!(connected(&second) && !connected(&first), "the second took the answer");
    first.client.sync_well(&source.connection).await;
    assert_eq!(provider.counts().grants, 1);
    proxy.abort();
}
