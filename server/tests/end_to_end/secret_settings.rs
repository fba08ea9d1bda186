//! A secret setting whose key is gone is asked for again; entering it is all that is needed.

use serde_json::json;
use superfasttt_connector::json_to_struct;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::{Connection, UpdateConnectionRequest};
use tonic::Status;
use tonic_types::StatusExt;

use crate::support::{Client, KEYED, Server, checkpoint, complete, doc};

/// Changes the settings that the mask names.
async fn change(client: &Client, id: &str, mask: &str, settings: serde_json::Value) -> Result<(), Status> {
    let settings = Some(json_to_struct(settings.as_object().unwrap().clone()));
    let connection = Connection { id: id.to_owned(), settings, ..Connection::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec![mask.to_owned()] });
    let request = UpdateConnectionRequest { connection: Some(connection), update_mask };
    client.connections().update_connection(request).await.map(drop)
}

#[tokio::test]
async fn a_secret_setting_whose_key_is_gone_is_entered_anew() {
    let mut server = Server::start().await;
    let script = server.script();
    let id =
        server.client.create_paused(KEYED, json!({"script": script.path(), "secret": "first-W81kQ4"})).await;
    server.client.enter(&id, &[("key", "k-4fTq81LmZ0")]).await.unwrap();
    script.next_pulls([vec![doc("a", "1"), complete("1")], vec![checkpoint("2")]]);
    server.client.sync_well(&id).await;

    // As docs/vault.md says to do when a key is lost.
    server.stop().await;
    server.execute("DELETE FROM secrets WHERE field = 'settings key'").await;
    server.restart().await;
    let client = &server.client;
    let (reason, message) = client.sync_to_failure(&id).await;
    assert_eq!(reason, Reason::SettingsInvalid);
    assert!(message.contains("\"secret\"") && message.contains("enter it anew"), "{message}");
    // What is changed besides it cannot work without it: the person is told which one to enter.
    let refused = change(client, &id, "settings", json!({"script": script.path()})).await.unwrap_err();
    let faults = refused.get_details_bad_request().unwrap().field_violations;
    let told: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(told, ["connection.settings.secret"], "{refused:?}");
    assert!(faults[0].description.contains("enter it anew"), "{refused:?}");
    // Nobody gives what is sealed of another place for a value.
    let forged = json!({"secret": {"$sealed": "AAAA"}});
    let refused = change(client, &id, "settings.secret", forged).await.unwrap_err();
    assert!(refused.message().contains("server's own"), "{refused:?}");

    change(client, &id, "settings.secret", json!({"secret": "second-W81kQ4"})).await.unwrap();
    client.sync_well(&id).await;
    let shown = client.connection(&id).await.settings.unwrap();
    assert_eq!(shown.fields.keys().collect::<Vec<_>>(), ["script"], "kept, and the secret is not shown");
    server.stop().await;
    server.restart().await;
    server.client.sync_well(&id).await;
}
