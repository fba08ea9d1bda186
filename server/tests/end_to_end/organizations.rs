//! A token of one organisation sees and changes nothing of another: each rpc of the contract is tried, by its descriptor, with
//! what exists in the other organisation. An rpc without a case here fails the test.

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, prost::Message};
use serde_json::{Value, json};
use superfasttt_proto::control::v1::*;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Client, SCRIPTED, Server, complete, doc, item_error, within};

/// What a caller of another organisation hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hears {
    /// That it does not exist, in the words for what does not exist.
    NotFound,
    /// That the token is of another organisation than the one named.
    Denied,
    /// That it needs a permission that a token of one organisation cannot have.
    Missing,
    /// An answer in which nothing is of the other organisation, while its own caller sees what is.
    NothingOfIt,
    /// An answer that is the same for all, in which nothing is of the other organisation.
    TheSame,
    /// That it cannot be done, for what is known to nobody else.
    Refused,
}
use Hears::{Denied, Missing, NotFound, NothingOfIt, Refused, TheSame};

/// Every rpc with what it is tried with: the more is destroyed the later, because the owner does the same afterwards.
fn cases(world: &World) -> Vec<(&'static str, Value, Hears)> {
    let World { connection, run, error, position, app, authorization, state, own } = world;
    let of = json!({"connection": connection});
    let there = json!({"organization": THERE});
    let draft = json!({"connector": SCRIPTED, "organization": THERE, "name": "x"});
    vec![
        ("CatalogService.ListConnectors", json!({}), TheSame),
        ("CatalogService.GetConnector", json!({"connector": SCRIPTED}), TheSame),
        ("ConnectionService.GetConnection", of.clone(), NotFound),
        ("ConnectionService.ListConnections", json!({}), NothingOfIt),
        ("ConnectionService.ListConnections", there.clone(), Denied),
        ("ConnectionService.ResolveConnection", json!({"name": NAME}), NotFound),
        ("ConnectionService.ResolveConnection", json!({"name": NAME, "organization": THERE}), Denied),
        ("ConnectionService.ResolveConnection", json!({"category": "other"}), NothingOfIt),
        ("ConnectionService.ExportConnections", there.clone(), Denied),
        ("ConnectionService.TestConnection", of.clone(), NotFound),
        ("ConnectionService.TestConnection", json!({"draft": draft}), Denied),
        ("ConnectionService.DiscoverResources", of.clone(), NotFound),
        ("ConnectionService.DiscoverResources", json!({"draft": draft}), Denied),
        ("ConnectionService.CreateConnection", json!({"connection": draft}), Denied),
        ("ConnectionService.ImportConnections", json!({"connections": [draft]}), Denied),
        ("ConnectionService.SetDefaultConnection", of.clone(), NotFound),
        (
            "ConnectionService.UpdateConnection",
            json!({"connection": {"id": connection, "keepRaw": true}, "updateMask": "keepRaw"}),
            NotFound,
        ),
        ("CredentialService.GetCredential", of.clone(), NotFound),
        ("CredentialService.StartAuthorization", of.clone(), NotFound),
        ("CredentialService.GetAuthorization", json!({"authorization": authorization}), NotFound),
        (
            "CredentialService.CompleteAuthorization",
            json!({"state": state, "error": "access_denied"}),
            NotFound,
        ),
        ("CredentialService.SetCredential", of.clone(), NotFound),
        ("CredentialService.RefreshCredential", of.clone(), NotFound),
        ("CredentialService.ConfirmAccount", json!({"connection": connection, "accountId": "1"}), NotFound),
        ("CredentialService.RevokeCredential", of.clone(), NotFound),
        (
            "CredentialService.CreateOAuthApp",
            json!({"oauthApp": {"organization": THERE, "connector": OAUTH, "clientId": "c"}}),
            Denied,
        ),
        ("CredentialService.GetOAuthApp", json!({"oauthApp": app}), NotFound),
        ("CredentialService.ListOAuthApps", json!({}), NothingOfIt),
        ("CredentialService.ListOAuthApps", there.clone(), Denied),
        (
            "CredentialService.UpdateOAuthApp",
            json!({"oauthApp": {"id": app, "clientId": "changed"}}),
            NotFound,
        ),
        ("CredentialService.DeleteOAuthApp", json!({"oauthApp": app}), NotFound),
        ("SyncService.GetRun", json!({"run": run}), NotFound),
        ("SyncService.ListRuns", json!({}), NothingOfIt),
        ("SyncService.ListRuns", of.clone(), NotFound),
        ("SyncService.WatchRun", json!({"run": run}), NotFound),
        ("SyncService.ListRunLogs", json!({"run": run}), NotFound),
        ("SyncService.ListItemErrors", of.clone(), NotFound),
        // An error's number is one of many; whose it is, is not in it.
        ("SyncService.RetryItemErrors", json!({"connection": own, "itemErrors": [error]}), Refused),
        ("SyncService.RetryItemErrors", of.clone(), NotFound),
        ("SyncService.GetSyncState", of.clone(), NotFound),
        ("SyncService.PreviewRenormalization", of.clone(), NotFound),
        ("SyncService.RenormalizeConnection", of.clone(), NotFound),
        ("SyncService.UpdateSyncState", json!({"connection": connection, "cursor": "eA=="}), NotFound),
        ("SyncService.ResetSyncState", of.clone(), NotFound),
        ("SyncService.ApproveDeletions", of.clone(), NotFound),
        ("SyncService.StartSync", of.clone(), NotFound),
        ("SyncService.CancelRun", json!({"run": run}), NotFound),
        ("DocumentService.GetDocument", json!({"connection": connection, "document": DOCUMENT}), NotFound),
        ("DocumentService.ReadContent", json!({"connection": connection, "document": DOCUMENT}), NotFound),
        ("DocumentService.ListDocuments", json!({"includeContent": true}), NothingOfIt),
        ("DocumentService.ListDocuments", of.clone(), NotFound),
        ("DocumentService.ListDocuments", there.clone(), Denied),
        ("DocumentService.WatchDocuments", json!({"untilCaughtUp": true}), NothingOfIt),
        (
            "DocumentService.WatchDocuments",
            json!({"untilCaughtUp": true, "connection": connection}),
            NotFound,
        ),
        ("DocumentService.WatchDocuments", json!({"untilCaughtUp": true, "organization": THERE}), Denied),
        // Each has a consumer of this name, and neither hears of the other's.
        ("DocumentService.WatchDocuments", json!({"untilCaughtUp": true, "consumer": "both"}), NothingOfIt),
        ("DocumentService.WatchDocuments", json!({"consumer": format!("{THERE}/{CONSUMER}")}), Refused),
        ("DocumentService.CommitPosition", json!({"consumer": CONSUMER, "position": position}), NotFound),
        ("ActionService.ExecuteAction", of.clone(), NotFound),
        ("SinkService.CreateSink", json!({}), Denied),
        ("SinkService.GetSink", json!({"sink": "s"}), NotFound),
        ("SinkService.ListSinks", json!({}), NothingOfIt),
        ("SinkService.DeleteSink", json!({"sink": "s"}), NotFound),
        ("AdminService.GetServerInfo", json!({}), Missing),
        ("AdminService.ListConsumers", json!({}), Missing),
        ("AdminService.DeleteConsumer", json!({"consumer": format!("{THERE}/{CONSUMER}")}), Missing),
        ("AdminService.CreateApiToken", json!({}), Missing),
        ("AdminService.ListApiTokens", json!({}), Missing),
        ("AdminService.RevokeApiToken", json!({"apiToken": "t"}), Missing),
        ("AdminService.ListAuditEvents", json!({}), Missing),
        ("ConnectionService.PauseConnection", of.clone(), NotFound),
        ("ConnectionService.ResumeConnection", of.clone(), NotFound),
        ("ConnectionService.DisableConnection", of.clone(), NotFound),
        ("ConnectionService.EnableConnection", of.clone(), NotFound),
        ("ConnectionService.DeleteConnection", of, NotFound),
    ]
}

