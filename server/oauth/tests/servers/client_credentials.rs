use serde_json::json;
use superfasttt_oauth::{App, AppSecret, Client, Declaration, Provider, UrlRules};

use crate::node::start;
use crate::support::*;

#[tokio::test]
async fn client_credentials() {
    let Some(server) = start("mock.mjs").await else { return };
    for client_auth in ["basic", "post"] {
        let declaration: Declaration = serde_json::from_value(json!({
            "flow": "client_credentials", "token_url": server.url("/token"), "client_auth": client_auth,
        }))
        .unwrap();
        let rules = UrlRules { allowed_hosts: &[], operator_hosts: &[], allow_loopback: true };
        let provider = Provider::new(declaration.into(), &serde_json::Map::new(), &rules).unwrap();
        let app = App { client_id: CLIENT_ID.to_owned(), secret: AppSecret::Secret(secret(CLIENT_SECRET)) };
        let client = Client::new(http(), provider, app.into());
        let tokens = client.client_credentials(&["read".to_owned()], now()).await.unwrap();
        assert_eq!(access(&tokens).split('.').count(), 3, "a signed token");
        assert_eq!(refresh_token(&tokens), None);
        assert!(tokens.expires_in.is_some());
    }
}