const THERE: &str = "org-there";
const NAME: &str = "docs-there";
const DOCUMENT: &str = "document-there";
const CONSUMER: &str = "reader-there";
/// A connector whose accounts are connected at a provider, and where the provider's answer goes.
const OAUTH: &str = "scripted-oauth";
const REDIRECT: &str = "http://127.0.0.1:9/done";
const SECRET: &str = "s3cret-of-the-installation";

/// What there is in the other organisation, and a connection of one's own.
struct World {
    connection: String,
    run: String,
    error: String,
    position: String,
    app: String,
    authorization: String,
    state: String,
    own: String,
}

#[tokio::test]
async fn each_rpc_is_bounded_by_the_callers_organization() {
    let keys = connectord::vault::Key::generate().to_base64().to_string();
    let server = Server::builder()
        .with("SERVER__TOKEN", SECRET)
        .with("VAULT__KEYS", keys)
        .with("OAUTH__RETURN_URLS", format!("[\"{REDIRECT}\"]"))
        .start()
        .await;
    let auth = json!({
        "type": "oauth2", "authorization_url": "https://provider.example/authorize",
        "token_url": "https://provider.example/token",
    });
    server.add_connector(OAUTH, auth).await;
    let (_, here) = server.client.api_token("here", "org-here", "integrations.manage").await;
    let (_, there) = server.client.api_token("there", THERE, "integrations.manage").await;
    let (here, there) = (server.client.with_token(&here), server.client.with_token(&there));
    let world = world(&server, &here, &there).await;
    let cases = cases(&world);

    let pool = DescriptorPool::decode(superfasttt_proto::DESCRIPTORS).unwrap();
    let services = pool.services().filter(|service| service.package_name() == "superfasttt.control.v1");
    let rpcs: Vec<MethodDescriptor> =
        services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let described: BTreeSet<String> = rpcs.iter().map(name).collect();
    let tried: BTreeSet<String> = cases.iter().map(|(rpc, ..)| (*rpc).to_owned()).collect();
    assert_eq!(
        described.difference(&tried).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "rpcs without a case"
    );
    assert_eq!(tried.difference(&described).collect::<Vec<_>>(), Vec::<&String>::new(), "cases of no rpc");
    let rpc = |wanted: &str| rpcs.iter().find(|rpc| name(rpc) == wanted).unwrap();

    let before = there.connection(&world.connection).await;
    for (wanted, request, hears) in &cases {
        let answer = call(&here, rpc(wanted), request).await;
        check(&world, &format!("{wanted} {request}"), &answer, *hears);
    }
    assert_eq!(there.connection(&world.connection).await, before, "nothing of it was changed");
    assert_eq!(there.ids(&world.connection).await, DOCUMENT);

    // The same is there for those whose it is: what was tried above was tried with what exists.
    for (wanted, request, hears) in &cases {
        if matches!(hears, Missing | Refused | TheSame) {
            continue;
        }
        let answer = call(&there, rpc(wanted), request).await;
        if let Err(status) = &answer {
            let denied = ["ORGANIZATION_DENIED", "PERMISSION_MISSING", ""];
            assert!(!denied.contains(&reason(status).as_str()), "{wanted} {request}: {status:?}");
            // What is not there is named; something else may be missing of what is.
            let missing = status.get_details_resource_info();
            assert!(missing.is_none(), "{wanted} {request}: {status:?}");
        }
        if let (NothingOfIt, Ok(answer)) = (hears, &answer) {
            assert!(marks(&world).any(|mark| answer.contains(mark)), "{wanted} {request}: {answer}");
        }
    }
}

/// Two organisations with a connection each, which synced.
async fn world(server: &Server, here: &Client, there: &Client) -> World {
    let script = server.script();
    script.next_pulls([vec![doc("document-here", "1"), complete("1")]]);
    let own = here.create_paused(SCRIPTED, json!({"script": script.path()})).await;
    here.sync(&own).await;
    let script = server.script();
    script.next_pulls([vec![doc(DOCUMENT, "1"), item_error("bad-there"), complete("1")]]);
    let connection = there.create_paused(SCRIPTED, json!({"script": script.path()})).await;
    let update = UpdateConnectionRequest {
        connection: Some(Connection { id: connection.clone(), name: NAME.to_owned(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["name".to_owned()] }),
    };
    there.connections().update_connection(update).await.unwrap();
    let run = there.sync(&connection).await.id;
    let default = SetDefaultConnectionRequest { connection: connection.clone() };
    there.connections().set_default_connection(default).await.unwrap();
    let request = ListItemErrorsRequest { connection: connection.clone(), ..Default::default() };
    let errors = there.runs().list_item_errors(request).await.unwrap().into_inner().item_errors;
    let position = there.feed_of(CONSUMER).await.position;
    let app =
        OAuthApp { connector: OAUTH.to_owned(), client_id: "client-there".to_owned(), ..OAuthApp::default() };
    let request = CreateOAuthAppRequest { oauth_app: Some(app) };
    let app = there.credentials().create_o_auth_app(request).await.unwrap().into_inner().oauth_app.unwrap();
    assert_eq!(app.organization, THERE, "a token's own organisation is meant where none is named");
    let account = there.create_paused(OAUTH, json!({"script": server.script().path()})).await;
    let request = StartAuthorizationRequest {
        connection: account,
        redirect_uri: REDIRECT.to_owned(),
        ..StartAuthorizationRequest::default()
    };
    let begun = there.credentials().start_authorization(request).await.unwrap().into_inner();
    let error = errors[0].id.clone();
    let (authorization, state) = (begun.authorization, begun.state);
    World { connection, run, error, position, app: app.id, authorization, state, own }
}

/// What is only in the other organisation.
fn marks(world: &World) -> impl Iterator<Item = &str> {
    [&world.connection, &world.run, &world.app, THERE, NAME, DOCUMENT, CONSUMER].into_iter()
}

fn check(world: &World, what: &str, answer: &Result<String, Status>, hears: Hears) {
    match (hears, answer) {
        // What is not served shows nothing; where it once is, the case counts.
        (Denied | NotFound | NothingOfIt | Refused, Err(status)) if status.code() == Code::Unimplemented => {}
        (NotFound, Err(status)) => {
            assert_eq!((status.code(), reason(status).as_str()), (Code::NotFound, "NOT_FOUND"), "{what}");
        }
        (Denied, Err(status)) => {
            let expected = (Code::PermissionDenied, "ORGANIZATION_DENIED");
            assert_eq!((status.code(), reason(status).as_str()), expected, "{what}: {status:?}");
            assert!(!status.message().contains(THERE), "{what}: {}", status.message());
        }
        (Missing, Err(status)) => {
            let expected = (Code::PermissionDenied, "PERMISSION_MISSING");
            assert_eq!((status.code(), reason(status).as_str()), expected, "{what}");
        }
        (NothingOfIt | TheSame, Ok(answer)) => {
            for mark in marks(world) {
                assert!(!answer.contains(mark), "{what} shows {mark}: {answer}");
            }
        }
        (Refused, Err(status)) => {
            let failed = [Code::Internal, Code::Unknown, Code::Unavailable];
            assert!(!failed.contains(&status.code()), "{what}: {status:?}");
        }
        (hears, answer) => panic!("{what}: {hears:?} was expected, and not {answer:?}"),
    }
}

/// Why, as in docs/errors.
fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn name(rpc: &MethodDescriptor) -> String {
    format!("{}.{}", rpc.parent_service().name(), rpc.name())
}

/// Calls an rpc with a message in proto JSON; returns its answers as JSON.
async fn call(client: &Client, rpc: &MethodDescriptor, request: &Value) -> Result<String, Status> {
    let request = DynamicMessage::deserialize(rpc.input(), request).unwrap();
    let path = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name());
    let answers = within(&path, client.call(&path, request.encode_to_vec())).await?;
    let decoded =
        answers.iter().map(|answer| DynamicMessage::decode(rpc.output(), answer.as_slice()).unwrap());
    Ok(serde_json::to_string(&decoded.collect::<Vec<_>>()).unwrap())
}

#[tokio::test]
async fn an_organizations_consumers_are_its_own() {
    let server = Server::builder().with("SERVER__TOKEN", SECRET).start().await;
    let (_, there) = server.client.api_token("there", THERE, "integrations.manage").await;
    let there = server.client.with_token(&there);
    let script = server.script();
    script.next_pulls([vec![doc(DOCUMENT, "1"), complete("1")]]);
    let connection = there.create_paused(SCRIPTED, json!({"script": script.path()})).await;
    let elsewhere = server.source(SCRIPTED, [vec![doc("elsewhere", "1"), complete("1")]]).await;
    server.client.sync_well(&elsewhere.connection).await;
    there.sync_well(&connection).await;

    let feed = there.feed_of("search").await;
    assert_eq!(feed.told(), [DOCUMENT]);
    assert_eq!(there.commit("search", &feed.position).await, 0);
    assert_eq!(server.client.feed_of("search").await.told().len(), 2, "another one of the same name");
    // The installation names it by its organisation, reads of that alone, and forgets it.
    let qualified = format!("{THERE}/search");
    assert_eq!(server.client.feed_of(&qualified).await.told(), Vec::<String>::new(), "it has read all");
    let listed = server.client.admin().list_consumers(ListConsumersRequest::default()).await.unwrap();
    let names: Vec<String> =
        listed.into_inner().consumers.into_iter().map(|consumer| consumer.name).collect();
    assert_eq!(names, [qualified.clone(), "search".to_owned()]);
    let request = DeleteConsumerRequest { consumer: qualified };
    server.client.admin().delete_consumer(request).await.unwrap();
    assert_eq!(there.feed_of("search").await.told(), [DOCUMENT], "it begins again");
}

#[tokio::test]
async fn a_token_may_do_what_its_permission_says_and_no_more() {
    let server = Server::builder().with("SERVER__TOKEN", SECRET).start().await;
    let (_, reads) = server.client.api_token("reads", "org-here", "integrations.read").await;
    let (_, all) = server.client.api_token("all", "", "integrations.manage").await;
    let (reads, all) = (server.client.with_token(&reads), server.client.with_token(&all));
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")]]).await;

    reads.connections().list_connections(ListConnectionsRequest::default()).await.unwrap();
    let start = || StartSyncRequest { connection: source.connection.clone(), ..Default::default() };
    let refused = reads.runs().start_sync(start()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), &*info.metadata["permission"]),
        ("PERMISSION_MISSING", "integrations.manage")
    );
    // One of no organisation sees all of them, and is no administrator for that.
    all.sync_well(&source.connection).await;
    let refused = all.admin().get_server_info(GetServerInfoRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let header = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert_eq!(server.client.http("/metrics", &header(SECRET)).await.0, 200);
    let (_, admin) = server.client.api_token("admin", "", "admin").await;
    assert_eq!(server.client.http("/metrics", &header(&admin)).await.0, 200);
    let (_, manage) = server.client.api_token("manage", "", "integrations.manage").await;
    assert_eq!(server.client.http("/metrics", &header(&manage)).await.0, 403);
    // What is for the whole installation is no organisation's.
    let token = ApiToken {
        name: "x".to_owned(),
        organization: "org-here".to_owned(),
        permissions: vec!["admin".to_owned()],
        ..ApiToken::default()
    };
    let request = CreateApiTokenRequest { api_token: Some(token) };
    let refused = server.client.admin().create_api_token(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_category_resolves_to_its_default_or_to_none() {
    let server = Server::start().await;
    let resolve = async |category: &str| {
        let by = Some(resolve_connection_request::By::Category(category.to_owned()));
        let request = ResolveConnectionRequest { organization: String::new(), by };
        server.client.connections().resolve_connection(request).await.unwrap().into_inner().connection
    };
    let first = server.source(SCRIPTED, []).await.connection;
    let second = server.source(SCRIPTED, []).await.connection;
    assert_eq!(resolve("other").await, None, "which is an answer");
    for id in [&first, &second] {
        let request = SetDefaultConnectionRequest { connection: id.clone() };
        let set = server.client.connections().set_default_connection(request).await.unwrap().into_inner();
        assert!(set.connection.unwrap().is_default);
        assert_eq!(resolve("other").await.map(|found| found.id).as_ref(), Some(id));
    }
    assert!(!server.client.connection(&first).await.is_default);
    assert_eq!(resolve("files").await, None);
    let request = DeleteConnectionRequest { connection: second, etag: String::new() };
    server.client.connections().delete_connection(request).await.unwrap();
    assert_eq!(resolve("other").await, None);
}
